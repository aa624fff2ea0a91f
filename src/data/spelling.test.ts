import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import { shapeOf } from "./spelling.js";
import { tableFromRecords } from "./table.js";

const OPTIONS: DataOptions = {
  targetKind: "tags",
  entity: "sentence",
  categories: { form: { kind: "vocabulary", as: "embedding", lowerCase: true, width: 5 } },
  spelling: { form: { prefixes: [1, 2], suffixes: [1, 3], shape: true, minCount: 1, width: 3 } },
  target: "tag",
  split: { by: "column:part" },
};
const PARTS = ["train", "validation", "test"];

function taggedOf(words: readonly string[], more: Partial<DataOptions> = {}) {
  const records = words.map((form, i) => ({ form, tag: "AB"[i % 2], sentence: `s${i >> 1}`, part: PARTS[(i >> 1) % 3] }));
  return prepare(tableFromRecords(records), { ...OPTIONS, ...more });
}

const word = fc.oneof(
  fc.constantFrom("", "The", "the", "U.S.", "McDonald's", "naïve", "😀x", "null"),
  fc.string({ minLength: 1, maxLength: 6 }),
);
const words = fc.array(word, { minLength: 6, maxLength: 14 }).filter((list) => list.length % 2 === 0);

describe("spelling", () => {
  it("shows a word's shape", () => {
    expect(["The", "USA", "McDonald's-7", "1,000.25", "東京都", "", "a"].map(shapeOf)).toEqual([
      "Xxx",
      "XX",
      "XxXxx'x-d",
      "d,dd.dd",
      "oo",
      "",
      "x",
    ]);
  });

  it("adds a column of codes per affix and shape behind the word's own, each with its table", () => {
    const { preprocessing, series } = taggedOf(["Walked", "talks", "ed", "x", "Jumped", "y", "unseen", "z"]);
    const names = ["form", "form.prefix1", "form.prefix2", "form.suffix1", "form.suffix3", "form.shape"];
    expect(preprocessing.featureNames).toEqual(names);
    expect(preprocessing.codes.map(({ column, width }) => [column, width])).toEqual([
      [0, 5],
      ...[1, 2, 3, 4, 5].map((column) => [column, 3]),
    ]);
    const named = (row: number, s = 0) =>
      [...series[s].x.subarray(row * 6, row * 6 + 6)].map((code, c) => preprocessing.categories[c].codebook.nameOf(code));
    expect(named(0)).toEqual(["walked", "w", "wa", "d", "ked", "Xxx"]);
    // A word that training never saw is told by what of its spelling training knows; a short one has no long ending.
    expect(named(0, 2)).toEqual(["<unknown>", "<unknown>", "<unknown>", "d", "<unknown>", "Xxx"]);
    expect(named(0, 1)).toEqual(["<unknown>", "<unknown>", "<unknown>", "d", "<unknown>", "xx"]);
  });

  it("is the same from a stream as from a file, with the preprocessing from its JSON, and knows training rows alone", () => {
    fc.assert(
      fc.property(words, words, (list, other) => {
        const { preprocessing, series } = taggedOf(list);
        const thawed = Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing)));
        expect(thawed.toJSON()).toEqual(preprocessing.toJSON());
        series.forEach(({ x }, s) => {
          const state = thawed.initialState();
          const pushed = list.slice(2 * s, 2 * s + 2).flatMap((form) => thawed.push({ form }, state));
          expect(pushed.flatMap((step) => [...step.x])).toEqual([...x]);
        });
        const changed = list.map((form, i) => ((i >> 1) % 3 === 0 ? form : other[i % other.length]));
        expect(taggedOf(changed).preprocessing.toJSON()).toEqual(preprocessing.toJSON());
      }),
      { numRuns: 60 },
    );
  });

  it("stands beside one-hot words and numbers, and keeps rare affixes out", () => {
    const { preprocessing, series } = taggedOf(["ab", "ac", "b", "c", "d", "e"], {
      categories: { form: { kind: "vocabulary", as: "oneHot" } },
      spelling: { form: { prefixes: [1], minCount: 2 } },
    });
    expect(preprocessing.featureNames).toEqual(["form.prefix1", "form=<unknown>", "form=ab", "form=ac"]);
    expect([...series[0].x]).toEqual([1, 0, 1, 0, 1, 0, 0, 1]);
    expect(preprocessing.codes).toMatchObject([{ column: 0, size: 2 }]);
  });

  it("refuses columns without one word per row, wrong lengths, and malformed model files", () => {
    const list = ["a", "b", "c", "d", "e", "f"];
    const spelling = { prefixes: [1] };
    expect(() => taggedOf(list, { spelling: { frm: spelling } })).toThrow(/OST_CONFIG.*did you mean "form"/s);
    expect(() => taggedOf(list, { categories: { form: { kind: "words", as: "embedding" } } })).toThrow(
      /OST_CONFIG.*one word per row/s,
    );
    for (const wrong of [{ prefixes: [0] }, { suffixes: [17] }, { prefixes: [2, 2] }, {}]) {
      expect(() => taggedOf(list, { spelling: { form: wrong } })).toThrow(/OST_RANGE.*data.spelling.form/s);
    }
    const json = JSON.parse(JSON.stringify(taggedOf(list).preprocessing));
    const [own, first, ...rest] = json.categories;
    for (const categories of [
      [own, { ...first, of: 1 }, ...rest],
      [own, { ...first, of: -1 }, ...rest],
      [own, { ...first, of: undefined }, ...rest],
      [{ ...first }, own, ...rest],
      [own, { ...first, codebook: { ...first.codebook, length: 0 } }, ...rest],
      [own, { ...first, codebook: { ...first.codebook, part: "middle" } }, ...rest],
      [{ ...own, of: 0 }, first, ...rest],
    ]) {
      expect(() => Preprocessing.fromJSON({ ...json, categories })).toThrow(/OST_MODEL_FILE/);
    }
  });
});
