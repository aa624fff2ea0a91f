/** @file The CTC loss against published numbers; README.md names their sources. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seed } from "../../../src/core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../../../src/kernels/index.js";
import { ctcLoss } from "../../../src/losses/index.js";
import { inference, parameter, scope } from "../../../src/tensor/index.js";

interface Case {
  name: string;
  blank: number;
  logits?: number[][][];
  probabilities?: number[][][];
  input_lengths: number[];
  labels: number[][];
  loss: number[];
  grad_wrt_logits?: number[][][];
  tolerance: number;
  spec?: string;
}

const { cases } = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf8")) as { cases: Case[] };

function targetsOf(labels: readonly (readonly number[])[], lengths: readonly number[]) {
  const width = Math.max(0, ...labels.map(({ length }) => length));
  return {
    lengths: Int32Array.from(lengths),
    tokens: Int32Array.from(labels.flatMap((row) => [...row, ...new Array(width - row.length).fill(-1)])),
    tokenLengths: Int32Array.from(labels, ({ length }) => length),
  };
}

function expectNear(found: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(found.length).toBe(expected.length);
  expect(Math.max(...expected.map((value, i) => Math.abs(found[i] - value)))).toBeLessThanOrEqual(tolerance);
}

const float64 = new ReferenceKernels("float64");
const engines: [string, () => Kernels][] = [
  ["reference float64", () => float64],
  ["wasm", () => WasmKernels.create()],
];

for (const [engineName, makeEngine] of engines) {
  describe(`CTC on ${engineName}`, () => {
    for (const { name, blank, logits, probabilities, labels, ...expected } of cases.filter(({ spec }) => !spec)) {
      it(name, () => {
        const engine = makeEngine();
        const values = logits ?? probabilities!.map((rows) => rows.map((row) => row.map(Math.log)));
        const [B, T, C] = [values.length, Math.max(...values.map(({ length }) => length)), values[0][0].length];
        const x = parameter(values.flat(2), [B, T, C], { engine });
        const targets = targetsOf(labels, expected.input_lengths);
        const losses = inference(() => ctcLoss(x, targets, { blank, reduction: "none" }).toArray());
        expectNear(losses, expected.loss, expected.tolerance);
        scope(() => ctcLoss(x, targets, { blank, reduction: "none" }).sum().backward());
        if (expected.grad_wrt_logits) expectNear(x.grad!.floats(), expected.grad_wrt_logits.flat(2), expected.tolerance);
      });
    }

    it("warpctc_inf_test: a needed symbol of probability zero", () => {
      const engine = makeEngine();
      const rng = seed(1);
      const [T, C] = [50, 15];
      const x = parameter(
        Array.from({ length: T * C }, (_, i) => (i % C === 2 ? -1e30 : rng.uniform())),
        [1, T, C],
        { engine },
      );
      const labels = [2, ...Array.from({ length: 9 }, () => 1 + rng.integer(C - 1))];
      scope(() => {
        const loss = ctcLoss(x, targetsOf([labels], [T]), { blank: 0 });
        expect(loss.item()).toBe(Number.POSITIVE_INFINITY);
        loss.backward();
      });
      expect([...x.grad!.floats()].every((value) => value === 0)).toBe(true);
    });
  });
}

describe("warpctc_grad_check", () => {
  const shapes = [
    { C: 20, T: 50, L: 15, B: 1, tolerance: 1e-5 },
    { C: 5, T: 10, L: 5, B: 65, tolerance: 1e-4 },
  ];
  for (const { C, T, L, B, tolerance } of shapes) {
    it(`alphabet ${C}, ${T} steps, ${L} labels, batch ${B}`, () => {
      const rng = seed(2);
      const x = parameter(
        Array.from({ length: B * T * C }, () => rng.uniform()),
        [B, T, C],
        { engine: float64 },
      );
      // As in the suite of origin, labels repeat every other time, so that some need the blank between them.
      const labels = Array.from({ length: B }, (_, b) => {
        const half = Array.from({ length: L }, () => 1 + rng.integer(C - 1));
        return b % 2 === 0 ? half : half.map((label, i) => (i === 1 ? half[0] : label));
      }).map((row) => row.slice(0, L - 1));
      const targets = targetsOf(
        labels,
        labels.map(() => T),
      );
      const total = () => inference(() => ctcLoss(x, targets, { blank: 0, reduction: "none" }).sum().item());
      scope(() => ctcLoss(x, targets, { blank: 0, reduction: "none" }).sum().backward());
      const gradient = x.grad!.floats().slice();
      const step = 1e-2;
      let [squares, difference] = [0, 0];
      for (let i = 0; i < x.size; i++) {
        const value = x.floats()[i];
        x.floats()[i] = value + step;
        const above = total();
        x.floats()[i] = value - step;
        const below = total();
        x.floats()[i] = value;
        squares += gradient[i] ** 2;
        difference += (gradient[i] - (above - below) / (2 * step)) ** 2;
      }
      expect(difference / squares).toBeLessThan(tolerance);
    });
  }
});

it("copies no number by hand: every case is used", () => {
  expect(cases.map(({ name, spec }) => `${name}${spec ? " (specification)" : ""}`)).toEqual([
    "warpctc_small_test",
    "warpctc_options_test / TensorFlow testBasic (Graves)",
    "warpctc_inf_test (specification)",
    "warpctc_grad_check (specification)",
    "warpctc_empty_label",
  ]);
});
