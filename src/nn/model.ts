/** @file The one shape that trainer, evaluator, exporter and server know of a model. */
import type { Rng } from "../core/rng.js";
import type { Tensor } from "../tensor/index.js";
import type { Module } from "./module.js";
import type { State, StateSpec } from "./state.js";

export interface ForwardOptions {
  /** Carried from an earlier call; default the initial state. */
  state?: State;
  /** int32 [batch], in steps, 0 <= lengths[b] <= time; default all `time`. */
  lengths?: Tensor;
  /** Turns dropout on, and every other draw of training; absent means none. */
  rng?: Rng;
}

export interface ForwardResult {
  /** [batch, time, outputSize]. At and after a row's length recurrent layers give zeros; what a network with a head gives there means nothing. */
  output: Tensor;
  /** [batch, outputSize]: the output at each row's own last valid step. Of two directions: each one's output after its last valid step. */
  last: Tensor;
  state: State;
}

export interface SequenceModel extends Pick<Module, "parameters" | "namedParameters" | "engine" | "stateDict" | "loadStateDict"> {
  readonly stateSpec: StateSpec;
  /** False if any output depends on later inputs (bidirectional): such a model cannot be streamed. */
  readonly causal: boolean;
  initialState(batchSize: number): State;
  /** x: [batch, time, features], codes as whole numbers; or int32 [batch, time] for a model of your own that begins with an `Embedding`. */
  forward(x: Tensor, options?: ForwardOptions): ForwardResult;
}
