/** A row's bits depend on nothing but the row: not on the batch, on how time is cut, on padding, on hoisting, or on threads. */
import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../src/core/rng.js";
import { type CellKind, type Kernels, NativeKernels, NULL, WasmKernels } from "../../src/kernels/index.js";

const CELLS: CellKind[] = ["rnnTanh", "rnnRelu", "lstm", "gru", "gruResetBefore"];
const SIZES = [1, 3, 5, 17];
const MOST_ROWS = 64;
const TIME = 11;

const engines: [string, () => Kernels][] = [
  ["wasm simd128", () => WasmKernels.create({ variant: "simd128" })],
  ["wasm relaxed-simd", () => WasmKernels.create({ variant: "relaxed" })],
  ...["x86-64", "avx2", "avx512", "avx512vnni", "neon"].map((isa): [string, () => Kernels] => [
    `native ${isa}`,
    () => NativeKernels.create({ isa }),
  ]),
];

/** Rows of one layer, [rows][steps][values]. */
interface Problem {
  cell: CellKind;
  inputSize: number;
  hiddenSize: number;
  packed: number;
  x: Float32Array[];
}

interface Options {
  lengths?: number[];
  time?: number;
  state?: Result[];
  hoist?: boolean;
}

/** Of one row: output [time, H], then the last h and c. */
interface Result {
  output: Float32Array;
  h: Float32Array;
  c: Float32Array;
}

const GATES: Record<CellKind, number> = { rnnTanh: 1, rnnRelu: 1, lstm: 4, gru: 3, gruResetBefore: 3 };

function normals(rng: Rng, count: number, scale: number): Float32Array {
  return Float32Array.from({ length: count }, () => rng.normal() * scale);
}

function problem(kernels: Kernels, cell: CellKind, inputSize: number, hiddenSize: number, rows: number): Problem {
  const rng = seed(inputSize * 100 + hiddenSize);
  const { memory } = kernels;
  const put = (values: Float32Array) => {
    const pointer = memory.allocate(values.byteLength);
    memory.floatsAt(pointer, values.length).set(values);
    return pointer;
  };
  const count = GATES[cell] * hiddenSize;
  const weights = {
    weightIh: put(normals(rng, count * inputSize, 0.5)),
    weightHh: put(normals(rng, count * hiddenSize, 0.3)),
    biasIh: put(normals(rng, count, 0.1)),
    biasHh: put(normals(rng, count, 0.1)),
  };
  const packed = memory.allocate(kernels.packedBytes(cell, inputSize, hiddenSize));
  kernels.recurrentPack({ cell, inputSize, hiddenSize, ...weights, packed });
  for (const pointer of Object.values(weights)) memory.free(pointer);
  return { cell, inputSize, hiddenSize, packed, x: Array.from({ length: rows }, () => normals(rng, TIME * inputSize, 1)) };
}

/** Runs some rows from step `from` on, as one batch. */
function run(
  kernels: Kernels,
  p: Problem,
  rows: number[],
  from: number,
  { lengths, time = TIME, state, hoist }: Options = {},
): Result[] {
  const { memory } = kernels;
  const { cell, inputSize: I, hiddenSize: H } = p;
  const B = rows.length;
  const blocks: number[] = [];
  const block = (count: number) => {
    const pointer = memory.allocate(4 * count);
    blocks.push(pointer);
    memory.floatsAt(pointer, count).fill(Number.NaN);
    return pointer;
  };
  const isLstm = cell === "lstm";
  const x = block(B * time * I);
  const [h0, c0, hN, cN] = [block(B * H), isLstm ? block(B * H) : NULL, block(B * H), isLstm ? block(B * H) : NULL];
  const output = block(B * time * H);
  const count = block(B);
  rows.forEach((row, b) => {
    memory.intsAt(count, B)[b] = lengths?.[b] ?? time;
    memory.floatsAt(x + 4 * b * time * I, time * I).set(p.x[row].subarray(from * I, Math.min(TIME, from + time) * I));
    memory.floatsAt(h0 + 4 * b * H, H).set(state ? state[b].h : new Float32Array(H));
    if (isLstm) memory.floatsAt(c0 + 4 * b * H, H).set(state ? state[b].c : new Float32Array(H));
  });
  const pointers = { lengths: count, x, h0, c0, output, hN, cN, packed: p.packed, gates: NULL, cells: NULL };
  kernels.recurrentForward({
    ...{ cell, batch: B, time, inputSize: I, hiddenSize: H, reverse: false, outputStride: H },
    ...pointers,
    ...(hoist === undefined ? {} : { hoist }),
  });
  const read = (pointer: number, size: number, b: number) =>
    pointer === NULL ? new Float32Array(0) : (memory.floatsAt(pointer + 4 * b * size, size).slice() as Float32Array);
  const results = rows.map((_, b) => ({ output: read(output, time * H, b), h: read(hN, H, b), c: read(cN, H, b) }));
  for (const pointer of blocks) memory.free(pointer);
  return results;
}

/** Where the bits of two runs first differ; -1 if nowhere. (`toEqual` on long arrays costs more than the kernels.) */
function firstDifference(got: Result[], expected: Result[]): number {
  const [a, b] = [got, expected].map((results) => {
    const all = results.flatMap(({ output, h, c }) => [...output, ...h, ...c]);
    return new Int32Array(Float32Array.from(all).buffer);
  });
  if (a.length !== b.length) return Math.min(a.length, b.length);
  return a.findIndex((word, i) => word !== b[i]);
}

/** First byte that an LSTM's backward pass changes outside its gradients and the engine's scratch; -1 if none. */
function writtenOutside(kernels: Kernels, batch: number, time: number, sum: number): number {
  const { memory } = kernels;
  const [inputSize, hiddenSize] = [6, 20];
  const blocks: { pointer: number; bytes: number; mayChange: boolean }[] = [];
  const take = (count: number, mayChange = false) => {
    const pointer = memory.allocate(4 * count);
    memory.floatsAt(pointer, count).fill(0.01);
    blocks.push({ pointer, bytes: 4 * count, mayChange });
    return pointer;
  };
  const [steps, states, gates] = [batch * time, batch * hiddenSize, 4 * hiddenSize];
  const lengths = take(batch);
  const whole = memory.intsAt(lengths, batch).fill(time);
  const sequence = {
    ...{ cell: "lstm" as const, batch, time, inputSize, hiddenSize, reverse: false, outputStride: hiddenSize },
    ...{ lengths, x: take(steps * inputSize), h0: take(states), c0: take(states), output: take(steps * hiddenSize) },
    ...{ gates: take(steps * gates, true), cells: take(steps * hiddenSize) },
  };
  const gradients = {
    ...{ dOutput: take(steps * hiddenSize), dHN: NULL, dCN: NULL, dGates: sequence.gates, dX: take(steps * inputSize, true) },
    ...{ dWeightIh: take(gates * inputSize, true), dWeightHh: take(gates * hiddenSize, true) },
    ...{ dBiasIh: take(gates, true), dBiasHh: take(gates, true), dH0: take(states, true), dC0: take(states, true) },
    ...{ weightIh: take(gates * inputSize), weightHh: take(gates * hiddenSize) },
  };
  // Once with every step, so that the scratch has its size; then what lies behind it is watched.
  kernels.recurrentBackward({ ...sequence, ...gradients });
  const guard = take(1024);
  expect(guard).toBeGreaterThan(0);
  let left = sum;
  for (let b = 0; b < batch; b++) {
    whole[b] = Math.min(time, left);
    left -= whole[b];
  }
  memory.intsAt(lengths, batch).set(whole);
  const before = memory.bytes.slice();
  kernels.recurrentBackward({ ...sequence, ...gradients });
  const scratch = memory.scratch(0);
  const own = [{ pointer: scratch, bytes: memory.scratchBytes, mayChange: true }, ...blocks].filter(({ mayChange }) => mayChange);
  // The engine's stack and its argument block lie before everything that is allocated here.
  const first = Math.min(...blocks.map(({ pointer }) => pointer)) - 64;
  for (const { pointer, bytes } of own) before.set(memory.bytes.subarray(pointer, pointer + bytes), pointer);
  const outside = Buffer.from(before.subarray(first)).equals(memory.bytes.subarray(first))
    ? -1
    : before.findIndex((byte, i) => i >= first && byte !== memory.bytes[i]);
  for (const { pointer } of blocks) memory.free(pointer);
  return outside;
}

for (const [name, create] of engines) {
  let kernels: Kernels | undefined;
  try {
    kernels = create();
  } catch {
    kernels = undefined;
  }
  describe.skipIf(kernels === undefined)(`${name}: bit for bit`, () => {
    const engine = kernels as Kernels;
    it("a ragged backward pass writes to its gradients and its scratch, and nowhere else", () => {
      // Sums of lengths at and around the blocks that a product cuts its inner sum into (256 and 384), below rows times time.
      for (const [rows, sum] of [
        [3, 255],
        [3, 256],
        [4, 383],
        [4, 384],
        [9, 700],
      ]) {
        expect(writtenOutside(engine, rows, 100, sum)).toBe(-1);
      }
    });

    for (const cell of CELLS) {
      it(`${cell}: a batch equals its rows alone`, () => {
        for (const I of SIZES) {
          for (const H of SIZES) {
            const p = problem(engine, cell, I, H, MOST_ROWS);
            const alone = p.x.map((_, row) => run(engine, p, [row], 0)[0]);
            // Every batch size for one pair of sizes; for the others those around the heights of a tile.
            const batches =
              I === 5 && H === 17 ? Array.from({ length: MOST_ROWS }, (_, i) => i + 1) : [1, 2, 3, 4, 5, 7, 13, MOST_ROWS];
            for (const B of batches) {
              const rows = Array.from({ length: B }, (_, i) => (i * 7 + B) % MOST_ROWS);
              const expected = rows.map((row) => alone[row]);
              expect(firstDifference(run(engine, p, rows, 0), expected)).toBe(-1);
            }
            engine.memory.free(p.packed);
          }
        }
      });

      it(`${cell}: whole equals chunked equals step by step`, () => {
        for (const [I, H, rows] of [
          [1, 17, 1],
          [17, 1, 3],
          [5, 5, 5],
          [64, 33, 1],
          [40, 64, 17],
        ]) {
          const p = problem(engine, cell, I, H, rows);
          const all = p.x.map((_, row) => row);
          const whole = run(engine, p, all, 0);
          for (const chunk of [1, 3, 10]) {
            let state: Result[] | undefined;
            const outputs = all.map(() => [] as number[]);
            for (let from = 0; from < TIME; from += chunk) {
              state = run(engine, p, all, from, { time: Math.min(chunk, TIME - from), state });
              state.forEach(({ output }, row) => {
                outputs[row].push(...output);
              });
            }
            const joined = (state as Result[]).map(({ h, c }, row) => ({ output: Float32Array.from(outputs[row]), h, c }));
            expect(firstDifference(joined, whole)).toBe(-1);
          }
          engine.memory.free(p.packed);
        }
      });

      it(`${cell}: hoisting, padding and threads change nothing`, () => {
        for (const [I, H, rows] of [
          [5, 3, 3],
          [33, 17, 1],
          [64, 256, 2],
          [64, 256, 20],
        ]) {
          const p = problem(engine, cell, I, H, rows);
          const all = p.x.map((_, row) => row);
          const lengths = all.map((row) => TIME - (row % 4) * 3);
          const plain = run(engine, p, all, 0, { lengths, hoist: false });
          expect(firstDifference(run(engine, p, all, 0, { lengths, hoist: true }), plain)).toBe(-1);
          const padded = run(engine, p, all, 0, { lengths, time: TIME + 6 });
          const cut = padded.map((row) => ({ ...row, output: row.output.slice(0, TIME * H) }));
          expect(firstDifference(cut, plain)).toBe(-1);
          // WebAssembly engines with threads are made so from the beginning: test/laws/threads.test.ts.
          for (const threads of engine.name === "native" ? [2, 3] : []) {
            engine.threads = threads;
            for (const hoist of [false, true]) {
              expect(firstDifference(run(engine, p, all, 0, { lengths, hoist }), plain)).toBe(-1);
            }
          }
          engine.threads = 1;
          engine.memory.free(p.packed);
        }
      });
    }
  });
}
