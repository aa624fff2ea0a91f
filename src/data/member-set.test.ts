import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Part } from "../core/batch.js";
import { batches, collate } from "./batch.js";
import { lanes } from "./lane.js";
import { MemberSet } from "./member-set.js";
import { applyPreprocessing, type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import { tableFromRecords } from "./table.js";
import { describeWindow, sequences, windows } from "./window.js";

const member = fc.constantFrom("60", "64", "67", "7", "a", "é");
const cell = fc.array(member, { maxLength: 5 }).map((members) => members.join(" "));

describe("a set", () => {
  it("knows the members of its texts, as numbers in order where all are, and each once", () => {
    expect(MemberSet.fit(["60  64", "7 60 60", ""]).members).toEqual(["7", "60", "64"]);
    expect(MemberSet.fit(["b 10", "a 9"]).members).toEqual(["10", "9", "a", "b"]);
    expect(MemberSet.fit(["1 2", "2 2"], { minCount: 2 }).members).toEqual(["2"]);
    expect(MemberSet.fit([], { range: [58, 61] }).members).toEqual(["58", "59", "60", "61"]);
    expect(MemberSet.fit([], { members: ["x", 7] }).members).toEqual(["x", "7"]);
  });

  it("encodes a text as the codes of its known members, whatever their order, and survives JSON", () => {
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1 }), fc.string(), (texts, any) => {
        fc.pre(texts.some((text) => text !== ""));
        const set = MemberSet.fit(texts);
        const thawed = MemberSet.fromJSON(JSON.parse(JSON.stringify(set)));
        for (const text of [...texts, any]) {
          const members = new Set(text.split(/\s+/u));
          const known = set.members.flatMap((name, code) => (members.has(name) ? [code] : []));
          expect(set.encode(text)).toEqual(known);
          expect(thawed.encode(text.split(" ").reverse().join(" "))).toEqual(known);
        }
        for (const text of texts) expect(set.unknown(text)).toBeUndefined();
        expect(set.unknown("60 never")).toBe(set.members.includes("60") ? "never" : "60");
      }),
    );
  });

  it("refuses what cannot be a set", () => {
    for (const options of [
      { range: [3, 1] },
      { range: [0, 5000] },
      { members: ["a b"] },
      { members: ["a", "a"] },
      { minCount: 0 },
    ]) {
      expect(() => MemberSet.fit(["a"], options as never)).toThrow(/OST_RANGE/);
    }
    expect(() => MemberSet.fit(["", " "])).toThrow(/OST_RANGE.*members/s);
    for (const members of [[], ["a", "a"], [1], ["a b"], [""], undefined]) {
      expect(() => MemberSet.fromJSON({ members })).toThrow(/OST_MODEL_FILE/);
    }
  });
});

const OPTIONS: DataOptions = {
  targetKind: "values",
  entity: "piece",
  categories: { notes: { kind: "set", as: "oneHot" } },
  target: "notes",
  split: { by: "column:part" },
};
const PARTS: readonly Part[] = ["train", "validation", "test"];

function songOf(pieces: readonly (readonly string[])[], more: Partial<DataOptions> = {}) {
  const records = pieces.flatMap((rows, p) =>
    rows.map((notes) => ({ notes, piece: `p${p}`, part: PARTS[p % 3], beat: rows.length })),
  );
  return prepare(tableFromRecords(records, { text: ["notes"] }), { ...OPTIONS, ...more });
}

const all = "60 64 67 7 a é";
const pieces = fc.tuple(
  fc.array(cell, { minLength: 1, maxLength: 6 }).map((rows) => [all, ...rows]),
  ...[0, 1, 2, 3].map(() => fc.array(cell, { minLength: 2, maxLength: 6 })),
);

describe("frames of a set as the target", () => {
  it("are 0 and 1, unscaled, input and target of the same names, and a stream reads what a file holds", () => {
    fc.assert(
      fc.property(pieces, (drawn) => {
        const { preprocessing, series } = songOf(drawn);
        const names = ["60", "64", "67", "7", "a", "é"].map((name) => `notes=${name}`);
        const spec = preprocessing.spec({ length: 0, horizon: 1, everyStep: true });
        expect([spec.features, spec.targets, spec.targetFeature]).toEqual([names, names, [0, 1, 2, 3, 4, 5]]);
        expect([spec.classes, spec.codes, spec.targetKind]).toEqual([[], undefined, "values"]);
        const thawed = Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing)));
        expect(thawed.toJSON()).toEqual(preprocessing.toJSON());
        drawn.forEach((rows, p) => {
          const flags = rows.flatMap((text) => names.map((name) => (text.split(" ").includes(name.slice(6)) ? 1 : 0)));
          expect([...series[p].x]).toEqual(flags);
          expect([...(series[p].values as Float32Array)]).toEqual(flags);
          const state = thawed.initialState();
          expect(rows.flatMap((notes) => thawed.push({ notes }, state).flatMap(({ x }) => [...x]))).toEqual(flags);
          const lists = rows.map((notes) => ({ notes: notes.split(" ").filter(Boolean) }) as never);
          const again = thawed.initialState();
          expect(lists.flatMap((record) => thawed.push(record, again).flatMap(({ x }) => [...x]))).toEqual(flags);
        });
        expect([...preprocessing.unscaleTarget([0, 1, 1, 0, 0, 1])]).toEqual([0, 1, 1, 0, 0, 1]);
      }),
      { numRuns: 40 },
    );
  });

  it("are fitted on training rows alone; a member of another part without a column is an error that names its row", () => {
    const drawn = [["60 64"], ["60"], ["64"]];
    const fitted = songOf(drawn).preprocessing.toJSON();
    expect(songOf([["60 64"], ["64 60"], [""]]).preprocessing.toJSON()).toEqual(fitted);
    expect(() => songOf([["60 64"], ["60"], ["64 65"]])).toThrow(/OST_TARGET.*row 3.*member "65".*range: \[0, 127\]/s);
    const wide = songOf([["60 64"], ["60"], ["64 65"]], {
      categories: { notes: { kind: "set", as: "oneHot", range: [60, 66] } },
    });
    expect([...(wide.series[2].values as Float32Array)]).toEqual([0, 0, 0, 0, 1, 1, 0]);
    const applied = applyPreprocessing(tableFromRecords([{ notes: "60 99", piece: "x" }]), songOf(drawn).preprocessing, {
      target: "optional",
    });
    expect([...applied.series[0].x]).toEqual([1, 0]);
  });

  it("give whole sequences in which every step predicts the next, as lanes do, or itself", () => {
    fc.assert(
      fc.property(pieces, fc.constantFrom(...PARTS), fc.integer({ min: 1, max: 3 }), (drawn, part, horizon) => {
        const prepared = songOf(drawn);
        const told = (made: Iterable<ReturnType<typeof collate>>) =>
          [...made]
            .flatMap(({ values, series, time, lengths, start, batchSize }) =>
              Array.from({ length: batchSize }, (_, b) => b).flatMap((b) =>
                Array.from({ length: lengths[b] }, (_, t) => {
                  const width = horizon * 6;
                  return `${series[b]} ${start[b] + t}: ${(values as Float32Array).subarray((b * time + t) * width, (b * time + t + 1) * width)}`;
                }),
              ),
            )
            .sort();
        const whole = batches(sequences(prepared, { part, horizon }), { batchSize: 3 });
        expect(told(whole)).toEqual(told(lanes(prepared, { batchSize: 2, chunk: 2, part, horizon })));
        const same = sequences(prepared, { part, horizon: 1, ahead: 0 });
        expect([same.spec.ahead, same.spec.everyStep, same.spec.horizon]).toEqual([0, true, 1]);
        for (let i = 0; i < same.count; i++) {
          const { x, values, lengths } = collate(same, [i]);
          expect(values).toEqual(x);
          expect(lengths[0]).toBe(same.at(i).length);
        }
        const rebuilt = windows(prepared, { length: 2, horizon: 1, everyStep: true, ahead: 0, part });
        const seen = batches(rebuilt, { batchSize: 4 });
        const counted = [...seen].reduce((sum, { lengths }) => sum + lengths.reduce((a, b) => a + b, 0), 0);
        expect(counted).toBe(prepared.split[part]);
      }),
      { numRuns: 40 },
    );
  });

  it("say so in words, and refuse what does not fit", () => {
    const prepared = songOf([["60 64", "60"], ["60"], ["64"]]);
    expect(() => sequences(prepared, { part: "train" })).toThrow(/OST_RANGE.*horizon/s);
    expect(() => sequences(prepared, { part: "validation", horizon: 1 })).toThrow(/OST_WINDOW.*two steps/s);
    expect(() => sequences(prepared, { part: "train", horizon: 2, ahead: 0 })).toThrow(/OST_RANGE.*ahead/s);
    expect(() => windows(prepared, { part: "train", length: 1, horizon: 1, ahead: 0 })).toThrow(/OST_RANGE.*everyStep: true/s);
    expect(describeWindow(sequences(prepared, { part: "train", horizon: 1 }), 0)).toMatch(/from each step the next 1/);
    expect(describeWindow(sequences(prepared, { part: "train", horizon: 1, ahead: 0 }), 0)).toMatch(/each step itself/);
    const rows = [["60 64", "60"], ["60"], ["64"]];
    expect(() => songOf(rows, { target: ["notes", "beat"] })).toThrow(/OST_TARGET.*by itself/s);
    expect(() => songOf(rows, { categories: { notes: { kind: "set", as: "embedding" } } })).toThrow(/OST_CONFIG.*as: oneHot/s);
    expect(() => songOf(rows, { counts: ["notes"] })).toThrow(/OST_COLUMN.*data.counts/s);
    expect(() => songOf(rows, { categories: { notes: { kind: "vocabulary", as: "oneHot" } } })).toThrow(/OST_TARGET.*kind: set/s);
  });
});

it("a set is an input beside others, before the flags and codes that are appended", () => {
  const records = Array.from({ length: 9 }, (_, i) => ({
    v: i % 2 === 0 ? i : null,
    basket: ["milk bread", "tea", ""][i % 3],
    shop: ["x", "y"][i % 2],
    label: ["p", "q"][i % 2],
    part: PARTS[Math.floor(i / 3)],
  }));
  const prepared = prepare(tableFromRecords(records), {
    targetKind: "tags",
    features: ["v"],
    categories: { basket: { kind: "set", as: "oneHot" }, shop: { kind: "vocabulary", as: "oneHot" } },
    target: "label",
    missing: { policy: "value", flag: true },
    split: { by: "column:part" },
  });
  const { featureNames } = prepared.preprocessing;
  expect(featureNames).toEqual([
    "v",
    "basket=bread",
    "basket=milk",
    "basket=tea",
    "v.missing",
    "shop=<unknown>",
    "shop=x",
    "shop=y",
  ]);
  const state = prepared.preprocessing.initialState();
  const pushed = records.flatMap(({ v, basket, shop }) => prepared.preprocessing.push({ v, basket, shop }, state));
  expect(pushed.flatMap(({ x }) => [...x])).toEqual([...prepared.series[0].x]);
});
