/**
 * @file What a detector says of every row of prepared data: what a stream would say there, record by record. Only a model that rebuilds whole
 * windows, which no stream can run, reads them side by side.
 */
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import {
  batches,
  elementAt,
  lanes,
  type PreparedData,
  type PreparedSeries,
  sequences,
  trailingWindows,
  windows,
} from "../data/index.js";
import { type Detection, type LoadedModel, type Watched, watch } from "../model/index.js";
import { scoresOf, surprisesOf } from "./detection.js";

export interface DetectedRow {
  entity: string;
  /** Of the table, 1-based. */
  row: number;
  time: number | null;
  /** Null where nothing was expected, such as of the first row of a series, or where the value is missing. */
  score: number | null;
  /** Alert above it. */
  threshold: number;
  /** 1 where there is an alert. */
  anomaly: 0 | 1;
}

/** Series that are read side by side. */
const GROUP = 64;

/**
 * Scores and alerts of all rows, series by series in the order of the rows; the alarm of each begins afresh.
 *
 * @throws OST_CONFIG for a model of another task. @throws OST_NAN if a prediction is not finite.
 */
export function* detectRows(loaded: LoadedModel, prepared: PreparedData): Generator<DetectedRow> {
  const { detection } = loaded.header;
  if (!detection) {
    throw new OstinatoError("OST_CONFIG", {
      what: "this model detects nothing",
      expected: "a model of task: detect",
      got: `task: ${loaded.header.task}`,
      where: loaded.header.name,
      repair: "choose another model",
    });
  }
  const { predictor, header } = loaded;
  for (let from = 0; from < prepared.series.length; from += GROUP) {
    const group = prepared.series.slice(from, from + GROUP);
    const surprises = surprisesOf(
      (batch) => predictor.predict(batch),
      sourceOf(loaded, { ...prepared, series: group }),
      header.spec,
    );
    for (const [s, series] of group.entries()) {
      yield* rowsOf(series, watch(scoresOf(surprises, s, series.length, detection), detection), detection);
    }
  }
}

function* rowsOf(
  { entity, row, time, length }: PreparedSeries,
  { scores, alerts }: Watched,
  { threshold }: Detection,
): Generator<DetectedRow> {
  for (let t = 0; t < length; t++) {
    yield {
      entity,
      row: elementAt(row, t),
      time: time && elementAt(time, t),
      score: scores[t],
      threshold,
      anomaly: alerts[t] ? 1 : 0,
    };
  }
}

/** The same as cells of a table, for a file of predictions. */
export function detectionTable(
  loaded: LoadedModel,
  prepared: PreparedData,
): { columns: string[]; cells: Iterable<(string | number | null)[]> } {
  const timed = loaded.preprocessing.roles.time !== null;
  function* cells(): Generator<(string | number | null)[]> {
    for (const { entity, row, time, score, threshold, anomaly } of detectRows(loaded, prepared)) {
      const place = timed ? [entity, row, time === null ? null : new Date(time).toISOString()] : [entity, row];
      yield [...place, score, threshold, anomaly];
    }
  }
  return { columns: ["entity", "row", ...(timed ? ["time"] : []), "score", "threshold", "anomaly"], cells: cells() };
}

/** All rows as a stream reads them, or in windows side by side where there is none. */
function sourceOf({ header }: LoadedModel, prepared: PreparedData): Iterable<Batch> {
  const { spec, streaming, windowLength } = header;
  const part = "test" as const;
  const values = spec.targetKind === "values";
  const longest = prepared.series.reduce((most, { length }) => Math.max(most, length), 1);
  const carried = () => lanes(prepared, { batchSize: prepared.series.length, chunk: longest, part, horizon: 1 });
  const options = { batchSize: 256 };
  if (streaming === "carried") return carried();
  try {
    if (values && spec.ahead === 0) {
      const { length } = spec;
      const own = { part, horizon: 1, ahead: 0 as const };
      const examples = length === 0 ? sequences(prepared, own) : windows(prepared, { ...own, length, everyStep: true });
      return batches(examples, { batchSize: 32 });
    }
    const length = streaming === "windowed" ? windowLength : spec.length;
    if (length === 0) return carried();
    const shortest = values ? Math.min(length, Math.max(1, spec.length)) : 1;
    return batches(trailingWindows(prepared, { length, part, shortest, horizon: values ? 1 : 0 }), options);
  } catch (error) {
    // Series too short for a window have no scores.
    if (error instanceof OstinatoError && error.code === "OST_WINDOW") return [];
    throw error;
  }
}
