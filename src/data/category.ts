/**
 * @file The category columns of a series as codes.
 *
 * A text usually is one code. Where a codebook is a tokenizer, a row becomes as many steps as its text has tokens: each repeats the row's
 * numbers and time; the class of the first is the row's, and for tags the others have none. A text without any token (an empty or blank
 * one) is one step of code 0, a missing text: no row and no label is lost, and no series becomes empty.
 *
 * A text that is a set (member-set.ts) has a column of 0 and 1 per member. A column may be read a second time, by its spelling (spelling.ts):
 * such columns of codes stand behind all others.
 */
import type { TargetKind } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Codebook } from "./codebook.js";
import { type LogMinerOptions, LogTemplates } from "./events/index.js";
import { MemberSet, type MemberSetOptions } from "./member-set.js";
import type { Row } from "./record.js";
import type { Series } from "./series.js";
import { SpellingPart } from "./spelling.js";
import {
  BytePair,
  type BytePairOptions,
  Characters,
  type CharactersOptions,
  Symbols,
  type SymbolsOptions,
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
  | ({ kind: "symbols" } & SymbolsOptions)
  | ({ kind: "bytePair" } & BytePairOptions)
  | ({ kind: "set" } & MemberSetOptions)
  /** `json`: the content of a Hugging Face tokenizer.json. */
  | { kind: "tokenizerJson"; json: unknown };

export const CODEBOOKS = [
  "vocabulary",
  "templates",
  "characters",
  "words",
  "symbols",
  "bytePair",
  "tokenizerJson",
  "set",
  "spelling",
] as const;

/** Kinds that give a row one step: its text is one code, or a set of them. */
const ONE_STEP: readonly string[] = ["vocabulary", "templates", "set", "spelling"];

/** Whether a kind of codebook makes several steps of a row. */
export function isTokenizer(kind: string): boolean {
  return !ONE_STEP.includes(kind);
}

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
    case "symbols":
      return Symbols.fit(texts, options);
    case "bytePair":
      return BytePair.fit(texts, options);
    case "set":
      return MemberSet.fit(texts, options);
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
    case "symbols":
      return Symbols.fromJSON(read);
    case "bytePair":
      return BytePair.fromJSON(read);
    case "set":
      return MemberSet.fromJSON(read);
    case "spelling":
      return SpellingPart.fromJSON(read);
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
  /** Its name, and that of its texts unless `of` says otherwise. */
  column: string;
  as: (typeof ENCODINGS)[number];
  width: number;
  codebook: Codebook;
  /** Which of a row's texts it reads, where it is not that of its own place: a second reading of another column. */
  of?: number;
}

/** @throws OST_CONFIG if two columns are to be tokenized, whose tokens would not belong together, or one where values are forecast. */
export function checkCategories(categories: Readonly<Record<string, CategoryOptions>>, targetKind: TargetKind): void {
  const tokenized = Object.entries(categories).filter(([, { kind }]) => isTokenizer(kind));
  if (tokenized.length > 0 && targetKind === "values") {
    throw new OstinatoError("OST_CONFIG", {
      what: "a tokenizer makes several steps of a row, and the value to be forecast would be the row's own",
      expected: "kind: vocabulary or templates, or task: classify or tag",
      got: `${tokenized[0][0]}: ${tokenized[0][1].kind}`,
      where: "data.categories",
      repair: "give the column kind: vocabulary, or forecast without it",
    });
  }
  const set = Object.entries(categories).find(([, { kind, as }]) => kind === "set" && as === "embedding");
  if (set) {
    throw new OstinatoError("OST_CONFIG", {
      what: "a set has no one code that a table could be asked for",
      expected: "as: oneHot",
      got: `${set[0]}: as: embedding`,
      where: "data.categories",
      repair: "leave `as` out: a set becomes a column of 0 and 1 per member",
    });
  }
  if (tokenized.length < 2) return;
  throw new OstinatoError("OST_CONFIG", {
    what: "two columns are to be tokenized, and the tokens of one do not belong to those of the other",
    expected: "at most one column of kind characters, words, symbols, bytePair or tokenizerJson",
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
  const read: CategoryColumn[] = [];
  for (const item of frozen.list(json ?? [], where)) {
    const { column, as, width, codebook, of } = frozen.object(item, where);
    if (typeof column !== "string") return frozen.fail(`${where}.column`, "a name", column);
    const made: CategoryColumn = {
      column,
      as: frozen.choice(as, ENCODINGS, `${where}.as`),
      width: Math.floor(frozen.number(width, `${where}.width`, { min: 1, max: 65_536 })),
      codebook: restoreCodebook(codebook, `${where}.codebook`),
    };
    const own = read.filter((one) => one.of === undefined).length;
    if (of !== undefined) {
      made.of = frozen.number(of, `${where}.of`, { min: 0, max: own - 1 });
      if (!Number.isInteger(made.of)) return frozen.fail(`${where}.of`, "the place of a column", of);
    } else if (own < read.length) return frozen.fail(where, "second readings behind all columns", column);
    if (made.codebook.set && made.as !== "oneHot") return frozen.fail(`${where}.as`, "oneHot for a set", as);
    if ((made.codebook.kind === "spelling") !== (of !== undefined)) return frozen.fail(`${where}.of`, "that of a spelling", of);
    read.push(made);
  }
  return read;
}

export function categoriesToJSON(categories: readonly CategoryColumn[]) {
  return categories.map(({ column, as, width, codebook, of }) => ({
    column,
    as,
    width,
    codebook: codebook.toJSON(),
    ...(of !== undefined && { of }),
  }));
}

/** What the codes of a codebook stand for; a name that came before gets its code too, so that all differ. */
export function codeNames(codebook: Codebook): string[] {
  const taken = new Set<string>();
  return Array.from({ length: codebook.size }, (_, code) => {
    let name = codebook.nameOf(code);
    while (taken.has(name)) name += `#${code}`;
    taken.add(name);
    return name;
  });
}

/** Names of the columns that the codes stand in: one per category column, and one per member of a set. */
export function encodedNames(categories: readonly CategoryColumn[]): string[] {
  return categories.flatMap(({ column, codebook }) =>
    codebook.set ? Array.from({ length: codebook.size }, (_, code) => memberName(column, codebook, code)) : [column],
  );
}

/** The name of the column of one member of a set. */
export function memberName(column: string, codebook: Codebook, code: number): string {
  return `${column}=${codebook.nameOf(code)}`;
}

/** Where in the encoded columns those of category column k begin, and how many they are. */
export function encodedPlace(categories: readonly CategoryColumn[], k: number): { at: number; width: number } {
  const widthOf = ({ codebook }: CategoryColumn) => (codebook.set ? codebook.size : 1);
  return { at: categories.slice(0, k).reduce((sum, one) => sum + widthOf(one), 0), width: widthOf(categories[k]) };
}

/** What a text without any token is: the code of a missing text. */
const NO_TOKEN: readonly number[] = [0];

/** Where the tokens of a row are told from what all its steps share: the numbers of one step, and the tokens that take turns at `at`. */
interface EncodedRow {
  step: Float64Array;
  at: number;
  tokens: readonly number[];
}

class RowEncoder {
  readonly width: number;
  readonly #places: readonly { codebook: Codebook; of: number; at: number }[];
  readonly #token: { codebook: Codebook; of: number; at: number } | undefined;

  constructor(categories: readonly CategoryColumn[]) {
    let at = 0;
    const places = categories.map(({ codebook, of }, k) => {
      const place = { codebook, of: of ?? k, at };
      at += codebook.set ? codebook.size : 1;
      return place;
    });
    this.width = at;
    this.#token = places.find(({ codebook }) => codebook.several);
    this.#places = places.filter((place) => place !== this.#token);
  }

  get tokenizes(): boolean {
    return this.#token !== undefined;
  }

  /** @param text the text of one of the row's columns. */
  encode(text: (column: number) => string, before: ArrayLike<number> = NOTHING): EncodedRow {
    const first = before.length;
    const step = new Float64Array(first + this.width);
    step.set(before);
    for (const { codebook, of, at } of this.#places) {
      const codes = codebook.encode(text(of));
      if (codebook.set) for (const code of codes) step[first + at + code] = 1;
      else step[first + at] = codes.length > 0 ? codes[0] : 0;
    }
    if (!this.#token) return { step, at: -1, tokens: NO_TOKEN };
    const tokens = this.#token.codebook.encode(text(this.#token.of));
    return { step, at: first + this.#token.at, tokens: tokens.length > 0 ? tokens : NO_TOKEN };
  }
}

const NOTHING: ArrayLike<number> = [];

/** The steps of a pushed row: its numbers, then the codes. */
export function encodeRow({ time, values, texts = [], entity }: Row, categories: readonly CategoryColumn[]): Row[] {
  if (categories.length === 0) return [{ time, values: values.slice(), entity }];
  const { step, at, tokens } = new RowEncoder(categories).encode((column) => texts[column], values);
  return tokens.map((token) => {
    const made = tokens.length > 1 ? step.slice() : step;
    if (at >= 0) made[at] = token;
    return { time, values: made, entity };
  });
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
  const encoder = new RowEncoder(categories);
  const { width } = encoder;
  let codes = new Float64Array(rows * width);
  let source = new Int32Array(rows);
  let count = 0;
  for (let i = 0; i < rows; i++) {
    const { step, at, tokens } = encoder.encode((column) => texts[column][i]);
    if (count + tokens.length > source.length) {
      const room = Math.max(2 * source.length, count + tokens.length);
      codes = grown(codes, room * width);
      source = grown(source, room);
    }
    for (const token of tokens) {
      codes.set(step, count * width);
      if (at >= 0) codes[count * width + at] = token;
      source[count++] = i;
    }
  }
  codes = codes.subarray(0, count * width);
  if (!encoder.tokenizes) return { series: { ...series, codes }, source: null };
  source = source.subarray(0, count);
  return { series: { ...repeated(series, source, labels), codes }, source };
}

function grown<A extends Float64Array | Int32Array>(values: A, room: number): A {
  const made = new (values.constructor as new (length: number) => A)(room);
  made.set(values);
  return made;
}

/** The rows `source` of a series, in that order. */
function repeated(series: Series, source: Int32Array, every: "first" | "every"): Series {
  const { rows, row, time, tick, features, target, labels, split, anomaly } = series;
  const pick = (values: Float64Array) => {
    const width = values.length / Math.max(1, rows);
    const picked = new Float64Array(source.length * width);
    if (width > 0)
      for (let t = 0; t < source.length; t++)
        for (let c = 0; c < width; c++) picked[t * width + c] = values[source[t] * width + c];
    return picked;
  };
  const list = (cells: readonly string[], cell: (i: number, t: number) => string) => {
    const made = new Array<string>(source.length);
    for (let t = 0; t < source.length; t++) made[t] = cell(source[t], t);
    return cells.length === 0 ? [] : made;
  };
  const isFirst = (t: number) => t === 0 || source[t - 1] !== source[t];
  // The texts stay those of the rows: a long one would be held once per token.
  const { texts: _, ...rest } = series;
  return {
    ...rest,
    rows: source.length,
    row: source.map((i) => row[i]),
    time: time && Float64Array.from(source, (i) => time[i]),
    tick: source.map((i) => tick?.[i] ?? i),
    features: pick(features),
    target: target && pick(target),
    labels: labels && list(labels, (i, t) => (every === "every" || isFirst(t) ? labels[i] : "")),
    split: split && list(split, (i) => split[i]),
    ...(anomaly && { anomaly: Uint8Array.from(source, (i) => anomaly[i]) }),
  };
}
