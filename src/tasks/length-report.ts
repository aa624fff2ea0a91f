/**
 * @file How a network's error grows when its state is carried for 1, 10 and 100 times the length it was trained on.
 *
 * The same steps are predicted each time, only the history before them grows, so nothing else differs: stretches of the test part that end
 * at the same places, read from a fresh state. The places are those with enough history for the longest stretch that fits anywhere.
 */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { batches, type Example, type Examples, type PreparedData, RunList, windows } from "../data/index.js";
import { evaluate, LENGTH_MULTIPLES, type LengthShift, lengthShift, METRICS } from "../evaluate/index.js";
import type { Predictor } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";
import { taskOf } from "./task.js";

/** At most so many places are tried, evenly spaced; longer stretches overlap heavily anyway. */
const MAX_PLACES = 48;

/** Null for whole sequences, which have no training length. */
export function lengthReport(
  config: ExperimentConfig,
  prepared: PreparedData,
  spec: ExampleSpec,
  predictor: Predictor,
): LengthShift | null {
  const trainingLength = config.window.length;
  if (trainingLength === undefined) return null;
  const { metric, targetKind } = taskOf(config);
  if (targetKind === "tokens") return null;
  const longest = [...LENGTH_MULTIPLES]
    .reverse()
    .map((multiple) => ({ multiple, stretches: stretchesOf(config, prepared, multiple * trainingLength) }))
    .find(({ stretches }) => stretches !== null);
  return lengthShift({
    trainingLength,
    carried: config.mode === "streaming",
    ...METRICS[metric],
    errorAt(multiple) {
      if (!longest?.stretches || multiple > longest.multiple) return undefined;
      const examples = endingAtSamePlaces(longest.stretches, multiple * trainingLength);
      const all = [...batches(examples, { batchSize: 8, normalize: config.window.normalize })];
      const scored = new Map(all.map((batch) => [lastSteps(batch, spec, Math.ceil(trainingLength / 2)), batch]));
      const { metrics } = evaluate(askedOf(predictor, scored), scored.keys(), spec);
      return { n: metrics.n, value: (metrics as unknown as Record<string, number>)[metric] };
    },
  });
}

/** The predictor, asked for another batch in place of each; labels that it decides itself are its own here too. */
function askedOf(predictor: Predictor, instead: ReadonlyMap<Batch, Batch>): Predictor {
  const { name, distributional } = predictor;
  const of = (batch: Batch) => instead.get(batch) as Batch;
  return {
    name,
    ...(distributional !== undefined && { distributional }),
    predict: (batch) => predictor.predict(of(batch)),
    ...(predictor.labels && {
      labels: (batch, prediction) => (predictor as Required<Predictor>).labels(of(batch), prediction),
    }),
  };
}

/** Stretches of the test part, thinned; null where none is that long. */
function stretchesOf(config: ExperimentConfig, prepared: PreparedData, length: number): Examples | null {
  const { window, mode } = config;
  const task = taskOf(config);
  const everyStep = task.everyStep || mode === "streaming";
  const stride = everyStep ? Math.max(1, Math.floor((window.length as number) / 4)) : 1;
  let found: Examples;
  try {
    found = windows(prepared, { length, horizon: task.horizon.judged, part: "test", stride, everyStep });
  } catch (error) {
    if (error instanceof OstinatoError && error.code === "OST_WINDOW") return null;
    throw error;
  }
  let whole = 0;
  for (const example of found.runs) if (example.length === length) whole++;
  const every = Math.ceil(whole / MAX_PLACES);
  const kept: Example[] = [];
  let seen = 0;
  for (const example of found.runs) if (example.length === length && seen++ % every === 0) kept.push(example);
  return kept.length === 0 ? null : found.with({ runs: RunList.of(kept) });
}

function endingAtSamePlaces(examples: Examples, length: number): Examples {
  const ending = [...examples.runs].map((one) => ({ series: one.series, start: one.start + one.length - length, length }));
  return examples.with({ runs: RunList.of(ending) });
}

/** The batch with the targets of all but the last `count` steps removed, where every step has one. */
function lastSteps(batch: Batch, { targetKind, everyStep }: ExampleSpec, count: number): Batch {
  if (!isPerStep(targetKind) && !everyStep) return batch;
  const perStep = <T extends Float32Array | Int32Array>(list: T, none: number): T => {
    const copy = list.slice() as T;
    const width = list.length / (batch.batchSize * batch.time);
    for (let b = 0; b < batch.batchSize; b++) {
      copy.fill(none, b * batch.time * width, (b * batch.time + Math.max(0, batch.lengths[b] - count)) * width);
    }
    return copy;
  };
  const { values, classes } = batch;
  return { ...batch, ...(values && { values: perStep(values, Number.NaN) }), ...(classes && { classes: perStep(classes, -1) }) };
}
