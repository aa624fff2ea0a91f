import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Part, TargetKind } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { Augmentation, type AugmentOptions, augment } from "./augment.js";
import { batches, collate } from "./batch.js";
import type { Examples } from "./examples.js";
import { type DataOptions, prepare } from "./prepare.js";
import { tableFromRecords } from "./table.js";
import { sequences, trailingWindows, windows } from "./window.js";

/** Series whose first feature is the step, the second 100 + the step; every third value of the second is missing, which flags say. */
function preparedOf(targetKind: TargetKind, lengths: number[] = [20, 12, 30], more: Partial<DataOptions> = {}) {
  const parts = [...lengths.map((length) => ["train", length] as const), ["validation", 12] as const, ["test", 12] as const];
  const records = parts.flatMap(([part, length], s) =>
    Array.from({ length }, (_, i) => ({
      id: `s${s}`,
      v: i,
      w: i % 3 === 1 ? null : 100 + i,
      label: targetKind === "class" ? `k${s % 2}` : `t${i}`,
      part,
    })),
  );
  return prepare(tableFromRecords(records), {
    targetKind,
    entity: "id",
    features: ["v", "w"],
    target: targetKind === "values" ? "v" : "label",
    scale: "none",
    missing: { policy: "forwardFill", flag: true },
    split: { by: "column:part" },
    ...more,
  });
}
const sequencesOf = (kind: "class" | "tags", lengths?: number[]) => sequences(preparedOf(kind, lengths), { part: "train" });
const all = ({ count }: Examples) => [...Array(count).keys()];
const methods = fc.record(
  {
    jitter: fc.constant(0.1),
    scaling: fc.constant(0.2),
    timeMask: fc.constant({ share: 0.4, count: 2 }),
    featureMask: fc.constant({ width: 2 }),
    slice: fc.constant(0.7),
    speed: fc.constant([0.5, 1.5] as [number, number]),
    timeWarp: fc.constant({ std: 0.5 }),
  },
  { requiredKeys: [] },
);

describe("augmented examples", () => {
  it("vary with the epoch and the example, and with nothing else: not neighbours, order or batch size", () => {
    fc.assert(
      fc.property(
        methods,
        fc.constantFrom("class", "tags"),
        fc.integer({ min: 1, max: 3 }),
        fc.integer(),
        (options, kind, size, of) => {
          const examples = augment(sequencesOf(kind as "class"), options);
          const rowsOf = (batchSize: number, start: number) => {
            const rows = new Map<number, unknown>();
            for (const batch of batches(examples, { batchSize, rng: seed(start) })) {
              const { time, features } = batch;
              batch.example.forEach((example, b) => {
                const length = batch.lengths[b];
                const x = batch.x.subarray(b * time * features, (b * time + length) * features);
                const classes =
                  kind === "class" ? [batch.classes![b]] : [...batch.classes!.subarray(b * time, b * time + length)];
                rows.set(example, { length, x: [...x], classes, start: batch.start[b] });
                expect(
                  batch.x.subarray((b * time + length) * features, (b + 1) * time * features).every((value) => value === 0),
                ).toBe(true);
              });
            }
            return rows;
          };
          expect(rowsOf(size, of)).toEqual(rowsOf(3, of));
          if (Object.keys(options).length > 0 && (options.jitter || options.scaling))
            expect(rowsOf(3, of + 1)).not.toEqual(rowsOf(3, of));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("keep flags as they are, and the values too where no method alters them", () => {
    const examples = sequencesOf("class");
    const plain = collate(examples, all(examples));
    const varied = collate(
      augment(examples, { jitter: 1, scaling: 1, timeMask: { share: 0.9 }, featureMask: { width: 2 } }),
      all(examples),
      { key: 3 },
    );
    expect(plain.features).toBe(4);
    let [changed, same] = [0, 0];
    plain.x.forEach((value, i) => {
      if (i % 4 >= 2) expect(varied.x[i]).toBe(value);
      else if (varied.x[i] === value) same++;
      else changed++;
    });
    expect(changed).toBeGreaterThan(same);
    expect(varied.lengths).toEqual(plain.lengths);
  });

  it("move every step whole with its tag, where time is bent for tags", () => {
    fc.assert(
      fc.property(methods, fc.integer(), ({ slice, speed, timeWarp }, key) => {
        const examples = augment(sequencesOf("tags"), { slice, speed, timeWarp });
        const { x, classes, lengths, time, features, start } = collate(examples, all(examples), { key });
        const tag = (index: number) => Number(examples.spec.classes[index].slice(1));
        lengths.forEach((length, b) => {
          let last = start[b];
          for (let t = 0; t < length; t++) {
            const step = x[(b * time + t) * features];
            expect(tag(classes![b * time + t])).toBe(step);
            expect(step).toBeGreaterThanOrEqual(last);
            last = step;
          }
          expect(last).toBeLessThan(examples.at(b).length);
        });
      }),
    );
  });

  it("read faster or slower from the first step to the last, and warp without changing the length", () => {
    const examples = sequencesOf("class", [40, 3]);
    const lengths = new Set<number>();
    for (let key = 0; key < 50; key++) {
      const fast = collate(augment(examples, { speed: [0.5, 2] }), [0], { key });
      lengths.add(fast.time);
      expect(fast.time).toBeGreaterThanOrEqual(20);
      expect(fast.time).toBeLessThanOrEqual(80);
      expect([fast.x[0], fast.x[(fast.time - 1) * 4]]).toEqual([0, 39]);
      const warped = collate(augment(examples, { timeWarp: { std: 0.6, knots: 3 } }), [0], { key });
      const places = Array.from({ length: 40 }, (_, t) => warped.x[t * 4]);
      expect([warped.time, places[0], places[39]]).toEqual([40, 0, 39]);
      for (let t = 1; t < 40; t++) expect(places[t]).toBeGreaterThan(places[t - 1]);
    }
    expect(lengths.size).toBeGreaterThan(15);
  });

  it("slice a stretch that lies inside, anywhere", () => {
    const examples = augment(sequencesOf("class", [40, 3]), { slice: 0.25 });
    const starts = new Set(
      Array.from({ length: 200 }, (_, key) => collate(examples, [0], { key })).map(({ x, time, start }) => {
        expect([time, x[0], x[(time - 1) * 4]]).toEqual([10, start[0], start[0] + 9]);
        return start[0];
      }),
    );
    expect([Math.min(...starts), Math.max(...starts)]).toEqual([0, 30]);
  });

  it("mask stretches and columns with zeros, as wide as they may be and no wider", () => {
    const shares: number[] = [];
    const examples = sequences(preparedOf("class", [30, 3], { missing: "forwardFill" }), { part: "train" });
    const shifted = {
      ...examples.prepared.series[0],
      x: (examples.prepared.series[0].x as Float32Array).map((value) => value + 1),
    };
    const prepared = { ...examples.prepared, series: [shifted, ...examples.prepared.series.slice(1)] };
    for (let key = 0; key < 100; key++) {
      const rows = { ...augment(examples, { timeMask: { share: 0.5 } }), prepared };
      const { x } = collate(rows, [0], { key });
      const masked = Array.from({ length: 30 }, (_, t) => x[t * 2] === 0);
      shares.push(masked.filter(Boolean).length);
      if (masked.includes(true)) expect(masked.lastIndexOf(true) - masked.indexOf(true) + 1).toBe(shares.at(-1));
    }
    expect([Math.min(...shares), Math.max(...shares)]).toEqual([0, 15]);
  });

  it("keep to the budget of steps though their lengths change", () => {
    const examples = augment(sequencesOf("class", [10, 12, 14, 9, 11, 15, 13]), { speed: [0.5, 2] });
    for (let start = 0; start < 30; start++)
      for (const { batchSize, time } of batches(examples, { batchSize: 4, maxTokens: 40, rng: seed(start) }))
        expect(batchSize * time).toBeLessThanOrEqual(40);
  });

  it("are of the training part, by type and by call", () => {
    const prepared = preparedOf("class");
    const validation = sequences(prepared, { part: "validation" });
    // @ts-expect-error examples of another part are no training examples
    expect(() => augment(validation, { jitter: 1 })).toThrow(/OST_RANGE.*only training examples/);
    const some = sequences(prepared, { part: "test" as Part });
    // @ts-expect-error examples of some part may be of another
    expect(() => augment(some, { jitter: 1 })).toThrow(/OST_RANGE/);
    expect(augment(sequences(prepared, { part: "train" }), { jitter: 1 }).part).toBe("train");
  });

  it("refuse what would make a target untrue", () => {
    const forecasts = windows(preparedOf("values"), { length: 4, horizon: 2, part: "train" });
    for (const options of [{ slice: 0.5 }, { speed: [1, 2] }, { timeWarp: { std: 1 } }, { scaling: 1 }] as AugmentOptions[])
      expect(() => augment(forecasts, options)).toThrow(/OST_RANGE.*jitter, timeMask, featureMask/s);
    const targets = collate(forecasts, [0, 1]).values;
    expect(collate(augment(forecasts, { jitter: 1, timeMask: { share: 0.5 } }), [0, 1]).values).toEqual(targets);
    const trailing = trailingWindows(preparedOf("tags"), { length: 4, part: "train" });
    expect(() => augment(trailing, { slice: 0.5 })).toThrow(/OST_RANGE.*slice/);
  });

  it("refuse numbers outside their range, and unknown methods", () => {
    const examples = sequencesOf("class");
    const wrong = [
      { jitter: 0 },
      { scaling: -1 },
      { timeMask: { share: 1 } },
      { timeMask: { share: 0.5, count: 0 } },
      { featureMask: { width: 0.5 } },
      { slice: 1 },
      { speed: [2, 1] },
      { speed: [0, 1] },
      { timeWarp: { std: Number.NaN } },
      { timeWarp: { std: 1, knots: 0 } },
      { rotate: 1 },
    ];
    for (const options of wrong)
      expect(() => augment(examples, options as AugmentOptions), JSON.stringify(options)).toThrow(/OST_RANGE/);
  });

  it("tell how long they become at most", () => {
    const augmentation = new Augmentation({ speed: [0.5, 2], slice: 0.9 }, "class");
    for (let key = 0; key < 200; key++)
      expect(augmentation.draw(key, 0, { start: 0, length: 40 }).length).toBeLessThanOrEqual(augmentation.longest(40));
    expect(new Augmentation({ jitter: 1 }, "class").longest(40)).toBe(40);
  });
});
