/**
 * @file The category columns of a series as codes.
 *
 * A text usually is one code. Where a codebook is a tokenizer, a row becomes as many steps as its text has tokens: each repeats the row's
 * numbers and time; the class of the first is the row's, and for tags the others have none. A text without any token (an empty or blank
 * one) is one step of code 0, a missing text: no row and no label is lost, and no series becomes empty.
 */
import type { TargetKind } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Codebook } from "./codebook.js";
import { type LogMinerOptions, LogTemplates } from "./events/index.js";
import type { Row } from "./record.js";
import type { Series } from "./series.js";
import {
  BytePair,
  type BytePairOptions,
  Characters,
  type CharactersOptions,
  TokenizerJson,
  Vocabulary,
  type VocabularyOptions,
  Words,
  type WordsOptions,
} from "./text/index.js";
import { frozen } from "./transform.js";

/** Which codebook a column of texts gets, and what it is fitted with. */
export type CodebookOptions =
  | ({ kind: "vocabulary" } & VocabularyOptions)
  | ({ kind: "templates" } & LogMinerOptions)
  | ({ kind: "characters" } & CharactersOptions)
  | ({ kind: "words" } & WordsOptions)
  | ({ kind: "bytePair" } & BytePairOptions)
  /** `json`: the content of a Hugging Face tokenizer.json. */
  | { kind: "tokenizerJson"; json: unknown };

export const CODEBOOKS = ["vocabulary", "templates", "characters", "words", "bytePair", "tokenizerJson"] as const;

/** Learns a codebook from training texts, in the order of the rows. */
export function fitCodebook(options: CodebookOptions, texts: Iterable<string>): Codebook {
  switch (options.kind) {
    case "vocabulary":
      return Vocabulary.fit(texts, options);
    case "templates":
      return LogTemplates.fit(texts, options);
    case "characters":
      return Characters.fit(texts, options);
    case "words":
      return Words.fit(texts, options);
    case "bytePair":
      return BytePair.fit(texts, options);
    case "tokenizerJson":
      return TokenizerJson.read(options.json);
  }
}

/** A codebook from what its `toJSON` wrote. @throws OST_MODEL_FILE */
export function restoreCodebook(json: unknown, where: string): Codebook {
  const read = frozen.object(json, where);
  switch (frozen.choice(read.transform, CODEBOOKS, `${where}.transform`)) {
    case "vocabulary":
      return Vocabulary.fromJSON(read);
    case "templates":
      return LogTemplates.fromJSON(read);
    case "characters":
      return Characters.fromJSON(read);
    case "words":
      return Words.fromJSON(read);
    case "bytePair":
      return BytePair.fromJSON(read);
    case "tokenizerJson":
      return TokenizerJson.fromJSON(read);
  }
}

/** What becomes of a column's codes: one column of 0 and 1 per code, or rows of a table the network learns. */
export const ENCODINGS = ["oneHot", "embedding"] as const;

export type CategoryOptions = CodebookOptions & {
  as: (typeof ENCODINGS)[number];
  /** embedding: numbers per code, >= 1; default min(64, ceil(4 * size^(1/4))). */
  width?: number | null;
};

/** A category column with its frozen codebook. */
export interface CategoryColumn {
  column: string;
  as: (typeof ENCODINGS)[number];
  width: number;
  codebook: Codebook;
}

/** @throws OST_CONFIG if two columns are to be tokenized, whose tokens would not belong together, or one where values are forecast. */
export function checkCategories(categories: Readonly<Record<string, CategoryOptions>>, targetKind: TargetKind): void {
  const tokenized = Object.entries(categories).filter(([, { kind }]) => !["vocabulary", "templates"].includes(kind));
  if (tokenized.length > 0 && targetKind === "values") {
    throw new OstinatoError("OST_CONFIG", {
      what: "a tokenizer makes several steps of a row, and the value to be forecast would be the row's own",
      expected: "kind: vocabulary or templates, or task: classify or tag",
      got: `${tokenized[0][0]}: ${tokenized[0][1].kind}`,
      where: "data.categories",
      repair: "give the column kind: vocabulary, or forecast without it",
    });
  }
  if (tokenized.length < 2) return;
  throw new OstinatoError("OST_CONFIG", {
    what: "two columns are to be tokenized, and the tokens of one do not belong to those of the other",
    expected: "at most one column of kind characters, words, bytePair or tokenizerJson",
    got: tokenized.map(([name]) => name).join(", "),
    where: "data.categories",
    repair: "give the others kind: vocabulary, or join the texts into one column",
  });
}

export function categoryColumn(
  column: string,
  { as, width }: Pick<CategoryOptions, "as" | "width">,
  codebook: Codebook,
): CategoryColumn {
  return { column, as, codebook, width: width ?? Math.min(64, Math.ceil(4 * codebook.size ** 0.25)) };
}

export function categoriesFromJSON(json: unknown, where: string): CategoryColumn[] {
  return frozen.list(json ?? [], where).map((item) => {
    const { column, as, width, codebook } = frozen.object(item, where);
    if (typeof column !== "string") return frozen.fail(`${where}.column`, "a name", column);
    return {
      column,
      as: frozen.choice(as, ENCODINGS, `${where}.as`),
      width: Math.floor(frozen.number(width, `${where}.width`, { min: 1, max: 65_536 })),
      codebook: restoreCodebook(codebook, `${where}.codebook`),
    };
  });
}

export function categoriesToJSON(categories: readonly CategoryColumn[]) {
  return categories.map(({ column, as, width, codebook }) => ({ column, as, width, codebook: codebook.toJSON() }));
}

/** What a text without any token is: the code of a missing text. */
const NO_TOKEN: readonly number[] = [0];

/** The codes of a row's texts, one list per step, of which there is at least one. */
function codesOf(texts: readonly string[], categories: readonly CategoryColumn[]): number[][] {
  const lists = categories.map(({ codebook }, k) => {
    const codes = codebook.encode(texts[k]);
    return codes.length > 0 ? codes : NO_TOKEN;
  });
  const tokenizer = categories.findIndex(({ codebook }) => codebook.several);
  const steps = tokenizer < 0 ? 1 : lists[tokenizer].length;
  return Array.from({ length: steps }, (_, t) => lists.map((list, k) => (k === tokenizer ? list[t] : list[0])));
}

/** The steps of a pushed row: its numbers, then the codes. */
export function encodeRow({ time, values, texts = [], entity }: Row, categories: readonly CategoryColumn[]): Row[] {
  if (categories.length === 0) return [{ time, values: values.slice(), entity }];
  return codesOf(texts, categories).map((codes) => ({ time, values: Float64Array.of(...values, ...codes), entity }));
}

/**
 * A series with its codes, and for each of its rows the row of the given series it came from; null where they are the same rows.
 *
 * @param options `labels`: which of the steps of one row have its label.
 */
export function encodeSeries(
  series: Series,
  categories: readonly CategoryColumn[],
  { labels }: { labels: "first" | "every" },
): { series: Series; source: Int32Array | null } {
  const { texts, rows } = series;
  if (categories.length === 0 || !texts || series.codes) return { series, source: null };
  const tokenized = categories.some(({ codebook }) => codebook.several);
  const codes: number[] = [];
  const source: number[] = [];
  for (let i = 0; i < rows; i++) {
    for (const step of codesOf(
      texts.map((cells) => cells[i]),
      categories,
    )) {
      for (const code of step) codes.push(code);
      source.push(i);
    }
  }
  if (!tokenized) return { series: { ...series, codes: Float64Array.from(codes) }, source: null };
  return { series: { ...repeated(series, source, labels), codes: Float64Array.from(codes) }, source: Int32Array.from(source) };
}

/** The rows `source` of a series, in that order. */
function repeated(series: Series, source: readonly number[], every: "first" | "every"): Series {
  const { rows, row, time, tick, features, target, labels, split } = series;
  const pick = (values: Float64Array) => {
    const width = values.length / Math.max(1, rows);
    const picked = new Float64Array(source.length * width);
    source.forEach((i, t) => {
      picked.set(values.subarray(i * width, (i + 1) * width), t * width);
    });
    return picked;
  };
  const isFirst = (t: number) => t === 0 || source[t - 1] !== source[t];
  return {
    ...series,
    rows: source.length,
    row: Int32Array.from(source, (i) => row[i]),
    time: time && Float64Array.from(source, (i) => time[i]),
    tick: Int32Array.from(source, (i) => tick?.[i] ?? i),
    features: pick(features),
    target: target && pick(target),
    labels: labels && source.map((i, t) => (every === "every" || isFirst(t) ? labels[i] : "")),
    split: split && source.map((i) => split[i]),
  };
}
