/** @file The batches that a part is judged by: each step or window as it is predicted when the model is served. */
import { type Batch, isPerStep, type Part } from "../core/batch.js";
import { batches, type PreparedData } from "../data/index.js";
import type { ExperimentConfig } from "./config.js";
import { taskOf, wholeLanes } from "./task.js";

/** Steps predicted at least, where a pass over every trailing window would cost too much. */
export const THINNED_VALIDATION = 1_000;

export interface EvaluationBatchesOptions {
  /**
   * Where every step has a window of its own: evenly spaced steps alone, at least so many of those the part has, and no more than read each
   * of its rows four times over.
   */
  thinned?: number;
}

/**
 * Batches of a part in order: windows or sequences as a stream reads them, or whole stretches through which the state is carried.
 *
 * @throws OST_WINDOW if the part has no example.
 */
export function evaluationBatches(
  config: ExperimentConfig,
  prepared: PreparedData,
  part: Part,
  { thinned }: EvaluationBatchesOptions = {},
): Iterable<Batch> {
  const { window, mode } = config;
  const task = taskOf(config);
  if (mode === "streaming") return wholeLanes(prepared, part, Math.max(1, task.horizon.judged));
  const stride =
    task.targetKind === "values" && part !== "train"
      ? 1
      : isPerStep(task.targetKind) && thinned !== undefined
        ? Math.max(1, Math.min(Math.ceil((window.length ?? 1) / 4), Math.floor(prepared.split[part] / thinned)))
        : undefined;
  const examples = task.examples(prepared, part, { stride, served: true });
  const rows = Math.floor(EVALUATED_STEPS / Math.max(1, examples.longest));
  return batches(examples, { batchSize: Math.max(1, Math.min(256, rows)), normalize: window.normalize });
}

/** Most steps, over all rows of a batch together, that are predicted at once: the memory of judging does not grow with the sequences. */
export const EVALUATED_STEPS = 65_536;
