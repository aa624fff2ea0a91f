/** @file The recurrent kernels with bfloat16 and int8 weights: against the reference, and the same laws as with float32 weights. */
import { type CellKind, WEIGHT_TYPES, type WeightType } from "../kernels/kernels.js";
import type { Check, Values } from "./kernel-check.js";
import {
  describe,
  padded,
  type RecurrentCase,
  type RecurrentResult,
  recurrentCase,
  rowOf,
  run,
  runInChunks,
} from "./recurrent-case.js";

const RESULTS = ["output", "hN", "cN"] as const;

export function checkSmallWeights(check: Check, cell: CellKind): void {
  for (const weights of WEIGHT_TYPES) {
    if (weights === "float32") continue;
    checkAgainstReference(check, cell, weights);
    checkLaws(check, cell, weights);
    checkSpecialValues(check, cell, weights);
  }
}

function compare(check: Check, given: RecurrentCase, weights: WeightType): void {
  const got = run(check.engine, given, { weights, inference: true });
  const expected = run(check.reference, given, { weights, backward: false });
  for (const name of RESULTS) {
    const scale = expected[name].reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    for (let b = 0; b < given.batch; b++) {
      if (weights === "int8" && roundsEitherWay(given, expected, b)) continue;
      const where = `${weights}, ${describe(given)}, ${name} of row ${b}`;
      check.close(row(got[name], b, given), row(expected[name], b, given), where, { scale });
    }
  }
}

function checkAgainstReference(check: Check, cell: CellKind, weights: WeightType): void {
  // From step to step a rounding error may turn an 8-bit activation into its neighbour; that steps make up sequences is a law below.
  const time = weights === "int8" ? 1 : 4;
  const sizes = [1, 3, 4, 6, 17, 33, 66];
  for (const inputSize of sizes) {
    for (const hiddenSize of sizes) {
      compare(check, recurrentCase(check, { cell, batch: 1 + check.rng.integer(9), time, inputSize, hiddenSize }), weights);
    }
  }
  const sized = { cell, batch: 3, time, inputSize: 5, hiddenSize: 150 };
  compare(check, recurrentCase(check, sized), weights);
  compare(check, recurrentCase(check, { ...sized, batch: 1, lengths: [time], biasIh: undefined, biasHh: undefined }), weights);
  compare(check, recurrentCase(check, { ...sized, biasHh: undefined, lengths: [time, 0, 0] }), weights);

  // Every product as large as it can be, of either sign: sums in too few bits would show.
  const [inputSize, hiddenSize] = [300, 34];
  const given = recurrentCase(check, { cell, batch: 4, time, inputSize, hiddenSize, lengths: [time, time, time, time] });
  const sign = (i: number) => [1, -1, i % 2 === 0 ? 1 : -1][i % 3];
  const largest = Math.fround(1 / inputSize);
  compare(
    check,
    {
      ...given,
      weightIh: given.weightIh.map((_, i) => largest * sign(Math.floor(i / inputSize))),
      x: given.x.map((_, i) => 3 * (Math.floor(i / inputSize) % 4 === 3 ? sign(i) : sign(Math.floor(i / inputSize)))),
    },
    weights,
  );
}

/**
 * Whether q = r h of a GRU with the reset before has a value so near to the middle between two 8-bit integers that r's own rounding error
 * decides which it becomes. For the first step in time.
 */
function roundsEitherWay({ cell, time, hiddenSize }: RecurrentCase, { gates }: RecurrentResult, b: number): boolean {
  if (cell !== "gruResetBefore") return false;
  const q = gates.subarray((4 * b * time + 3) * hiddenSize, (4 * b * time + 4) * hiddenSize);
  const largest = q.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return q.some((value) => Math.abs((((127 * Math.abs(value)) / largest) % 1) - 0.5) < 1e-3);
}

/** Row b of values [B, ...]. */
function row(values: Values, b: number, { batch }: RecurrentCase): Values {
  const share = values.length / batch;
  return values.subarray(b * share, (b + 1) * share);
}

function checkLaws(check: Check, cell: CellKind, weights: WeightType): void {
  const options = { weights, inference: true };
  for (const reverse of [false, true]) {
    const given = recurrentCase(check, { cell, batch: 9, time: 7, inputSize: 5, hiddenSize: 35, reverse });
    const where = `${weights}, ${describe(given)}`;
    const whole = run(check.engine, given, options);

    for (let b = 0; b < given.batch; b++) {
      const alone = run(check.engine, rowOf(given, b), options);
      for (const name of RESULTS) check.same(alone[name], row(whole[name], b, given), `${where}, row ${b} alone, ${name}`);
      if (given.lengths[b] > 0) continue;
      check.same(row(whole.hN, b, given), row(given.h0, b, given), `${where}, a row of length 0 keeps its state`);
    }

    for (const chunk of [1, 2]) {
      const pieces = runInChunks(check, given, chunk, options);
      for (const name of RESULTS) check.same(pieces[name], whole[name], `${where}, in chunks of ${chunk}, ${name}`);
    }

    const longer = padded(given, 2);
    const poisoned = run(check.engine, longer, options);
    check.same(poisoned.hN, whole.hN, `${where}, more padding, hN`);
    check.same(poisoned.cN, whole.cN, `${where}, more padding, cN`);
    for (let b = 0; b < given.batch; b++) {
      const [valid, output] = [given.lengths[b] * given.hiddenSize, row(poisoned.output, b, longer)];
      check.same(
        output.slice(0, valid),
        row(whole.output, b, given).slice(0, valid),
        `${where}, more padding, output of row ${b}`,
      );
      check.that(
        output.subarray(valid).every((value) => value === 0),
        where,
        "output at padded steps must be 0",
      );
    }
  }
}

function checkSpecialValues(check: Check, cell: CellKind, weights: WeightType): void {
  const options = { weights, inference: true };
  const [batch, time, inputSize, hiddenSize] = [5, 4, 3, 18];
  const sizes = { cell, batch, time, inputSize, hiddenSize };
  const given = recurrentCase(check, { ...sizes, lengths: [4, 3, 4, 4, 4], reverse: false });
  const clean = run(check.engine, given, options);
  // Infinities saturate in float32 gates; a scale made of one says nothing, and int8 says so.
  for (const poison of weights === "int8" ? [Number.NaN, Infinity, -Infinity] : [Number.NaN]) {
    const spoil = (values: Values, at: number) => values.map((value, i) => (i === at ? poison : value));
    for (const [place, spoilt, from] of [
      ["x", { ...given, x: spoil(given.x, (2 * time + 1) * inputSize + 1) }, 1],
      ["h0", { ...given, h0: spoil(given.h0, 2 * hiddenSize + 5) }, 0],
    ] as const) {
      const where = `${weights}, ${cell}, ${poison} in ${place} of row 2`;
      const got = run(check.engine, spoilt, options);
      for (const name of RESULTS) {
        for (const b of [0, 1, 3, 4])
          check.same(row(got[name], b, given), row(clean[name], b, given), `${where}, ${name} of row ${b}`);
      }
      const output = row(got.output, 2, given);
      const before = from * hiddenSize;
      check.same(output.slice(0, before), row(clean.output, 2, given).slice(0, before), `${where}, the steps before`);
      check.that(output.subarray(before).every(Number.isNaN), where, "it must reach every unit of its row from its step on");
    }
  }

  // Nothing to take a scale from, and as much as there is.
  const lengths = given.lengths.map(() => 1);
  for (const factor of [0, 1e-39, 1e37]) {
    const scaled = (values: Values) => values.map((value) => Math.fround(value * factor));
    compare(check, { ...given, lengths, x: scaled(given.x) }, weights);
    if (factor < 1)
      compare(check, { ...given, lengths, x: scaled(given.x), h0: scaled(given.h0), c0: scaled(given.c0) }, weights);
  }
  const zeros = (values: Values) => new Float64Array(values.length);
  compare(check, { ...given, lengths, weightIh: zeros(given.weightIh), weightHh: zeros(given.weightHh) }, weights);
}
