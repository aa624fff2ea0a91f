/**
 * @file The conformance suite of the `Kernels` seam: every engine, built in or your own, has to pass it.
 *
 * Each kernel is compared with the float64 reference on the same (float32-representable) inputs, and the laws stated in
 * `kernels/kernels.ts` are held bit for bit: batch against solo, whole sequence against chunks and single steps, more padding against
 * less, NaN in one row against the others.
 */
import { type Kernels, NULL } from "../kernels/kernels.js";
import { checkRecurrent } from "./check-recurrent.js";
import { checkSmallWeights } from "./check-small-weights.js";
import { Check, type CheckKernelsOptions, type Values, type Workbench } from "./kernel-check.js";
import { CELLS } from "./recurrent-case.js";

export type { CheckKernelsOptions } from "./kernel-check.js";

export interface CheckKernelsReport {
  /** Arrays compared. */
  checks: number;
  /** The largest error met, as defined at `tolerance`. */
  maxError: number;
}

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
    checkRecurrent(check, cell);
    checkSmallWeights(check, cell);
  }
  check.that(kernels.memory.bytesInUse === before, "memory", "a kernel kept memory after its call");
  return { checks: check.count, maxError: check.maxError };
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
