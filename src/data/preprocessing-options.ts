/** @file What preprocessing can be told, and what of it does not go together. */
import type { TargetKind } from "../core/batch.js";
import { nearest, OstinatoError } from "../core/errors.js";
import { type AnomalyOptions, checkAnomaly } from "./anomaly.js";
import type { CalendarOptions } from "./calendar.js";
import { type CategoryOptions, checkCategories, isTokenizer } from "./category.js";
import type { DerivedColumns } from "./derive.js";
import type { TimeDeltaOptions } from "./events/index.js";
import type { MissingOptions, MissingPolicy } from "./impute.js";
import type { ResampleOptions } from "./resample.js";
import type { ScaleKind } from "./scale.js";
import type { Roles, TargetCells } from "./series.js";
import type { SpellingOptions } from "./spelling.js";
import type { TargetTokensOptions } from "./target-tokens.js";

export interface PreprocessingOptions {
  /** What becomes of missing values; default "refuse". */
  missing?: MissingPolicy | MissingOptions;
  /** How features and target values are scaled; default "standard". */
  scale?: ScaleKind;
  /** Features to take the signed logarithm of. */
  log?: readonly string[];
  /** Features to take the change of. */
  difference?: readonly string[];
  /** Scales each entity by its own training rows; one that training never saw, static inputs and targets among the inputs by all of them. */
  perEntity?: boolean;
  /** Inputs that are constant within a series. */
  static?: readonly string[];
  /** Columns of texts, and what becomes of them. */
  categories?: Readonly<Record<string, CategoryOptions>>;
  /** Reads category columns of one code per row a second time, by their spelling: embedded codes of affixes and shapes. */
  spelling?: Readonly<Record<string, SpellingOptions>>;
  /** How the text to be predicted of a series becomes codes; target kind "tokens" only, which needs it. */
  targetTokens?: TargetTokensOptions | null;
  /** Which rows are known to be anomalous: read for judgement, never an input and never fitted on. */
  anomaly?: AnomalyOptions | null;
  /** Adds features of the calendar. */
  calendar?: CalendarOptions | null;
  /** Adds the time since the row before. */
  timeDelta?: TimeDeltaOptions | null;
  /** Adds what tells where in its series a row is. */
  position?: boolean;
  /** Adds how often a row's code, or a number other than 0, came before it in its series. */
  counts?: readonly string[];
  /** How the table got the columns that are made of others; remembered for new data. */
  derived?: DerivedColumns;
  /** Brings records onto a regular grid first. */
  resample?: ResampleOptions | null;
  /** "offline" permits what looks ahead; default "causal". */
  mode?: "streaming" | "causal" | "offline";
}

/** Names of the columns in new data; null where there is none. */
export type PreprocessingRoles = Pick<Roles, "time" | "entity" | "features" | "categories" | "target">;

/** Whether a target may be a column of codes. */
export function isCoded(kind: TargetKind): boolean {
  return kind === "next" || kind === "values";
}

export function cellsOfTarget(kind: TargetKind, coded: boolean): TargetCells {
  if (coded || kind === "next") return "none";
  return kind === "values" ? "values" : kind === "tokens" ? "text" : "label";
}

/** What the target columns of a table hold. */
export function targetCellsOf(options: Pick<PreprocessingOptions, "categories"> & TargetOf): TargetCells {
  return cellsOfTarget(options.targetKind, isSetTarget(options));
}

export interface TargetOf {
  roles: PreprocessingRoles;
  targetKind: TargetKind;
}

/** Whether the values to be predicted are the members of a set. */
export function isSetTarget({
  roles,
  targetKind,
  categories = {},
}: Pick<PreprocessingOptions, "categories"> & TargetOf): boolean {
  return targetKind === "values" && roles.target.length === 1 && categories[roles.target[0]]?.kind === "set";
}

export function columnsOf({ features, categories = [] }: PreprocessingRoles): string[] {
  return [...features, ...categories];
}

/** @throws OST_CAUSAL, OST_CONFIG, OST_COLUMN, OST_TARGET for options that do not go together or name what is not there. */
export function checkOptions(
  {
    roles,
    log = [],
    difference = [],
    counts = [],
    categories = {},
    calendar,
    timeDelta,
    perEntity = false,
    derived,
    resample,
    mode = "causal",
    targetKind,
    spelling = {},
    targetTokens,
    anomaly,
  }: PreprocessingOptions & {
    roles: PreprocessingRoles;
    targetKind: TargetKind;
  },
  { policy }: MissingOptions,
): void {
  if (policy === "interpolate" && mode !== "offline") {
    throw new OstinatoError("OST_CAUSAL", {
      what: "interpolation fills a gap from its future",
      expected: "mode: offline, or a causal policy",
      got: `missing: interpolate with mode: ${mode}`,
      where: "data.missing",
      repair: "use data.missing: forwardFill, or set mode: offline (such a model cannot be streamed)",
    });
  }
  checkFeatures(log, roles.features, "data.log");
  checkFeatures(difference, roles.features, "data.difference");
  const sets = Object.keys(categories).filter((name) => categories[name].kind === "set");
  checkFeatures(
    counts,
    columnsOf(roles).filter((name) => !sets.includes(name)),
    "data.counts",
  );
  checkCategories(categories, targetKind);
  checkSpelling(spelling, categories);
  checkTarget({ roles, targetKind, categories, targetTokens });
  if (anomaly) checkAnomaly(anomaly, { inputs: columnsOf(roles), target: roles.target });
  if (calendar && roles.time === null) {
    throw new OstinatoError("OST_CONFIG", {
      what: "features of the calendar need times",
      expected: "a column in data.time",
      got: "data.time: null",
      where: "data.calendar",
      repair: "set data.time, or remove data.calendar",
    });
  }
  if (timeDelta && roles.time === null) {
    throw new OstinatoError("OST_CONFIG", {
      what: "the time since the row before needs times",
      expected: "a column in data.time",
      got: "data.time: null",
      where: "data.timeDelta",
      repair: "set data.time, or remove data.timeDelta; data.position tells how many rows came before",
    });
  }
  if (perEntity && derived?.sessions) {
    throw new OstinatoError("OST_CONFIG", {
      what: "a session cannot be scaled by its own training rows: no later session is the same one",
      expected: "data.perEntity or data.sessions, not both",
      where: "data.perEntity",
      repair: "remove data.perEntity",
    });
  }
  if (resample && Object.keys(categories).length > 0) {
    throw new OstinatoError("OST_CONFIG", {
      what: "texts cannot be resampled: an interval may hold several, or none",
      expected: "data.categories or data.resample, not both",
      where: "data.resample",
      repair: "remove data.resample and add data.timeDelta, which tells the model how much time went by",
    });
  }
}

/** @throws OST_CONFIG unless every column is one of one code per row. */
function checkSpelling(
  spelling: NonNullable<PreprocessingOptions["spelling"]>,
  categories: NonNullable<PreprocessingOptions["categories"]>,
): void {
  for (const column of Object.keys(spelling)) {
    const kind = Object.hasOwn(categories, column) ? categories[column].kind : undefined;
    if (kind !== undefined && kind !== "set" && !isTokenizer(kind)) continue;
    const near = nearest(column, Object.keys(categories));
    throw new OstinatoError("OST_CONFIG", {
      what: "only a column with one word per row has a spelling to be read",
      expected: "a column of data.categories of kind vocabulary or templates",
      got: kind === undefined ? `"${column}", which is none of them` : `"${column}" of kind ${kind}`,
      where: `data.spelling.${column}`,
      repair: kind === undefined && near !== undefined ? `did you mean "${near}"?` : "set its kind: vocabulary",
    });
  }
}

/** @throws OST_TARGET unless the target is what its kind needs. @throws OST_CONFIG if the codes of a text are not said, or said of none. */
export function checkTarget({
  roles: { target, categories: columns = [] },
  targetKind,
  categories = {},
  targetTokens,
}: Pick<PreprocessingOptions, "targetTokens" | "categories"> & TargetOf): void {
  const tokens = targetKind === "tokens";
  if (tokens !== (targetTokens !== undefined && targetTokens !== null)) {
    throw new OstinatoError("OST_CONFIG", {
      what: tokens
        ? "it is not said how the text to be predicted becomes codes"
        : "only a text to be predicted has target tokens",
      expected: tokens ? "kind: characters, words, vocabulary, bytePair or tokenizerJson" : "none",
      got: targetTokens?.kind ?? "none",
      where: "data.targetTokens",
      repair: tokens ? "for example data.targetTokens: { kind: words }" : "remove data.targetTokens",
    });
  }
  const coded = target.filter((name) => columns.includes(name));
  if (targetKind === "next" && !(target.length === 1 && coded.length === 1 && categories[target[0]]?.kind !== "set")) {
    const near = target.length === 1 && coded.length === 0 ? nearest(target[0], columns) : undefined;
    throw new OstinatoError("OST_TARGET", {
      what: "what comes next is predicted of one column of codes",
      expected: "one of data.categories as data.target, of any kind but set",
      got: target.map((name) => `"${name}"`).join(", ") || "none",
      where: "data.target",
      repair: near === undefined ? "name the column in data.categories too" : `did you mean "${near}"?`,
    });
  }
  const wrong = targetKind === "values" && coded.find((name) => target.length > 1 || categories[name]?.kind !== "set");
  if (wrong) {
    throw new OstinatoError("OST_TARGET", {
      what: "a column of codes has no values to be forecast, but as a set of members, and by itself",
      expected: "numeric columns, or one column of kind set",
      got: target.map((name) => `"${name}"`).join(", "),
      where: "data.target",
      repair: `give "${wrong}" kind: set if its cells hold several members, or use task: language to predict its next code`,
    });
  }
}

function checkFeatures(names: readonly string[], features: readonly string[], where: string): void {
  const wrong = names.find((name, i) => !features.includes(name) || names.indexOf(name) !== i);
  if (wrong === undefined) return;
  const near = nearest(wrong, features);
  throw new OstinatoError("OST_COLUMN", {
    what: features.includes(wrong) ? "a column is named twice" : "not a feature",
    expected: `names among ${features.join(", ")}`,
    got: `"${wrong}"`,
    where,
    repair: near === undefined || near === wrong ? undefined : `did you mean "${near}"?`,
  });
}
