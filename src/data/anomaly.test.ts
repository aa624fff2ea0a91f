import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { prepareOnDisk } from "./disk/prepare-on-disk.js";
import { applyPreprocessing, type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import { tableFromRecords } from "./table.js";

const OPTIONS: DataOptions = {
  targetKind: "values",
  features: ["load", "heat"],
  anomaly: { column: "state", normal: ["ok", 0] },
  split: { by: "time", train: 0.5, validation: 0.25, test: 0.25 },
};
const states = fc.array(fc.constantFrom("ok", "0", "bad", "", "NA"), { minLength: 8, maxLength: 20 });
const tableOf = (list: readonly string[], from = 0) =>
  tableFromRecords(
    list.map((state, i) => ({ load: Math.sin(i) + from, heat: i % 3, time: 1e12 + 1000 * i, state })),
    { text: ["state"] },
  );
const codeOf = (state: string) => ({ ok: 0, "0": 0, bad: 1, "": 255, NA: 255 })[state];

describe("rows known to be anomalous", () => {
  it("are told of every row, reach no input, and nothing is fitted on them", () => {
    fc.assert(
      fc.property(states, states, (list, other) => {
        const prepared = prepare(tableOf(list), OPTIONS);
        expect([...(prepared.series[0].anomaly as Uint8Array)]).toEqual(list.map(codeOf));
        const changed = prepare(tableOf(list.map((_, i) => other[i % other.length])), OPTIONS);
        expect(changed.preprocessing.toJSON()).toEqual(prepared.preprocessing.toJSON());
        expect(changed.series[0].x).toEqual(prepared.series[0].x);
        expect(changed.series[0].values).toEqual(prepared.series[0].values);
        // Without another target all features are predicted.
        expect(prepared.preprocessing.targetColumns).toEqual(["load", "heat"]);
        expect(prepared.series[0].values).toEqual(prepared.series[0].x);
        const thawed = Preprocessing.fromJSON(JSON.parse(JSON.stringify(prepared.preprocessing)));
        expect([...(applyPreprocessing(tableOf(list), thawed).series[0].anomaly as Uint8Array)]).toEqual(list.map(codeOf));
        const blind = { ...tableOf(list), columns: tableOf(list).columns.filter(({ name }) => name !== "state") };
        expect(applyPreprocessing(blind, thawed).series[0].anomaly).toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });

  it("stay with their rows where rows become steps or intervals, and where columns are hidden", () => {
    const texts = ["up down", "down", "up up up", "up", "down", "up"].map((event, i) => ({ event, state: ["ok", "bad"][i % 2] }));
    const tokens = prepare(tableFromRecords(texts), {
      targetKind: "next",
      categories: { event: { kind: "symbols", as: "embedding" } },
      anomaly: { column: "state", normal: ["ok"] },
      split: { by: "time", rows: [2, 3, 2], at: undefined } as never,
    });
    expect(tokens.preprocessing.roles.target).toEqual(["event"]);
    expect([...(tokens.series[0].anomaly as Uint8Array)].filter((code) => code === 1)).toHaveLength(3);
    const list = ["ok", "bad", "ok", "ok", "ok", "", "ok", "ok", "ok", "ok", "ok", "ok", "ok"];
    const grid = prepare(tableOf(list), { ...OPTIONS, time: "time", resample: { everyMs: 2000 } });
    expect([...(grid.series[0].anomaly as Uint8Array)]).toEqual([1, 0, 255, 0, 0, 0]);
    const hidden = prepare(tableOf(list), { ...OPTIONS, missing: { policy: "value", flag: true }, hide: [["heat"]] });
    expect(hidden.series.map(({ anomaly, copy }) => [copy, anomaly?.length])).toEqual([
      [false, 13],
      [true, 13],
    ]);
  });

  it("are refused as input, target or without a normal value, and on disk", async () => {
    const list = Array<string>(8).fill("ok");
    const made = (more: Partial<DataOptions>) => () => prepare(tableOf(list), { ...OPTIONS, ...more });
    expect(made({ categories: { state: { kind: "vocabulary", as: "oneHot" } } })).toThrow(/OST_TARGET.*told the answer/s);
    expect(made({ target: "state", targetKind: "tags" })).toThrow(/OST_TARGET/);
    expect(made({ anomaly: { column: "state", normal: [] } })).toThrow(/OST_RANGE.*data.anomaly.normal/s);
    expect(made({ anomaly: { column: "stat", normal: ["ok"] } })).toThrow(/OST_COLUMN.*did you mean "state"/s);
    expect(made({ anomaly: null })).toThrow(/OST_COLUMN.*data.target/s);
    const reading = () => {
      throw new Error("read");
    };
    await expect(prepareOnDisk(reading, OPTIONS, { folder: "nowhere", fingerprint: "" })).rejects.toThrow(
      /OST_CONFIG.*data.anomaly/s,
    );
  });
});

describe("a frozen preprocessing", () => {
  it("is taken as it is for a split of new data, whatever the options ask for", () => {
    fc.assert(
      fc.property(fc.integer({ min: 12, max: 30 }), fc.integer({ min: 1, max: 9 }), (rows, from) => {
        const list = Array<string>(rows).fill("ok");
        const { preprocessing } = prepare(tableOf(list), OPTIONS);
        const frozen = Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing)));
        const table = tableOf(list, from);
        const made = prepare(table, { ...OPTIONS, scale: "minMax", features: ["heat"], targetKind: "tags", frozen });
        expect(made.preprocessing).toBe(frozen);
        expect(frozen.toJSON()).toEqual(preprocessing.toJSON());
        expect(made.series[0].x).toEqual(applyPreprocessing(table, frozen).series[0].x);
        expect(made.split).toEqual(prepare(table, OPTIONS).split);
        expect(made.notes).toHaveLength(1);
        expect(made.notes?.[0]).toMatch(/fitted on its own training rows/);
        expect(prepare(table, OPTIONS).notes).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });

  it("keeps its classes and cuts a text along time as it did", () => {
    const text = (words: string) => tableFromRecords([{ text: words }]);
    const options: DataOptions = {
      targetKind: "next",
      categories: { text: { kind: "characters", as: "embedding" } },
      target: "text",
      split: { by: "time", train: 0.5, validation: 0.25, test: 0.25 },
    };
    const { preprocessing: frozen } = prepare(text("abcabcabcabc"), options);
    const made = prepare(text("cbacbaxyzxyz"), { ...options, categories: {}, frozen });
    expect([...made.series[0].part].join("")).toBe("111111222333");
    expect([...made.series[0].x].slice(6)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(made.preprocessing.classes).toEqual(["<unknown>", "a", "b", "c"]);
    const tags = { ...options, targetKind: "tags", features: [], target: "tag" } as const;
    const rows = (label: string) =>
      tableFromRecords([..."abcabcab"].map((one, i) => ({ text: one, tag: i === 1 ? label : "ab"[i % 2] })));
    const known = prepare(rows("a"), { ...tags, categories: { text: { kind: "vocabulary", as: "oneHot" } } });
    expect(() => prepare(rows("new"), { ...tags, frozen: known.preprocessing })).toThrow(
      /OST_TARGET.*row 2.*"new".*does not occur/s,
    );
  });
});
