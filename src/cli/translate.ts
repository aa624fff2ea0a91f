/** @file `ostinato translate`: writes what a model of task: translate makes of texts, of the lines on stdin, or of a data file. */
import { text as readAll } from "node:stream/consumers";
import { OstinatoError } from "../core/errors.js";
import { applyPreprocessing, batches, type PreparedData, sequences } from "../data/index.js";
import type { LoadedModel } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { readModelInput } from "./data-file.js";
import { wantLineFile, writeLines } from "./line-file.js";
import { predictorName, trainedConfig } from "./model-file.js";
import { printable } from "./printable.js";
import { decodingOf, type FoundSequence, type SearchOptions, searchSequences } from "./sequence-search.js";
import { prepareTexts } from "./source-text.js";
import { counted, figure, Terminal, type TerminalOptions } from "./terminal.js";

export interface TranslateCommandOptions extends TerminalOptions, Omit<SearchOptions, "attention" | "fusion"> {
  data?: string;
  out?: string;
  /** Replaces the file. */
  force?: boolean;
}

/** One source and what was made of it, as JSON. */
interface Translation {
  /** A text of the command line or of stdin. */
  source?: string;
  /** A series of a data file. */
  series?: string;
  text: string;
  /** Names of the tokens. */
  tokens: string[];
  /** Null where there is nothing to translate, or the predictor has none. */
  logProbability: number | null;
  /** False where it was cut at the greatest length. */
  finished?: boolean;
  attention?: number[][];
  /** The others, where several were asked for. */
  alternatives?: Omit<Translation, "source" | "series">[];
  reference?: string;
}

/** Series that are searched side by side. */
const TOGETHER = 32;

export async function translateCommand(path: string, texts: readonly string[], options: TranslateCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { data, out, force, json } = options;
  if (data !== undefined && texts.length > 0) {
    throw new OstinatoError("OST_USAGE", {
      what: "texts and a data file cannot be translated together",
      expected: "TEXT ..., or --data FILE, or lines on stdin",
      where: "translate",
      repair: "leave one of them out",
    });
  }
  const format =
    out === undefined ? null : wantLineFile(out, { formats: [".txt", ".ndjson", ".jsonl"], force, inputs: [path, data ?? path] });
  const loaded = await loadModel(path);
  if (loaded.header.task !== "translate") {
    throw new OstinatoError("OST_CONFIG", {
      what: "the model does not translate",
      expected: "a model of task: translate",
      got: `task: ${loaded.header.task}`,
      where: path,
      repair: loaded.header.task === "transcribe" ? "use ostinato transcribe" : "use ostinato predict",
    });
  }
  const decoding = decodingOf(loaded, options);
  const search: SearchOptions = {
    coveragePenalty: options.coveragePenalty,
    nBest: options.nBest,
    attention: json === true || (format !== null && format !== ".txt"),
  };
  const made: Translation[] = [];
  const keep = json || out !== undefined;
  const tell = (one: Translation) => {
    if (keep) made.push(one);
    if (!json && out === undefined) process.stdout.write(linesOf(one, (options.nBest ?? 1) > 1));
    else if (made.length % TOGETHER === 0) terminal.status(`  ${counted(made.length, "translation")}`);
  };
  if (data !== undefined) {
    const config = loaded.header.provenance.config ? trainedConfig(loaded, path) : null;
    const table = await readModelInput(data, { ...loaded.preprocessing, config });
    const prepared = applyPreprocessing(table, loaded.preprocessing, { target: "optional" });
    for (const one of translations(loaded, prepared, { decoding, search })) tell(one);
  } else {
    for (const one of translatedTexts(loaded, texts.length > 0 ? texts : await stdinLines(), { decoding, search })) tell(one);
  }
  if (out !== undefined) {
    const lines = made.map((one) => (format === ".txt" ? oneLine(one.text) : JSON.stringify(one)));
    await writeLines(out, lines);
    terminal.print(`  ${predictorName(loaded)}: ${counted(made.length, "translation")}, written to ${out}.`);
  }
  if (json)
    terminal.json({
      model: path,
      name: predictorName(loaded),
      decoding,
      ...(out === undefined ? { translations: made } : { out, n: made.length }),
    });
  return 0;
}

async function stdinLines(): Promise<string[]> {
  if (process.stdin.isTTY) {
    throw new OstinatoError("OST_USAGE", {
      what: "there is nothing to translate",
      expected: "TEXT ..., --data FILE, or lines on stdin",
      where: "translate",
      repair: 'for example: ostinato translate MODEL "jump twice"',
    });
  }
  const lines = (await readAll(process.stdin)).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

interface How {
  decoding: ReturnType<typeof decodingOf>;
  search: SearchOptions;
}

/** A blank text stays one, so that line i of the output belongs to line i of the input. */
function* translatedTexts(loaded: LoadedModel, texts: readonly string[], how: How): Generator<Translation> {
  for (let from = 0; from < texts.length; from += TOGETHER) {
    const some = texts.slice(from, from + TOGETHER);
    const full = some.filter((text) => text.trim() !== "");
    const found = full.length > 0 ? [...translations(loaded, prepareTexts(loaded, full), how)] : [];
    let next = 0;
    for (const text of some) {
      yield text.trim() === ""
        ? { source: text, text: "", tokens: [], logProbability: null }
        : { ...found[next++], source: text, series: undefined };
    }
  }
}

/** In the order of the series. */
function* translations(loaded: LoadedModel, prepared: PreparedData, { decoding, search }: How): Generator<Translation> {
  const { preprocessing, header } = loaded;
  const wanted = { ...prepared, series: prepared.series.map((one) => ({ ...one, tokens: one.tokens ?? new Int32Array(0) })) };
  const describe = ({ tokens, logProbability, finished, attention }: FoundSequence): Omit<Translation, "source" | "series"> => ({
    text: preprocessing.decodeTarget(tokens),
    tokens: tokens.map((code) => header.spec.classes[code]),
    logProbability: Number.isFinite(logProbability) ? logProbability : null,
    ...(finished !== undefined && { finished }),
    ...(attention && { attention }),
  });
  for (const batch of batches(sequences(wanted, { part: "test" }), { batchSize: TOGETHER })) {
    for (const [b, [best, ...others]] of searchSequences(loaded, batch, decoding, search).entries()) {
      const { entity, tokens: reference } = prepared.series[batch.series[b]];
      yield {
        series: entity,
        ...describe(best),
        ...(others.length > 0 && { alternatives: others.map(describe) }),
        ...(reference && { reference: preprocessing.decodeTarget(reference) }),
      };
    }
  }
}

function linesOf({ text, logProbability, alternatives = [] }: Translation, ranked: boolean): string {
  if (!ranked) return `${printable(oneLine(text))}\n`;
  return [{ text, logProbability }, ...alternatives]
    .map((one) => `${one.logProbability === null ? "" : figure(one.logProbability)}\t${printable(oneLine(one.text))}\n`)
    .join("");
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, " ");
}
