/**
 * @file The conformance suite of the `Kernels` seam: every engine, built in or your own, has to pass it.
 *
 * Each kernel is compared with the float64 reference on the same (float32-representable) inputs, and the laws stated in
 * `kernels/kernels.ts` are held bit for bit: batch against solo, whole sequence against chunks and single steps, more padding against
 * less, NaN in one row against the others.
 */
import { type Rng, seed } from "../core/rng.js";
import { type CellKind, type Kernels, NULL, type Pointer } from "../kernels/kernels.js";
import { ReferenceKernels } from "../kernels/reference.js";

export interface CheckKernelsOptions {
  /** Seeds the inputs. Default 1. */
  seed?: number;
  /**
   * Largest |got - expected| / (1 + |expected|) against the float64 reference, recurrent arrays measured by their largest value.
   * Default 3e-6 for float32 engines and 1e-12 for float64 ones.
   */
  tolerance?: number;
}

export interface CheckKernelsReport {
  /** Arrays compared. */
  checks: number;
  /** The largest error met, as defined at `tolerance`. */
  maxError: number;
}

type Values = Float64Array;

const CELLS: CellKind[] = ["rnnTanh", "rnnRelu", "lstm", "gru", "gruResetBefore"];
const GATES: Record<CellKind, number> = { rnnTanh: 1, rnnRelu: 1, lstm: 4, gru: 3, gruResetBefore: 3 };

/**
 * Runs the whole suite; takes a second or two.
 *
 * @param create makes the engine under test; called once.
 * @throws Error naming the first law that does not hold, and where.
 */
export function checkKernels(create: () => Kernels, options: CheckKernelsOptions = {}): CheckKernelsReport {
  const kernels = create();
  const check = new Check(kernels, options);
  const before = kernels.memory.bytesInUse;
  checkMatmul(check);
  checkActivations(check);
  checkCrossEntropy(check);
  checkEmbedding(check);
  checkAdam(check);
  for (const cell of CELLS) {
    checkAgainstReference(check, cell);
    checkLaws(check, cell);
    checkSpecialValues(check, cell);
  }
  check.that(kernels.memory.bytesInUse === before, "memory", "a kernel kept memory after its call");
  return { checks: check.count, maxError: check.maxError };
}

/** The engine under test, its judge, and what has been found so far. */
class Check {
  readonly engine: Workbench;
  readonly reference = new Workbench(new ReferenceKernels("float64"));
  readonly rng: Rng;
  readonly tolerance: number;
  readonly #label: string;
  count = 0;
  maxError = 0;

  constructor(kernels: Kernels, { seed: from = 1, tolerance }: CheckKernelsOptions) {
    this.engine = new Workbench(kernels);
    this.rng = seed(from);
    this.tolerance = tolerance ?? (kernels.memory.floatType === "float64" ? 1e-12 : 3e-6);
    this.#label = `${kernels.name} (${kernels.detail})`;
  }

  that(holds: boolean, where: string, what: string): void {
    this.count++;
    if (!holds) throw new Error(`checkKernels: ${this.#label}: ${where}: ${what}`);
  }

  same(got: Values, expected: Values, where: string): void {
    const at = got.findIndex((value, i) => !Object.is(value, expected[i]) && !(value === 0 && expected[i] === 0));
    this.that(
      at < 0 && got.length === expected.length,
      where,
      `element ${at} differs in its bits: ${got[at]} and ${expected[at]}`,
    );
  }

  /** `scale` stands in for |expected| where an array's elements are sums of terms as large as its largest. */
  close(got: Values, expected: Values, where: string, { scale = 0, tolerance = this.tolerance } = {}): void {
    for (let i = 0; i < expected.length; i++) {
      if (Object.is(got[i], expected[i])) continue;
      const error = Math.abs(got[i] - expected[i]) / (1 + Math.max(scale, Math.abs(expected[i])));
      if (error > this.maxError) this.maxError = error;
      if (!(error <= tolerance))
        this.that(false, where, `element ${i} is ${got[i]}, expected ${expected[i]} (error ${error.toExponential(1)})`);
    }
    this.that(got.length === expected.length, where, `has ${got.length} elements, expected ${expected.length}`);
  }

  /** Normal deviates that float32 holds exactly. */
  normals(count: number, scale = 1): Values {
    return Float64Array.from({ length: count }, () => Math.fround(this.rng.normal() * scale));
  }
}

/** Moves values in and out of an engine's memory, and gives everything back at once. */
class Workbench {
  readonly kernels: Kernels;
  readonly #blocks: Pointer[] = [];

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  put(values: ArrayLike<number>): Pointer {
    const pointer = this.bytes(values.length * this.kernels.memory.bytesPerFloat);
    this.kernels.memory.floatsAt(pointer, values.length).set(values);
    return pointer;
  }

  putInts(values: ArrayLike<number>): Pointer {
    const pointer = this.bytes(values.length * 4);
    this.kernels.memory.intsAt(pointer, values.length).set(values);
    return pointer;
  }

  /** NaN everywhere, so that a kernel that reads or leaves what it should have written is found out. */
  hole(count: number): Pointer {
    return this.put(new Float64Array(count).fill(Number.NaN));
  }

  bytes(count: number): Pointer {
    const pointer = this.kernels.memory.allocate(count);
    this.#blocks.push(pointer);
    return pointer;
  }

  read(pointer: Pointer, count: number): Values {
    return Float64Array.from(this.kernels.memory.floatsAt(pointer, count));
  }

  release(): void {
    for (const pointer of this.#blocks.splice(0)) this.kernels.memory.free(pointer);
  }
}

// ---------------------------------------------------------------------------------------------------------------- matmul

interface Product {
  rows: number;
  columns: number;
  inner: number;
  a: Values;
  b: Values;
  c: Values;
  transposeA?: boolean;
  transposeB?: boolean;
  /** Unused values between the rows of A and of B. */
  gap?: number;
  accumulate?: boolean;
}

function multiply(bench: Workbench, product: Product): Values {
  const { rows, columns, inner, transposeA = false, transposeB = false, gap = 0, accumulate = false } = product;
  const [aRow, aColumn] = transposeA ? [1, rows + gap] : [inner + gap, 1];
  const [bRow, bColumn] = transposeB ? [1, inner + gap] : [columns + gap, 1];
  const strided = (from: Values, n: number, m: number, row: number, column: number, length: number) => {
    const out = new Float64Array(length).fill(Number.NaN);
    for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) out[i * row + j * column] = from[i * m + j];
    return out;
  };
  const a = bench.put(strided(product.a, rows, inner, aRow, aColumn, (rows + gap) * (inner + gap)));
  const b = bench.put(strided(product.b, inner, columns, bRow, bColumn, (inner + gap) * (columns + gap)));
  const c = accumulate ? bench.put(product.c) : bench.hole(rows * columns);
  const strides = { aRowStride: aRow, aColumnStride: aColumn, bRowStride: bRow, bColumnStride: bColumn };
  bench.kernels.matmul({ rows, columns, inner, a, b, c, accumulate, ...strides });
  const result = bench.read(c, rows * columns);
  bench.release();
  return result;
}

function checkMatmul(check: Check): void {
  const product = (rows: number, columns: number, inner: number): Product => {
    const scale = 1 / Math.sqrt(inner || 1);
    return {
      rows,
      columns,
      inner,
      a: check.normals(rows * inner),
      b: check.normals(inner * columns, scale),
      c: check.normals(rows * columns),
    };
  };
  const sizes = [
    [1, 1, 1],
    [1, 9, 3],
    [2, 7, 5],
    [3, 8, 16],
    [5, 17, 33],
    [6, 24, 256],
    [7, 5, 257],
    [13, 3, 600],
    [4, 4, 0],
    [100, 11, 20],
    [3, 300, 7],
    [33, 33, 33],
  ];
  for (const [rows, columns, inner] of sizes) {
    const base = product(rows, columns, inner);
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        for (const accumulate of [false, true]) {
          const args = { ...base, transposeA, transposeB, accumulate, gap: transposeA === transposeB ? 0 : 3 };
          const where = `matmul ${rows}x${inner} * ${inner}x${columns}${transposeA ? ", A transposed" : ""}${transposeB ? ", B transposed" : ""}`;
          check.close(multiply(check.engine, args), multiply(check.reference, args), where);
        }
      }
    }
  }
  const whole = product(19, 21, 300);
  const all = multiply(check.engine, whole);
  for (const row of [0, 7, 18]) {
    const a = whole.a.slice(row * 300, (row + 1) * 300);
    check.same(multiply(check.engine, { ...whole, rows: 1, a }), all.slice(row * 21, (row + 1) * 21), `matmul, row ${row} alone`);
  }
  check.same(multiply(check.engine, { ...whole, transposeA: true, transposeB: true, gap: 1 }), all, "matmul, other strides");
  const poisoned = whole.a.slice();
  poisoned[7 * 300 + 4] = Number.NaN;
  const spoilt = multiply(check.engine, { ...whole, a: poisoned });
  check.that(
    spoilt.every((value, i) => (Math.floor(i / 21) === 7 ? Number.isNaN(value) : Object.is(value, all[i]))),
    "matmul",
    "a NaN in row 7 of A must fill row 7 of C and touch no other",
  );
}

// ----------------------------------------------------------------------------------------------------------- elementwise

function checkActivations(check: Check): void {
  const values = new Float64Array(4001);
  for (let i = 0; i < values.length; i++) values[i] = Math.fround((i - 2000) / 2000) * (i % 3 === 0 ? 90 : i % 3 === 1 ? 9 : 0.4);
  const inputs = Float64Array.from([...values, 1e-6, -1e-6, 1e-20, -1e-20, 30, -30, 50, -50, 68, -68], Math.fround);
  const run = (bench: Workbench, name: "tanh" | "sigmoid", from: Values, inPlace = false) => {
    const x = bench.put(from);
    const y = inPlace ? x : bench.hole(from.length);
    bench.kernels[name](from.length, x, y);
    const result = bench.read(y, from.length);
    bench.release();
    return result;
  };
  for (const name of ["tanh", "sigmoid"] as const) {
    const got = run(check.engine, name, inputs);
    const expected = run(check.reference, name, inputs);
    // Measured relative to the value itself, however small; below 1e-30 an engine may flush.
    const relative = expected.map((value, i) => (Math.abs(value) < 1e-30 ? 1 : got[i] / value));
    check.close(relative, new Float64Array(relative.length).fill(1), `${name}, relative`, { tolerance: check.tolerance / 20 });
    check.that(
      got.every((value) => Math.abs(value) <= 1),
      name,
      "no value may exceed 1",
    );
    check.same(run(check.engine, name, inputs, true), got, `${name} in place`);
    for (let count = 1; count < 10; count++) {
      check.same(run(check.engine, name, inputs.slice(5, 5 + count)), got.slice(5, 5 + count), `${name} of ${count} values`);
    }
    const special = run(
      check.engine,
      name,
      Float64Array.from([Number.NaN, Infinity, -Infinity, 1e30, -1e30, 0, 1e-40, Number.NaN, 0.5]),
    );
    const [low, middle] = name === "tanh" ? [-1, 0] : [0, 0.5];
    check.close(special.slice(1, 7), Float64Array.of(1, low, 1, low, middle, middle), `${name} of infinities and tiny values`);
    check.that(Number.isNaN(special[0]) && Number.isNaN(special[7]) && !Number.isNaN(special[8]), name, "NaN must pass, alone");
    const mirrored = run(
      check.engine,
      name,
      inputs.map((x) => -x),
    );
    if (name === "tanh")
      check.same(
        mirrored.map((y) => -y),
        got,
        "tanh(-x) = -tanh(x)",
      );
    else
      check.close(
        mirrored.map((y, i) => y + got[i]),
        new Float64Array(got.length).fill(1),
        "sigmoid(-x) + sigmoid(x) = 1",
        { tolerance: 1.2e-7 },
      );
  }
  for (const count of [0, 1, 3, 4, 1001]) {
    const x = check.normals(count, 100);
    const sum = (bench: Workbench) => {
      const result = bench.kernels.sumOfSquares([{ count, pointer: bench.put(x) }]);
      bench.release();
      return Float64Array.of(result);
    };
    check.close(sum(check.engine), sum(check.reference), `sumOfSquares of ${count} values`, { tolerance: 1e-14 });
  }
}

function checkAdam(check: Check): void {
  for (const count of [1, 4, 7, 130]) {
    const [parameter, first, second] = [
      check.normals(count),
      check.normals(count, 0.1),
      check.normals(count, 0.1).map((v) => v * v),
    ];
    const gradients = [1, 2, 3].map(() => check.normals(count));
    const run = (bench: Workbench, poison = false) => {
      const pointers = { parameter: bench.put(parameter), firstMoment: bench.put(first), secondMoment: bench.put(second) };
      for (const [i, values] of gradients.entries()) {
        const gradient = bench.put(poison ? values.map((v, j) => (j === 0 ? Number.NaN : v)) : values);
        const corrections = { correction1: 1 - 0.9 ** (i + 1), correction2: 1 - 0.999 ** (i + 1) };
        const rates = { gradientScale: 0.5, learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 };
        bench.kernels.adamStep({ parameters: [{ count, gradient, ...pointers }], ...corrections, ...rates });
      }
      const result = Float64Array.from(Object.values(pointers).flatMap((pointer) => [...bench.read(pointer, count)]));
      bench.release();
      return result;
    };
    const got = run(check.engine);
    check.close(got, run(check.reference), `adamStep of ${count} values`);
    const poisoned = run(check.engine, true);
    check.that(
      poisoned.every((value, i) => (i % count === 0 ? Number.isNaN(value) : Object.is(value, got[i]))),
      "adamStep",
      "a NaN gradient must reach its own parameter and no other",
    );
  }
}

function checkEmbedding(check: Check): void {
  for (const size of [1, 4, 7, 33]) {
    const indices = [3, -1, 0, 3, 4];
    const [table, dOutput] = [check.normals(5 * size), check.normals(indices.length * size)];
    const run = (bench: Workbench) => {
      const args = { rows: indices.length, size, indices: bench.putInts(indices) };
      const [output, dTable] = [bench.hole(indices.length * size), bench.put(table)];
      bench.kernels.embeddingForward({ ...args, table: bench.put(table), output });
      bench.kernels.embeddingBackward({ ...args, dOutput: bench.put(dOutput), dTable });
      const result = { output: bench.read(output, indices.length * size), dTable: bench.read(dTable, 5 * size) };
      bench.release();
      return result;
    };
    const [got, expected] = [run(check.engine), run(check.reference)];
    check.same(got.output, expected.output, `embeddingForward of size ${size}`);
    check.close(got.dTable, expected.dTable, `embeddingBackward of size ${size}`);
  }
}

// --------------------------------------------------------------------------------------------------------- cross-entropy

interface Classification {
  classes: number;
  logits: Values;
  targets: number[];
  weights: Values | undefined;
  smoothing: number;
  dLosses: Values;
  dLogits: Values;
}

function classify(bench: Workbench, { classes, logits, targets, weights, smoothing, dLosses, dLogits }: Classification) {
  const rows = targets.length;
  const classWeights = weights ? bench.put(weights) : NULL;
  const args = { rows, classes, logits: bench.put(logits), targets: bench.putInts(targets), classWeights, smoothing };
  const [losses, gradient] = [bench.hole(rows), bench.put(dLogits)];
  bench.kernels.crossEntropyForward({ ...args, losses });
  bench.kernels.crossEntropyBackward({ ...args, dLosses: bench.put(dLosses), dLogits: gradient });
  const result = { losses: bench.read(losses, rows), dLogits: bench.read(gradient, rows * classes) };
  bench.release();
  return result;
}

function checkCrossEntropy(check: Check): void {
  for (const classes of [1, 2, 3, 4, 5, 33, 1000]) {
    for (const smoothing of [0, 0.1]) {
      for (const weighted of [false, true]) {
        const targets = [0, -1, classes - 1, classes >> 1, 0];
        const rows = targets.length;
        const logits = check.normals(rows * classes, 4);
        logits[0] = 3e4;
        const weights = weighted ? check.normals(classes).map(Math.abs) : undefined;
        const given = {
          classes,
          logits,
          targets,
          weights,
          smoothing,
          dLosses: check.normals(rows),
          dLogits: check.normals(rows * classes),
        };
        const where = `crossEntropy of ${classes} classes, smoothing ${smoothing}${weighted ? ", weighted" : ""}`;
        const [got, expected] = [classify(check.engine, given), classify(check.reference, given)];
        check.close(got.losses, expected.losses, `${where}, losses`);
        check.close(got.dLogits, expected.dLogits, `${where}, dLogits`);
        const part = (values: Values) => values.slice(3 * classes, 4 * classes);
        const solo = {
          ...given,
          targets: [targets[3]],
          logits: part(logits),
          dLosses: given.dLosses.slice(3, 4),
          dLogits: part(given.dLogits),
        };
        const alone = classify(check.engine, solo);
        check.same(alone.losses, got.losses.slice(3, 4), `${where}, row 3 alone`);
        check.same(alone.dLogits, part(got.dLogits), `${where}, gradient of row 3 alone`);
        const spoilt = classify(check.engine, { ...given, logits: logits.map((v, i) => (i === 3 * classes ? Number.NaN : v)) });
        check.that(
          spoilt.losses.every((value, row) => (row === 3 ? Number.isNaN(value) : Object.is(value, got.losses[row]))),
          where,
          "a NaN logit must spoil its own row and no other",
        );
        check.that(part(spoilt.dLogits).every(Number.isNaN), where, "a NaN logit must reach its whole row of gradients");
      }
    }
  }
  const masked = {
    classes: 3,
    targets: [0],
    weights: undefined,
    smoothing: 0,
    dLosses: Float64Array.of(1),
    dLogits: new Float64Array(3),
  };
  const logits = Float64Array.of(1, -Infinity, 2);
  check.close(
    classify(check.engine, { ...masked, logits }).losses,
    classify(check.reference, { ...masked, logits }).losses,
    "crossEntropy with a logit of -Infinity",
  );
}

// ------------------------------------------------------------------------------------------------------------- recurrent

interface RecurrentCase {
  cell: CellKind;
  batch: number;
  time: number;
  inputSize: number;
  hiddenSize: number;
  lengths: number[];
  reverse: boolean;
  /** Values between the end of one output row and the start of the next. */
  outputGap: number;
  weightIh: Values;
  weightHh: Values;
  /** Undefined passes NULL. */
  biasIh: Values | undefined;
  biasHh: Values | undefined;
  x: Values;
  h0: Values;
  c0: Values;
  dOutput: Values | undefined;
  dHN: Values | undefined;
  dCN: Values | undefined;
}

interface RecurrentResult {
  output: Values;
  hN: Values;
  cN: Values;
  gates: Values;
  cells: Values;
  dX: Values;
  dWeightIh: Values;
  dWeightHh: Values;
  dBiasIh: Values;
  dBiasHh: Values;
  dH0: Values;
  dC0: Values;
}

const FORWARD = ["output", "hN", "cN", "gates", "cells"] as const;
const PER_ROW = ["dX", "dH0", "dC0"] as const;
const GRADIENTS = [...PER_ROW, "dWeightIh", "dWeightHh", "dBiasIh", "dBiasHh"] as const;
/** What stands in gradients marked "+=" before the backward pass, and between strided output rows. */
const START = 0.125;
const BETWEEN = 7.5;

interface RunOptions {
  backward?: boolean;
  /** Keeps nothing for a backward pass. */
  inference?: boolean;
  /** Passes `gates` as `dGates`. */
  inPlace?: boolean;
}

/** Runs one case on one engine and reads everything back; output and dOutput are dense [B, T, H] outside. */
function run(
  bench: Workbench,
  given: RecurrentCase,
  { backward = true, inference = false, inPlace = true }: RunOptions = {},
): RecurrentResult {
  const { kernels } = bench;
  const { cell, batch, time, inputSize, hiddenSize, reverse } = given;
  const [steps, states, rows] = [batch * time, batch * hiddenSize, GATES[cell] * hiddenSize];
  const [isLstm, isRnn] = [cell === "lstm", GATES[cell] === 1];
  const outputStride = hiddenSize + given.outputGap;
  const spread = (dense: Values, between: number) => {
    const out = new Float64Array(steps * outputStride).fill(between);
    for (let i = 0; i < steps; i++) out.set(dense.subarray(i * hiddenSize, (i + 1) * hiddenSize), i * outputStride);
    return out;
  };
  const optional = (values: Values | undefined) => (values ? bench.put(values) : NULL);

  const weightIh = bench.put(given.weightIh);
  const weightHh = bench.put(given.weightHh);
  const packed = bench.bytes(kernels.packedBytes(cell, inputSize, hiddenSize));
  kernels.recurrentPack({
    cell,
    inputSize,
    hiddenSize,
    weightIh,
    weightHh,
    biasIh: optional(given.biasIh),
    biasHh: optional(given.biasHh),
    packed,
  });
  const gateCount = isRnn ? 0 : steps * 4 * hiddenSize;
  const sequence = {
    cell,
    batch,
    time,
    inputSize,
    hiddenSize,
    reverse,
    outputStride,
    lengths: bench.putInts(given.lengths),
    x: bench.put(given.x),
    h0: bench.put(given.h0),
    c0: isLstm ? bench.put(given.c0) : NULL,
    output: bench.put(spread(new Float64Array(steps * hiddenSize).fill(Number.NaN), BETWEEN)),
    gates: isRnn || inference ? NULL : bench.hole(gateCount),
    cells: isLstm && !inference ? bench.hole(steps * hiddenSize) : NULL,
  };
  const hN = bench.hole(states);
  const cN = isLstm ? bench.hole(states) : NULL;
  kernels.recurrentForward({ ...sequence, packed, hN, cN });

  const strided = bench.read(sequence.output, steps * outputStride);
  const output = new Float64Array(steps * hiddenSize);
  for (let i = 0; i < steps; i++) {
    output.set(strided.subarray(i * outputStride, i * outputStride + hiddenSize), i * hiddenSize);
    if (strided.subarray(i * outputStride + hiddenSize, (i + 1) * outputStride).some((value) => value !== BETWEEN)) {
      throw new Error(
        `checkKernels: ${kernels.name} (${kernels.detail}): ${describe(given)}: wrote between the rows of a strided output`,
      );
    }
  }
  const result: RecurrentResult = {
    output,
    hN: bench.read(hN, states),
    cN: bench.read(cN, isLstm ? states : 0),
    gates: bench.read(sequence.gates, sequence.gates ? gateCount : 0),
    cells: bench.read(sequence.cells, sequence.cells ? steps * hiddenSize : 0),
    dX: new Float64Array(0),
    dWeightIh: new Float64Array(0),
    dWeightHh: new Float64Array(0),
    dBiasIh: new Float64Array(0),
    dBiasHh: new Float64Array(0),
    dH0: new Float64Array(0),
    dC0: new Float64Array(0),
  };
  if (backward && !inference) {
    const begun = (count: number) => bench.put(new Float64Array(count).fill(START));
    const pointers = {
      dX: begun(steps * inputSize),
      dWeightIh: begun(rows * inputSize),
      dWeightHh: begun(rows * hiddenSize),
      dBiasIh: given.biasIh ? begun(rows) : NULL,
      dBiasHh: given.biasHh ? begun(rows) : NULL,
      dH0: bench.hole(states),
      dC0: isLstm ? bench.hole(states) : NULL,
    };
    kernels.recurrentBackward({
      ...sequence,
      weightIh,
      weightHh,
      dOutput: given.dOutput ? bench.put(spread(given.dOutput, Number.NaN)) : NULL,
      dHN: optional(given.dHN),
      dCN: isLstm ? optional(given.dCN) : NULL,
      dGates: inPlace && !isRnn ? sequence.gates : bench.hole(steps * 4 * hiddenSize),
      ...pointers,
    });
    result.dX = bench.read(pointers.dX, steps * inputSize);
    result.dWeightIh = bench.read(pointers.dWeightIh, rows * inputSize);
    result.dWeightHh = bench.read(pointers.dWeightHh, rows * hiddenSize);
    result.dBiasIh = bench.read(pointers.dBiasIh, given.biasIh ? rows : 0);
    result.dBiasHh = bench.read(pointers.dBiasHh, given.biasHh ? rows : 0);
    result.dH0 = bench.read(pointers.dH0, states);
    result.dC0 = bench.read(pointers.dC0, isLstm ? states : 0);
  }
  bench.release();
  return result;
}

type Sizes = Pick<RecurrentCase, "cell" | "batch" | "time" | "inputSize" | "hiddenSize"> & Partial<RecurrentCase>;

function recurrentCase(check: Check, given: Sizes): RecurrentCase {
  const { cell, batch, time, inputSize, hiddenSize } = given;
  const rows = GATES[cell] * hiddenSize;
  const states = () => check.normals(batch * hiddenSize);
  return {
    lengths: Array.from({ length: batch }, (_, b) => (b === 0 ? time : check.rng.integer(time + 1))),
    reverse: check.rng.integer(2) === 1,
    outputGap: check.rng.integer(2) * hiddenSize,
    weightIh: check.normals(rows * inputSize, 1 / Math.sqrt(inputSize)),
    weightHh: check.normals(rows * hiddenSize, 1 / Math.sqrt(hiddenSize)),
    biasIh: check.normals(rows),
    biasHh: check.normals(rows),
    x: check.normals(batch * time * inputSize),
    h0: states(),
    c0: states(),
    dOutput: check.normals(batch * time * hiddenSize),
    dHN: states(),
    dCN: states(),
    ...given,
  };
}

function describe({ cell, batch, time, inputSize, hiddenSize, lengths, reverse }: RecurrentCase): string {
  return `${cell} B=${batch} T=${time} I=${inputSize} H=${hiddenSize}${reverse ? " reverse" : ""} lengths=${lengths.slice(0, 9)}`;
}

function checkAgainstReference(check: Check, cell: CellKind): void {
  const compare = (given: RecurrentCase) => {
    const [got, expected] = [run(check.engine, given), run(check.reference, given)];
    for (const name of [...FORWARD, ...GRADIENTS]) {
      const scale = expected[name].reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      check.close(got[name], expected[name], `${describe(given)}, ${name}`, { scale });
    }
  };
  const sizes = [1, 3, 5, 17, 32, 33];
  for (const inputSize of sizes) {
    for (const hiddenSize of sizes) {
      const [batch, time] = [1 + check.rng.integer(9), 1 + check.rng.integer(7)];
      compare(recurrentCase(check, { cell, batch, time, inputSize, hiddenSize }));
    }
  }
  for (const batch of [1, 2, 3, 4, 5, 6, 7, 8, 9, 64]) {
    compare(recurrentCase(check, { cell, batch, time: 4, inputSize: 5, hiddenSize: 6 }));
  }
  const sized = { cell, batch: 3, time: 3, inputSize: 4, hiddenSize: 5 };
  compare(recurrentCase(check, { ...sized, biasIh: undefined, biasHh: undefined }));
  compare(recurrentCase(check, { ...sized, biasIh: undefined, dOutput: undefined }));
  compare(recurrentCase(check, { ...sized, dHN: undefined, dCN: undefined }));
  compare(recurrentCase(check, { ...sized, lengths: [0, 0, 0] }));
  compare(recurrentCase(check, { cell, batch: 2, time: 3, inputSize: 300, hiddenSize: 70 }));
}

function checkLaws(check: Check, cell: CellKind): void {
  for (const reverse of [false, true]) {
    const given = recurrentCase(check, { cell, batch: 9, time: 7, inputSize: 5, hiddenSize: 19, reverse });
    const where = describe(given);
    const whole = run(check.engine, given);

    const lean = run(check.engine, given, { inference: true });
    for (const name of ["output", "hN", "cN"] as const) check.same(lean[name], whole[name], `${where}, nothing kept, ${name}`);
    const apart = run(check.engine, given, { inPlace: false });
    for (const name of GRADIENTS) check.same(apart[name], whole[name], `${where}, dGates apart from gates, ${name}`);

    for (let b = 0; b < given.batch; b++) {
      const alone = run(check.engine, rowOf(given, b));
      for (const name of [...FORWARD, ...PER_ROW]) {
        const share = whole[name].length / given.batch;
        check.same(alone[name], whole[name].slice(b * share, (b + 1) * share), `${where}, row ${b} alone, ${name}`);
      }
    }

    for (const chunk of [1, 2, 3]) {
      const pieces = runInChunks(check, given, chunk);
      for (const name of ["output", "hN", "cN"] as const)
        check.same(pieces[name], whole[name], `${where}, in chunks of ${chunk}, ${name}`);
    }

    // The same lengths in a longer array, with poison wherever a padded step could be read.
    const longer = padded(given, 3);
    const poisoned = run(check.engine, longer);
    for (const name of ["output", "gates", "cells", "dX"] as const) {
      const width = whole[name].length / (given.batch * given.time);
      const padding = name === "dX" ? START : 0;
      for (let b = 0; b < given.batch; b++) {
        const from = poisoned[name].slice(b * longer.time * width, (b + 1) * longer.time * width);
        const valid = given.lengths[b] * width;
        const start = b * given.time * width;
        check.same(from.slice(0, valid), whole[name].slice(start, start + valid), `${where}, more padding, ${name}`);
        check.that(
          from.slice(valid).every((value) => value === padding),
          where,
          `${name} at padded steps must be ${padding}`,
        );
      }
    }
    for (const name of ["hN", "cN", "dWeightIh", "dWeightHh", "dBiasIh", "dBiasHh", "dH0", "dC0"] as const) {
      check.same(poisoned[name], whole[name], `${where}, more padding, ${name}`);
    }
    for (let b = 0; b < given.batch; b++) {
      if (given.lengths[b] > 0) continue;
      const [from, to] = [b * given.hiddenSize, (b + 1) * given.hiddenSize];
      check.same(whole.hN.slice(from, to), given.h0.slice(from, to), `${where}, a row of length 0 keeps its state`);
    }
  }
}

function rowOf(given: RecurrentCase, b: number): RecurrentCase {
  const row = (values: Values) => values.slice((b * values.length) / given.batch, ((b + 1) * values.length) / given.batch);
  const optional = (values: Values | undefined) => values && row(values);
  const { x, h0, c0, dOutput, dHN, dCN } = given;
  const states = { h0: row(h0), c0: row(c0), dHN: optional(dHN), dCN: optional(dCN) };
  return { ...given, batch: 1, lengths: [given.lengths[b]], x: row(x), dOutput: optional(dOutput), ...states };
}

/** Steps from .. to of every row of [B, T, width] values. */
function stepsOf(values: Values, batch: number, from: number, to: number): Values {
  const row = values.length / batch;
  return Float64Array.from(Array.from({ length: batch }, (_, b) => [...values.subarray(b * row + from, b * row + to)]).flat());
}

/** The forward pass cut along time, the state carried from call to call; in reverse the last chunk comes first. */
function runInChunks(check: Check, given: RecurrentCase, chunk: number): Pick<RecurrentResult, "output" | "hN" | "cN"> {
  const { batch, time, inputSize, hiddenSize } = given;
  const output = new Float64Array(batch * time * hiddenSize);
  let [h0, c0] = [given.h0, given.c0];
  const starts = Array.from({ length: Math.ceil(time / chunk) }, (_, i) => i * chunk);
  for (const start of given.reverse ? starts.reverse() : starts) {
    const count = Math.min(chunk, time - start);
    const lengths = given.lengths.map((length) => Math.min(Math.max(length - start, 0), count));
    const x = stepsOf(given.x, batch, start * inputSize, (start + count) * inputSize);
    const piece = run(check.engine, { ...given, time: count, lengths, x, h0, c0 }, { backward: false });
    for (let b = 0; b < batch; b++) {
      output.set(piece.output.subarray(b * count * hiddenSize, (b + 1) * count * hiddenSize), (b * time + start) * hiddenSize);
    }
    [h0, c0] = [piece.hN, piece.cN];
  }
  return { output, hN: h0, cN: given.cell === "lstm" ? c0 : new Float64Array(0) };
}

/** The case with `more` further padded steps; x and dOutput are NaN at every padded step, old or new. */
function padded(given: RecurrentCase, more: number): RecurrentCase {
  const time = given.time + more;
  const extend = (values: Values, width: number) => {
    const out = new Float64Array(given.batch * time * width).fill(Number.NaN);
    for (let b = 0; b < given.batch; b++) {
      const start = b * given.time * width;
      out.set(values.subarray(start, start + given.lengths[b] * width), b * time * width);
    }
    return out;
  };
  return {
    ...given,
    time,
    x: extend(given.x, given.inputSize),
    dOutput: given.dOutput && extend(given.dOutput, given.hiddenSize),
  };
}

function checkSpecialValues(check: Check, cell: CellKind): void {
  const given = recurrentCase(check, {
    cell,
    batch: 5,
    time: 4,
    inputSize: 3,
    hiddenSize: 6,
    lengths: [4, 3, 4, 4, 4],
    reverse: false,
  });
  const clean = run(check.engine, given);
  const x = given.x.slice();
  x[2 * 4 * 3 + 1 * 3] = Number.NaN;
  const spoilt = run(check.engine, { ...given, x });
  for (const name of [...FORWARD, ...PER_ROW]) {
    const share = clean[name].length / given.batch;
    for (const b of [0, 1, 3, 4]) {
      const [from, to] = [b * share, (b + 1) * share];
      check.same(spoilt[name].slice(from, to), clean[name].slice(from, to), `${cell}, NaN in row 2, ${name} of row ${b}`);
    }
  }
  const reached = spoilt.output.slice((2 * 4 + 1) * 6, 3 * 4 * 6);
  check.that(reached.every(Number.isNaN), cell, "a NaN input must reach every unit of its row from its step on");
  check.same(
    spoilt.output.slice(2 * 4 * 6, (2 * 4 + 1) * 6),
    clean.output.slice(2 * 4 * 6, (2 * 4 + 1) * 6),
    `${cell}, before the NaN`,
  );

  const tiny = (values: Values) => values.map((value) => Math.fround(value * 1e-39));
  const vanishing = {
    ...given,
    x: tiny(given.x),
    h0: tiny(given.h0),
    c0: tiny(given.c0),
    dOutput: tiny(given.dOutput!),
    dHN: tiny(given.dHN!),
  };
  const [got, expected] = [run(check.engine, vanishing), run(check.reference, vanishing)];
  for (const name of [...FORWARD, ...GRADIENTS]) check.close(got[name], expected[name], `${cell}, denormal inputs, ${name}`);
}
