/**
 * @file `ostinato evaluate`: scores a model file again, on the test part of its own data or on a file of its own, beside the baselines of
 * its run.
 */
import { basename, resolve } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { applyPreprocessing, type PreparedData, partCode, stretches, type Table } from "../data/index.js";
import { hashFile } from "../data/read/index.js";
import { METRICS, type MetricDifference, metricDifferences, type Score } from "../evaluate/index.js";
import type { WeightType } from "../kernels/index.js";
import type { LoadedModel } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { type ExperimentConfig, type ExperimentData, judgeEntrants, prepareExperiment, scoringOptions } from "../tasks/index.js";
import { openExperimentData, portableSource, readExperimentFiles, readModelInput, sourcePaths } from "./data-file.js";
import { ExperimentView } from "./experiment-view.js";
import { takeInterrupts } from "./interrupt.js";
import { entrantOf, loadRivals, locateData, predictorName, trainedConfig } from "./model-file.js";
import { RUN_FILES } from "./run-folder.js";
import { Terminal, type TerminalOptions } from "./terminal.js";

export interface EvaluateCommandOptions extends TerminalOptions {
  data?: string;
  /** Judges the model with small weights, the same with float32 among its rivals. */
  weights?: WeightType;
}

export interface ScoredData extends ExperimentData {
  config: ExperimentConfig;
  /** What was scored, in words. */
  origin: string;
  /** Rows of its sources. */
  rows: number;
  /** What a reader must know before believing a figure. */
  notes: string[];
}

/** @returns the exit code: 3 when it was stopped by Ctrl-C. */
export async function evaluateCommand(path: string, options: EvaluateCommandOptions): Promise<0 | 3> {
  const terminal = new Terminal(options);
  const loaded = await loadModel(path);
  const small = options.weights && options.weights !== "float32" ? await loadModel(path, { weights: options.weights }) : null;
  const rivals = await loadRivals(path);
  const scored = options.data === undefined ? await ownData(loaded, path) : await otherData(loaded, path, options.data);
  const { config, notes: doubts } = judgeable(scored.config, scored.prepared);
  const notes = [...scored.notes, ...doubts];
  const name = predictorName(loaded);
  terminal.print(`\n  ${name}${small ? ` with ${small.weights} weights` : ""} on ${scored.origin}`);
  for (const note of notes) terminal.print(`  ${terminal.color.yellow("note")} ${note}`);
  terminal.print();

  const interrupt = takeInterrupts();
  try {
    terminal.status("  scoring", { always: true });
    const entrants = [loaded, ...rivals.map((rival) => rival.loaded)].map((one) => entrantOf(one, loaded));
    if (small) entrants.unshift({ ...entrantOf(small, loaded), name: `${name} ${small.weights}` });
    const judged = await judgeEntrants(config, scored, entrants, { signal: interrupt.signal });
    if (!judged) return 3;
    const { report, model, rivals: others } = judged;
    new ExperimentView(terminal, config, scored.rows).judgement(report, 1);
    terminal.print();
    const exact = small ? others[0].test : null;
    const differences = exact ? metricDifferences(model.test, exact) : [];
    if (small)
      terminal.print(
        `  ${terminal.color.bold(`${small.weights} against float32`)}\n${differenceTable(differences, small.weights)}`,
      );
    if (options.json) {
      terminal.json({
        model: path,
        task: config.task,
        data: {
          source: options.data ?? sourcePaths(config.data.source),
          rows: scored.rows,
          units: report.units,
          unit: report.unit,
        },
        metrics: { test: model.test.metrics },
        ...(small && exact && { weights: weightsReport(small.weights, exact, differences) }),
        baselines: Object.fromEntries(others.slice(small ? 1 : 0).map(({ name, test }) => [name, test.metrics])),
        comparisons: report.comparisons,
        lengthShift: report.lengthShift ?? null,
        freeRunning: report.freeRunning ?? null,
        verdict: report.verdict,
        notes: [...notes, ...report.notes],
      });
    }
    return 0;
  } finally {
    terminal.clear();
    interrupt.release();
  }
}

/** What small weights cost, as JSON: float32's own metrics, and small minus float32. */
function weightsReport(type: WeightType, { metrics }: Score, differences: MetricDifference[]) {
  return {
    type,
    float32: metrics,
    difference: Object.fromEntries(differences.map(({ metric, difference }) => [metric, difference])),
  };
}

/** A line per metric: small, float32, difference, and the difference as a share of float32's value. */
function differenceTable(differences: MetricDifference[], type: WeightType): string {
  const rows = differences.map(({ metric, value, reference, difference }) => {
    const share = reference === 0 ? "" : `${signed((100 * difference) / Math.abs(reference), 3)} %`;
    return [METRICS[metric].label, value.toPrecision(6), reference.toPrecision(6), signed(difference, 6), share];
  });
  const table = [["", type, "float32", "difference", ""], ...rows];
  const widths = table[0].map((_, c) => Math.max(...table.map((row) => row[c].length)));
  return table
    .map((row) =>
      `    ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join("   ")}`.trimEnd(),
    )
    .join("\n");
}

function signed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  if (Number(text) === 0) return text.replace("-", "");
  return value > 0 ? `+${text}` : text;
}

/** The test part of the data the model was trained with. */
export async function ownData(loaded: LoadedModel, path: string): Promise<ScoredData> {
  const config = await locateData(trainedConfig(loaded, path), path);
  if (!config) {
    throw new OstinatoError("OST_FILE", {
      what: "nothing says where the model's own data lie: no configuration is beside it",
      expected: `${RUN_FILES.config}, which its run wrote`,
      where: path,
      repair: "name the data with --data FILE, or keep the model in its run folder",
    });
  }
  const { input, rows, hashes, tokenizers } = await openExperimentData(config).catch((error) => {
    if (!(error instanceof OstinatoError) || error.code !== "OST_FILE") throw error;
    const repair = "bring the file back, or name another with --data FILE";
    throw new OstinatoError(
      "OST_FILE",
      { ...error.detail, what: `the model's own data: ${error.detail.what}`, repair },
      { cause: error },
    );
  });
  const known = loaded.header.provenance.data;
  const changed = Object.entries(hashes).filter(([name, hash]) => known[name] !== undefined && known[name] !== hash);
  const unknown = Object.keys(hashes).filter((name) => known[name] === undefined);
  const notes = [
    ...changed.map(
      ([name, hash]) =>
        `${name} has changed since training (sha256 ${hash.slice(0, 12)}, was ${known[name].slice(0, 12)}): test rows may be rows it learned from.`,
    ),
    ...unknown.map((name) => `the model file holds no hash of ${name}, so nothing says whether it is the same.`),
  ];
  const { prepared, spec } = prepareExperiment(config, input, { tokenizers, from: ownPreprocessing(loaded) });
  const same = JSON.stringify(prepared.preprocessing) === JSON.stringify(loaded.header.preprocessing);
  if (!same && input === prepared) {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "the data on disk were prepared otherwise than those the model learned from",
      expected: "the preprocessing in the model file",
      got: changed.length > 0 ? "data that have changed since" : "another",
      where: path,
      repair: "name the data with --data FILE, or set data.storage: memory in the configuration beside the model",
    });
  }
  if (!same && changed.length === 0)
    notes.push("the preprocessing fitted now is not the one in the file; the frozen one was used.");
  return {
    config,
    prepared: same ? prepared : frozenParts(prepared, applyPreprocessing(input as Table, loaded.preprocessing)),
    spec: same ? spec : loaded.header.spec,
    origin: `the test part of ${prepared.source}`,
    rows,
    notes,
  };
}

/** The parts of a split on series that went through the frozen preprocessing. */
function frozenParts({ series, split }: PreparedData, frozen: PreparedData): PreparedData {
  return { ...frozen, split, series: frozen.series.map((one, s) => ({ ...one, part: series[s].part, group: series[s].group })) };
}

/** A whole file as test data. @throws OST_SPLIT if the model learned from it. */
async function otherData(loaded: LoadedModel, path: string, file: string): Promise<ScoredData> {
  const trained = trainedConfig(loaded, path);
  const located = await locateData(trained, path);
  const config = located ?? trained;
  const { preprocessing, header } = loaded;
  const table = await readModelInput(file, { ...preprocessing, config: trained });
  const hash = await hashFile(file);
  const twin = Object.entries(header.provenance.data).find(([, known]) => known === hash)?.[0];
  const part = twin === undefined ? undefined : partOf(config, file, twin);
  if (twin !== undefined && part !== "test") {
    throw new OstinatoError("OST_SPLIT", {
      what: "the model learned from this file, so a figure on all of it would say nothing",
      expected: "a file the model has not seen",
      got: `the same bytes as ${twin} (sha256 ${hash.slice(0, 12)}), ${part ? `its part "${part}"` : "which holds its training rows"}`,
      where: `--data ${file}`,
      repair: `${located ? "" : `put the ${RUN_FILES.config} of its run beside the model, then `}leave --data out: that scores the test part alone`,
    });
  }
  const prepared = applyPreprocessing(table, preprocessing);
  const name = basename(file);
  const seen = part === "test" ? 0 : await rowsSeen(located, loaded, table);
  return {
    config,
    prepared,
    spec: header.spec,
    origin: `all of ${table.source}`,
    rows: table.rows,
    notes: [
      part === "test"
        ? `${name} is the file of the test part of the model's own run; all of it was scored.`
        : `all ${table.rows} rows of ${name} were scored as test data${overlap(seen, table.rows)}`,
    ],
  };
}

/** What is known of rows that the model was trained or chosen with: their number, or null where nothing says. */
function overlap(seen: number | null, rows: number): string {
  if (seen === null)
    return "; the data the model was trained with are not at hand, so rows copied from there would go unnoticed.";
  if (seen === 0) return "; the model was neither trained nor chosen with any of them.";
  const which = seen === rows ? "all of them are rows" : `${seen} of the ${rows} rows are rows`;
  return `, but ${which} the model was trained or chosen with: these figures are better than on new data.`;
}

/** The configuration with a decision that the parts at hand can judge: its own, else none, so that the default metric judges, and a note. */
export function judgeable(config: ExperimentConfig, prepared: PreparedData): { config: ExperimentConfig; notes: string[] } {
  const lack = lackFor(config, prepared);
  if (lack === null) return { config, notes: [] };
  return { config: { ...config, decision: undefined }, notes: [`${lack}; the verdict is by the default metric instead.`] };
}

/** Why the parts at hand cannot judge the decision, or null. */
function lackFor(config: ExperimentConfig, prepared: PreparedData): string | null {
  const { decision } = config;
  if (!decision) return null;
  if ("alertBudget" in decision && prepared.split.validation === 0)
    return "the alert budget was left out: its threshold is chosen on a validation part, and here is none";
  if ("metric" in decision && decision.metric === "mase" && !("maseScales" in scoringOptions(config, prepared)))
    return "the decision by MASE was left out: its scale is taken from training rows, and these give none";
  return null;
}

/** Rows of a table that also are rows of the model's training or validation part; null where its data are gone or have changed. */
async function rowsSeen(config: ExperimentConfig | null, loaded: LoadedModel, table: Table): Promise<number | null> {
  if (!config) return null;
  const { header, preprocessing } = loaded;
  const { roles } = preprocessing;
  const columns = roles.time === null ? roles.features : [roles.time, ...roles.features];
  const rowsOf = (source: Table) => {
    const cells = columns.map((name) => source.columns.find((column) => column.name === name));
    return (row: number) => cells.map((column) => column?.numbers?.[row] ?? column?.texts?.[row] ?? "").join(",");
  };
  try {
    const own = await readExperimentFiles(config);
    if (Object.entries(own.hashes).some(([name, hash]) => header.provenance.data[name] !== hash)) return null;
    const nameOf = rowsOf(own.table);
    const seen = new Set<string>();
    for (const { part, row } of prepareExperiment(config, own.table, {
      tokenizers: own.tokenizers,
      from: ownPreprocessing(loaded),
    }).prepared.series) {
      let i = 0;
      for (const rows of stretches(row)) {
        for (const number of rows) {
          const code = part[i++];
          if (code === partCode("train") || code === partCode("validation")) seen.add(nameOf(number - 1));
        }
      }
    }
    const given = rowsOf(table);
    let count = 0;
    for (let row = 0; row < table.rows; row++) if (seen.has(given(row))) count++;
    return count;
  } catch (error) {
    if (error instanceof OstinatoError) return null;
    throw error;
  }
}

/** The part a file stands for, where the configuration names one file per part. @param name of the same bytes in the model's provenance. */
function partOf({ data }: ExperimentConfig, file: string, name: string): string | undefined {
  if (typeof data.source === "string" || Array.isArray(data.source)) return undefined;
  const entries = Object.entries(data.source);
  const names = sourcePaths(portableSource(data.source));
  const found = entries.find(([, path]) => path === resolve(file)) ?? entries[names.indexOf(name)];
  return data.split.by === "column:part" ? found?.[0] : undefined;
}

/** A model that went on from another kept that one's preprocessing, which its own data do not give. */
function ownPreprocessing(loaded: LoadedModel): LoadedModel | undefined {
  return loaded.header.provenance.from ? loaded : undefined;
}
