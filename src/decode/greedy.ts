/** @file Greedy decoding: the likeliest next token, at every step. */

import { argmax } from "../core/top-index.js";
import { type GeneratedSequence, type GenerationOptions, generate } from "./generation.js";
import type { StepScorer } from "./step-scorer.js";

/**
 * The sequence of the likeliest next tokens, for each start; of equally likely tokens the lowest is taken. It need not be the likeliest
 * sequence: beamSearch looks further.
 *
 * @throws OST_RANGE, OST_SHAPE; OST_NAN naming the step, if the scorer gives NaN or leaves no token possible.
 */
export function greedy<S>(scorer: StepScorer<S>, options: GenerationOptions<S>): GeneratedSequence[] {
  return generate(scorer, options, { choose: argmax, where: "greedy" });
}
