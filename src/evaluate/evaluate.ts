/** @file Scores any predictor, model or baseline, over batches: both are a function from a batch to an array. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Decision, decisionNeeds } from "./decision.js";
import type { Score } from "./score.js";
import { scoreClassification } from "./score-classification.js";
import { type ScoreForecastOptions, scoreForecast } from "./score-forecast.js";

export interface EvaluateOptions extends ScoreForecastOptions {
  /** Keeps what the decision will need. */
  decision?: Decision;
}

/**
 * Scores `predict` on every batch, one at a time.
 *
 * @param predict "values": [B, P, K] or [B, T, P, K], scaled; "class": logits [B, C]; "tags": logits [B, T, C]
 * @throws OST_NAN    if a scored prediction is not finite.
 * @throws OST_TARGET if there was nothing to score.
 */
export function evaluate(
  predict: (batch: Batch) => ArrayLike<number>,
  batches: Iterable<Batch>,
  spec: ExampleSpec,
  { decision, ...forecast }: EvaluateOptions = {},
): Score {
  const needs = decisionNeeds(decision, spec);
  const scorer = spec.targetKind === "values" ? scoreForecast(spec, forecast) : scoreClassification(spec, needs);
  for (const batch of batches) scorer.add(batch, predict(batch));
  return scorer.result();
}
