/** @file The `data` block of a configuration: where records come from, what their columns mean, and what becomes of them. */
import { z } from "zod";
import { AGGREGATES, CALENDAR_PARTS, ENCODINGS, MISSING_POLICIES, SCALES, TAG_SCHEMES } from "../data/index.js";

const name = z.string().min(1);
const names = z.array(name).min(1);
const count = z.number().int().min(1);
const share = z.number().gt(0).lt(1);
const seedNumber = z.number().int().min(0).max(0xffffffff);
const source = z.union([name, z.array(name).min(1), z.record(name, name)]);

const missing = z.union([
  z.enum(MISSING_POLICIES),
  z.strictObject({
    policy: z.enum(MISSING_POLICIES),
    limit: count.nullable().default(null).describe("forwardFill: most rows one value may fill"),
    value: z.number().nullable().default(null).describe("value: what to fill in; default the training mean"),
    flag: z.boolean().default(false).describe("adds <column>.missing"),
    sinceSeen: z.boolean().default(false).describe("adds <column>.sinceSeen, log(1 + seconds)"),
  }),
]);

const gap = {
  gap: z.number().int().min(0).default(0).describe("rows at each border that no part uses"),
  gapMs: z.number().min(0).default(0).describe("milliseconds at each border that no part uses"),
};
const at = z.enum(["series", "instant"]).optional().describe("cut each series by its own rows, or all at the same instants");
const shares = { train: share, validation: share, test: share };
const fold = { folds: count.min(2), fold: count.describe("1 .. folds") };
const blockSize = z.union([share, count]).describe("a share, or a count of rows");

/** The forms of a cut along time; each stands alone as a split by time, or within a split by entity or group. */
const timeCuts = [
  { rows: z.tuple([count, count, count]), ...gap },
  { ...shares, ...gap, at },
  {
    from: z.strictObject({ train: name.optional(), validation: name, test: name, end: name.optional() }).describe("ISO 8601"),
    ...gap,
  },
  {
    ...fold,
    test: blockSize,
    validation: blockSize.optional(),
    train: z.enum(["expanding", "sliding"]).default("expanding"),
    ...gap,
    at,
  },
  { ...fold, both: z.literal(true), validation: blockSize.optional(), ...gap, at },
];
const unit = {
  by: z.union([z.literal("entity"), z.templateLiteral(["group:", name])]),
  time: z
    .union(timeCuts.map((cut) => z.strictObject(cut)))
    .optional()
    .describe("only within the period of the same part"),
  seed: seedNumber.default(0),
  stratified: z.boolean().default(true).describe("each part gets its share of every label"),
};
const values = z.array(z.union([z.string(), z.number().transform(String)])).min(1);

const split = z.union([
  ...timeCuts.map((cut) =>
    z.strictObject({
      by: z
        .literal("time")
        .describe("of rows; of text that predicts itself (task: language, with a tokenizer) by its characters"),
      ...cut,
    }),
  ),
  // A gap means nothing between whole series; that of 0 is let pass.
  z.strictObject({ ...unit, ...shares, gap: z.literal(0).optional() }),
  z.strictObject({ ...unit, ...fold, validation: share.optional() }),
  z.strictObject({
    by: z.templateLiteral(["column:", name]).describe("the column holds train, validation or test, or see parts"),
    parts: z
      .strictObject({ train: values.optional(), validation: values.optional(), test: values.optional() })
      .optional()
      .describe("which values of the column belong to which part; those not listed to train"),
    validation: share.optional().describe("share of the training series held out, where the column names no validation part"),
    seed: seedNumber.default(0),
  }),
  z.strictObject({
    by: z
      .templateLiteral(["modulo:", name])
      .describe("by the remainder of the whole number that a cell of the column ends in; lines of a file count from 1"),
    divisor: count.min(2),
    test: z.array(z.number().int().min(0)).describe("remainders of the test part; those not listed to train"),
    validation: z
      .union([z.array(z.number().int().min(0)).min(1), share])
      .describe("remainders of the validation part, or a share of the training series"),
    begins: z
      .strictObject({ train: names.optional(), validation: names.optional(), test: names.optional() })
      .optional()
      .describe('cells that begin so are of that part whatever their number, such as { test: ["abnormal-"] }'),
    seed: seedNumber.default(0),
  }),
]);

const spelling = z.strictObject({
  prefixes: z.array(count.max(16)).default([]).describe("lengths of the beginnings, in characters"),
  suffixes: z.array(count.max(16)).default([]).describe("lengths of the endings, in characters"),
  shape: z.boolean().default(false).describe("the pattern of capital and small letters, digits and other characters"),
  minCount: count.default(2).describe("training rows below which an affix or shape has no code of its own"),
  width: count.max(4096).nullable().default(null).describe("numbers per code"),
});

const as = z.enum(ENCODINGS).describe("one column of 0 and 1 per code, or a table the network learns");
const width = count.max(4096).nullable().default(null).describe("embedding: numbers per code");
const markers = z.strictObject({ begin: z.boolean().default(false), end: z.boolean().default(false) }).optional();
const words = { minCount: count.default(1), maxSize: count.optional() };
const category = z.union([
  z.enum(ENCODINGS).transform((how) => ({ kind: "vocabulary" as const, as: how, width: null })),
  z.strictObject({
    kind: z.literal("vocabulary").default("vocabulary"),
    ...words,
    lowerCase: z.boolean().default(false),
    as: as.default("oneHot"),
    width,
  }),
  z.strictObject({
    kind: z.literal("set").describe("cells of several members, apart by spaces: a column of 0 and 1 for each"),
    members: z
      .array(z.union([name, z.number()]))
      .min(1)
      .max(4096)
      .optional()
      .describe("all there are; default those of the training rows"),
    range: z
      .tuple([z.number().int(), z.number().int()])
      .optional()
      .describe("all there are: whole numbers from the first to the last"),
    minCount: count.default(1),
    as: z.literal("oneHot").default("oneHot"),
    width: z.null().default(null),
  }),
  z.strictObject({
    kind: z.literal("templates").describe("Drain: log lines to templates"),
    depth: count.optional(),
    similarity: z.number().gt(0).lte(1).optional(),
    maxChildren: count.optional(),
    maxTemplates: count.max(65_536).optional(),
    delimiters: z.string().max(32).optional().describe("characters besides white space that part tokens"),
    masks: z
      .array(z.strictObject({ name: z.string().regex(/^\w{1,32}$/), pattern: name }))
      .max(16)
      .optional()
      .describe("patterns replaced by <name> first; default block, uuid, addresses, numbers and paths"),
    as: as.default("oneHot"),
    width,
  }),
  z.strictObject({
    kind: z.literal("characters"),
    ...words,
    unit: z.enum(["codePoint", "grapheme"]).default("codePoint"),
    markers,
    as: as.default("embedding"),
    width,
  }),
  z.strictObject({
    kind: z.literal("words"),
    ...words,
    lowerCase: z.boolean().default(false),
    markers,
    as: as.default("embedding"),
    width,
  }),
  z.strictObject({
    kind: z.literal("symbols").describe("what stands between white space"),
    ...words,
    markers,
    as: as.default("embedding"),
    width,
  }),
  z.strictObject({
    kind: z.literal("bytePair"),
    minCount: count.default(2),
    maxSize: count.optional(),
    markers,
    as: as.default("embedding"),
    width,
  }),
  z.strictObject({
    kind: z.literal("tokenizerJson"),
    file: name.describe("a Hugging Face tokenizer.json; relative to this file"),
    as: as.default("embedding"),
    width,
  }),
]);

/** How a text to be predicted becomes codes. */
const targetTokens = z.union([
  z
    .enum(["characters", "words", "vocabulary", "bytePair"])
    .transform((kind) => ({ kind }) as { kind: "characters" | "words" | "vocabulary" | "bytePair" }),
  z.strictObject({ kind: z.literal("characters"), ...words, unit: z.enum(["codePoint", "grapheme"]).default("codePoint") }),
  z.strictObject({ kind: z.literal("words"), ...words, lowerCase: z.boolean().default(false) }),
  z.strictObject({
    kind: z.literal("vocabulary").describe("what stands between white space: phones, digits, actions"),
    ...words,
  }),
  z.strictObject({ kind: z.literal("bytePair"), minCount: count.default(2), maxSize: count.optional() }),
  z.strictObject({
    kind: z.literal("tokenizerJson"),
    file: name.describe("a Hugging Face tokenizer.json; relative to this file"),
  }),
]);

const read = z
  .strictObject({
    format: z
      .enum(["csv", "tsv", "ndjson", "parquet", "ts", "text", "sequences", "conll", "conllu", "wav"])
      .nullable()
      .default(null)
      .describe("default: by the extension, .gz left off"),
    header: z.boolean().default(true).describe("csv, tsv: whether the first line names the columns"),
    columns: names.nullable().default(null).describe("names of the columns where no header gives them"),
    delimiter: name.nullable().default(null),
    quote: z.string().length(1).nullable().default('"'),
    comment: name.nullable().default(null).describe("lines that begin with it are left out"),
    decimal: z.enum([".", ","]).default("."),
    thousands: name.nullable().default(null),
    encoding: z.enum(["utf-8", "utf-16le", "utf-16be", "latin1", "windows-1252"]).default("utf-8"),
    bad: z.enum(["refuse", "skip"]).default("refuse").describe("a row that cannot be read: an error, or left out and counted"),
    unit: z.enum(["line", "paragraph", "document"]).default("line").describe("text: what one row is"),
    line: name
      .nullable()
      .default(null)
      .describe('text: columns from every line in place of text, such as "IN: {command} OUT: {actions}"'),
    pattern: name.nullable().default(null).describe('folders: columns from file names, such as "{digit}_{speaker}.wav"'),
    label: z
      .enum(["folder", "name"])
      .nullable()
      .default(null)
      .describe("folders: a column label from the folder or the file's name"),
    audio: z
      .looseObject({ features: z.enum(["logMel", "mfcc"]) })
      .nullable()
      .default(null)
      .describe("wav: the features of a frame"),
  })
  .describe("how files are read");

const sync = z.strictObject({
  source,
  read: read.prefault({}),
  time: name.describe("its column of times"),
  by: name.nullable().default(null).describe("column of both sources that must agree, such as a device"),
  columns: names.nullable().default(null).describe("default: all but time and by"),
  toleranceMs: z.number().positive().nullable().default(null).describe("older values count as missing"),
  prefix: z.string().default(""),
});

export const dataSchema = z.strictObject({
  source: source.describe("file, folder or glob, several, or one per part (with sql: one per table); relative to this file"),
  read: read.prefault({}),
  sql: name.optional().describe("SELECT over the source files by their names, through DuckDB"),
  sync: z.array(sync).default([]).describe("other sources, whose latest value at each row's time is joined to it"),
  sessions: z
    .strictObject({
      by: names.nullable().default(null).describe("columns that tell users or devices apart; default data.entity"),
      idleMs: z.number().min(0).nullable().default(null).describe("silence that ends a session"),
      maxSteps: count.nullable().default(null),
      marker: z
        .strictObject({ column: name, value: z.union([name, z.number(), z.boolean()]) })
        .nullable()
        .default(null)
        .describe("a row whose column holds this value begins a session"),
      changed: z.array(name).default([]).describe("columns whose change begins a session"),
    })
    .nullable()
    .default(null)
    .describe("cuts rows into sessions, which become the series"),
  time: name.nullable().default(null).describe("column of times"),
  entity: name.nullable().default(null).describe("column that tells series apart"),
  features: z.array(name).default([]).describe("numeric input columns"),
  categories: z.record(name, category).default({}).describe("columns of texts, and how they become codes"),
  spelling: z
    .record(name, spelling)
    .default({})
    .describe("adds codes of how the words of a category column are spelled, for words never seen"),
  static: z.array(name).default([]).describe("inputs that must be constant within a series"),
  known: z.array(name).default([]).describe("inputs known ahead, read as <column>.ahead: their value window.horizon rows later"),
  target: z
    .union([name.transform((one) => [one]), z.array(name)])
    .default([])
    .describe(
      "forecast: numeric columns; classify, tag: one column of labels; language: one of the categories; translate, transcribe: one column of texts; " +
        "detect: default all features, or the one category",
    ),
  targetTokens: targetTokens
    .nullable()
    .default(null)
    .describe("translate, transcribe: how the text to be predicted becomes codes, fitted on training series"),
  anomaly: z
    .strictObject({
      column: name,
      normal: z
        .array(z.union([z.string(), z.number().transform(String), z.boolean().transform(String)]))
        .min(1)
        .describe("its values in normal rows; every other means anomalous, an empty cell unknown"),
    })
    .nullable()
    .default(null)
    .describe("which rows are known to be anomalous: for judgement and thresholds alone, never an input"),
  labelKnown: name
    .nullable()
    .default(null)
    .describe("column of the times at which labels became known; the audit holds them against the times of prediction"),
  tagScheme: z
    .enum(TAG_SCHEMES)
    .nullable()
    .default(null)
    .describe("tag: the scheme of spans that tags must follow; null: tags of any kind"),
  split,
  missing: missing.default("refuse"),
  scale: z.enum(SCALES).default("standard").describe("fitted on training rows only"),
  perEntity: z
    .boolean()
    .default(false)
    .describe("scales each entity by its own training rows; static inputs and the target by those of all"),
  log: z.array(name).default([]).describe("features to take the signed log(1 + |x|) of"),
  difference: z.array(name).default([]).describe("features to take the change of"),
  counts: z.array(name).default([]).describe("adds how often a row's code, or a number other than 0, came before in its series"),
  calendar: z
    .union([
      z
        .array(z.enum(CALENDAR_PARTS))
        .min(1)
        .transform((parts) => ({ parts, zone: "UTC" })),
      z.strictObject({ parts: z.array(z.enum(CALENDAR_PARTS)).min(1), zone: name.default("UTC") }),
    ])
    .nullable()
    .default(null),
  timeDelta: z
    .strictObject({ bins: z.number().int().min(0).max(64).default(0), firstEdge: z.number().positive().default(1) })
    .nullable()
    .default(null)
    .describe("adds the time since the row before"),
  position: z.boolean().default(false).describe("adds a mark at the first row of a series, and the rows so far"),
  hide: z
    .array(names)
    .default([])
    .describe("groups of features missing throughout in extra training copies, for devices that lack them"),
  resample: z
    .strictObject({
      everyMs: z.number().positive(),
      aggregate: z.enum(AGGREGATES).default("mean"),
      maxGap: z.number().int().min(0).max(100_000).default(1000).describe("most empty intervals between two records"),
    })
    .nullable()
    .default(null),
  storage: z
    .enum(["auto", "memory", "disk"])
    .default("auto")
    .describe("where prepared rows lie; auto: on disk where the sources are larger than 512 MB"),
});
