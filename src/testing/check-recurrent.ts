/** @file The recurrent kernels against the reference, and the laws of rows, chunks and padding. */
import type { CellKind } from "../kernels/kernels.js";
import type { Check, Values } from "./kernel-check.js";
import {
  describe,
  FORWARD,
  GRADIENTS,
  PER_ROW,
  padded,
  type RecurrentCase,
  recurrentCase,
  rowOf,
  run,
  runInChunks,
  START,
} from "./recurrent-case.js";

export function checkRecurrent(check: Check, cell: CellKind): void {
  checkAgainstReference(check, cell);
  checkLaws(check, cell);
  checkSpecialValues(check, cell);
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
