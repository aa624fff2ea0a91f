/**
 * @file Speed of the kernels alone: matrix products, and the recurrent part of the workloads W1, W2 and W4, forward and backward.
 *
 *     node --conditions=ostinato-source --import tsx bench/kernels.ts [--all] [ISA...]
 *
 * Engines: both WebAssembly variants, and the native addon of every instruction set that is built and that this processor has; or only those
 * named, such as `avx512 simd128`. Contenders take turns in rounds, and the median round counts, because a shared machine drifts. `--all` adds the
 * reference engine.
 */
import {
  type CellKind,
  engineChoices,
  type Kernels,
  NativeKernels,
  NULL,
  ReferenceKernels,
  WasmKernels,
} from "../src/kernels/index.js";

interface Workload {
  name: string;
  cell: CellKind;
  batch: number;
  time: number;
  inputSize: number;
  hiddenSize: number;
}

const PRODUCTS = [
  [256, 256, 256],
  [64, 1024, 384],
  [20, 2600, 650],
  [32, 64, 64],
];
const WORKLOADS: Workload[] = [
  { name: "W1 GRU", cell: "gru", batch: 32, time: 128, inputSize: 16, hiddenSize: 64 },
  { name: "W2 LSTM", cell: "lstm", batch: 64, time: 100, inputSize: 128, hiddenSize: 256 },
  { name: "W4 LSTM", cell: "lstm", batch: 16, time: 50, inputSize: 8, hiddenSize: 32 },
  { name: "W5 GRU step", cell: "gru", batch: 1, time: 1, inputSize: 40, hiddenSize: 128 },
  { name: "W5 LSTM step", cell: "lstm", batch: 1, time: 1, inputSize: 64, hiddenSize: 256 },
];
const ROUNDS = 5;

const named = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const contenders: Kernels[] = [];
for (const { engine, isa, reason } of engineChoices().reverse()) {
  if (engine === "reference" || (named.length > 0 && !named.includes(isa))) continue;
  if (reason !== null) console.log(`${engine} ${isa}: left out, ${reason}`);
  else if (engine === "native") contenders.push(NativeKernels.create({ isa }));
  else contenders.push(WasmKernels.create({ variant: isa === "simd128" ? "simd128" : "relaxed" }));
}
if (process.argv.includes("--all")) contenders.push(new ReferenceKernels("float32"));

for (const [rows, columns, inner] of PRODUCTS) {
  const operations = 2 * rows * columns * inner;
  const times = contend((kernels) => product(kernels, rows, columns, inner));
  report(
    `matmul ${rows}x${inner} * ${inner}x${columns}`,
    times,
    (milliseconds) => `${(operations / milliseconds / 1e6).toFixed(1)} GFLOP/s`,
  );
}
for (const workload of WORKLOADS) {
  const [forward, both] = [
    contend((kernels) => recurrent(kernels, workload, false)),
    contend((kernels) => recurrent(kernels, workload, true)),
  ];
  const { batch, time, inputSize, hiddenSize, cell } = workload;
  const operations = 2 * batch * time * (cell === "lstm" ? 4 : 3) * hiddenSize * (inputSize + hiddenSize);
  const show = (passes: number) => (milliseconds: number) =>
    `${milliseconds < 1 ? `${(1000 * milliseconds).toFixed(1)} us` : `${milliseconds.toFixed(2)} ms`} ${((passes * operations) / milliseconds / 1e6).toFixed(1)} GFLOP/s`;
  report(`${workload.name} forward`, forward, show(1));
  report(`${workload.name} forward + backward`, both, show(3));
}

/** Median milliseconds of one call per contender, rounds interleaved. */
function contend(prepare: (kernels: Kernels) => () => void): number[] {
  const calls = contenders.map(prepare);
  const repeats = calls.map((call) => {
    call();
    const start = performance.now();
    call();
    return Math.max(1, Math.min(20_000, Math.ceil(60 / (performance.now() - start))));
  });
  const times: number[][] = contenders.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, call] of calls.entries()) {
      const start = performance.now();
      for (let n = 0; n < repeats[i]; n++) call();
      times[i].push((performance.now() - start) / repeats[i]);
    }
  }
  return times.map((rounds) => rounds.sort((a, b) => a - b)[ROUNDS >> 1]);
}

function report(what: string, times: number[], show: (milliseconds: number) => string): void {
  console.log(
    what.padEnd(40),
    times.map((time, i) => `${contenders[i].name} ${contenders[i].detail}: ${show(time)}`.padEnd(48)).join(" "),
  );
}

function noise({ memory }: Kernels, count: number): number {
  const pointer = memory.allocate(count * memory.bytesPerFloat);
  const values = memory.floatsAt(pointer, count);
  for (let i = 0; i < count; i++) values[i] = Math.sin(i * 12.9898) * 0.1;
  return pointer;
}

function product(kernels: Kernels, rows: number, columns: number, inner: number): () => void {
  const [a, b, c] = [noise(kernels, rows * inner), noise(kernels, inner * columns), noise(kernels, rows * columns)];
  const strides = { aRowStride: inner, aColumnStride: 1, bRowStride: columns, bColumnStride: 1 };
  return () => kernels.matmul({ rows, columns, inner, a, b, c, accumulate: false, ...strides });
}

function recurrent(kernels: Kernels, { cell, batch, time, inputSize, hiddenSize }: Workload, backward: boolean): () => void {
  const isLstm = cell === "lstm";
  const rows = (isLstm ? 4 : 3) * hiddenSize;
  const [steps, states] = [batch * time, batch * hiddenSize];
  const take = (count: number) => noise(kernels, count);
  const lengths = kernels.memory.allocate(batch * 4);
  kernels.memory.intsAt(lengths, batch).fill(time);
  const weights = { weightIh: take(rows * inputSize), weightHh: take(rows * hiddenSize) };
  const packed = kernels.memory.allocate(kernels.packedBytes(cell, inputSize, hiddenSize));
  const sequence = {
    cell,
    batch,
    time,
    inputSize,
    hiddenSize,
    reverse: false,
    lengths,
    x: take(steps * inputSize),
    h0: take(states),
    c0: isLstm ? take(states) : NULL,
    output: take(steps * hiddenSize),
    outputStride: hiddenSize,
    gates: backward ? take(steps * 4 * hiddenSize) : NULL,
    cells: backward && isLstm ? take(steps * hiddenSize) : NULL,
  };
  const [hN, cN] = [take(states), isLstm ? take(states) : NULL];
  const gradients = {
    dOutput: take(steps * hiddenSize),
    dHN: NULL,
    dCN: NULL,
    dGates: sequence.gates,
    dX: take(steps * inputSize),
    dWeightIh: take(rows * inputSize),
    dWeightHh: take(rows * hiddenSize),
    dBiasIh: take(rows),
    dBiasHh: take(rows),
    dH0: take(states),
    dC0: isLstm ? take(states) : NULL,
  };
  const pack = () => kernels.recurrentPack({ cell, inputSize, hiddenSize, ...weights, biasIh: NULL, biasHh: NULL, packed });
  pack();
  return () => {
    if (backward) pack();
    kernels.recurrentForward({ ...sequence, packed, hN, cN });
    if (backward) kernels.recurrentBackward({ ...sequence, ...weights, ...gradients });
  };
}
