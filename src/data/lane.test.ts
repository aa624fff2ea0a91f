import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Batch } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { type LaneBatch, lanes } from "./lane.js";
import { type DataOptions, prepare } from "./prepare.js";
import { tableFromRecords } from "./table.js";

function preparedOf(lengths: number[], more: Partial<DataOptions> = {}) {
  const parts = [...lengths.map((length) => ["train", length] as const), ["validation", 1] as const, ["test", 2] as const];
  const records = parts.flatMap(([part, length], s) =>
    Array.from({ length }, (_, i) => ({ id: `s${s}`, v: 1000 * s + i, tag: `t${(s + i) % 2}`, part })),
  );
  return prepare(tableFromRecords(records), {
    targetKind: "tags",
    entity: "id",
    features: ["v"],
    target: "tag",
    scale: "none",
    split: { by: "column:part" },
    ...more,
  });
}
const lengths = fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 12 }).map((of) => [2, ...of]);
const sizes = fc.record({ batchSize: fc.integer({ min: 1, max: 5 }), chunk: fc.integer({ min: 1, max: 9 }) });

describe("lanes", () => {
  it("show every step of the part exactly once, in order within a lane, with a reset exactly where a stretch begins", () => {
    fc.assert(
      fc.property(
        lengths,
        sizes,
        fc.option(fc.integer()),
        fc.option(fc.integer({ min: 1, max: 10 })),
        (of, size, start, maxLength) => {
          const prepared = preparedOf(of);
          const all = [
            ...lanes(prepared, {
              ...size,
              part: "train",
              rng: start === null ? undefined : seed(start),
              maxLength: maxLength ?? undefined,
            }),
          ];
          const seen: string[] = [];
          const lane: { series: number; next: number }[] = [];
          for (const { batchSize, time, lengths: steps, series, start: from, reset, x, classes } of all) {
            expect([batchSize, time]).toEqual([all[0].batchSize, size.chunk]);
            for (let b = 0; b < batchSize; b++) {
              if (steps[b] === 0) {
                expect([series[b], reset![b]]).toEqual([-1, 0]);
                continue;
              }
              if (!reset![b]) expect([series[b], from[b]]).toEqual([lane[b].series, lane[b].next]);
              lane[b] = { series: series[b], next: from[b] + steps[b] };
              for (let t = 0; t < time; t++) {
                const at = b * time + t;
                if (t >= steps[b]) {
                  expect([x[at], classes![at]]).toEqual([0, -1]);
                  continue;
                }
                expect(x[at]).toBe(1000 * series[b] + from[b] + t);
                expect(classes![at]).toBe((series[b] + from[b] + t) % 2);
                seen.push(`${series[b]} ${from[b] + t}`);
              }
            }
          }
          expect(seen.sort()).toEqual(of.flatMap((length, s) => Array.from({ length }, (_, i) => `${s} ${i}`)).sort());
          const stretches = of.reduce((sum, length) => sum + Math.ceil(length / (maxLength ?? length)), 0);
          expect(all.flatMap(({ reset }) => [...reset!]).filter((flag) => flag === 1)).toHaveLength(stretches);
        },
      ),
    );
  });

  it("forecast from every step; values outside the part or the series are missing", () => {
    fc.assert(
      fc.property(lengths, sizes, fc.integer({ min: 1, max: 4 }), (of, size, horizon) => {
        const prepared = preparedOf(of, { targetKind: "values", target: "v" });
        for (const batch of lanes(prepared, { ...size, part: "train", horizon }) as Generator<Batch>) {
          for (let b = 0; b < batch.batchSize; b++) {
            for (let t = 0; t < batch.time; t++) {
              for (let p = 0; p < horizon; p++) {
                const step = batch.start[b] + t + 1 + p;
                const known = t < batch.lengths[b] && step < of[batch.series[b]];
                expect(batch.values![(b * batch.time + t) * horizon + p]).toBe(known ? 1000 * batch.series[b] + step : NaN);
              }
            }
          }
        }
      }),
    );
  });

  it("of one series cut by time see no target of the next part", () => {
    const table = tableFromRecords(Array.from({ length: 10 }, (_, i) => ({ v: i })));
    const prepared = prepare(table, {
      targetKind: "values",
      features: ["v"],
      target: "v",
      scale: "none",
      split: { by: "time", rows: [5, 2, 3] },
    });
    const [batch] = lanes(prepared, { batchSize: 4, chunk: 5, part: "train" });
    expect([batch.batchSize, [...batch.values!]]).toEqual([1, [1, 2, 3, 4, NaN]]);
  });

  it("that were passed over are those that would have come", () => {
    fc.assert(
      fc.property(
        lengths,
        sizes,
        fc.integer(),
        fc.integer({ min: 1, max: 10 }),
        fc.nat({ max: 20 }),
        (of, size, start, maxLength, count) => {
          const prepared = preparedOf(of);
          const open = () => lanes(prepared, { ...size, part: "train", rng: seed(start), maxLength });
          const whole = [...open()];
          const rest = open();
          expect(rest.skip(count)).toBe(Math.min(count, whole.length));
          expect([...rest]).toEqual(whole.slice(count));
        },
      ),
    );
  });

  it("with a lead show every target once, read on from what was carried, and have no targets before their chunk", () => {
    fc.assert(
      fc.property(
        lengths,
        sizes,
        fc.integer({ min: 0, max: 12 }),
        fc.option(fc.integer({ min: 1, max: 10 })),
        fc.constantFrom("tags" as const, "values" as const),
        (of, { batchSize, chunk }, lead, maxLength, targetKind) => {
          const prepared = preparedOf(of, targetKind === "values" ? { targetKind, target: "v" } : {});
          const options = { batchSize, chunk, part: "train", maxLength: maxLength ?? undefined } as const;
          const seen: string[] = [];
          const lane: { series: number; carried: number; end: number }[] = [];
          for (const batch of lanes(prepared, { ...options, lead }) as Iterable<LaneBatch>) {
            const { time, lengths: steps, series, start: from, reset, values, classes } = batch;
            expect([batch.lead ?? 0, time]).toEqual([lead, lead + chunk]);
            for (let b = 0; b < batch.batchSize; b++) {
              if (steps[b] === 0) continue;
              if (!reset![b]) {
                expect([series[b], from[b]]).toEqual([lane[b].series, lane[b].carried]);
                expect(steps[b]).toBeGreaterThan(lead);
                expect(lane[b].end).toBe(from[b] + lead);
              }
              lane[b] = { series: series[b], carried: from[b] + chunk, end: from[b] + steps[b] };
              for (let t = 0; t < time; t++) {
                expect(batch.x[b * time + t]).toBe(t < steps[b] ? 1000 * series[b] + from[b] + t : 0);
                const target = classes ? classes[b * time + t] : values![b * time + t];
                const known = classes ? target >= 0 : !Number.isNaN(target);
                const first = reset![b] ? 0 : lead;
                if (t < first || t >= steps[b]) expect(known).toBe(false);
                else seen.push(`${series[b]} ${from[b] + t} ${target}`);
              }
            }
          }
          const whole: string[] = [];
          for (const { time, batchSize: rows, lengths: steps, series, start: from, classes, values } of lanes(
            prepared,
            options,
          )) {
            for (let b = 0; b < rows; b++) {
              for (let t = 0; t < steps[b]; t++) {
                whole.push(`${series[b]} ${from[b] + t} ${(classes ?? values!)[b * time + t]}`);
              }
            }
          }
          expect(seen.sort()).toEqual(whole.sort());
          for (const count of [1, 3]) {
            const [all, rest] = [[...lanes(prepared, { ...options, lead })], lanes(prepared, { ...options, lead })];
            expect(rest.skip(count)).toBe(Math.min(count, all.length));
            expect([...rest]).toEqual(all.slice(count));
          }
        },
      ),
    );
  });

  it("without a lead are those that lead 0 gives", () => {
    const prepared = preparedOf([9, 4, 6]);
    const options = { batchSize: 2, chunk: 3, part: "train" } as const;
    expect([...lanes(prepared, { ...options, lead: 0 })]).toEqual([...lanes(prepared, options)]);
    expect(Object.keys([...lanes(prepared, options)][0])).not.toContain("lead");
  });

  it("are shuffled by the rng", () => {
    const prepared = preparedOf(Array(20).fill(3));
    const order = (of: number) =>
      [...lanes(prepared, { batchSize: 1, chunk: 3, part: "train", rng: seed(of) })].map(({ series }) => series[0]);
    expect(order(1)).toEqual(order(1));
    expect(order(1)).not.toEqual(order(2));
  });

  it("are refused for one class per series, and for sizes that are none", () => {
    const records = Array.from({ length: 6 }, (_, s) => ({ id: s, v: s, kind: `k${s % 2}` }));
    const options: DataOptions = {
      targetKind: "class",
      entity: "id",
      features: ["v"],
      target: "kind",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    };
    expect(() => [...lanes(prepare(tableFromRecords(records), options), { batchSize: 1, chunk: 1, part: "train" })]).toThrow(
      /OST_RANGE.*chunk by chunk/,
    );
    expect(() => [...lanes(preparedOf([3]), { batchSize: 0, chunk: 1, part: "train" })]).toThrow(/OST_RANGE/);
    expect(() => [...lanes(preparedOf([3]), { batchSize: 1, chunk: 1, part: "train", maxLength: 2.5 })]).toThrow(/OST_RANGE/);
    for (const lead of [-1, 0.5, Number.NaN]) {
      expect(() => lanes(preparedOf([3]), { batchSize: 1, chunk: 1, part: "train", lead })).toThrow(/OST_RANGE.*lead/);
    }
  });
});
