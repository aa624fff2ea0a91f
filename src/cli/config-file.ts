/**
 * @file A configuration from a file and the command line: YAML or JSON by extension, overridden by `--set path=value`.
 *
 * Paths of data are relative to the configuration file, those of `--set` to the working directory; the result holds absolute ones.
 */
import { readFile } from "node:fs/promises";
import { basename, dirname, extname, resolve } from "node:path";
import { LineCounter, parseDocument, YAMLParseError } from "yaml";
import { OstinatoError } from "../core/errors.js";
import { type ExperimentConfig, parseConfig } from "../tasks/index.js";

export const DEFAULT_CONFIG = "ostinato.yaml";

export interface LoadedConfig {
  config: ExperimentConfig;
  path: string;
  /** Of the experiment: the configuration's own, else that of its file. */
  name: string;
}

/**
 * @param path default `ostinato.yaml` in the working directory.
 * @param options `set`: texts of the form `path=value`, the value in YAML.
 * @throws OST_FILE if there is no such file. @throws OST_CONFIG naming the line or the key. @throws OST_USAGE for a text that sets nothing.
 */
export async function loadConfig(
  path: string = DEFAULT_CONFIG,
  { set = [] }: { set?: readonly string[] } = {},
): Promise<LoadedConfig> {
  const file = basename(path);
  const text = await readText(path);
  const value = extname(path).toLowerCase() === ".json" ? parseJson(text, file) : parseYaml(text, file);
  resolveSources(value, dirname(resolve(path)));
  for (const assignment of set) assign(value, assignment);
  const config = parseConfig(value, set.length > 0 ? `${file} with --set` : file);
  const name = config.name ?? file.slice(0, file.length - extname(file).length);
  return { config: { ...config, name }, path, name };
}

async function readText(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OstinatoError(
      "OST_FILE",
      {
        what: code === "ENOENT" ? "there is no such configuration" : `the configuration cannot be read (${code})`,
        where: path,
        repair: code === "ENOENT" ? "check the path, or write one: ostinato init --data FILE" : "check the path",
      },
      { cause },
    );
  }
  if (text.trim() === "")
    throw new OstinatoError("OST_FILE", {
      what: "the configuration is empty",
      where: path,
      repair: "write one: ostinato init --data FILE",
    });
  return text;
}

function parseYaml(text: string, where: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw malformed(`${where} line ${line}, column ${col}`, firstLine(error.message), "YAML", error);
  }
  try {
    return document.toJS();
  } catch (cause) {
    throw malformed(where, firstLine((cause as Error).message), "YAML", cause);
  }
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const { message } = cause as Error;
    const position = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    const line = text.slice(0, position).split("\n").length;
    throw malformed(`${where} line ${line}`, message.replace(/ in JSON at position.*$/s, ""), "JSON", cause);
  }
}

function malformed(where: string, got: string, format: string, cause: unknown): OstinatoError {
  return new OstinatoError(
    "OST_CONFIG",
    { what: `not well-formed ${format}`, got, where, repair: "correct that line" },
    { cause },
  );
}

function firstLine(message: string): string {
  return message.split("\n")[0];
}

/** Makes the paths of `data` absolute, whatever their form; anything else is left for the schema to refuse. */
function resolveSources(config: unknown, folder: string): void {
  if (!isObject(config) || !isObject(config["data"])) return;
  const { data } = config as { data: Record<string, unknown> };
  const resolveIn = (holder: unknown, key: string) => {
    if (isObject(holder) && Object.hasOwn(holder, key)) holder[key] = resolved(holder[key], folder);
  };
  resolveIn(data, "source");
  resolveIn(config["train"], "from");
  if (Array.isArray(data["sync"])) for (const one of data["sync"]) resolveIn(one, "source");
  resolveIn(data["targetTokens"], "file");
  if (isObject(data["categories"])) for (const category of Object.values(data["categories"])) resolveIn(category, "file");
}

function resolved(value: unknown, folder: string): unknown {
  if (typeof value === "string") return value === "" ? value : resolve(folder, value);
  if (Array.isArray(value)) return value.map((item) => resolved(item, folder));
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, folder)])) : value;
}

/** Applies one `path=value` in place. Objects are made on the way; what stands there and is no object is replaced. */
function assign(config: unknown, assignment: string): void {
  const equals = assignment.indexOf("=");
  const keys = assignment.slice(0, equals).trim().split(".");
  if (equals < 1 || keys.some((key) => key === "") || !isObject(config)) {
    throw new OstinatoError("OST_USAGE", {
      what: "--set takes a path and a value",
      expected: "path=value",
      got: assignment,
      where: "--set",
      repair: "for example: --set train.epochs=20 --set data.target=[OT]",
    });
  }
  let value = parseValue(assignment.slice(equals + 1), assignment);
  if (keys[0] === "data" && keys[1] === "source") value = resolved(value, process.cwd());
  else if (keys.length === 1 && keys[0] === "data") resolveSources({ data: value }, process.cwd());

  let at: Record<string, unknown> | unknown[] = config;
  for (const key of keys.slice(0, -1)) {
    const inner: unknown = Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
    const next: Record<string, unknown> | unknown[] = isObject(inner) || Array.isArray(inner) ? inner : {};
    put(at, key, next);
    at = next;
  }
  put(at, keys[keys.length - 1], value);
}

function parseValue(text: string, assignment: string): unknown {
  let cause: unknown;
  try {
    const document = parseDocument(text, { prettyErrors: false });
    [cause] = document.errors;
    if (!cause) return document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    cause = error;
  }
  throw new OstinatoError(
    "OST_USAGE",
    {
      what: "the value of --set is not YAML",
      got: cause instanceof YAMLParseError || cause instanceof ReferenceError ? firstLine(cause.message) : String(cause),
      where: `--set ${assignment}`,
      repair: `quote it for the shell, and within that for YAML where it begins with a mark: --set 'data.source="*.csv"'`,
    },
    { cause },
  );
}

/** An own property, whatever its name. */
function put(container: Record<string, unknown> | unknown[], key: string, value: unknown): void {
  Object.defineProperty(container, key, { value, writable: true, enumerable: true, configurable: true });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
