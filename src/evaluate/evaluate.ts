/** @file Scores any predictor, model or baseline, over batches: both are a function from a batch to an array. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Predictor } from "../model/index.js";
import { type Decision, decisionNeeds } from "./decision.js";
import type { Score } from "./score.js";
import { type ScoreClassificationOptions, scoreClassification } from "./score-classification.js";
import { type ScoreForecastOptions, scoreForecast } from "./score-forecast.js";
import { type ScoreSequencesOptions, scoreSequences } from "./score-sequences.js";

export interface EvaluateOptions
  extends ScoreForecastOptions,
    Pick<ScoreClassificationOptions, "tagScheme">,
    Omit<ScoreSequencesOptions, "unitName"> {
  /** Keeps what the decision will need. */
  decision?: Decision;
  /** What one code of a sequence is called: "character", "word", "phoneme". Default "token". */
  unitName?: string;
}

/** A predictor, or what is asked of it: see `Predictor`. */
export interface Predicting {
  predict(batch: Batch): ArrayLike<number>;
  labels?(batch: Batch, prediction: Float32Array): ArrayLike<number>;
  decode?(batch: Batch): ReturnType<NonNullable<Predictor["decode"]>>;
  forcedRight?(batch: Batch): ArrayLike<number>;
  /** Whether `predict` gives outputs of the spec's distribution; absent: their number says so. */
  readonly distributional?: boolean;
}

/**
 * Scores a predictor on every batch, one at a time.
 *
 * @param predictor or its `predict` alone. "values": [B, P, K] or [B, T, P, K], scaled, or M outputs to a value; "class": logits [B, C]; "tags" and
 * "next": logits [B, T, C]; "tokens": log-probabilities [B], from a predictor that decodes
 * @throws OST_NAN    if a scored prediction is not finite.
 * @throws OST_TARGET if there was nothing to score.
 * @throws OST_CONFIG if target sequences are to be scored and the predictor finds none.
 */
export function evaluate(
  predictor: Predicting | ((batch: Batch) => ArrayLike<number>),
  batches: Iterable<Batch>,
  spec: ExampleSpec,
  { decision, tagScheme, unitName, joiner, endCounted, ...forecast }: EvaluateOptions = {},
): Score {
  const needs = decisionNeeds(decision, spec);
  const asked: Predicting = typeof predictor === "function" ? { predict: predictor } : predictor;
  if (spec.targetKind === "values") {
    const scorer = scoreForecast(spec, { distributional: asked.distributional, ...forecast });
    for (const batch of batches) scorer.add(batch, asked.predict(batch));
    return scorer.result();
  }
  if (spec.targetKind === "tokens") {
    if (!asked.decode) throw decodesNothing();
    const scorer = scoreSequences(spec, { unitName, joiner, endCounted });
    for (const batch of batches) scorer.add(batch, asked.predict(batch), asked.decode(batch), asked.forcedRight?.(batch));
    return scorer.result();
  }
  const scorer = scoreClassification(spec, { ...needs, ...(tagScheme !== undefined && { tagScheme }), unitName });
  for (const batch of batches) {
    const prediction = asked.predict(batch);
    scorer.add(batch, prediction, asked.labels?.(batch, prediction as Float32Array));
  }
  return scorer.result();
}

function decodesNothing(): OstinatoError {
  return new OstinatoError("OST_CONFIG", {
    what: "target sequences are scored by the sequences that a predictor finds",
    expected: "a predictor with `decode`",
    got: "none",
    where: "evaluate",
    repair: "pass the whole predictor, not its predict alone",
  });
}
