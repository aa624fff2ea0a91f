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

for (const [name, create] of engines) {
  let kernels: Kernels | undefined;
  try {
    kernels = create();
  } catch {
    kernels = undefined;
  }
  describe.skipIf(kernels === undefined)(`${name}: bit for bit`, () => {
    const engine = kernels as Kernels;
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
