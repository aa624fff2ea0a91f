import { describe, expect, it } from "vitest";
import { recurrentFlops, WORKLOADS } from "./workloads.js";

describe("workloads", () => {
  it.each([
    ["W1", 377_487_360],
    ["W4", 24_576_000],
    ["W4raw", 24_576_000],
    ["W5gru", 132_096],
    ["W5lstm", 1_710_080],
    ["W6a", 655_360_000],
  ])("%s counts its operations and runs", (name, flops) => {
    const workload = WORKLOADS[name].build();
    expect(workload.flops).toBe(flops);
    workload.step();
    workload.step();
  });

  it("counts later layers with H inputs each", () => {
    const shape = { cell: "gru", batch: 2, time: 3, inputSize: 5, hiddenSize: 7 } as const;
    expect(recurrentFlops({ ...shape, numLayers: 3 })).toBe(2 * 2 * 3 * (3 * 7) * (5 + 7 + 2 * 14));
  });

  it("name twins and opponents that exist", () => {
    for (const { raw, peer } of Object.values(WORKLOADS)) {
      for (const other of [raw, peer]) if (typeof other === "string") expect(WORKLOADS).toHaveProperty(other);
    }
  });
});
