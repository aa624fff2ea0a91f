/** @file How a network's error grows when its state is carried for 1, 10 and 100 times the length it was trained on. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { batches, type Examples, type PreparedData } from "../data/index.js";
import { evaluate, type LengthShift, lengthShift, METRICS, type Score } from "../evaluate/index.js";
import type { Predictor } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";
import { evaluationBatches } from "./fit-network.js";
import { taskOf } from "./task.js";

/** At most so many long examples are run, evenly spaced; they overlap heavily anyway. */
const MAX_EXAMPLES = 48;

/**
 * On the test part. A carried model is judged by the age of its state: steps in (L/2, L], (5L, 10L], (50L, 100L] after the reset. A model
 * trained on windows reads windows of L, 10L and 100L steps that end where its own windows end. Null for whole sequences of any length.
 */
export function lengthReport(
  config: ExperimentConfig,
  prepared: PreparedData,
  spec: ExampleSpec,
  predictor: Predictor,
): LengthShift | null {
  const trainingLength = config.window.length;
  if (trainingLength === undefined) return null;
  const { metric } = taskOf(config);
  const metricOf = (score: Score) => ({
    n: score.metrics.n,
    value: (score.metrics as unknown as Record<string, number>)[metric],
  });
  const ages =
    config.mode === "streaming"
      ? [...evaluationBatches(config, prepared, "test")].map((batch) => ({ batch, output: predictor.predict(batch) }))
      : [];
  return lengthShift({
    trainingLength,
    carried: config.mode === "streaming",
    ...METRICS[metric],
    errorAt(multiple) {
      const steps = multiple * trainingLength;
      if (config.mode === "streaming") {
        const aged = ages.map(({ batch, output }) => ({ batch: onlyAges(batch, steps / 2, steps), output }));
        return orNothing(() => {
          let next = 0;
          return metricOf(
            evaluate(
              () => aged[next++].output,
              aged.map(({ batch }) => batch),
              spec,
            ),
          );
        });
      }
      return orNothing(() => {
        const examples = thinned(taskOf(config).examples(prepared, config, "test", { length: steps, stride: 1 }));
        const long = batches(examples, { batchSize: 8, normalize: config.window.normalize });
        return metricOf(evaluate((batch) => predictor.predict(batch), long, spec));
      });
    },
  });
}

/** The batch with every target removed whose step's age is not in (from, to]. */
function onlyAges(batch: Batch, from: number, to: number): Batch {
  const perStep = (list: Float32Array | Int32Array, none: number) => {
    const copy = list.slice();
    const width = list.length / (batch.batchSize * batch.time);
    for (let b = 0; b < batch.batchSize; b++) {
      for (let t = 0; t < batch.time; t++) {
        if (t + 1 > from && t + 1 <= to) continue;
        copy.fill(none, (b * batch.time + t) * width, (b * batch.time + t + 1) * width);
      }
    }
    return copy;
  };
  const { values, classes } = batch;
  return {
    ...batch,
    ...(values && { values: perStep(values, Number.NaN) as Float32Array }),
    ...(classes && { classes: perStep(classes, -1) as Int32Array }),
  };
}

function thinned(examples: Examples): Examples {
  const every = Math.max(1, Math.ceil(examples.count / MAX_EXAMPLES));
  const pick = (list: Int32Array) => list.filter((_, i) => i % every === 0);
  const length = pick(examples.length);
  return { ...examples, count: length.length, length, series: pick(examples.series), start: pick(examples.start) };
}

/** Undefined where no series is long enough or nothing remains to score. */
export function orNothing<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof OstinatoError && (error.code === "OST_WINDOW" || error.code === "OST_TARGET")) return undefined;
    throw error;
  }
}
