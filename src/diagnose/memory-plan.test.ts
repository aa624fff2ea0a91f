import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { mse } from "../losses/index.js";
import { LSTM, type RecurrentLayer, RNN } from "../nn/index.js";
import { scope, tensor } from "../tensor/index.js";
import { describeMemory, planMemory } from "./memory-plan.js";

const [batch, time, inputSize, hiddenSize] = [8, 120, 3, 24];

/** The most that an update takes beyond what is there between updates. */
function measured(layer: RecurrentLayer): number {
  const { engine } = layer;
  const step = () =>
    scope(() => {
      const x = tensor(new Float32Array(batch * time * inputSize), [batch, time, inputSize], { engine });
      const { output } = layer.forward(x);
      mse(output, tensor(new Float32Array(output.size), output.shape, { engine })).backward();
    });
  step();
  engine.memory.resetPeak();
  const before = engine.memory.bytesInUse;
  step();
  return engine.memory.peakBytesInUse - before;
}

describe("a memory plan", () => {
  it.each([
    ["reference", new ReferenceKernels("float32")],
    ["wasm", WasmKernels.create()],
  ] as const)("knows the engine's peak within a tenth, kept and recomputed, whichever is set: %s", (_, engine) => {
    const layer = new LSTM(inputSize, hiddenSize, { rng: seed(1), engine });
    const kept = measured(layer);
    const plan = planMemory(layer, { batch, time });
    layer.recompute = "auto";
    const recomputed = measured(layer);
    const other = planMemory(layer, { batch, time });
    expect(recomputed).toBeLessThan(0.6 * kept);
    for (const { keptBytes, recomputedBytes } of [plan, other]) {
      expect(Math.abs(keptBytes / kept - 1)).toBeLessThan(0.1);
      expect(Math.abs(recomputedBytes / recomputed - 1)).toBeLessThan(0.1);
    }
    expect([plan.recompute, plan.activationBytes]).toEqual([null, plan.keptBytes]);
    expect([other.recompute, other.activationBytes]).toEqual(["auto", plan.recomputedBytes]);
    expect(planMemory(layer, { batch, time, recompute: null })).toEqual(plan);
  });

  it("is one line", () => {
    const bytes = { parameterBytes: 2e6, gradientBytes: 1e6, optimizerBytes: 4e6, activationBytes: 30e6, scratchBytes: 5e5 };
    const estimate = { ...bytes, totalBytes: 37.5e6 };
    const plan = { ...estimate, batch: 32, time: 500, recompute: null, keptBytes: 30e6, recomputedBytes: 9.44e6 };
    expect(describeMemory(plan)).toBe(
      "an update of 32 x 500 steps takes about 37.5 MB: activations 30.0 MB (9.4 MB with train.recompute), weights and gradients 3.0 MB, optimizer 4.0 MB, scratch 500 KB",
    );
    expect(describeMemory({ ...plan, activationBytes: 9.44e6, recompute: "auto" })).toMatch(
      /activations 9.4 MB \(recomputed; 30.0 MB if kept\),/,
    );
    expect(describeMemory({ ...plan, recomputedBytes: 29e6 })).toMatch(/activations 30.0 MB, weights/);
    expect(describeMemory({ ...estimate, optimizerBytes: 0, scratchBytes: 0, totalBytes: 3.21e9 })).toBe(
      "an update takes about 3.21 GB: activations 30.0 MB, weights and gradients 3.0 MB",
    );
  });

  it("promises nothing of a recomputation that would save nothing", () => {
    const layer = new RNN(inputSize, hiddenSize, { rng: seed(1), engine: new ReferenceKernels("float32") });
    const plan = planMemory(layer, { batch, time: 2 });
    expect(plan.recomputedBytes).toBeGreaterThan(0.9 * plan.keptBytes);
    expect(describeMemory(plan)).not.toMatch(/recompute/);
  });
});
