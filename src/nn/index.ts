export {
  ATTENTION_KINDS,
  type AttendOptions,
  Attention,
  type AttentionKind,
  type AttentionMemory,
  type AttentionOptions,
} from "./attention.js";
export { BRIDGE_KINDS, Bridge, type BridgeKind, type BridgeOptions } from "./bridge.js";
export { Cell } from "./cell.js";
export { type ChainConstraint, type ChainScores, ConditionalRandomField, type CrfOptions } from "./crf.js";
export { dropout } from "./dropout.js";
export { EmbeddedColumns, embeddedSize } from "./embedded-columns.js";
export { Embedding } from "./embedding.js";
export {
  type DecoderScorer,
  type DecoderScores,
  type DecoderState,
  type Encoded,
  EncoderDecoder,
  type ScheduledSampling,
  type TeacherForcingOptions,
} from "./encoder-decoder.js";
export { type EncoderDecoderSpec, encoderDecoderSpec } from "./encoder-decoder-spec.js";
export { GRU, GRUCell } from "./gru.js";
export { Highway, type HighwaySpec } from "./highway.js";
export { glorotInit, orthogonalInit, uniformInit } from "./init.js";
export { LayerNorm } from "./layer-norm.js";
export { Linear } from "./linear.js";
export { LSTM, LSTMCell } from "./lstm.js";
export type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
export { Module, type StateDictEntry } from "./module.js";
export { type RecurrentCellName, RecurrentNetwork, type RecurrentNetworkSpec } from "./network.js";
export { ReconstructionNetwork, type ReconstructionSpec, reconstructionSpec } from "./reconstruction.js";
export { Recurrent } from "./recurrent.js";
export { type RecurrentInit, RecurrentLayer, type RecurrentOptions } from "./recurrent-layer.js";
export type { Recompute } from "./recurrent-segment.js";
export { type LayerSizes, MERGES, type Merge, type RecurrentVariant, SHARES, stackLayout } from "./recurrent-variant.js";
export { type Nonlinearity, RNN, RNNCell } from "./rnn.js";
export {
  detachState,
  flattenState,
  resetRows,
  type State,
  type StateSpec,
  stateWidth,
  unflattenState,
  zeroState,
} from "./state.js";
export { type SteppedRow, type Stepper, type StepRow, stepperOf } from "./stepper.js";
export { useWeights } from "./weights.js";
export { WindowMLP, type WindowMLPSpec } from "./window-mlp.js";
