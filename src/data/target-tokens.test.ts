import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { augment } from "./augment.js";
import { batches, collate } from "./batch.js";
import { prepareOnDisk } from "./disk/prepare-on-disk.js";
import { lanes } from "./lane.js";
import { freezeRecipe, makeBatches, thawRecipe } from "./prefetch.js";
import { applyPreprocessing, type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import { readTable } from "./read/index.js";
import { tableFromRecords } from "./table.js";
import { hasTarget } from "./target-scan.js";
import type { TargetTokensOptions } from "./target-tokens.js";
import { describeWindow, sequences, trailingWindows, windows } from "./window.js";

const OPTIONS: DataOptions = {
  targetKind: "tokens",
  entity: "line",
  categories: { source: { kind: "words", as: "embedding" } },
  target: "goal",
  targetTokens: { kind: "vocabulary" },
  split: { by: "column:part" },
};

interface Pair {
  source: string;
  goal: string;
}

const word = fc.constantFrom("I_WALK", "I_RUN", "left.", "null", "7", "é", "naïve");
const sentence = fc.array(word, { maxLength: 5 }).map((words) => words.join(" "));
const pairs = fc.array(fc.record({ source: sentence, goal: sentence }), { minLength: 3, maxLength: 9 });
const PART = ["train", "validation", "test"];

function preparedOf(list: readonly Pair[], more: Partial<DataOptions> = {}) {
  const records = list.map((pair, i) => ({ ...pair, line: `l${i}`, part: PART[i % 3] }));
  return prepare(tableFromRecords([...records, { source: "a", goal: "I_JUMP", line: "l-1", part: "train" }]), {
    ...OPTIONS,
    ...more,
  });
}

describe("the text of a series as target", () => {
  const kinds: TargetTokensOptions[] = [
    { kind: "vocabulary" },
    { kind: "characters" },
    { kind: "words", lowerCase: false },
    { kind: "bytePair", maxSize: 280 },
  ];

  it("is its codes, fitted on training series alone, and decodes to what it was", () => {
    fc.assert(
      fc.property(pairs, sentence, fc.constantFrom(...kinds), (list, other, targetTokens) => {
        const prepared = preparedOf(list, { targetTokens });
        const { preprocessing, series } = prepared;
        const changed = list.map((pair, i) => (i % 3 === 0 ? pair : { source: `${other} x${i}`, goal: `${other} new${i}` }));
        const fitted = (one: typeof prepared) => one.preprocessing.toJSON();
        expect(fitted(preparedOf(changed, { targetTokens }))).toEqual(fitted(prepared));
        const thawed = Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing)));
        expect([thawed.toJSON(), thawed.classes]).toEqual([preprocessing.toJSON(), preprocessing.classes]);
        expect(preprocessing.spec({ length: 0 }).classes).toHaveLength(preprocessing.targetTokens?.size ?? -1);
        expect(new Set(preprocessing.classes).size).toBe(preprocessing.classes.length);
        list.forEach(({ goal }, i) => {
          const tokens = series[i].tokens as Int32Array;
          expect([...tokens]).toEqual(thawed.targetTokens?.encode(goal));
          if (i % 3 === 0 && targetTokens.kind !== "words") expect(thawed.decodeTarget(tokens)).toBe(goal);
          expect([series[i].values, series[i].classes]).toEqual([null, null]);
        });
      }),
      { numRuns: 60 },
    );
  });

  it("knows what comes between white space as one symbol, what training never saw as code 0", () => {
    const { preprocessing, series, notes } = preparedOf([
      { source: "x", goal: "I_TURN-RIGHT  [3] a.b" },
      { source: "x", goal: "I_TURN-RIGHT never" },
      { source: "x", goal: "" },
    ]);
    expect(preprocessing.classes).toEqual(["<unknown>", "I_JUMP", "I_TURN-RIGHT", "[3]", "a.b"]);
    expect([...(series[0].tokens as Int32Array)]).toEqual([2, 3, 4]);
    expect([...(series[1].tokens as Int32Array)]).toEqual([2, 0]);
    expect(notes).toEqual([expect.stringMatching(/^1 of 2 target tokens .* in records row 2\)/)]);
    expect(preprocessing.decodeTarget([2, 0, 4, 5, -1])).toBe("I_TURN-RIGHT \ufffd a.b");
  });

  it("is collated with its length, padded with -1; an empty one is a target too", () => {
    const prepared = preparedOf([
      { source: "a b c", goal: "I_JUMP I_RUN" },
      { source: "", goal: "x" },
      { source: "", goal: "x" },
      { source: "a", goal: "" },
      { source: "a", goal: "" },
      { source: "a", goal: "" },
    ]);
    const examples = sequences(prepared, { part: "train" });
    expect(examples.count).toBe(3);
    const batch = collate(examples, [0, 1, 2]);
    expect([batch.targetKind, [...batch.lengths], [...(batch.tokenLengths as Int32Array)]]).toEqual([
      "tokens",
      [3, 1, 1],
      [2, 0, 1],
    ]);
    const [jump, run] = ["I_JUMP", "I_RUN"].map((name) => prepared.preprocessing.classes.indexOf(name));
    expect([...(batch.tokens as Int32Array)]).toEqual([jump, run, -1, -1, jump, -1]);
    const alone = collate(examples, [1]);
    expect([alone.tokens?.length, [...(alone.tokenLengths as Int32Array)]]).toEqual([0, [0]]);
    expect(describeWindow(examples, 0)).toMatch(/the text of the series/);
    expect(hasTarget(prepared.series[3], 0, 1)).toBe(true);
  });

  it("reads the same from batches of any size, in any order, and from another thread's recipe", () => {
    fc.assert(
      fc.property(pairs, fc.integer({ min: 1, max: 5 }), fc.nat(100), (list, batchSize, number) => {
        const examples = sequences(preparedOf(list), { part: "train" });
        const told = (made: Iterable<ReturnType<typeof collate>>) =>
          [...made]
            .flatMap(({ example, tokens, tokenLengths, x, lengths, time, batchSize: rows }) => {
              const width = (tokens as Int32Array).length / rows;
              return [...example].map((index, b) => [
                index,
                [...(tokens as Int32Array).subarray(b * width, b * width + (tokenLengths as Int32Array)[b])],
                [...x.subarray(b * time, b * time + lengths[b])],
              ]);
            })
            .sort(([a], [b]) => Number(a) - Number(b));
        const solo = told(Array.from({ length: examples.count }, (_, i) => collate(examples, [i])));
        const recipe = { kind: "batches", rows: examples, options: { batchSize } } as const;
        expect(told(batches(examples, { batchSize, rng: seed(number) }))).toEqual(solo);
        const thawed = thawRecipe(freezeRecipe(recipe), () => {
          throw new Error("nothing lies in files");
        });
        expect(told(makeBatches(thawed, seed(number)))).toEqual(solo);
      }),
      { numRuns: 30 },
    );
  });

  it("is missing where new data have none, and then no step has a target", () => {
    const { preprocessing } = preparedOf([
      { source: "a", goal: "x" },
      { source: "a", goal: "x" },
      { source: "a", goal: "x" },
    ]);
    const table = tableFromRecords([{ source: "a b", line: "1" }]);
    const { series } = applyPreprocessing(table, preprocessing, { target: "optional" });
    expect([series[0].tokens, series[0].length, hasTarget(series[0], 0, 2)]).toEqual([null, 2, false]);
    expect(() => applyPreprocessing(table, preprocessing)).toThrow(/OST_COLUMN.*target/);
  });

  it("may be read from numbers, as frames of sound are, and takes augmentations that keep all of it", () => {
    const records = Array.from({ length: 12 }, (_, i) => ({
      id: `r${i >> 2}`,
      e: i / 3,
      digits: `${i >> 2} 7`,
      part: PART[i >> 2],
    }));
    const prepared = prepare(tableFromRecords(records), {
      ...OPTIONS,
      entity: "id",
      categories: {},
      features: ["e"],
      target: "digits",
    });
    const examples = sequences(prepared, { part: "train" });
    expect([...(collate(examples, [0]).tokens as Int32Array)]).toEqual([1, 2]);
    expect([...(prepared.series[2].tokens as Int32Array)]).toEqual([0, 2]);
    const [varied] = batches(augment(examples, { speed: [2, 2], jitter: 0.1 }), { batchSize: 1, rng: seed(3) });
    expect([[...varied.lengths], [...(varied.tokens as Int32Array)]]).toEqual([[2], [1, 2]]);
    expect(() => augment(examples, { slice: 0.5 })).toThrow(/OST_RANGE.*untrue/);
  });

  it("is refused where it changes within a series, is an input, has no codes, or is cut", async () => {
    const two = [
      { source: "a", goal: "x", line: "1", part: "train" },
      { source: "a", goal: "y", line: "1", part: "train" },
    ];
    expect(() => prepare(tableFromRecords(two), OPTIONS)).toThrow(
      /OST_TARGET.*row 2 column "goal".*not constant.*"x" in every row/s,
    );
    const split = two.map((row, i) => ({ ...row, goal: "x", part: PART[i] }));
    expect(() => prepare(tableFromRecords([...split, { ...split[0], line: "2", part: "test" }]), OPTIONS)).toThrow(
      /OST_SPLIT.*one target for all/s,
    );
    const list = [
      { source: "a", goal: "x" },
      { source: "a", goal: "x" },
      { source: "a", goal: "x" },
    ];
    expect(() => preparedOf(list, { target: "source" })).toThrow(/OST_TARGET.*told the answer/s);
    expect(() => preparedOf(list, { targetTokens: null })).toThrow(/OST_CONFIG.*data.targetTokens.*kind: words/s);
    expect(() => preparedOf(list, { targetKind: "class", target: "goal" })).toThrow(/OST_CONFIG.*remove data.targetTokens/s);
    const empty = prepare.bind(
      null,
      tableFromRecords(list.map((_, i) => ({ source: "a", goal: "", line: i, part: PART[i] }))),
      OPTIONS,
    );
    expect(empty).toThrow(/OST_TARGET.*every training series is empty/s);
    const prepared = preparedOf(list);
    for (const cut of [windows, trailingWindows]) {
      expect(() => cut(prepared, { length: 2, part: "train" })).toThrow(/OST_RANGE.*predicted from all of it.*sequences/s);
    }
    expect(() => lanes(prepared, { batchSize: 1, chunk: 2, part: "train" })).toThrow(/OST_RANGE/);
    const reading = () => {
      throw new Error("read");
    };
    const onDisk = { ...OPTIONS, categories: {}, features: ["e"] };
    await expect(prepareOnDisk(reading, onDisk, { folder: "nowhere", fingerprint: "" })).rejects.toThrow(/OST_CONFIG.*texts/s);
  });

  it("refuses a model file whose target codebook is no tokenizer or has markers", () => {
    const { preprocessing } = preparedOf([
      { source: "a", goal: "x" },
      { source: "a", goal: "x" },
      { source: "a", goal: "x" },
    ]);
    const json = JSON.parse(JSON.stringify(preprocessing));
    for (const targetTokens of [
      undefined,
      { ...json.targetTokens, markers: { begin: true, end: false } },
      { transform: "vocabulary", texts: ["a"], counts: [0, 1] },
    ]) {
      expect(() => Preprocessing.fromJSON({ ...json, targetTokens })).toThrow(/OST_MODEL_FILE/);
    }
  });
});

const data = process.env.OSTINATO_DATA ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
const scan = join(data, "seq2seq-scan");
it.skipIf(!existsSync(scan))(
  "SCAN is 16,728 and 4,182 pairs of 13 words and 6 actions (needs OSTINATO_DATA or ../shared/data)",
  async () => {
    const files = { train: join(scan, "tasks_train_simple.txt.gz"), test: join(scan, "tasks_test_simple.txt.gz") };
    const table = await readTable(files, { read: { line: "IN: {command} OUT: {actions}" } });
    const prepared = prepare(table, {
      ...OPTIONS,
      categories: { command: { kind: "words", as: "embedding" } },
      target: "actions",
      split: { by: "column:part", validation: 0.05 },
    });
    const { train, validation, test } = prepared.split.series;
    expect([train + validation, test, prepared.preprocessing.classes.length]).toEqual([16728, 4182, 7]);
    expect(prepared.preprocessing.categories[0].codebook.size).toBe(14);
    const lengths = prepared.series.map(({ tokens }) => (tokens as Int32Array).length);
    expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([1, 48]);
  },
);
