export { type BeamHypothesis, type BeamOptions, beamSearch } from "./beam.js";
export {
  CtcBeam,
  type CtcBeamOptions,
  type CtcBeamState,
  type CtcFusion,
  type CtcHypothesis,
  type CtcPrefix,
  ctcBeam,
  type FusionModel,
} from "./ctc-beam.js";
export { type CtcGreedyResult, type CtcOptions, type CtcToken, ctcGreedy } from "./ctc-greedy.js";
export type { GeneratedSequence, GenerationOptions } from "./generation.js";
export { greedy } from "./greedy.js";
export { type LikelihoodOptions, type SequenceLikelihood, sequenceLikelihoods } from "./likelihood.js";
export { logAdd, logSumExp } from "./log-sum-exp.js";
export { type Paths, pathQuantiles, type RolloutOptions, type RolloutStep, rollout } from "./rollout.js";
export { type DrawOptions, drawToken, type SampleOptions, sample } from "./sample.js";
export { sequenceRng } from "./sequence-rng.js";
export type { SequenceStart, StartOptions, StepScorer, StepScores } from "./step-scorer.js";
export { CONSTRAINT_SCHEMES, type ConstraintScheme, tagConstraint } from "./tag-constraint.js";
export { type Chain, type ViterbiOptions, type ViterbiPath, viterbi } from "./viterbi.js";
