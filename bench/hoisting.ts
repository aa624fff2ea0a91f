/**
 * @file When it pays to compute the input projection ahead of the steps: forward passes with and without, by rows and sizes, for every engine.
 *
 *     npx tsx --conditions=ostinato-source bench/hoisting.ts
 *
 * Prints time without over time with (above 1: hoisting is faster), the median of interleaved rounds. The rule that follows from it is
 * `hoisted_steps` in kernels/recurrent.c.
 */
import { type CellKind, type Kernels, NativeKernels, NULL, WasmKernels } from "../src/kernels/index.js";

const BATCHES = [1, 2, 4, 8, 16, 64];
const SIZES = [
  [16, 64],
  [64, 32],
  [128, 256],
  [256, 64],
];
const TIME = 64;
const ROUNDS = 9;

const engines: Kernels[] = ["avx512vnni", "avx512", "avx2", "x86-64", "neon"].flatMap((isa) => {
  try {
    return [NativeKernels.create({ isa })];
  } catch {
    return [];
  }
});
engines.push(WasmKernels.create(), WasmKernels.create({ variant: "simd128" }));

for (const kernels of engines) {
  console.log(`\n${kernels.name} ${kernels.isa}: time without hoisting / with, by rows ${BATCHES.join(", ")}`);
  for (const cell of ["lstm", "gru"] as const) {
    for (const [inputSize, hiddenSize] of SIZES) {
      const ratios = BATCHES.map((batch) => ratio(kernels, cell, batch, inputSize, hiddenSize).toFixed(2));
      console.log(`${cell} ${inputSize}->${hiddenSize}`.padEnd(16), ratios.map((text) => text.padStart(6)).join(""));
    }
  }
}

function ratio(kernels: Kernels, cell: CellKind, batch: number, inputSize: number, hiddenSize: number): number {
  const { memory } = kernels;
  const blocks: number[] = [];
  const take = (count: number) => {
    const pointer = memory.allocate(4 * count);
    blocks.push(pointer);
    const values = memory.floatsAt(pointer, count);
    for (let i = 0; i < count; i++) values[i] = Math.sin(i * 12.9898) * 0.1;
    return pointer;
  };
  const lengths = take(batch);
  memory.intsAt(lengths, batch).fill(TIME);
  const rows = (cell === "lstm" ? 4 : 3) * hiddenSize;
  const packed = take(kernels.packedBytes(cell, inputSize, hiddenSize) / 4);
  const weights = { weightIh: take(rows * inputSize), weightHh: take(rows * hiddenSize), biasIh: NULL, biasHh: NULL };
  kernels.recurrentPack({ cell, inputSize, hiddenSize, ...weights, packed });
  const states = () => (cell === "lstm" ? take(batch * hiddenSize) : NULL);
  const args = {
    ...{ cell, batch, time: TIME, inputSize, hiddenSize, reverse: false, lengths, packed, gates: NULL, cells: NULL },
    ...{ x: take(batch * TIME * inputSize), h0: take(batch * hiddenSize), c0: states() },
    ...{ output: take(batch * TIME * hiddenSize), outputStride: hiddenSize, hN: take(batch * hiddenSize), cN: states() },
  };
  const [without, with_] = [false, true].map((hoist) => () => kernels.recurrentForward({ ...args, hoist }));
  const milliseconds = (call: () => void, repeats: number) => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) call();
    return performance.now() - start;
  };
  const repeats = Math.max(1, Math.ceil(10 / milliseconds(without, 2)));
  const rounds = Array.from({ length: ROUNDS }, () => milliseconds(without, repeats) / milliseconds(with_, repeats));
  for (const block of blocks) memory.free(block);
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1];
}
