import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findChromium } from "../test/support/chromium.js";
import { Contestant } from "./contestant.js";
import type { Bandwidth, Peak } from "./limit.js";
import type { OwnTurn } from "./own-turn.js";

const script = fileURLToPath(new URL("chromium.ts", import.meta.url));
const command = [process.execPath, "--conditions=ostinato-source", "--import", import.meta.resolve("tsx"), script];

function start(env: Record<string, string> = {}): Promise<Contestant> {
  const engine = { OSTINATO_ENGINE: "wasm", OSTINATO_ISA: "simd128", OSTINATO_THREADS: "1" };
  return Contestant.start({ name: "chromium", threads: 1, command, env: { ...engine, ...env } });
}

describe("the contender in Chromium", () => {
  it.skipIf(!findChromium())("runs the workloads in a page, on the engine that was asked for (needs Chromium)", async () => {
    const contestant = await start();
    try {
      expect(contestant.about).toMatchObject({ engine: "wasm", isa: "simd128", threads: 1 });
      expect(contestant.about.runtime).toMatch(/ \d+\.\d+/);
      const streamed = await contestant.turn<OwnTurn>("W5gru", 0.02);
      expect(streamed).toMatchObject({ flops: 132_096, p50: expect.any(Number) });
      expect(streamed).not.toHaveProperty("p99");
      expect(streamed.steps).toBeGreaterThan(1);
      expect((await contestant.turn<Peak>("peak", 0.02)).gflops).toBeGreaterThan(0);
      expect((await contestant.turn<Bandwidth>("read:100000", 0.01)).gbps).toBeGreaterThan(0);
      await expect(contestant.turn("W99", 0.01)).rejects.toThrow('no workload "W99"');
    } finally {
      await contestant.stop();
    }
  });

  it("says that there is no browser", async () => {
    await expect(start({ CHROMIUM: "no-such-browser" })).rejects.toThrow(/no-such-browser.* is not here/);
  });
});
