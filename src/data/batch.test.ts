import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Part } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { batches, collate, type Normalization } from "./batch.js";
import { type DataOptions, prepare } from "./prepare.js";
import type { Slices } from "./slices.js";
import { tableFromRecords } from "./table.js";
import { sequences, windows } from "./window.js";

/** Sequences of the given lengths, all in training but one each for validation and test. */
function classed(lengths: number[], more: Partial<DataOptions> = {}) {
  const parts = [...lengths.map((length) => ["train", length] as const), ["validation", 1] as const, ["test", 1] as const];
  const records = parts.flatMap(([part, length], s) =>
    Array.from({ length }, (_, i) => ({ id: `s${s}`, v: s + i / 100 + 1, w: -s, kind: `k${s % 2}`, part })),
  );
  const prepared = prepare(tableFromRecords(records), {
    targetKind: "class",
    entity: "id",
    features: ["v", "w"],
    target: "kind",
    scale: "none",
    split: { by: "column:part" },
    ...more,
  });
  return sequences(prepared, { part: "train" });
}
const lengths = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 40 });

describe("batches", () => {
  it("hold every example once, whatever the order, the bucketing and the batch size", () => {
    fc.assert(
      fc.property(
        lengths,
        fc.integer({ min: 1, max: 9 }),
        fc.option(fc.integer()),
        fc.option(fc.boolean()),
        (of, batchSize, start, bucket) => {
          const examples = classed(of);
          const seen = [
            ...batches(examples, { batchSize, rng: start === null ? undefined : seed(start), bucket: bucket ?? undefined }),
          ];
          expect(seen.flatMap(({ example }) => [...example]).sort((a, b) => a - b)).toEqual(of.map((_, i) => i));
          expect(seen.every((batch) => batch.batchSize <= batchSize && batch.time === Math.max(...batch.lengths))).toBe(true);
        },
      ),
    );
  });

  it("are zero at and after a row's length, and a row's numbers do not depend on its neighbours", () => {
    fc.assert(
      fc.property(lengths, (of) => {
        const examples = classed(of);
        const { x, lengths: steps, time, features, classes } = collate(examples, [...of.keys()]);
        of.forEach((length, b) => {
          expect(steps[b]).toBe(length);
          const alone = collate(examples, [b]);
          expect([...x.subarray(b * time * features, (b * time + length) * features)]).toEqual([...alone.x]);
          expect(
            x.subarray((b * time + length) * features, (b + 1) * time * features).every((value) => Object.is(value, 0)),
          ).toBe(true);
          expect(classes![b]).toBe(alone.classes![0]);
        });
      }),
    );
  });

  it("never hold more padded steps than their budget, and still each example once", () => {
    fc.assert(
      fc.property(
        lengths,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 12, max: 60 }),
        fc.option(fc.integer()),
        fc.boolean(),
        (of, batchSize, maxTokens, start, bucket) => {
          const rng = start === null ? undefined : seed(start);
          const seen = [...batches(classed(of), { batchSize, maxTokens, rng, bucket })];
          expect(seen.flatMap(({ example }) => [...example]).sort((a, b) => a - b)).toEqual(of.map((_, i) => i));
          for (const batch of seen) {
            expect(batch.batchSize * batch.time).toBeLessThanOrEqual(maxTokens);
            expect(batch.batchSize).toBeLessThanOrEqual(batchSize);
          }
        },
      ),
    );
  });

  it("name an example that is longer than the budget by itself", () => {
    expect(() => [...batches(classed([3, 9, 2]), { batchSize: 4, maxTokens: 8 })]).toThrow(
      /OST_RANGE.*series "s1".*example 2[\s\S]*at most 8 steps, got 9 steps/,
    );
    for (const maxTokens of [0, 2.5]) expect(() => batches(classed([1, 2]), { batchSize: 4, maxTokens })).toThrow(/OST_RANGE/);
  });

  it("that were passed over are those that would have come, in every order", () => {
    fc.assert(
      fc.property(
        lengths,
        fc.integer({ min: 1, max: 5 }),
        fc.option(fc.integer({ min: 12, max: 40 }), { nil: undefined }),
        fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
        fc.option(fc.integer()),
        fc.option(fc.boolean(), { nil: undefined }),
        fc.nat({ max: 12 }),
        (of, batchSize, maxTokens, shuffleBuffer, start, bucket, count) => {
          const examples = classed(of);
          const open = () => {
            const rng = start === null ? undefined : seed(start);
            return batches(examples, { batchSize, maxTokens, shuffleBuffer, rng, bucket });
          };
          const whole = [...open()];
          const rest = open();
          expect(rest.skip(count)).toBe(Math.min(count, whole.length));
          expect([...rest]).toEqual(whole.slice(count));
          expect(open().skip(Number.POSITIVE_INFINITY)).toBe(whole.length);
        },
      ),
    );
  });

  it("read from columns that give stretches alone are those read from arrays", () => {
    const examples = classed([3, 9, 2, 7]);
    const columns = <A extends Float32Array | Int32Array>(column: Slices<A> | null) =>
      column && { length: column.length, subarray: (from: number, to: number) => column.subarray(from, to).slice() as A };
    const series = examples.prepared.series.map((one) => ({
      ...one,
      x: columns(one.x) as Slices<Float32Array>,
      classes: columns(one.classes),
    }));
    const sliced = { ...examples, prepared: { ...examples.prepared, series }, runs: examples.runs };
    const options = () => ({ batchSize: 3, rng: seed(2) });
    expect([...batches(sliced, options())]).toEqual([...batches(examples, options())]);
  });

  it("are shuffled by the rng and the same for the same seed", () => {
    const examples = classed(Array(50).fill(3));
    const order = (of?: number) =>
      [...batches(examples, { batchSize: 8, rng: of === undefined ? undefined : seed(of) })].flatMap(({ example }) => [
        ...example,
      ]);
    expect(order()).toEqual([...Array(50).keys()]);
    expect(order(1)).toEqual(order(1));
    expect(order(1)).not.toEqual(order(2));
  });

  it("pad less when examples of like length are together, without losing the shuffle", () => {
    const examples = classed(Array.from({ length: 120 }, (_, i) => 1 + ((i * 7) % 30)));
    const padded = (bucket: boolean) => {
      let sum = 0;
      for (const { batchSize, time } of batches(examples, { batchSize: 8, rng: seed(3), bucket })) sum += batchSize * time;
      return sum;
    };
    expect(padded(true)).toBeLessThan(0.7 * padded(false));
    const firsts = [...batches(examples, { batchSize: 8, rng: seed(3) })].map(({ time }) => time);
    expect(firsts).not.toEqual([...firsts].sort((a, b) => a - b));
  });

  it("refuse a batch size that is none", () => {
    for (const batchSize of [0, 1.5, Number.NaN]) expect(() => [...batches(classed([1, 2]), { batchSize })]).toThrow(/OST_RANGE/);
  });
});

describe("a normalised window", () => {
  const flagged: Partial<DataOptions> = { missing: { policy: "forwardFill", flag: true } };

  it("gives its raw values back, over valid steps only, and leaves flags alone", () => {
    fc.assert(
      fc.property(lengths, fc.constantFrom<Normalization>("last", "meanStd"), (of, normalize) => {
        const examples = classed(of, flagged);
        const indexes = [...of.keys()];
        const raw = collate(examples, indexes);
        const { x, normalization, time, features } = collate(examples, indexes, { normalize });
        expect(raw.normalization).toBeUndefined();
        for (let b = 0; b < of.length; b++) {
          for (let t = 0; t < time; t++) {
            for (let c = 0; c < features; c++) {
              const at = (b * time + t) * features + c;
              const back = x[at] * normalization!.scale[b * features + c] + normalization!.offset[b * features + c];
              if (t < of[b]) expect(back).toBeCloseTo(raw.x[at], 4);
              else expect(x[at]).toBe(0);
            }
          }
          expect([...normalization!.offset.subarray(b * features + 2, (b + 1) * features)]).toEqual([0, 0]);
          expect([...normalization!.scale.subarray(b * features + 2, (b + 1) * features)]).toEqual([1, 1]);
        }
      }),
    );
  });

  it("subtracts its last step, or its mean and spread", () => {
    const examples = classed([3, 2]);
    const last = collate(examples, [0], { normalize: "last" });
    expect([last.x[4], last.x[5], last.normalization!.offset[0], last.normalization!.scale[0]]).toEqual([
      0,
      0,
      Math.fround(1.02),
      1,
    ]);
    const spread = collate(examples, [0], { normalize: "meanStd" });
    expect(spread.normalization!.offset[0]).toBeCloseTo(1.01, 6);
    expect(spread.normalization!.scale[0]).toBeCloseTo(Math.sqrt(2e-4 / 3) + 1e-5, 7);
    expect(spread.x[3]).toBe(0);
  });

  it("is refused where every step is judged, because its statistics know the later steps", () => {
    const table = tableFromRecords(Array.from({ length: 30 }, (_, i) => ({ v: i })));
    const prepared = prepare(table, {
      targetKind: "values",
      features: ["v"],
      target: "v",
      split: { by: "time", rows: [20, 5, 5] },
    });
    const of = (part: Part) => windows(prepared, { length: 4, horizon: 1, part, everyStep: true });
    for (const part of ["validation", "test"] as const) {
      expect(() => [...batches(of(part), { batchSize: 2, normalize: "last" })]).toThrow(/OST_CAUSAL/);
    }
    expect(() => [...batches(of("train"), { batchSize: 2, normalize: "batch" as "last" })]).toThrow(/OST_RANGE/);
    const [{ values, normalization }] = batches(of("train"), { batchSize: 1, normalize: "last" });
    expect([values?.length, normalization?.scale.length]).toEqual([4, 1]);
  });
});
