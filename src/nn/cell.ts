/** @file The seam for custom recurrences: a cell is one step, and `Recurrent` runs it over sequences. */
import type { Tensor } from "../tensor/index.js";
import { Module } from "./module.js";
import type { State, StateSpec } from "./state.js";
import { zeroState } from "./state.js";

/** One step of a recurrence. A subclass declares its state and computes a step; everything else follows. */
export abstract class Cell extends Module {
  abstract readonly inputSize: number;
  abstract readonly hiddenSize: number;
  /** Names and widths of the carried tensors. */
  abstract readonly stateSpec: StateSpec;

  /** Zeros unless a subclass says otherwise. */
  initialState(batchSize: number): State {
    return zeroState(this.stateSpec, batchSize, this.engine);
  }

  /** @param x [batch, inputSize] @returns `output` [batch, hiddenSize] and the next state. */
  abstract step(x: Tensor, state: State): { output: Tensor; state: State };
}
