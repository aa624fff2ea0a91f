import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Part } from "../core/batch.js";
import { augment } from "./augment.js";
import { batches, collate } from "./batch.js";
import type { CategoryOptions } from "./category.js";
import { prepareOnDisk } from "./disk/prepare-on-disk.js";
import { lanes } from "./lane.js";
import { applyPreprocessing, type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import type { SplitOptions } from "./split.js";
import { tableFromRecords } from "./table.js";
import { hasTarget } from "./target-scan.js";
import { describeWindow, sequences, trailingWindows, windows } from "./window.js";

const PARTS: readonly Part[] = ["train", "validation", "test"];
const characters: CategoryOptions = { kind: "characters", as: "embedding" };
const SHARES: SplitOptions = { by: "time", train: 0.6, validation: 0.2, test: 0.2 };

function textOf(text: string, more: Partial<DataOptions> = {}): ReturnType<typeof prepare> {
  return prepare(tableFromRecords([{ text }]), {
    targetKind: "next",
    categories: { text: characters },
    target: "text",
    split: SHARES,
    ...more,
  });
}

/** Rows of events in series whose parts may come in any order. */
const events = fc.array(
  fc.array(fc.record({ event: fc.constantFrom("a", "b", "c", ""), part: fc.constantFrom("train", "validation", "test", "") }), {
    minLength: 1,
    maxLength: 12,
  }),
  { minLength: 1, maxLength: 4 },
);

const KNOWN = [
  [
    { event: "a", part: "train" },
    { event: "b", part: "validation" },
    { event: "a", part: "test" },
  ],
];

function eventsOf(drawn: { event: string; part: string }[][], more: Partial<DataOptions> = {}) {
  const records = [...KNOWN, ...drawn].flatMap((rows, s) => rows.map((row) => ({ ...row, id: `s${s}` })));
  return prepare(tableFromRecords(records), {
    targetKind: "next",
    entity: "id",
    categories: { event: { kind: "vocabulary", as: "embedding" } },
    target: "event",
    split: { by: "column:part" },
    ...more,
  });
}

describe("the next code", () => {
  it("is that of the row after, where it is of the same series and part", () => {
    fc.assert(
      fc.property(events, (drawn) => {
        const prepared = eventsOf(drawn);
        const { preprocessing } = prepared;
        const codeOf = (text: string) => preprocessing.categories[0].codebook.encode(text)[0];
        [...KNOWN, ...drawn].forEach((rows, s) => {
          const expected = rows.map(({ part }, t) => (rows[t + 1]?.part === part ? codeOf(rows[t + 1].event) : -1));
          expect([...(prepared.series[s].classes as Int32Array)]).toEqual(expected);
        });
        const spec = preprocessing.spec({ length: 4 });
        expect(spec.classes).toEqual(Array.from(spec.classes, (_, code) => preprocessing.categories[0].codebook.nameOf(code)));
        expect([spec.targetKind, spec.targets, spec.horizon, spec.everyStep]).toEqual(["next", [], 0, false]);
      }),
    );
  });

  it("is the input of the step after it, as a stream reads it, for every tokenizer and with the preprocessing from its JSON", () => {
    const codebooks: CategoryOptions[] = [
      characters,
      { kind: "words", as: "embedding" },
      { kind: "symbols", as: "embedding" },
      { kind: "bytePair", as: "embedding", maxSize: 300 },
      { kind: "characters", as: "embedding", markers: { begin: true, end: true } },
    ];
    const line = fc
      .array(fc.constantFrom("so", "it", "ends.", "é", "-x-"), { minLength: 1, maxLength: 6 })
      .map((words) => words.join(" "));
    fc.assert(
      fc.property(fc.array(line, { minLength: 4, maxLength: 8 }), fc.constantFrom(...codebooks), (lines, codebook) => {
        const table = tableFromRecords(lines.map((text, i) => ({ text, id: `s${i}` })));
        const prepared = prepare(table, {
          targetKind: "next",
          entity: "id",
          categories: { text: codebook },
          target: "text",
          split: { by: "entity", train: 0.5, validation: 0.25, test: 0.25 },
        });
        const thawed = Preprocessing.fromJSON(JSON.parse(JSON.stringify(prepared.preprocessing)));
        expect(thawed.classes).toEqual(prepared.preprocessing.classes);
        expect(thawed.toJSON()).toEqual(prepared.preprocessing.toJSON());
        prepared.series.forEach(({ x, classes }, s) => {
          const pushed = thawed.push({ text: lines[s] }, thawed.initialState());
          expect(pushed.map((step) => step.x[0])).toEqual([...x]);
          expect([...(classes as Int32Array)]).toEqual([...x.slice(1), -1]);
        });
        const applied = applyPreprocessing(table, thawed, { target: "optional" });
        expect(applied.series.map(({ classes }) => classes)).toEqual(prepared.series.map(({ classes }) => classes));
      }),
      { numRuns: 40 },
    );
  });

  it("comes in windows side by side, whole sequences, trailing windows and lanes alike: every step once", () => {
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 5 }), fc.constantFrom(...PARTS), (drawn, length, part) => {
        const prepared = eventsOf([
          ...drawn,
          [...Array(3)].flatMap(() => PARTS.flatMap((name) => Array(3).fill({ event: "a", part: name }))),
        ]);
        const all = prepared.series.flatMap(({ part: codes, classes, entity }) =>
          [...(classes as Int32Array)].flatMap((code, t) =>
            codes[t] === PARTS.indexOf(part) + 1 && code >= 0 ? [`${entity} ${t} ${code}`] : [],
          ),
        );
        const told = (batch: ReturnType<typeof batches> | ReturnType<typeof lanes>) =>
          [...batch].flatMap(({ classes, series, start, time, lengths }) =>
            [...(classes as Int32Array)].flatMap((code, i) => {
              const [b, t] = [Math.floor(i / time), i % time];
              expect(t < lengths[b] || code === -1).toBe(true);
              return code >= 0 ? [`${prepared.series[series[b]].entity} ${start[b] + t} ${code}`] : [];
            }),
          );
        const expected = all.sort();
        const batched = { batchSize: 3 };
        expect(told(batches(windows(prepared, { length, part }), batched)).sort()).toEqual(expected);
        expect(told(batches(sequences(prepared, { part }), batched)).sort()).toEqual(expected);
        expect(told(batches(trailingWindows(prepared, { length, part }), batched)).sort()).toEqual(expected);
        expect(told(lanes(prepared, { batchSize: 2, chunk: length, part })).sort()).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  it("batches as solo, and more padding changes nothing", () => {
    const prepared = eventsOf([Array.from({ length: 7 }, (_, i) => ({ event: "abc"[i % 3], part: "train" }))]);
    const examples = windows(prepared, { length: 4, part: "train" });
    const whole = collate(examples, [1, 0]);
    for (let i = 0; i < examples.count; i++) {
      const solo = collate(examples, [i]);
      const row = (list: Int32Array, time: number, b: number) => [...list.subarray(b * time, b * time + solo.lengths[0])];
      expect(row(solo.classes as Int32Array, solo.time, 0)).toEqual(row(whole.classes as Int32Array, whole.time, 1 - i));
    }
    expect(hasTarget(prepared.series[1], 0, 7)).toBe(true);
    expect(hasTarget(prepared.series[1], 6, 7)).toBe(false);
    expect(describeWindow(examples, 0)).toMatch(/target {2}the code after each step/);
  });

  it("refuses targets that are no column of codes, augmentations that move steps, and disk", async () => {
    const drawn = [[{ event: "a", part: "train" }]];
    expect(() => eventsOf(drawn, { target: "part" })).toThrow(/OST_TARGET.*one column of codes.*"part"/s);
    expect(() => eventsOf(drawn, { target: "evnt" })).toThrow(/OST_TARGET.*did you mean "event"/s);
    expect(() => eventsOf(drawn, { categories: { event: { kind: "set", as: "oneHot" } } })).toThrow(
      /OST_TARGET.*of any kind but set/s,
    );
    const examples = windows(eventsOf([Array(5).fill({ event: "a", part: "train" })]), { length: 3, part: "train" });
    for (const option of [{ slice: 0.5 }, { speed: [0.5, 2] as const }, { timeWarp: { std: 0.1 } }]) {
      expect(() => augment(examples, option)).toThrow(/OST_RANGE.*untrue.*a target of next/s);
    }
    expect(augment(examples, { featureMask: { width: 1 } }).augmentation).not.toBeNull();
    const options: DataOptions = { targetKind: "next", categories: { text: characters }, target: "text", split: SHARES };
    const reading = () => {
      throw new Error("read");
    };
    await expect(prepareOnDisk(reading, options, { folder: "nowhere", fingerprint: "" })).rejects.toThrow(
      /OST_CONFIG.*with a tokenizer/s,
    );
  });
});

describe("a document cut along time", () => {
  const document = fc.string({ unit: fc.constantFrom("a", "b", " ", "\n", "é", "😀"), minLength: 20, maxLength: 80 });

  it("is cut by characters, each part a stretch of the text, and the codes know the training stretch alone", () => {
    fc.assert(
      fc.property(document, fc.string({ unit: fc.constantFrom("y", "z", "\n"), minLength: 30, maxLength: 30 }), (text, other) => {
        const prepared = textOf(text);
        const points = [...text];
        const train = Math.floor(points.length * 0.6 + 1e-9);
        const validation = Math.floor(points.length * 0.2 + 1e-9);
        expect(prepared.split).toMatchObject({ train, validation, test: points.length - train - validation, unit: "characters" });
        const [{ part, classes, length, x }] = prepared.series;
        expect(length).toBe(points.length);
        expect([...part]).toEqual(points.map((_, i) => (i < train ? 1 : i < train + validation ? 2 : 3)));
        expect((classes as Int32Array)[train - 1]).toBe(-1);
        expect((classes as Int32Array)[0]).toBe(x[1]);
        expect(new Set(prepared.preprocessing.classes)).toEqual(new Set(["<unknown>", ...points.slice(0, train)]));
        // Whatever the later parts hold: nothing that was fitted changes.
        const changed = [...points.slice(0, train), ...[...other, ...other, ...other].slice(0, points.length - train)].join("");
        expect(textOf(changed).preprocessing.toJSON()).toEqual(prepared.preprocessing.toJSON());
        expect(prepared.preprocessing.decodeTarget(x.subarray(0, train))).toBe(points.slice(0, train).join(""));
      }),
      { numRuns: 60 },
    );
  });

  it("takes counts of characters and gaps, and cuts each of several documents", () => {
    const split: SplitOptions = { by: "time", rows: [5, 2, 2], gap: 1 };
    const prepared = prepare(
      tableFromRecords([
        { id: "x", text: "abcde-ab-cde" },
        { id: "y", text: "ab" },
        { id: "y", text: "cdeabcdeabc" },
      ]),
      {
        targetKind: "next",
        entity: "id",
        categories: { text: characters },
        target: "text",
        split,
      },
    );
    expect(prepared.series.map(({ part }) => [...part].join(""))).toEqual(["111110220330", "1111102203300"]);
    expect([...prepared.series[1].row]).toEqual([2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    expect(prepared.split).toMatchObject({ train: 10, validation: 4, test: 4, unused: 7 });
  });

  it("notes characters that only later parts hold, unless training met unknown ones too", () => {
    const [known, strange] = ["abababababab", "xxxyabyy"];
    expect(textOf(known + strange).notes).toEqual([expect.stringMatching(/^5 of 6 target tokens/)]);
    expect(textOf(known + known).notes).toBeUndefined();
    const rare = { ...characters, minCount: 2 } as CategoryOptions;
    expect(textOf(`${known.slice(1)}z${strange}`, { categories: { text: rare } }).notes).toBeUndefined();
  });

  it("tears no word: the border moves on to the next white space", () => {
    const words = Array.from({ length: 40 }, (_, i) => `word${i % 7}`);
    const prepared = textOf(words.join(" "), { categories: { text: { kind: "words", as: "embedding" } } });
    expect(prepared.series[0].length).toBe(40);
    expect(prepared.preprocessing.classes).not.toContain("wor");
    expect(new Set(prepared.series[0].x).has(0)).toBe(false);
    const pairs = textOf(words.join(" "), { categories: { text: { kind: "bytePair", as: "embedding" } } });
    expect(pairs.preprocessing.decodeTarget(pairs.series[0].x)).toBe(words.join(" "));
  });

  it("leaves rows whole where the split is at instants, by other means, or the target another", () => {
    const rows = Array.from({ length: 10 }, (_, i) => ({ text: "some text", label: "ab"[i % 2], time: 1e12 + i * 1000 }));
    const options = { targetKind: "next", time: "time", categories: { text: characters }, target: "text" } as const;
    const instants = prepare(tableFromRecords(rows), { ...options, split: { ...SHARES, at: "instant" } as SplitOptions });
    const tags = prepare(tableFromRecords(rows), { ...options, targetKind: "tags", target: "label", split: SHARES });
    for (const { split, series } of [instants, tags]) {
      expect([split.train, split.unit, series[0].length]).toEqual([6, undefined, 90]);
    }
  });
});
