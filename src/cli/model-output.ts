/**
 * @file What a model says of prepared data at every step it predicts from, series by series, in the order of the rows: what a stream would say
 * there. Only a model that looks ahead, which no stream can run, reads its windows side by side.
 */
import { type Batch, isPerStep } from "../core/batch.js";
import { batches, elementAt, lanes, type PreparedData, sequences, trailingWindows, windows } from "../data/index.js";
import type { LoadedModel } from "../model/index.js";

/** What is known of a prediction's place: the series, and the last row read. */
export interface Place {
  entity: string;
  /** Index among the prepared series, and of the step within it. */
  series: number;
  step: number;
  /** Of the table, 1-based. */
  row: number;
  time: number | null;
}

export interface ModelOutput {
  place: Place;
  /** Of the one step. */
  output: Float32Array;
  /** The class that was decided together with others; absent: each is decided by itself. */
  label?: number;
  /** Target values, scaled, NaN where missing, [P, K]; or the class, -1 where missing, [1]. Empty without a target. */
  target: ArrayLike<number>;
}

const BATCH_SIZE = 256;

/** For targets of the kinds "values", "class", "tags" and "next". */
export function* modelOutputs({ header, predictor }: LoadedModel, prepared: PreparedData): Generator<ModelOutput> {
  const { spec } = header;
  const everyStep = isPerStep(spec.targetKind) || spec.everyStep;
  const { source, last } = inputs(header, prepared);
  const values = spec.horizon * spec.targets.length;
  for (const batch of source) {
    const output = predictor.predict(batch);
    // Labels decided together need what comes after them, which a stream has not read yet.
    const labels = header.streaming === null ? predictor.labels?.(batch, output) : undefined;
    const width = output.length / (batch.batchSize * (everyStep ? batch.time : 1));
    const targets = batch.values ?? batch.classes ?? new Float32Array(0);
    const targetWidth = batch.values ? values : batch.classes ? 1 : 0;
    for (let b = 0; b < batch.batchSize; b++) {
      const series = prepared.series[batch.series[b]];
      const length = batch.lengths[b];
      if (!series || length === 0) continue;
      for (let t = everyStep && !last ? 0 : length - 1; t < length; t++) {
        const step = batch.start[b] + t;
        const from = everyStep ? b * batch.time + t : b;
        yield {
          place: {
            entity: series.entity,
            series: batch.series[b],
            step,
            row: elementAt(series.row, step),
            time: series.time && elementAt(series.time, step),
          },
          output: output.slice(from * width, (from + 1) * width),
          target: targets.subarray(from * targetWidth, (from + 1) * targetWidth),
          ...(labels && { label: labels[from] }),
        };
      }
    }
  }
}

/** Batches in the order of the rows; `last`: only the last step of each example predicts. */
function inputs({ spec, streaming, windowLength, normalize }: LoadedModel["header"], prepared: PreparedData) {
  const options = { batchSize: BATCH_SIZE, normalize };
  const part = "test" as const;
  const perStep = isPerStep(spec.targetKind);
  if (!perStep && !spec.everyStep) {
    if (spec.targetKind === "class" && spec.length === 0)
      return { source: batches(sequences(prepared, { part }), options), last: true };
    const { length, horizon } = spec;
    return { source: batches(windows(prepared, { length, horizon, stride: 1, part, keepUnscored: true }), options), last: true };
  }
  if (streaming === "windowed") {
    const shortest = perStep ? 1 : Math.max(1, spec.length);
    const examples = trailingWindows(prepared, { length: windowLength, part, shortest, horizon: spec.horizon });
    return { source: batches(examples, options), last: true };
  }
  if (streaming === null && perStep) {
    const examples = spec.length === 0 ? sequences(prepared, { part }) : windows(prepared, { length: spec.length, part });
    return { source: batches(examples, { ...options, batchSize: 32 }), last: false };
  }
  return { source: wholeSeries(prepared, spec.horizon), last: false };
}

/** One series at a time from its first to its last step. */
function* wholeSeries(prepared: PreparedData, horizon: number): Generator<Batch> {
  const longest = prepared.series.reduce((most, { length }) => Math.max(most, length), 1);
  yield* lanes(prepared, { batchSize: 1, chunk: longest, part: "test", horizon: Math.max(1, horizon) });
}
