import { describe, expect, it } from "vitest";
import type { Part } from "../core/batch.js";
import { lanes } from "./lane.js";
import { prepare } from "./prepare.js";
import { tableFromRecords } from "./table.js";
import { windows } from "./window.js";

const rows = ["p", "q", "r", "s"].flatMap((run, r) =>
  Array.from({ length: 12 }, (_, t) => ({
    run,
    a: r + t,
    b: t % 3,
    part: r < 2 ? "train" : r === 2 ? "validation" : "test",
    kind: t % 2 ? "x" : "y",
  })),
);
const table = tableFromRecords(rows);
const options = {
  targetKind: "tags" as const,
  entity: "run",
  features: ["a", "b"],
  target: "kind",
  split: { by: "column:part" as const },
  missing: { policy: "value" as const, flag: true },
};

describe("hidden columns", () => {
  const plain = prepare(table, options);
  const hidden = prepare(table, { ...options, hide: [["a"], ["b"]] });

  it("add one copy per training series, and nothing to validation and test", () => {
    expect(hidden.series.length).toBe(plain.series.length + 2);
    expect(hidden.series.slice(4).map(({ entity }) => entity)).toEqual(["p without a", "q without b"]);
    expect(hidden.split).toEqual(plain.split);
    for (const { part } of hidden.series.slice(4)) expect(new Set(part)).toEqual(new Set([1]));
  });

  it("let no window of training reach across a later part, and are no examples of another", () => {
    const codes = ["test", "test", "train", "train", "validation", "validation", "train", "train"];
    const mixed = tableFromRecords(codes.map((part, i) => ({ a: i, b: i % 3, part })));
    const prepared = prepare(mixed, {
      ...options,
      entity: null,
      targetKind: "values",
      target: "a",
      scale: "none",
      hide: [["b"]],
    });
    expect(prepared.series.map(({ copy }) => copy)).toEqual([false, true]);
    const made = (part: Part) => {
      const { runs } = windows(prepared, { length: 1, horizon: 1, part });
      return [...runs].map(({ series, start }) => [series, start]);
    };
    expect(made("train")).toEqual([
      [0, 2],
      [0, 6],
      [1, 2],
      [1, 6],
    ]);
    expect(made("validation")).toEqual([
      [0, 3],
      [0, 4],
    ]);
    expect(made("test")).toEqual([[0, 0]]);
    const stretches = [...lanes(prepared, { batchSize: 9, chunk: 9, part: "test" })].flatMap(({ series }) => [...series]);
    expect(stretches).toEqual([0]);
  });

  it("change no statistic and no original", () => {
    expect(hidden.preprocessing.toJSON()).toEqual(plain.preprocessing.toJSON());
    expect(hidden.series.slice(0, 4).map(({ x }) => x)).toEqual(plain.series.map(({ x }) => x));
  });

  it("raise the flag of every hidden value", () => {
    const { featureNames } = hidden.preprocessing;
    const flag = featureNames.indexOf("a.missing");
    const { x } = hidden.series[4];
    for (let t = 0; t < 12; t++) expect(x[t * featureNames.length + flag]).toBeGreaterThan(0);
  });

  it("are refused with the policy to refuse, and by a name that is no feature", () => {
    expect(() => prepare(table, { ...options, missing: "refuse", hide: [["a"]] })).toThrow(/OST_CONFIG/);
    expect(() => prepare(table, { ...options, hide: [["c"]] })).toThrow(/OST_COLUMN/);
  });
});
