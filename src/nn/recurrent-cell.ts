/** @file What the built-in cells share: their sizes, and their parameters under PyTorch's names, uniform in +-1/sqrt(hiddenSize). */
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import { type Parameter, parameter } from "../tensor/index.js";
import { Cell } from "./cell.js";
import { uniformInit } from "./init.js";
import type { StateSpec } from "./state.js";

export interface RecurrentCellOptions {
  rng: Rng;
  engine?: Kernels;
}

export abstract class RecurrentCell extends Cell {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly stateSpec: StateSpec;
  /** [G*H, I] */
  readonly weight_ih: Parameter;
  /** [G*H, H] */
  readonly weight_hh: Parameter;
  /** [G*H] */
  readonly bias_ih: Parameter;
  /** [G*H] */
  readonly bias_hh: Parameter;

  /** @param gates G, blocks of rows in every parameter. @param state names of the carried tensors, each of width hiddenSize. */
  protected constructor(
    gates: number,
    state: readonly string[],
    inputSize: number,
    hiddenSize: number,
    { rng, engine }: RecurrentCellOptions,
  ) {
    super();
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.stateSpec = Object.fromEntries(state.map((name) => [name, hiddenSize]));
    const rows = gates * hiddenSize;
    const draw = (...shape: number[]) => {
      const count = shape.reduce((product, axis) => product * axis);
      return parameter(uniformInit(rng, count, hiddenSize ** -0.5), shape, { engine });
    };
    this.weight_ih = draw(rows, inputSize);
    this.weight_hh = draw(rows, hiddenSize);
    this.bias_ih = draw(rows);
    this.bias_hh = draw(rows);
  }
}
