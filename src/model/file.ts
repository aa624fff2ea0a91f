/**
 * @file The model file: one safetensors file with the weights under PyTorch's names and everything else as JSON in its metadata.
 *
 *     metadata: format = "ostinato", format_version = "1", ostinato = JSON of `ModelHeader`
 *
 * Python reads it with `from safetensors.numpy import load_file; load_file(path)`. A file of any earlier format version stays readable.
 */
import type { ExampleSpec, TargetKind } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { TASK_NAMES, type TaskName } from "../core/task-name.js";
import { CONSTRAINT_SCHEMES } from "../decode/index.js";
import { MERGES, SHARES } from "../nn/index.js";
import type { Architecture } from "./architecture.js";
import { DETECTIONS, type Detection } from "./detection.js";
import { floatEntry, floatsOf } from "./float-entry.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";

export const FORMAT_VERSION = 1;

export type Mode = "streaming" | "causal" | "offline";
export type WindowNormalization = "none" | "last" | "meanStd";

/** A baseline in place of a network: what `restoreBaseline` takes. */
export interface BaselineArchitecture {
  type: "baseline";
  kind: string;
  options: object;
}

export interface ModelHeader {
  name: string;
  task: TaskName;
  mode: Mode;
  /** "carried": trained with carried state. "windowed": trained on windows from a fresh state. null: looks ahead, cannot be streamed. */
  streaming: "carried" | "windowed" | null;
  /** Steps a windowed stream keeps; 0 for a carried one. */
  windowLength: number;
  architecture: Architecture | BaselineArchitecture;
  spec: ExampleSpec;
  /** Per-window normalisation of the inputs, undone at the output. */
  normalize: WindowNormalization;
  /** How sequences are searched for, where the task is to find one; absent: greedily. */
  decoding?: Decoding;
  /** What was fitted on held-back data after training; absent: nothing. */
  calibration?: Calibration;
  /** How anomalies are told, where the task is to detect them. */
  detection?: Detection;
  /** Frozen preprocessing, as `Preprocessing.toJSON` writes it. */
  preprocessing: unknown;
  /** Metrics of model and baselines, comparisons and verdict, as `evaluate` reports them; null before the first evaluation. */
  report: unknown;
  /** The reference profile of the training rows, as `ostinato/monitor` writes and reads it; absent in files without one. */
  profile?: unknown;
  provenance: Provenance;
}

/** Search for a sequence. */
export interface Decoding {
  method: "greedy" | "beam";
  /** beam: hypotheses kept. */
  width: number;
  /** beam: exponents of Wu et al. 2016; 0 turns them off. */
  lengthPenalty: number;
  coveragePenalty: number;
  /** No sequence of so many tokens is made twice; absent: it may. */
  noRepeat?: number;
  /** Most tokens. */
  maxLength: number;
}

/** What `ostinato calibrate` fits. */
export interface Calibration {
  /** Series, windows or steps it was fitted on, and where they came from. */
  n: number;
  source: string;
  /** Logits are divided by it. */
  temperature?: number;
  /** Two classes: the second is decided above this probability. */
  threshold?: number;
  /** Forecasts: half the width of an interval around each point that holds this share, [horizon][targets], scaled. */
  conformal?: { coverage: number; halfWidth: number[][] };
}

export interface Provenance {
  version: string;
  created: string;
  seed: number;
  /** sha256 of each data file, by name. */
  data: Record<string, string>;
  /** Engine and instruction set the weights were trained with. */
  engine: string;
  /** The model whose weights training went on from; absent: it began afresh. */
  from?: { name: string; hash: string };
  /** The configuration as resolved, or null. */
  config: unknown;
}

export interface ModelArrays {
  [name: string]: { shape: readonly number[]; data: Float32Array };
}

export function encodeModel(header: ModelHeader, arrays: ModelArrays): Uint8Array {
  const tensors = new Map(Object.entries(arrays).map(([name, { shape, data }]) => [name, floatEntry(data, shape)]));
  const metadata = { format: "ostinato", format_version: String(FORMAT_VERSION), ostinato: JSON.stringify(header) };
  return writeSafetensors({ metadata, tensors });
}

/** @throws OST_MODEL_FILE for anything but a whole, well-formed model file of a known version. */
export function decodeModel(bytes: Uint8Array): { header: ModelHeader; arrays: ModelArrays } {
  const { metadata, tensors } = readSafetensors(bytes);
  if (metadata.format !== "ostinato") {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "a safetensors file, but not a model of this system",
      expected: 'metadata format "ostinato"',
      got: metadata.format === undefined ? "none" : JSON.stringify(metadata.format).slice(0, 60),
    });
  }
  const version = Number(metadata.format_version);
  if (!(Number.isInteger(version) && version >= 1 && version <= FORMAT_VERSION)) {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "an unknown format version",
      expected: `1 .. ${FORMAT_VERSION}`,
      got: String(metadata.format_version).slice(0, 60),
      repair: "open the file with a newer version",
    });
  }
  const arrays: ModelArrays = Object.create(null);
  for (const [name, entry] of tensors) arrays[name] = { shape: entry.shape, data: Float32Array.from(floatsOf(entry)) };
  return { header: checkHeader(metadata.ostinato), arrays };
}

function checkHeader(text: string | undefined): ModelHeader {
  let header: unknown;
  try {
    header = JSON.parse(text ?? "");
  } catch (cause) {
    throw new OstinatoError("OST_MODEL_FILE", { what: "the header is not JSON", where: "metadata.ostinato" }, { cause });
  }
  const at = new Fields(header, "ostinato");
  at.text("name");
  const task = at.oneOf("task", TASK_NAMES);
  at.oneOf("mode", ["streaming", "causal", "offline"]);
  const streaming = at.oneOf("streaming", ["carried", "windowed", null]);
  const windowLength = at.count("windowLength", streaming === "windowed" ? 1 : 0, 1_000_000);
  at.oneOf("normalize", ["none", "last", "meanStd"]);
  at.object("preprocessing");
  at.object("provenance");
  if (at.has("profile")) at.object("profile");
  const spec = at.object("spec");
  for (const key of ["features", "targets", "classes"]) spec.texts(key);
  if (windowLength * spec.list("features").length > MAX_WINDOW_VALUES)
    throw at.fault(".windowLength", `a window of at most ${MAX_WINDOW_VALUES} values`, windowLength);
  const kind = spec.oneOf("targetKind", TARGET_KINDS[task]);
  spec.count("horizon", 0, 1_000_000);
  spec.count("length", 0, 1_000_000);
  spec.oneOf("everyStep", [true, false]);
  spec.numbers("targetFeature");
  if (spec.has("ahead")) spec.oneOf("ahead", [0, 1]);
  if (spec.has("tagScheme")) spec.oneOf("tagScheme", CONSTRAINT_SCHEMES);
  const distribution = spec.has("distribution") ? checkDistribution(spec.object("distribution")) : null;
  if (spec.has("recursive")) checkRecursive(spec, { task, distribution });
  if (at.has("decoding")) checkDecoding(at.object("decoding"));
  if (at.has("calibration")) checkCalibration(at.object("calibration"), kind);
  if (task === "detect" || at.has("detection")) {
    checkDetection(at.object("detection"), { kind, targets: spec.list("targets").length });
  }
  checkCodes(spec, "codes", spec.list("features").length);
  checkArchitecture(at.object("architecture"));
  return header as ModelHeader;
}

const TARGET_KINDS: Record<TaskName, readonly TargetKind[]> = {
  forecast: ["values"],
  classify: ["class"],
  tag: ["tags"],
  language: ["next", "values"],
  translate: ["tokens"],
  transcribe: ["tokens"],
  detect: ["next", "values"],
};

/** Values that a stream keeps for one session: 1 GB. */
const MAX_WINDOW_VALUES = 268_435_456;

/** Values of all paths of one forecast together: 1 GB. The horizon is no size of the weights, which would bound it. */
const MAX_PATH_VALUES = 268_435_456;

/** @param options `distribution`: the kind of the spec's own, which is that of the quantiles over paths. */
function checkRecursive(spec: Fields, { task, distribution }: { task: TaskName; distribution: string | null }): void {
  const recursive = spec.object("recursive");
  if (task !== "forecast") throw recursive.fault("", `none for task: ${task}`, "a recursive forecast");
  const paths = recursive.count("paths", 1, 10_000);
  recursive.count("seed", 0, 0xffffffff);
  const step = recursive.has("distribution") ? checkDistribution(recursive.object("distribution")) : null;
  if (step === "quantiles" || step === "bernoulli") throw recursive.fault(".distribution", "one that paths are drawn from", step);
  const wanted = step === null ? null : "quantiles";
  if (distribution !== wanted) throw spec.fault(".distribution", wanted ?? "none without one of the next step", distribution);
  const values = spec.count("horizon", 1, 1_000_000) * spec.list("targets").length * (step === null ? 1 : paths);
  if (values > MAX_PATH_VALUES) throw spec.fault(".horizon", `at most ${MAX_PATH_VALUES} values of all paths together`, values);
}

/** @returns its kind. */
function checkDistribution(at: Fields): string {
  const kind = at.oneOf("kind", ["gaussian", "studentT", "negativeBinomial", "bernoulli", "quantiles"]);
  if (kind !== "quantiles") return kind;
  const levels = at.list("levels");
  const rising = levels.every(
    (level, i) => typeof level === "number" && level > 0 && level < 1 && (i === 0 || level > (levels[i - 1] as number)),
  );
  if (levels.length === 0 || levels.length > 64 || !rising) throw at.fault(".levels", "1 .. 64 rising levels in (0, 1)", levels);
  return kind;
}

/** Tokens of all hypotheses of a search together. */
const MAX_SEARCHED = 1_048_576;

function checkDecoding(at: Fields): void {
  at.oneOf("method", ["greedy", "beam"]);
  const width = at.count("width", 1, 1024);
  at.number("lengthPenalty", 0, 1000);
  at.number("coveragePenalty", 0, 1000);
  if (at.has("noRepeat")) at.count("noRepeat", 1, 1_000_000);
  // A search copies the tokens of each hypothesis at every step.
  at.count("maxLength", 1, Math.floor(MAX_SEARCHED / width));
}

function checkCalibration(at: Fields, kind: TargetKind): void {
  at.count("n", 1, Number.MAX_SAFE_INTEGER);
  at.text("source");
  if (at.has("temperature")) at.number("temperature", 1e-6, 1e6);
  if (at.has("threshold")) at.number("threshold", 0, 1);
  if (!at.has("conformal")) return;
  const conformal = at.object("conformal");
  if (kind !== "values") throw at.fault(".conformal", "none for classes", "an interval");
  conformal.number("coverage", 0, 1);
  const rows = conformal.list("halfWidth");
  if (!rows.every((row) => Array.isArray(row) && row.every((value) => Number.isFinite(value) && value >= 0))) {
    throw conformal.fault(".halfWidth", "lists of finite numbers of at least 0", rows);
  }
}

function checkDetection(at: Fields, { kind, targets }: { kind: TargetKind; targets: number }): void {
  const by = at.oneOf("by", DETECTIONS);
  if ((by === "nextEvent") !== (kind === "next")) throw at.fault(".by", `how values of kind ${kind} are judged`, by);
  at.oneOf("unit", ["step", "series"]);
  at.number("off", -Number.MAX_VALUE, at.finite("threshold"));
  at.count("smooth", 1, MAX_ALARM_STEPS);
  at.count("steps", 1, MAX_ALARM_STEPS);
  at.count("quiet", 0, MAX_ALARM_STEPS);
  at.count("shortest", 1, Number.MAX_SAFE_INTEGER);
  at.oneOf("short", ["anomalous", "normal"]);
  for (const key of ["mean", "std"]) {
    const wanted = by === "nextEvent" ? 0 : targets;
    const list = at.list(key);
    const fits = list.every((value) => Number.isFinite(value) && (key === "mean" || (value as number) > 0));
    if (list.length !== wanted || !fits)
      throw at.fault(`.${key}`, `${wanted} finite numbers${key === "std" ? " above 0" : ""}`, list);
  }
  at.text("rule");
  at.count("n", 0, Number.MAX_SAFE_INTEGER);
}

/** An alarm counts its steps in float32. */
const MAX_ALARM_STEPS = 1_000_000;

const MAX_WIDTH = 65_536;

function checkArchitecture(at: Fields): void {
  const type = at.oneOf("type", ["recurrent", "windowMLP", "encoderDecoder", "reconstruction", "baseline"]);
  if (type === "baseline") {
    at.text("kind");
    at.object("options");
    return;
  }
  const inputSize = at.count("inputSize", 1, MAX_WIDTH);
  const hiddenSize = at.count("hiddenSize", 1, MAX_WIDTH);
  checkCodes(at, "embeddings", inputSize);
  if (type === "encoderDecoder") {
    checkLayers(at);
    at.oneOf("bidirectional", [true, false]);
    at.oneOf("merge", MERGES);
    at.count("targetSize", 1, MAX_CODES);
    at.count("targetEmbedding", 1, MAX_CODE_WIDTH);
    at.oneOf("attention", ["additive", "dot", "general", "none"]);
    for (const key of ["inputFeeding", "tieTarget"]) at.oneOf(key, [true, false]);
    at.oneOf("bridge", ["copy", "linear", "none"]);
    return;
  }
  const outputSize = at.count("outputSize", 1, MAX_WIDTH);
  if (type === "windowMLP") {
    at.count("window", 1, MAX_WIDTH);
    return;
  }
  const { cell, numLayers } = checkLayers(at);
  if (type === "reconstruction") {
    at.oneOf("reversed", [true, false]);
    return;
  }
  at.oneOf("bidirectional", [true, false]);
  at.oneOf("resetAfter", [true, false]);
  at.oneOf("nonlinearity", ["tanh", "relu"]);
  if (at.has("crf")) at.oneOf("crf", [true, false]);
  if (at.has("highway")) checkHighway(at.object("highway"), { inputSize, outputSize });
  checkVariant(at, { cell, numLayers, hiddenSize, outputSize });
}

function checkHighway(at: Fields, { inputSize, outputSize }: { inputSize: number; outputSize: number }): void {
  at.count("lags", 1, 1_000_000);
  const horizon = at.count("horizon", 1, MAX_WIDTH);
  const perValue = at.count("perValue", 1, 64);
  at.count("added", 1, perValue);
  const columns = at.list("columns");
  const fits = columns.every((column) => Number.isInteger(column) && (column as number) >= 0 && (column as number) < inputSize);
  if (!fits || horizon * perValue * columns.length !== outputSize)
    throw at.fault(".columns", "the input column of each target", columns);
}

/** What all recurrent layers have. */
function checkLayers(at: Fields): { cell: string; numLayers: number } {
  const numLayers = at.count("numLayers", 1, 64);
  at.oneOf("init", ["uniform", "orthogonal"]);
  at.number("dropout", 0, 1);
  const cell = at.oneOf("cell", ["rnn", "lstm", "gru"]);
  if (cell === "lstm") at.numberOrNull("forgetBias");
  return { cell, numLayers };
}

/** The fields that a plain network has not; absent is off. */
function checkVariant(
  at: Fields,
  { cell, numLayers, hiddenSize, outputSize }: { cell: string; numLayers: number; hiddenSize: number; outputSize: number },
): void {
  for (const key of SHARES) if (at.has(key)) at.share(key);
  if (
    at.has("embeddingDropout") &&
    at.share("embeddingDropout") > 0 &&
    !(at.has("embeddings") && at.list("embeddings").length > 0)
  ) {
    throw at.fault(".embeddingDropout", "0 where no column is embedded", at.share("embeddingDropout"));
  }
  for (const key of ["residual", "layerNorm", "learnedState", "tieWeights"]) {
    if (at.has(key)) at.oneOf(key, [true, false]);
  }
  if (at.has("merge")) at.oneOf("merge", MERGES);
  let least = hiddenSize;
  if (at.has("layerSizes")) {
    const sizes = at.counts("layerSizes", numLayers, MAX_WIDTH);
    if (sizes[numLayers - 1] !== hiddenSize) throw at.fault(".layerSizes", `the last hiddenSize ${hiddenSize}`, sizes);
    least = Math.min(...sizes);
  }
  if (at.has("projection")) at.count("projection", 1, least - 1);
  for (const key of ["projection", "cellZoneout"]) {
    if (at.has(key) && cell !== "lstm") throw at.fault(`.${key}`, "none but with an LSTM", cell);
  }
  if (at.has("tieWeights") && at.oneOf("tieWeights", [true, false])) {
    const tables = at.has("embeddings") ? at.objects("embeddings", 1) : [];
    if (tables.length !== 1) throw at.fault(".tieWeights", "one embedded column", tables.length);
    tables[0].count("size", outputSize, outputSize);
  }
}

const MAX_CODES = 4_194_304;
const MAX_CODE_WIDTH = 4096;
/** Values of all tables together: 1 GB. */
const MAX_TABLE_VALUES = 268_435_456;

/** A list of code columns of x, where there is one. */
function checkCodes(at: Fields, key: string, inputSize: number): void {
  if (!at.has(key)) return;
  const seen = new Set<number>();
  let values = 0;
  let widths = inputSize;
  for (const code of at.objects(key, inputSize)) {
    const column = code.count("column", 0, inputSize - 1);
    const size = code.count("size", 1, MAX_CODES);
    const width = code.count("width", 1, MAX_CODE_WIDTH);
    if (seen.has(column)) throw code.fault(".column", "each column once", column);
    seen.add(column);
    values += size * width;
    widths += width - 1;
    if (values > MAX_TABLE_VALUES) throw code.fault("", `tables of at most ${MAX_TABLE_VALUES} values together`, values);
    if (widths > MAX_WIDTH) throw code.fault("", `at most ${MAX_WIDTH} values a step`, widths);
  }
}

/** Reads the fields of an untrusted object; every miss is one clear error. */
class Fields {
  readonly #value: Record<string, unknown>;

  constructor(
    value: unknown,
    readonly path: string,
  ) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.fault("", "an object", value);
    this.#value = value as Record<string, unknown>;
  }

  text(key: string): string {
    return this.#want(key, "a text", (value) => typeof value === "string") as string;
  }
  count(key: string, low: number, high: number): number {
    const fits = (value: unknown) => Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
    return this.#want(key, `an integer ${low} .. ${high}`, fits) as number;
  }
  number(key: string, low: number, high: number): void {
    this.#want(key, `a number ${low} .. ${high}`, (value) => typeof value === "number" && value >= low && value <= high);
  }
  finite(key: string): number {
    return this.#want(key, "a finite number", (value) => Number.isFinite(value)) as number;
  }
  share(key: string): number {
    const fits = (value: unknown) => typeof value === "number" && value >= 0 && value < 1;
    return this.#want(key, "a number from 0 to below 1", fits) as number;
  }
  counts(key: string, length: number, high: number): number[] {
    const isCount = (item: unknown) => Number.isInteger(item) && (item as number) >= 1 && (item as number) <= high;
    const fits = (value: unknown) => Array.isArray(value) && value.length === length && value.every(isCount);
    return this.#want(key, `a list of ${length} integers 1 .. ${high}`, fits) as number[];
  }
  numberOrNull(key: string): void {
    this.#want(key, "a finite number or null", (value) => value === null || Number.isFinite(value));
  }
  oneOf<T>(key: string, choices: readonly T[]): T {
    return this.#want(key, choices.join(" or "), (value) => choices.includes(value as T)) as T;
  }
  has(key: string): boolean {
    return Object.hasOwn(this.#value, key);
  }
  list(key: string): unknown[] {
    return this.#want(key, "a list", Array.isArray) as unknown[];
  }
  objects(key: string, most: number): Fields[] {
    const list = this.#want(
      key,
      `a list of at most ${most}`,
      (value) => Array.isArray(value) && value.length <= most,
    ) as unknown[];
    return list.map((item, i) => new Fields(item, `${this.path}.${key}[${i}]`));
  }
  object(key: string): Fields {
    return new Fields(this.#value[key], `${this.path}.${key}`);
  }
  texts(key: string): void {
    this.#want(key, "a list of texts", (value) => Array.isArray(value) && value.every((item) => typeof item === "string"));
  }
  numbers(key: string): void {
    this.#want(key, "a list of numbers", (value) => Array.isArray(value) && value.every((item) => typeof item === "number"));
  }

  #want(key: string, expected: string, fits: (value: unknown) => boolean): unknown {
    const value = Object.hasOwn(this.#value, key) ? this.#value[key] : undefined;
    if (!fits(value)) throw this.fault(`.${key}`, expected, value);
    return value;
  }

  fault(suffix: string, expected: string, value: unknown): OstinatoError {
    const got = (JSON.stringify(value) ?? "nothing").slice(0, 60);
    return new OstinatoError("OST_MODEL_FILE", {
      what: "a field of the header is wrong",
      expected,
      got,
      where: `${this.path}${suffix}`,
    });
  }
}
