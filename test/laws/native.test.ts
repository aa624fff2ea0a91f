/** @file Who computes: what the public interface does on the native engine is done by the addon's kernels, and nothing by the readable ones. */
import { createRequire } from "node:module";
import { afterEach, describe, expect, it, vi } from "vitest";
import { tableFromRecords } from "../../src/data/index.js";
import type { NativeAddon } from "../../src/kernels/addon-file.js";
import { KERNELS } from "../../src/kernels/compiled.js";
import { type Kernels, NativeKernels, nativeSets, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { openModel, openSession } from "../../src/model/index.js";
import { parseConfig, runExperiment } from "../../src/tasks/index.js";
import { NATIVE_ENGINES, skipAbsentNative } from "../support/native-engines.js";

const readings = Array.from({ length: 160 }, (_, i) => ({ time: i, kw: Math.sin(i / 3) + 0.1 * Math.sin(i * i) }));
const config = parseConfig({
  task: "forecast",
  data: {
    source: "readings",
    time: "time",
    features: ["kw"],
    target: ["kw"],
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
  },
  window: { length: 12, horizon: 2 },
  model: { cell: "lstm", hiddenSize: 6 },
  train: { epochs: 2 },
});

/** Counts what an addon is called for, by kernel, also within recorded programs. */
function watch(path: string): Map<string, number> {
  const addon = createRequire(import.meta.url)(path) as NativeAddon;
  const counts = new Map<string, number>();
  const { run } = addon;
  const count = (words: Int32Array, block: number) => {
    const name = KERNELS[words[block >>> 2]];
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (name !== "program") return;
    const first = (block >>> 2) + 2;
    for (const inner of words.subarray(first, first + words[first - 1])) count(words, inner >>> 0);
  };
  vi.spyOn(addon, "run").mockImplementation((memory, block, context) => {
    count(new Int32Array(memory.buffer), block);
    return run(memory, block, context);
  });
  return counts;
}

/** Names of the reference engine's kernels that were called. */
function watchReference(): () => string[] {
  const names = Object.entries(Object.getOwnPropertyDescriptors(ReferenceKernels.prototype))
    .filter(([name, { value }]) => name !== "constructor" && typeof value === "function")
    .map(([name]) => name);
  const spies = names.map((name) => vi.spyOn(ReferenceKernels.prototype, name as "matmul"));
  return () => names.filter((_, i) => spies[i].mock.calls.length > 0);
}

async function trainAndStream(engine: Kernels): Promise<number> {
  const result = await runExperiment(config, tableFromRecords(readings), { engine });
  if (!result) throw new Error("the experiment was stopped");
  expect(result.engine).toBe(`${engine.name} (${engine.isa})`);
  const session = openSession(await openModel(result.file, { engine }), { owner: "law" });
  let forecasts = 0;
  for (const reading of readings.slice(-20)) forecasts += session.push(reading).length;
  return forecasts;
}

describe("training, judging and streaming", () => {
  afterEach(() => vi.restoreAllMocks());

  it.each(NATIVE_ENGINES)("on %s runs the addon's kernels and none of the reference", async (name) => {
    const { isa, path } = nativeSets().find((set) => `native ${set.isa}` === name)!;
    const [counts, reference] = [watch(path as string), watchReference()];
    expect(await trainAndStream(NativeKernels.create({ isa }))).toBeGreaterThan(5);
    for (const kernel of ["recurrent_pack", "recurrent_forward", "recurrent_backward", "adam_step", "sum_of_squares"])
      expect(counts.get(kernel) ?? 0, kernel).toBeGreaterThan(5);
    expect(reference()).toEqual([]);
  });
  skipAbsentNative();

  it.skipIf(NATIVE_ENGINES.length === 0)("on another engine does not: the counts above count", async () => {
    const { path } = nativeSets().find(({ reason }) => reason === null)!;
    const [counts, reference] = [watch(path as string), watchReference()];
    await trainAndStream(WasmKernels.create());
    expect([...counts.keys(), ...reference()]).toEqual([]);
    new ReferenceKernels("float32").tanh(0, 64, 64);
    expect(reference()).toEqual(["tanh"]);
    expect(vi.isMockFunction(ReferenceKernels.prototype.recurrentForward)).toBe(true);
  });
});
