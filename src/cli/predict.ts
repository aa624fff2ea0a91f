/**
 * @file `ostinato predict`: every prediction a model has for a file, through its frozen preprocessing; the target columns may be absent.
 *
 * A row of the output is what a stream says when it has read that row of the input, or what was found for a whole series.
 */
import { OstinatoError } from "../core/errors.js";
import { type Distribution, outputsPerValue, predictiveDistribution } from "../core/predictive-distribution.js";
import { aheadName, applyPreprocessing, batches, type PreparedData, rowName, type Slices, sequences } from "../data/index.js";
import type { WeightType } from "../kernels/index.js";
import { decidedClass, givesDistribution, type LoadedModel, probabilities } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { detectionTable } from "../tasks/index.js";
import { readModelInput } from "./data-file.js";
import { csvLine, wantLineFile, writeLines } from "./line-file.js";
import { predictorName, trainedConfig } from "./model-file.js";
import { type ModelOutput, modelOutputs, type Place } from "./model-output.js";
import { decodingOf, searchSequences } from "./sequence-search.js";
import { counted, Terminal, type TerminalOptions } from "./terminal.js";

export interface PredictCommandOptions extends TerminalOptions {
  data: string;
  out: string;
  /** Replaces the file. */
  force?: boolean;
  weights?: WeightType;
}

type Cell = string | number | null;

export async function predictCommand(path: string, options: PredictCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { data, out, force } = options;
  const format = wantLineFile(out, { formats: [".csv", ".ndjson", ".jsonl"], force, inputs: [data, path] });
  const loaded = await loadModel(path, { weights: options.weights });
  const { preprocessing } = loaded;
  const table = await readModelInput(data, {
    ...preprocessing,
    config: loaded.header.provenance.config ? trainedConfig(loaded, path) : null,
  });
  const prepared = applyPreprocessing(table, preprocessing, { target: "optional" });
  const { ahead } = preprocessing.derived;
  const unsaid = (ahead?.columns ?? []).filter((name) => !table.columns.some((column) => column.name === aheadName(name)));
  if (ahead && unsaid.length > 0) {
    terminal.warn(
      `  The last ${counted(ahead.steps, "row")} of each series stand for what is known after them: ${unsaid.join(", ")} held at the last value. ` +
        `A column ${aheadName(unsaid[0])} in the file says what is truly known.`,
    );
  }
  const { columns, cells, probabilitiesAt } = predictionsOf(loaded, prepared);
  let rows = 0;
  const counting = function* () {
    for (const row of cells) {
      rows++;
      yield row;
    }
  };
  const lines = format === ".csv" ? csvLines(columns, counting()) : jsonLines({ columns, probabilitiesAt }, counting());
  await writeLines(out, lines, () => terminal.status(`  ${counted(rows, "row")} written`));
  terminal.print(
    `  ${predictorName(loaded)}: ${counted(rows, "row")} of predictions for ${counted(table.rows, "row")} of ${table.source}, written to ${out}.`,
  );
  if (options.json) terminal.json({ model: path, data, out, rows, inputRows: table.rows, columns, weights: loaded.weights });
  return 0;
}

interface Predictions {
  columns: string[];
  cells: Iterable<Cell[]>;
  /** The columns from here on are the probabilities of the classes. */
  probabilitiesAt: number;
}

function predictionsOf(loaded: LoadedModel, prepared: PreparedData): Predictions {
  if (loaded.header.detection) return { ...detectionTable(loaded, prepared), probabilitiesAt: Number.POSITIVE_INFINITY };
  return loaded.preprocessing.targetKind === "tokens" ? sequencePredictions(loaded, prepared) : stepPredictions(loaded, prepared);
}

/** One sequence per series, with the true one where the data have it. */
function sequencePredictions(loaded: LoadedModel, prepared: PreparedData): Predictions {
  const { preprocessing } = loaded;
  const columns = ["entity", "text", "logProbability"];
  const known = prepared.series.some(({ tokens }) => tokens);
  const wanted = { ...prepared, series: prepared.series.map((one) => ({ ...one, tokens: one.tokens ?? new Int32Array(0) })) };
  const decoding = decodingOf(loaded);
  function* cells(): Generator<Cell[]> {
    for (const batch of batches(sequences(wanted, { part: "test" }), { batchSize: DECODED })) {
      for (const [b, [{ tokens, logProbability }]] of searchSequences(loaded, batch, decoding).entries()) {
        const { entity, tokens: reference } = prepared.series[batch.series[b]];
        const own: Cell[] = [entity, preprocessing.decodeTarget(tokens), Number.isFinite(logProbability) ? logProbability : null];
        yield known ? [...own, reference ? preprocessing.decodeTarget(reference) : null] : own;
      }
    }
  }
  return {
    columns: known ? [...columns, "reference"] : columns,
    cells: cells(),
    probabilitiesAt: Number.POSITIVE_INFINITY,
  };
}

/** Series whose sequences are searched for side by side. */
const DECODED = 32;

function stepPredictions(loaded: LoadedModel, prepared: PreparedData): Predictions {
  const timed = loaded.preprocessing.roles.time !== null;
  const place = timed ? ["entity", "row", "time"] : ["entity", "row"];
  const { columns, cellsOf, probabilitiesAt = Number.POSITIVE_INFINITY } = layoutOf(loaded, place);
  function* cells(): Generator<Cell[]> {
    for (const found of modelOutputs(loaded, everyRowCounts(prepared))) {
      const { entity, row, time } = found.place;
      const own: Cell[] = timed ? [entity, row, time === null ? null : new Date(time).toISOString()] : [entity, row];
      if (!found.output.every(Number.isFinite)) throw notFinite(found.place, prepared);
      for (const some of cellsOf(found)) {
        if (some.some((cell) => typeof cell === "number" && !Number.isFinite(cell))) throw notFinite(found.place, prepared);
        yield [...own, ...some];
      }
    }
  }
  return { columns, cells: cells(), probabilitiesAt };
}

/** Examples are chosen by having a class; for prediction every row has one. */
function everyRowCounts(prepared: PreparedData): PreparedData {
  return {
    ...prepared,
    series: prepared.series.map((one) => (one.classes ? { ...one, classes: zeros(one.length) } : one)),
  };
}

/** As many zeros as a series has steps, without holding them. */
function zeros(length: number): Slices<Int32Array> {
  return { length, subarray: (from, to) => new Int32Array(to - from) };
}

interface Layout {
  columns: string[];
  /** The cells after the place: one row, or one per step of the horizon. */
  cellsOf(found: ModelOutput): Cell[][];
  probabilitiesAt?: number;
}

function layoutOf(loaded: LoadedModel, place: string[]): Layout {
  const { spec, calibration } = loaded.header;
  if (spec.targetKind === "values") return forecastLayout(loaded, place);
  const { classes } = spec;
  const decide = ({ output, label }: ModelOutput) => {
    const shares = probabilities(output, 0, classes.length);
    return { shares, decided: label ?? decidedClass(shares, calibration?.threshold) };
  };
  if (spec.targetKind === "next") {
    return {
      columns: [...place, "step", "next", "probability"],
      cellsOf(found) {
        const { shares, decided } = decide(found);
        return [[found.place.step + 1, classes[decided], shares[decided]]];
      },
    };
  }
  return {
    columns: [...place, "label", "confidence", ...classes.map((name) => `probability.${name}`)],
    cellsOf(found) {
      const { shares, decided } = decide(found);
      return [[classes[decided], shares[decided], ...shares]];
    },
    probabilitiesAt: place.length + 2,
  };
}

/** Half of the share that lies outside the interval of a distribution. */
const TAIL = 0.05;

/**
 * Point forecasts, and behind those of a distribution its quantiles, or the ends of its central 90 % interval; behind calibrated ones the ends
 * of the calibrated interval.
 */
function forecastLayout(loaded: LoadedModel, place: string[]): Layout {
  const { header, preprocessing } = loaded;
  const { targets, horizon } = header.spec;
  const distribution = givesDistribution(loaded) ? header.spec.distribution : undefined;
  const K = targets.length;
  const own = [...place, "step"];
  const named = targets.map((name) => (own.includes(name) ? `${name}.predicted` : name));
  const conformal = header.calibration?.conformal;
  const levels = distribution ? levelsOf(distribution, conformal !== undefined) : [];
  const quantileNames = (name: string) =>
    distribution?.kind === "quantiles" ? levels.map((level) => `${name}.q${level}`) : [`${name}.lower`, `${name}.upper`];
  const unscale = (value: number, k: number) => preprocessing.targetScaler?.invert(value, k) ?? value;
  const M = outputsPerValue(distribution);
  return {
    columns: [
      ...own,
      ...named,
      ...(levels.length > 0 ? named.flatMap(quantileNames) : []),
      ...(conformal ? named.flatMap((name) => [`${name}.lower`, `${name}.upper`]) : []),
    ],
    cellsOf({ output }) {
      return Array.from({ length: horizon }, (_, p) => {
        const points: number[] = [];
        const beside: Cell[] = [];
        const ends: Cell[] = [];
        for (let k = 0; k < K; k++) {
          const at = (p * K + k) * M;
          const asked = distribution ? predictiveDistribution(distribution, output.subarray(at, at + M)) : null;
          const point = asked ? asked.point : output[at];
          points.push(unscale(point, k));
          for (const level of levels) beside.push(unscale(asked ? asked.quantile(level) : point, k));
          if (!conformal) continue;
          const half = conformal.halfWidth[p][k];
          ends.push(unscale(point - half, k), unscale(point + half, k));
        }
        return [p + 1, ...points, ...beside, ...ends];
      });
    },
  };
}

/** Levels whose quantiles are told. @param calibrated an interval was fitted, which is told in place of the distribution's own */
function levelsOf(distribution: Distribution, calibrated: boolean): readonly number[] {
  if (distribution.kind === "quantiles") return distribution.levels;
  return calibrated || distribution.kind === "bernoulli" ? [] : [TAIL, 1 - TAIL];
}

/** A prediction that is no number is a failure of the model or of its input, never an empty cell. */
function notFinite({ entity, row }: Place, prepared: PreparedData): OstinatoError {
  const series = prepared.preprocessing.roles.entity === null ? "" : ` of "${entity}"`;
  return new OstinatoError("OST_NAN", {
    what: "the model gave a prediction that is not finite; no file was written",
    expected: "finite numbers",
    where: `${rowName(prepared, row)}${series}`,
    repair: "check the values up to that row (ostinato inspect shows the range the model was trained in)",
  });
}

function* csvLines(columns: string[], rows: Iterable<Cell[]>): Generator<string> {
  yield csvLine(columns);
  for (const row of rows) yield csvLine(row);
}

function* jsonLines({ columns, probabilitiesAt }: Omit<Predictions, "cells">, rows: Iterable<Cell[]>): Generator<string> {
  for (const row of rows) {
    const record: Record<string, unknown> = Object.fromEntries(
      columns.slice(0, probabilitiesAt).map((name, c) => [name, row[c]]),
    );
    if (probabilitiesAt < columns.length) {
      const names = columns.slice(probabilitiesAt).map((name) => name.slice("probability.".length));
      record["probabilities"] = Object.fromEntries(names.map((name, c) => [name, row[probabilitiesAt + c]]));
    }
    yield JSON.stringify(record);
  }
}
