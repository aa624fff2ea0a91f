export { Cell } from "./cell.js";
export { dropout } from "./dropout.js";
export { EmbeddedColumns, embeddedSize } from "./embedded-columns.js";
export { Embedding } from "./embedding.js";
export { GRU, GRUCell } from "./gru.js";
export { glorotInit, orthogonalInit, uniformInit } from "./init.js";
export { Linear } from "./linear.js";
export { LSTM, LSTMCell } from "./lstm.js";
export type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
export { Module, type StateDictEntry } from "./module.js";
export { type RecurrentCellName, RecurrentNetwork, type RecurrentNetworkSpec } from "./network.js";
export { Recurrent } from "./recurrent.js";
export { type RecurrentInit, RecurrentLayer, type RecurrentOptions } from "./recurrent-layer.js";
export type { Recompute } from "./recurrent-segment.js";
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
