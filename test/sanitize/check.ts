/**
 * @file Runs the kernels of one sanitized addon over the conformance suite and over shapes drawn by chance, every array between walls.
 *
 *     node check.js ADDON            exits with 0, or is stopped by the sanitizer at the first byte out of bounds
 *     node check.js ADDON --plant    reads one float too many, to prove that this is noticed
 */
import { createRequire } from "node:module";
import { type Rng, seed } from "../../src/core/rng.js";
import { type CellKind, NULL, type Pointer, WEIGHT_TYPES } from "../../src/kernels/kernels.js";
import { checkKernels } from "../../src/testing/check-kernels.js";
import { Arrays } from "./arrays.js";
import { GuardedKernels, type SanitizedAddon } from "./guarded.js";

const CELLS: [CellKind, gates: number, kept: number][] = [
  ["rnnTanh", 1, 1],
  ["rnnRelu", 1, 1],
  ["lstm", 4, 4],
  ["gru", 3, 4],
  ["gruResetBefore", 3, 4],
];
const SHAPES = 60;

const [path, plant] = process.argv.slice(2);
const addon = createRequire(import.meta.url)(path) as SanitizedAddon;
if (addon.supported !== 1) {
  console.error("not a part of this processor");
  process.exit(2);
}
const kernels = new GuardedKernels(addon);

if (plant === "--plant") {
  const [x, y] = [kernels.memory.allocate(4 * 37), kernels.memory.allocate(4 * 38)];
  kernels.add(38, x, y);
  console.log("one float too many was read, and nothing happened");
  process.exit(1);
}

let [calls, threads] = [0, 1];
for (threads of [1, 3]) {
  const { checks } = checkKernels(() => Object.assign(new GuardedKernels(addon), { threads }));
  calls += checks;
  kernels.threads = threads;
  const rng = seed(threads);
  for (let i = 0; i < SHAPES; i++) {
    for (const cell of CELLS) recurrent(rng, cell);
    products(rng);
    losses(rng);
    elementwise(rng);
  }
}
console.log(`${addon.isa}: ${calls} checks and ${2 * SHAPES} rounds of drawn shapes, no fault`);

/** Arrays for one call, all given back after it; every result has to be a number. */
function withArrays(rng: Rng, what: string, work: (arrays: Arrays) => void): void {
  const arrays = new Arrays(kernels, rng);
  work(arrays);
  arrays.finish(`${addon.isa}, ${threads} threads, ${what}`);
}

/** Mostly small, at times beyond several vectors, tiles and blocks. */
function size(rng: Rng, most = 70): number {
  const kind = rng.integer(4);
  if (kind === 0) return 1 + rng.integer(4);
  return 1 + rng.integer(kind === 1 ? Math.min(17, most) : most);
}

function recurrent(rng: Rng, [cell, gates, kept]: [CellKind, number, number]): void {
  const [batch, time, inputSize, hiddenSize] = [size(rng, 20), size(rng, 9), size(rng), size(rng)];
  const [lstm, reverse, both] = [cell === "lstm", rng.integer(2) === 1, rng.integer(2) === 1];
  const outputStride = both ? 2 * hiddenSize : hiddenSize;
  // The last row of a strided output ends with its own values: what lies behind belongs to the other direction.
  const strided = (batch * time - 1) * outputStride + hiddenSize;
  const [steps, states, rows] = [batch * time, batch * hiddenSize, gates * hiddenSize];
  const maybe = (pointer: () => Pointer) => (rng.integer(4) === 0 ? NULL : pointer());
  const what = `${cell} batch ${batch} time ${time} input ${inputSize} hidden ${hiddenSize} reverse ${reverse} both ${both}`;
  withArrays(rng, what, (arrays) => {
    const { values, results } = arrays;
    const weightIh = values(rows * inputSize);
    const weightHh = values(rows * hiddenSize);
    const biases = { biasIh: maybe(() => values(rows)), biasHh: maybe(() => values(rows)) };
    const sequence = {
      ...{ cell, batch, time, inputSize, hiddenSize, reverse, outputStride },
      lengths: arrays.integers(batch, () => rng.integer(time + 1)),
      x: values(steps * inputSize),
      h0: values(states),
      c0: lstm ? values(states) : NULL,
      output: arrays.zeros(strided),
      gates: gates === 1 ? NULL : results(steps * 4 * hiddenSize),
      cells: lstm ? results(steps * hiddenSize) : NULL,
    };
    const ends = { hN: results(states), cN: lstm ? results(states) : NULL };
    for (const weights of WEIGHT_TYPES) {
      const packed = arrays.bytes(kernels.packedBytes(cell, inputSize, hiddenSize, weights));
      kernels.recurrentPack({ cell, weights, inputSize, hiddenSize, weightIh, weightHh, ...biases, packed });
      for (const hoist of [true, false, undefined]) {
        const kept = weights === "float32" && rng.integer(2) === 0 ? {} : { gates: NULL, cells: NULL };
        kernels.recurrentForward({ ...sequence, ...kept, weights, hoist, packed, ...ends });
      }
      if (weights === "float32") kernels.recurrentForward({ ...sequence, weights, packed, ...ends });
    }
    kernels.recurrentBackward({
      ...{ ...sequence, weightIh, weightHh },
      dOutput: maybe(() => values(strided)),
      dHN: maybe(() => values(states)),
      dCN: lstm ? maybe(() => values(states)) : NULL,
      dGates: gates > 1 && rng.integer(2) === 0 ? sequence.gates : arrays.bytes(4 * steps * kept * hiddenSize),
      dX: maybe(() => arrays.zeros(steps * inputSize)),
      dWeightIh: maybe(() => arrays.zeros(rows * inputSize)),
      dWeightHh: maybe(() => arrays.zeros(rows * hiddenSize)),
      dBiasIh: maybe(() => arrays.zeros(rows)),
      dBiasHh: maybe(() => arrays.zeros(rows)),
      dH0: results(states),
      dC0: lstm ? results(states) : NULL,
    });
  });
}

function products(rng: Rng): void {
  const [rows, columns, inner] = [size(rng, 90), size(rng, 90), size(rng, 600)];
  const [aTurned, bTurned, accumulate] = [rng.integer(2) === 1, rng.integer(2) === 1, rng.integer(2) === 1];
  withArrays(rng, `product ${rows} x ${inner} x ${columns} ${aTurned} ${bTurned}`, ({ values, results, zeros }) => {
    const a = { a: values(rows * inner), aRowStride: aTurned ? 1 : inner, aColumnStride: aTurned ? rows : 1 };
    const b = { b: values(inner * columns), bRowStride: bTurned ? 1 : columns, bColumnStride: bTurned ? inner : 1 };
    const c = accumulate ? zeros(rows * columns) : results(rows * columns);
    kernels.matmul({ rows, columns, inner, ...a, ...b, c, accumulate });
  });
  withArrays(rng, `linear ${rows} x ${inner} x ${columns}`, ({ values, results, bytes }) => {
    const packed = bytes(kernels.linearPackedBytes(inner, columns));
    kernels.linearPack({ inputs: inner, outputs: columns, weight: values(inner * columns), packed });
    const bias = rng.integer(2) === 0 ? NULL : values(columns);
    const y = results(rows * columns);
    kernels.linearForward({ rows, inputs: inner, outputs: columns, x: values(rows * inner), packed, bias, y });
  });
}

function losses(rng: Rng): void {
  const [rows, classes] = [size(rng), size(rng, 200)];
  withArrays(rng, `cross-entropy ${rows} x ${classes}`, (arrays) => {
    const { values, results, zeros } = arrays;
    const targets = arrays.integers(rows, () => rng.integer(classes + 1) - 1);
    const classWeights = rng.integer(2) === 0 ? NULL : values(classes);
    const problem = { rows, classes, logits: values(rows * classes), targets, classWeights, smoothing: 0.1 };
    kernels.crossEntropyForward({ ...problem, losses: results(rows) });
    kernels.crossEntropyBackward({ ...problem, dLosses: values(rows), dLogits: zeros(rows * classes) });
  });
  withArrays(rng, `embedding ${rows} x ${classes}`, (arrays) => {
    const { values, results, zeros } = arrays;
    const vocabulary = 1 + rng.integer(9);
    const indices = arrays.integers(rows, () => rng.integer(vocabulary + 1) - 1);
    const table = values(vocabulary * classes);
    kernels.embeddingForward({ rows, size: classes, indices, table, output: results(rows * classes) });
    const dOutput = values(rows * classes);
    kernels.embeddingBackward({ rows, size: classes, indices, dTable: zeros(vocabulary * classes), dOutput });
  });
}

function elementwise(rng: Rng): void {
  const [rows, count] = [size(rng), size(rng, 300)];
  withArrays(rng, `elementwise ${rows} x ${count}`, (arrays) => {
    const { values, results, zeros } = arrays;
    kernels.tanh(count, values(count), results(count));
    kernels.sigmoid(count, values(count), results(count));
    kernels.add(count, values(count), zeros(count));
    kernels.addColumnSums(rows, count, values(rows * count), zeros(count));
    kernels.allFinite(
      count,
      values(count),
      arrays.integers(1, () => 0),
    );
    const parameters = [rows, count].map((count) => ({
      count,
      parameter: values(count),
      gradient: values(count),
      firstMoment: zeros(count),
      secondMoment: zeros(count),
    }));
    kernels.sumOfSquares(parameters.map(({ count, gradient }) => ({ count, pointer: gradient })));
    const rates = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
    kernels.adamStep({ parameters, gradientScale: 0.5, ...rates, correction1: 0.1, correction2: 0.001 });
  });
}
