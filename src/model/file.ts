/**
 * @file The model file: one safetensors file with the weights under PyTorch's names and everything else as JSON in its metadata.
 *
 *     metadata: format = "ostinato", format_version = "1", ostinato = JSON of `ModelHeader`
 *
 * Python reads it with `from safetensors.numpy import load_file; load_file(path)`. A file of any earlier format version stays readable.
 */
import type { ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Architecture } from "./architecture.js";
import { floatEntry, floatsOf } from "./float-entry.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";

export const FORMAT_VERSION = 1;

export type TaskName = "forecast" | "classify" | "tag";
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
  /** Frozen preprocessing, as `Preprocessing.toJSON` writes it. */
  preprocessing: unknown;
  /** Metrics of model and baselines, comparisons and verdict, as `evaluate` reports them; null before the first evaluation. */
  report: unknown;
  /** The reference profile of the training rows, as `ostinato/monitor` writes and reads it; absent in files without one. */
  profile?: unknown;
  provenance: Provenance;
}

export interface Provenance {
  version: string;
  created: string;
  seed: number;
  /** sha256 of each data file, by name. */
  data: Record<string, string>;
  /** Engine and instruction set the weights were trained with. */
  engine: string;
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
  const task = at.oneOf("task", ["forecast", "classify", "tag"]);
  at.oneOf("mode", ["streaming", "causal", "offline"]);
  const streaming = at.oneOf("streaming", ["carried", "windowed", null]);
  at.count("windowLength", streaming === "windowed" ? 1 : 0, 1_000_000);
  at.oneOf("normalize", ["none", "last", "meanStd"]);
  at.object("preprocessing");
  at.object("provenance");
  if (at.has("profile")) at.object("profile");
  const spec = at.object("spec");
  for (const key of ["features", "targets", "classes"]) spec.texts(key);
  spec.oneOf("targetKind", [{ forecast: "values", classify: "class", tag: "tags" }[task as TaskName]]);
  spec.count("horizon", 0, 1_000_000);
  spec.count("length", 0, 1_000_000);
  spec.oneOf("everyStep", [true, false]);
  spec.numbers("targetFeature");
  checkCodes(spec, "codes", spec.list("features").length);
  checkArchitecture(at.object("architecture"));
  return header as ModelHeader;
}

const MAX_WIDTH = 65_536;

function checkArchitecture(at: Fields): void {
  const type = at.oneOf("type", ["recurrent", "windowMLP", "baseline"]);
  if (type === "baseline") {
    at.text("kind");
    at.object("options");
    return;
  }
  const inputSize = at.count("inputSize", 1, MAX_WIDTH);
  for (const key of ["hiddenSize", "outputSize"]) at.count(key, 1, MAX_WIDTH);
  checkCodes(at, "embeddings", inputSize);
  if (type === "windowMLP") {
    at.count("window", 1, MAX_WIDTH);
    return;
  }
  at.count("numLayers", 1, 64);
  at.oneOf("bidirectional", [true, false]);
  at.oneOf("resetAfter", [true, false]);
  at.oneOf("nonlinearity", ["tanh", "relu"]);
  at.oneOf("init", ["uniform", "orthogonal"]);
  at.number("dropout", 0, 1);
  if (at.oneOf("cell", ["rnn", "lstm", "gru"]) === "lstm") at.numberOrNull("forgetBias");
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
