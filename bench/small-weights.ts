/**
 * @file What small weights save: one step of a session with float32, bfloat16 and int8 weights, by size of network, for every engine.
 *
 *     npx tsx --conditions=ostinato-source bench/small-weights.ts
 *
 * Prints the step with float32 weights in microseconds and float32's time over that of each other type (above 1: it is faster), the median
 * of interleaved rounds.
 */

import { seed } from "../src/core/rng.js";
import { type Kernels, NativeKernels, WasmKernels, WEIGHT_TYPES, type WeightType } from "../src/kernels/index.js";
import { openSession, recurrentSpec } from "../src/model/index.js";
import { RecurrentNetwork, useWeights } from "../src/nn/index.js";
import { median } from "./statistic.js";

const SIZES = [
  { cell: "lstm", inputSize: 8, hiddenSize: 32, numLayers: 1 },
  { cell: "gru", inputSize: 16, hiddenSize: 64, numLayers: 1 },
  { cell: "gru", inputSize: 40, hiddenSize: 128, numLayers: 1 },
  { cell: "lstm", inputSize: 64, hiddenSize: 256, numLayers: 2 },
  { cell: "lstm", inputSize: 64, hiddenSize: 650, numLayers: 2 },
] as const;
const ROUNDS = 31;
const ROUND_MS = 6;

const engines: Kernels[] = ["avx512vnni", "avx512", "avx2", "x86-64", "neon"].flatMap((isa) => {
  try {
    return [NativeKernels.create({ isa })];
  } catch {
    return [];
  }
});
engines.push(WasmKernels.create(), WasmKernels.create({ variant: "simd128" }));

for (const engine of engines) {
  console.log(`\n${engine.name} ${engine.isa}`);
  for (const size of SIZES) {
    const { cell, inputSize, hiddenSize, numLayers } = size;
    const steps = WEIGHT_TYPES.map((weights) => sessionStep(engine, size, weights));
    const repeats = Math.max(1, Math.ceil(ROUND_MS / milliseconds(steps[0], 3)) * 3);
    const rounds = Array.from({ length: ROUNDS }, () => steps.map((step) => milliseconds(step, repeats) / repeats));
    const micros = 1000 * median(rounds.map(([float32]) => float32));
    const faster = WEIGHT_TYPES.map(
      (type, i) => `${type} ${median(rounds.map((times) => times[0] / times[i])).toFixed(2)}x`,
    ).slice(1);
    const name = `${cell} ${inputSize}->${hiddenSize}${numLayers > 1 ? ` x${numLayers}` : ""}`;
    console.log(`  ${name.padEnd(18)} float32 ${micros.toFixed(1).padStart(6)} us   ${faster.join("   ")}`);
  }
}

function sessionStep(engine: Kernels, size: (typeof SIZES)[number], weights: WeightType): () => void {
  const rng = seed(1);
  const network = new RecurrentNetwork(recurrentSpec({ ...size, outputSize: 12 }), { rng, engine });
  useWeights(network, weights);
  const session = openSession(network, { owner: "bench" });
  const x = Float32Array.from({ length: size.inputSize }, () => rng.normal());
  return () => session.step(x);
}

/** Once untimed, because another type's weights may have taken the cache. */
function milliseconds(call: () => void, repeats: number): number {
  call();
  const start = performance.now();
  for (let i = 0; i < repeats; i++) call();
  return performance.now() - start;
}
