import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CategoryOptions,
  categoryColumn,
  checkCategories,
  encodeRow,
  encodeSeries,
  fitCodebook,
  restoreCodebook,
} from "./category.js";
import { type DataOptions, prepare } from "./prepare.js";
import type { Series } from "./series.js";
import { tableFromRecords } from "./table.js";
import { sequences } from "./window.js";

const WORD_LEVEL = {
  model: { type: "WordLevel", vocab: { "[UNK]": 0, a: 1, b: 2 }, unk_token: "[UNK]" },
  pre_tokenizer: { type: "Whitespace" },
};

const text = fc.oneof(
  fc.constantFrom("", " ", "\t\n", "a b", "a", "NA", "null"),
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 6 }),
);
const markers = fc.record({ begin: fc.boolean(), end: fc.boolean() });
const tokenizers: fc.Arbitrary<CategoryOptions> = fc.oneof(
  fc.record({ kind: fc.constant("characters" as const), markers, as: fc.constant("embedding" as const) }),
  fc.record({ kind: fc.constant("words" as const), markers, as: fc.constant("oneHot" as const) }),
  fc.record({
    kind: fc.constant("bytePair" as const),
    markers,
    maxSize: fc.constant(300),
    as: fc.constant("embedding" as const),
  }),
  fc.constant({ kind: "tokenizerJson" as const, json: WORD_LEVEL, as: "embedding" as const }),
);
const single: fc.Arbitrary<CategoryOptions> = fc.oneof(
  fc.record({ kind: fc.constant("vocabulary" as const), minCount: fc.constantFrom(1, 2), as: fc.constant("oneHot" as const) }),
  fc.constant({ kind: "templates" as const, as: "embedding" as const }),
);

function seriesOf(cells: readonly string[][], numbers: readonly number[]): Series {
  const rows = cells[0].length;
  return {
    entity: "e",
    rows,
    row: Int32Array.from({ length: rows }, (_, i) => 10 * (i + 1)),
    time: null,
    features: Float64Array.from({ length: rows }, (_, i) => numbers[i % numbers.length]),
    target: Float64Array.from({ length: 2 * rows }, (_, i) => i),
    texts: cells,
    labels: Array.from({ length: rows }, (_, i) => `l${i}`),
    split: Array.from({ length: rows }, (_, i) => `s${i}`),
  };
}

const fitted = (options: CategoryOptions, name: string, texts: readonly string[]) =>
  categoryColumn(name, options, fitCodebook(options, texts));

describe("a tokenized series", () => {
  const rows = fc.array(fc.tuple(text, fc.constantFrom("on", "off", "")), { minLength: 1, maxLength: 12 });

  it("has the tokens of its texts in order, a label on the first of each, and every row", () => {
    fc.assert(
      fc.property(rows, tokenizers, single, fc.boolean(), (drawn, tokenizer, other, first) => {
        const [texts, states] = [drawn.map(([one]) => one), drawn.map(([, state]) => state)];
        const series = seriesOf(first ? [texts, states] : [states, texts], [1.5, Number.NaN, -2]);
        const [note, state] = [fitted(tokenizer, "note", texts), fitted(other, "state", states)];
        const columns = first ? [note, state] : [state, note];
        const tokens = texts.map((one) => note.codebook.encode(one));
        const lengths = tokens.map(({ length }) => Math.max(1, length));
        for (const labels of ["first", "every"] as const) {
          const { series: made, source } = encodeSeries(series, columns, { labels });
          expect(made.rows).toBe(lengths.reduce((sum, length) => sum + length, 0));
          let t = 0;
          lengths.forEach((length, i) => {
            for (let k = 0; k < length; k++, t++) {
              const codes = [tokens[i][k] ?? 0, state.codebook.encode(states[i])[0]];
              expect([...(made.codes as Float64Array).subarray(2 * t, 2 * t + 2)]).toEqual(first ? codes : codes.reverse());
              expect([source?.[t], made.row[t], made.tick?.[t]]).toEqual([i, 10 * (i + 1), i]);
              expect(made.labels?.[t]).toBe(labels === "every" || k === 0 ? `l${i}` : "");
              expect([made.split?.[t], made.features[t]]).toEqual([`s${i}`, series.features[i]]);
              expect([...(made.target as Float64Array).subarray(2 * t, 2 * t + 2)]).toEqual([2 * i, 2 * i + 1]);
            }
          });
          expect(t).toBe(made.rows);
          expect([made.codes?.length, made.features.length, made.labels?.length]).toEqual([2 * t, t, t]);
        }
      }),
    );
  });

  it("has the codes that a stream gives, also with codebooks from their JSON", () => {
    fc.assert(
      fc.property(rows, tokenizers, single, (drawn, tokenizer, other) => {
        const [texts, states] = [drawn.map(([one]) => one), drawn.map(([, state]) => state)];
        const columns = [fitted(tokenizer, "note", texts), fitted(other, "state", states)];
        const series = seriesOf([texts, states], [3]);
        const restored = columns.map((column) => ({
          ...column,
          codebook: restoreCodebook(JSON.parse(JSON.stringify(column.codebook)), "test"),
        }));
        const { codes } = encodeSeries(series, columns, { labels: "first" }).series;
        for (const some of [columns, restored]) {
          const pushed = drawn.flatMap(([note, state]) =>
            encodeRow({ time: 7, values: Float64Array.of(3), texts: [note, state] }, some),
          );
          expect(pushed.flatMap(({ values }) => [...values.subarray(1)])).toEqual([...(codes as Float64Array)]);
          expect(pushed.every(({ time, values }) => time === 7 && values[0] === 3)).toBe(true);
        }
      }),
    );
  });
});

describe("texts without any token", () => {
  const blank = ["", " ", "\t", null];
  const options: DataOptions = {
    targetKind: "tags",
    entity: "id",
    categories: { note: { kind: "words", as: "embedding" } },
    target: "label",
    split: { by: "column:part" },
  };
  const table = (note: (i: number) => string | null, label: (i: number) => string) =>
    tableFromRecords(
      Array.from({ length: 12 }, (_, i) => ({
        id: `s${Math.floor(i / 3)}`,
        note: note(i),
        label: label(i),
        part: ["train", "train", "validation", "test"][Math.floor(i / 3)],
      })),
      { text: ["note", "label"] },
    );

  it("keep their row and its tag, as one step of a missing text", () => {
    const labels = (i: number) => (i % 2 ? "x" : "y");
    const { series, preprocessing } = prepare(
      table((i) => (i % 3 === 1 ? blank[i % 4] : "two words"), labels),
      options,
    );
    for (const [s, { length, x, classes, row }] of series.entries()) {
      expect([length, [...row]]).toEqual([5, [1, 1, 2, 3, 3].map((k) => 3 * s + k)]);
      expect(x[2]).toBe(0);
      const named = [...(classes as Int32Array)].map((index) => preprocessing.classes[index] ?? "");
      expect(named).toEqual([labels(3 * s), "", labels(3 * s + 1), labels(3 * s + 2), ""]);
    }
  });

  it("make no series empty, and no class is lost", () => {
    const whole = table(
      (i) => (i >= 6 ? blank[i % 4] : "a b c"),
      (i) => (Math.floor(i / 3) % 2 ? "x" : "y"),
    );
    const prepared = prepare(whole, { ...options, targetKind: "class" });
    expect(prepared.series.map(({ length }) => length)).toEqual([9, 9, 3, 3]);
    for (const part of ["train", "validation", "test"] as const) {
      expect(sequences(prepared, { part }).count).toBe(part === "train" ? 2 : 1);
    }
  });
});

it("two tokenized columns are refused, and one where values are forecast: the target of a row would be that of its own tokens", () => {
  const words: CategoryOptions = { kind: "words", as: "oneHot" };
  const vocabulary: CategoryOptions = { kind: "vocabulary", as: "oneHot" };
  expect(() => checkCategories({ a: words, b: vocabulary }, "tags")).not.toThrow();
  expect(() => checkCategories({ a: vocabulary, b: vocabulary }, "values")).not.toThrow();
  expect(() => checkCategories({ a: words }, "values")).toThrow(/OST_CONFIG.*row's own.*a: words/s);
  expect(() => checkCategories({ a: words, b: { kind: "characters", as: "oneHot" } }, "tags")).toThrow(
    /OST_CONFIG.*data.categories.*a, b/s,
  );
});
