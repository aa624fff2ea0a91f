/**
 * @file `ostinato score`: how probable a model finds given sequences, step by step and in total. All figures are natural logarithms unless they say
 * otherwise.
 */
import { readFile } from "node:fs/promises";
import { OstinatoError } from "../core/errors.js";
import { type Distribution, logProbability, outputsPerValue } from "../core/predictive-distribution.js";
import { applyPreprocessing, batches, elementAt, type PreparedData, rowName, sequences } from "../data/index.js";
import { sequenceLikelihoods } from "../decode/index.js";
import {
  encodeBatch,
  encoderDecoder,
  givesDistribution,
  type LanguageScorer,
  type LoadedModel,
  languageScorer,
} from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { inference } from "../tensor/index.js";
import { readModelInput } from "./data-file.js";
import { wantLineFile, writeLines } from "./line-file.js";
import { predictorName, trainedConfig } from "./model-file.js";
import { modelOutputs } from "./model-output.js";
import { learnedUnknown } from "./source-text.js";
import { alignColumns, counted, figure, Terminal, type TerminalOptions } from "./terminal.js";

export interface ScoreCommandOptions extends TerminalOptions {
  /** language: texts, each a sequence of its own. */
  text?: string[];
  /** language: a file of such texts, one per line. */
  lines?: string;
  /** A data file, read as that of training was. */
  data?: string;
  out?: string;
  /** Replaces the file. */
  force?: boolean;
}

/** One predicted thing and how probable it was. */
interface ScoredStep {
  /** The token, the label, or the target column. */
  what: string;
  /** Null where the model rules it out. */
  logProbability: number | null;
  /** 1: it was the likeliest. */
  rank?: number;
  /** Row of the data file that was read last before it; step of the horizon; the value. */
  row?: number;
  ahead?: number;
  value?: number;
}

interface ScoredSequence {
  sequence: string;
  logProbability: number | null;
  /** What the total is over. */
  n: number;
  steps: ScoredStep[];
}

/** What one step is called, and whether it has a mass, so that bits and a perplexity mean something. */
interface Unit {
  name: string;
  discrete: boolean;
}

export async function scoreCommand(path: string, options: ScoreCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { text, lines, data, out, force, json } = options;
  if ([text, lines, data].filter((one) => one !== undefined).length !== 1) {
    throw new OstinatoError("OST_USAGE", {
      what: "one source of sequences is scored at a time",
      expected: "--text TEXT ..., --lines FILE or --data FILE",
      got: [text && "--text", lines && "--lines", data && "--data"].filter(Boolean).join(", ") || "none",
      where: "score",
      repair: 'for example: --text "To be"',
    });
  }
  if (out !== undefined) wantLineFile(out, { formats: [".ndjson", ".jsonl"], force, inputs: [path, data ?? lines ?? path] });
  const loaded = await loadModel(path);
  const notes: string[] = [];
  const note = (text: string) => {
    notes.push(text);
    terminal.warn(`  ${text}`);
  };
  const unit = unitOf(loaded);
  const source =
    data === undefined
      ? scoredTexts(loaded, text ?? (await linesOf(lines as string, note)), note)
      : scoredData(loaded, await preparedFile(loaded, path, data), note);
  const total = new Total(unit);
  const kept: ScoredSequence[] = [];
  const watched = function* () {
    for (const one of source) {
      total.add(one);
      if ((json && out === undefined) || kept.length < SHOWN) kept.push(one);
      terminal.status(`  ${counted(total.sequences, "sequence")}`);
      yield one;
    }
  };
  if (out !== undefined) await writeLines(out, jsonLines(watched(), unit));
  else for (const _ of watched());
  terminal.clear();
  if (json) {
    terminal.json({
      model: path,
      name: predictorName(loaded),
      task: loaded.header.task,
      unit: unit.name,
      total: total.result(),
      ...(out === undefined ? { sequences: kept.map((one) => ({ ...one, ...perUnit(one, unit) })) } : { out }),
      notes,
    });
    return 0;
  }
  show(terminal, kept, total, unit);
  if (out !== undefined) terminal.print(`  All ${counted(total.sequences, "sequence")} with their steps: ${out}`);
  return 0;
}

/** Sequences that a person is shown. */
const SHOWN = 20;
/** Steps of one sequence, or of all together, that are shown one by one. */
const SHOWN_STEPS = 200;

class Total {
  sequences = 0;
  impossible = 0;
  #n = 0;
  #sum = 0;

  constructor(readonly unit: Unit) {}

  add({ logProbability: value, n }: ScoredSequence): void {
    this.sequences++;
    if (value === null) this.impossible++;
    else {
      this.#n += n;
      this.#sum += value;
    }
  }

  /** Of the sequences that are possible at all. */
  result() {
    const whole = { logProbability: this.#sum, n: this.#n };
    return {
      sequences: this.sequences,
      ...(this.impossible > 0 && { impossible: this.impossible }),
      ...whole,
      ...perUnit(whole, this.unit),
    };
  }
}

/** The mean, and where units have a mass the perplexity and bits of one; nothing of a sequence that is impossible or holds no unit. */
function perUnit({ logProbability: total, n }: Pick<ScoredSequence, "logProbability" | "n">, { discrete }: Unit) {
  if (total === null || n === 0) return {};
  const mean = total / n;
  return { perUnit: mean, ...(discrete && { perplexity: Math.exp(-mean), bitsPerUnit: -mean / Math.LN2 }) };
}

function* jsonLines(source: Iterable<ScoredSequence>, unit: Unit): Generator<string> {
  for (const one of source) yield JSON.stringify({ ...one, ...perUnit(one, unit) });
}

function unitOf({ header: { spec, task }, preprocessing }: LoadedModel): Unit {
  if (spec.targetKind === "values") {
    if (spec.distribution?.kind === "bernoulli") return { name: "frame", discrete: true };
    return { name: "value", discrete: spec.distribution?.kind === "negativeBinomial" };
  }
  if (spec.targetKind === "class") return { name: "sequence", discrete: true };
  if (spec.targetKind === "tags") return { name: "step", discrete: true };
  const { kind } = preprocessing.targetCodebook ?? {};
  const name = kind === "characters" ? "character" : kind === "words" ? "word" : task === "detect" ? "event" : "token";
  return { name, discrete: true };
}

function show(terminal: Terminal, kept: readonly ScoredSequence[], total: Total, unit: Unit): void {
  const { bold, dim } = terminal.color;
  const numbers = (one: ScoredSequence | ReturnType<Total["result"]>) => {
    const { perUnit: mean, perplexity, bitsPerUnit } = perUnit(one, unit) as Record<string, number | undefined>;
    const cells = [
      one.logProbability === null ? "impossible" : figure(one.logProbability),
      mean === undefined ? "" : figure(mean),
    ];
    if (!unit.discrete) return [String(one.n), ...cells];
    return [
      String(one.n),
      ...cells,
      perplexity === undefined ? "" : figure(perplexity),
      bitsPerUnit === undefined ? "" : figure(bitsPerUnit),
    ];
  };
  const head = ["", `${unit.name}s`, "log p", `per ${unit.name}`, ...(unit.discrete ? ["perplexity", "bits"] : [])];
  const rows = [head, ...kept.map((one) => [shortened(one.sequence), ...numbers(one)])];
  if (total.sequences > 1) rows.push(["all", ...numbers(total.result())]);
  const table = alignColumns(rows, { right: [1, 2, 3, 4, 5] });
  table.forEach((line, i) => {
    terminal.print(`  ${i === 0 ? dim(line) : i === table.length - 1 ? bold(line) : line}`);
    if (i === kept.length && total.sequences > kept.length) terminal.print(dim(`  and ${total.sequences - kept.length} more`));
  });
  if (total.impossible > 0)
    terminal.print(
      `  ${counted(total.impossible, "sequence")} the model rules out, and ${total.impossible === 1 ? "it is" : "they are"} not in the total.`,
    );
  const steps = kept.reduce((sum, one) => sum + one.steps.length, 0);
  if (steps === 0 || steps > SHOWN_STEPS || kept.length < total.sequences) return;
  for (const { sequence, steps: own } of kept) {
    terminal.print();
    if (kept.length > 1) terminal.print(`  ${bold(shortened(sequence))}`);
    const cells = own.map(({ what, logProbability: value, rank, row, ahead, value: measured }) => [
      row === undefined ? "" : `row ${row}`,
      ahead === undefined ? "" : `+${ahead}`,
      JSON.stringify(what),
      measured === undefined ? "" : figure(measured),
      value === null ? "impossible" : figure(value),
      rank === undefined ? "" : `#${rank}`,
    ]);
    const used = [0, 1, 2, 3, 4, 5].filter((c) => cells.some((row) => row[c] !== ""));
    for (const line of alignColumns(
      cells.map((row) => used.map((c) => row[c])),
      { right: [used.indexOf(3), used.indexOf(4)] },
    ))
      terminal.print(`    ${line}`);
  }
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > 40 ? `${line.slice(0, 39)}…` : line;
}

const LARGE_FILE = 1 << 28;

/** Lines that are not blank. @throws OST_FILE */
async function linesOf(path: string, note: (text: string) => void): Promise<string[]> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new OstinatoError(
      "OST_FILE",
      { what: `the texts cannot be read (${cause.code})`, where: path, repair: "check the path" },
      { cause },
    );
  });
  if (text.length > LARGE_FILE) {
    throw new OstinatoError("OST_FILE", {
      what: "the file is too large to be scored line by line",
      where: path,
      repair: "use --data FILE",
    });
  }
  const all = text.split(/\r?\n/);
  if (all.at(-1) === "") all.pop();
  const full = all.filter((line) => line.trim() !== "");
  if (full.length === 0)
    throw new OstinatoError("OST_FILE", {
      what: "the file holds nothing but blank lines",
      where: path,
      repair: "name a file of texts",
    });
  if (full.length < all.length) note(`${counted(all.length - full.length, "blank line")} left out.`);
  return full;
}

/** Texts that are scored side by side. */
const TOGETHER = 64;

function* scoredTexts(loaded: LoadedModel, texts: readonly string[], note: (text: string) => void): Generator<ScoredSequence> {
  const scorer = languageScorer(loaded);
  const { begin, end } = scorer;
  if (begin === null) note("The model knows no marker of a beginning: the first token of each text is read and not scored.");
  for (let from = 0; from < texts.length; from += TOGETHER) {
    const some = texts.slice(from, from + TOGETHER);
    const codes = some.map((text, i) => encoded(scorer, text, from + i));
    const starts = codes.map((own) => ({ state: scorer.initial, token: begin ?? own[0] }));
    const given = codes.map((own) => (begin === null ? own.slice(1) : own));
    const scores = sequenceLikelihoods(scorer, given, { starts, ...(end !== null && { end }) });
    for (const [i, { stepLogProbabilities, ranks, logProbability: total }] of scores.entries()) {
      const names = [...given[i], ...(end === null ? [] : [end])].map((code) => scorer.nameOf(code));
      yield {
        sequence: some[i],
        logProbability: finite(total),
        n: names.length,
        steps: names.map((what, t) => ({ what, logProbability: finite(stepLogProbabilities[t]), rank: ranks[t] })),
      };
    }
  }
}

/** @throws OST_VALUE for a text of unknown characters, OST_USAGE for one that leaves nothing to be scored. */
function encoded(scorer: LanguageScorer, text: string, i: number): number[] {
  let codes: number[];
  try {
    codes = scorer.encode(text);
  } catch (error) {
    if (!(error instanceof OstinatoError)) throw error;
    throw new OstinatoError(error.code, { ...error.detail, where: `text ${i + 1}, ${error.detail.where}` }, { cause: error });
  }
  const scored = codes.length + (scorer.end === null ? 0 : 1) - (scorer.begin === null ? 1 : 0);
  if (scored >= 1 && (scorer.begin !== null || codes.length > 0)) return codes;
  throw new OstinatoError("OST_USAGE", {
    what: "the text leaves nothing to be scored",
    expected: scorer.begin === null ? "at least two tokens: the first is read and not scored" : "at least one token",
    got: JSON.stringify(text),
    where: `text ${i + 1}`,
    repair: "give a longer text",
  });
}

async function preparedFile(loaded: LoadedModel, path: string, data: string): Promise<PreparedData> {
  const config = loaded.header.provenance.config ? trainedConfig(loaded, path) : null;
  const table = await readModelInput(data, { ...loaded.preprocessing, config });
  return applyPreprocessing(table, loaded.preprocessing);
}

function scoredData(loaded: LoadedModel, prepared: PreparedData, note: (text: string) => void): Iterable<ScoredSequence> {
  const { spec } = loaded.header;
  if (spec.targetKind === "tokens") return scoredTargets(loaded, prepared);
  if (spec.targetKind === "values") return scoredForecasts(loaded, prepared, note);
  return scoredClasses(loaded, prepared);
}

/** log p of the true class of every step, or of the whole sequence. */
function* scoredClasses(loaded: LoadedModel, prepared: PreparedData): Generator<ScoredSequence> {
  const { spec, task } = loaded.header;
  const { classes } = spec;
  const C = classes.length;
  const unknown = spec.targetKind === "next" && loaded.preprocessing.targetCodebook;
  const closed = unknown !== false && unknown !== null && !learnedUnknown(unknown);
  const gathering = new Gathering(prepared);
  for (const { place, output, target } of modelOutputs(loaded, prepared)) {
    const truth = target[0];
    yield* gathering.enter(place.series);
    if (!(truth >= 0)) continue;
    if (closed && truth === 0) throw unseen(rowName(prepared, place.row), task);
    let top = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < C; c++) top = Math.max(top, output[c]);
    let total = 0;
    let rank = 1;
    for (let c = 0; c < C; c++) {
      total += Math.exp(output[c] - top);
      if (output[c] > output[truth]) rank++;
    }
    const value = output[truth] - top - Math.log(total);
    if (Number.isNaN(value)) throw notFinite(rowName(prepared, place.row));
    gathering.add({ what: classes[truth], logProbability: finite(value), rank, row: place.row }, value);
  }
  yield* gathering.done();
}

/** Log-density, or of counts and members the log-probability, of every value that is forecast, in original units. */
function scoredForecasts(loaded: LoadedModel, prepared: PreparedData, note: (text: string) => void): Iterable<ScoredSequence> {
  const { header, preprocessing } = loaded;
  const { distribution, targets, horizon } = header.spec;
  if (!distribution || distribution.kind === "quantiles" || !givesDistribution(loaded)) {
    const points = distribution?.kind !== "quantiles";
    throw new OstinatoError("OST_CONFIG", {
      what: points ? "the model forecasts points, which have no probability" : "quantiles say no density between them",
      expected: "a forecast of a distribution: gaussian, studentT or negativeBinomial",
      got: points ? "points" : "quantiles",
      where: header.name,
      repair: `use ostinato evaluate, which measures ${points ? "errors" : "CRPS and pinball loss"}; or train with forecast.distribution: gaussian`,
    });
  }
  if (horizon > 1)
    note(
      `Each value is forecast up to ${horizon} times, once from each step before it: totals are over forecasts, not of a path.`,
    );
  return forecastsOf(loaded, prepared, { distribution, targets, horizon, preprocessing });
}

function* forecastsOf(
  loaded: LoadedModel,
  prepared: PreparedData,
  {
    distribution,
    targets,
    horizon,
    preprocessing,
  }: { distribution: Distribution; targets: readonly string[]; horizon: number; preprocessing: LoadedModel["preprocessing"] },
): Generator<ScoredSequence> {
  const K = targets.length;
  const M = outputsPerValue(distribution);
  const scaler = preprocessing.targetScaler;
  const unscale = (value: number, k: number) => scaler?.invert(value, k) ?? value;
  const density = distribution.kind === "gaussian" || distribution.kind === "studentT";
  // A density in other units is divided by how many of them a scaled unit is.
  const slopes = targets.map((_, k) => (density ? Math.log(Math.abs(unscale(1, k) - unscale(0, k))) : 0));
  const gathering = new Gathering(prepared);
  for (const { place, output, target } of modelOutputs(loaded, prepared)) {
    yield* gathering.enter(place.series);
    for (let p = 0; p < horizon; p++) {
      if (distribution.kind === "bernoulli") {
        const frame = target.length > 0 ? frameOf(output, target, { targets, distribution, from: p * K }) : null;
        if (frame)
          gathering.add({ what: frame.what, row: place.row, ahead: p + 1, logProbability: finite(frame.sum) }, frame.sum);
        continue;
      }
      for (let k = 0; k < K; k++) {
        const value = target[p * K + k];
        if (value === undefined || Number.isNaN(value)) continue;
        const at = (p * K + k) * M;
        const found = logProbability(distribution, output.subarray(at, at + M), value) - slopes[k];
        gathering.add(
          { what: targets[k], row: place.row, ahead: p + 1, value: unscale(value, k), logProbability: finite(found) },
          found,
        );
      }
    }
  }
  yield* gathering.done();
}

/** A set of things that are there at once is one step: its members are independent given what came before. Null where the set is missing. */
function frameOf(
  output: Float32Array,
  target: ArrayLike<number>,
  { targets, distribution, from }: { targets: readonly string[]; distribution: Distribution; from: number },
): { what: string; sum: number } | null {
  const there: string[] = [];
  let sum = 0;
  for (const [k, name] of targets.entries()) {
    const value = target[from + k];
    if (!(value >= 0)) return null;
    if (value === 1) there.push(name);
    sum += logProbability(distribution, output.subarray(from + k, from + k + 1), value);
  }
  return { what: there.join(" "), sum };
}

/** Steps as they come, put together by series. */
class Gathering {
  #series = -1;
  #steps: ScoredStep[] = [];
  #total = 0;
  #anything = false;

  constructor(readonly prepared: PreparedData) {}

  /** Begins a series; the one before is complete. */
  *enter(series: number): Generator<ScoredSequence> {
    if (series === this.#series) return;
    yield* this.#flush();
    this.#series = series;
  }

  add(step: ScoredStep, value: number): void {
    this.#steps.push(step);
    this.#total += value;
  }

  /** @throws OST_TARGET if nothing was scored. */
  *done(): Generator<ScoredSequence> {
    yield* this.#flush();
    if (this.#anything) return;
    throw new OstinatoError("OST_TARGET", {
      what: "there is nothing to score",
      expected: "at least one step with a target",
      got: "none",
      where: this.prepared.source,
      repair: "fill in the target column",
    });
  }

  *#flush(): Generator<ScoredSequence> {
    const steps = this.#steps;
    if (steps.length > 0) {
      this.#anything = true;
      const { entity } = this.prepared.series[this.#series];
      yield { sequence: entity, logProbability: finite(this.#total), n: steps.length, steps };
    }
    this.#steps = [];
    this.#total = 0;
  }
}

/** Per target token and its end of an encoder-decoder; over all alignments of a network that is aligned; whole of a baseline. */
function* scoredTargets(loaded: LoadedModel, prepared: PreparedData): Generator<ScoredSequence> {
  const { header, network, predictor, preprocessing } = loaded;
  const { classes } = header.spec;
  const codebook = preprocessing.targetCodebook;
  const closed = codebook !== null && !learnedUnknown(codebook);
  for (const { entity, tokens, row } of prepared.series) {
    if (closed && tokens?.includes(0)) throw unseen(`series "${entity}", ${rowName(prepared, elementAt(row, 0))}`, header.task);
  }
  for (const batch of batches(sequences(prepared, { part: "test" }), { batchSize: TOGETHER })) {
    const rows = Array.from(batch.series, (s) => prepared.series[s]);
    const own = rows.map(({ tokens }) => [...(tokens ?? [])]);
    if (header.task === "translate" && network !== null) {
      const model = encoderDecoder(network);
      const scores = inference(() => {
        const encodedBatch = encodeBatch(model, batch);
        const starts = own.map((_, b) => ({ state: model.scorer(encodedBatch, b).initial, token: model.begin }));
        return sequenceLikelihoods(model.scorer(encodedBatch, 0), own, { starts, end: model.end });
      });
      for (const [b, { stepLogProbabilities, ranks, logProbability: total }] of scores.entries()) {
        const names = [...own[b].map((code) => classes[code]), "<end>"];
        yield {
          sequence: rows[b].entity,
          logProbability: finite(total),
          n: names.length,
          steps: names.map((what, t) => ({ what, logProbability: finite(stepLogProbabilities[t]), rank: ranks[t] })),
        };
      }
      continue;
    }
    const totals = predictor.predict(batch);
    for (const [b, total] of totals.entries()) {
      if (Number.isNaN(total)) throw noProbability(header.name);
      yield { sequence: rows[b].entity, logProbability: finite(total), n: own[b].length, steps: [] };
    }
  }
}

/** JSON has no infinity: what is impossible is null. */
function finite(value: number): number | null {
  return value === Number.NEGATIVE_INFINITY ? null : value;
}

function unseen(where: string, task: string): OstinatoError {
  return new OstinatoError("OST_VALUE", {
    what: "the data hold what the model has never seen, so that nothing says how probable it is",
    expected: "what its vocabulary holds",
    got: "an unknown token",
    where,
    repair: `leave it out, or train on ${task === "language" ? "text that holds" : "targets that hold"} it`,
  });
}

function notFinite(where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "the model gave a prediction that is not finite",
    expected: "finite numbers",
    where,
  });
}

function noProbability(where: string): OstinatoError {
  return new OstinatoError("OST_CONFIG", {
    what: "the model gives no probability",
    expected: "a network, or a baseline that counts",
    where,
    repair: "choose another model",
  });
}
