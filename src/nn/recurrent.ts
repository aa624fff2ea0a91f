/**
 * @file Runs any cell over whole sequences, step by step through autograd.
 *
 * Slower than the fused layers, and the oracle for them: the built-in cells run through here compute the same numbers.
 */
import { OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import { apply, concatenate, type Tensor, zeros } from "../tensor/index.js";
import { selectRows } from "../tensor/ops/reshape.js";
import type { Cell } from "./cell.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import { resolveLengths } from "./recurrent-op.js";
import type { State, StateSpec } from "./state.js";
import { resetRows, wantState } from "./state.js";

export class Recurrent<C extends Cell = Cell> extends Module implements SequenceModel {
  readonly cell: C;
  readonly causal = true;

  constructor(cell: C) {
    super();
    this.cell = cell;
  }

  get stateSpec(): StateSpec {
    return this.cell.stateSpec;
  }

  initialState(batchSize: number): State {
    return this.cell.initialState(batchSize);
  }

  /**
   * @param x [batch, time, inputSize]. Lengths, state and result as in the fused layers; `last` of a row of length 0 is its initial "h" if the
   *          state has one as wide as the output, else zeros.
   * @throws OST_SHAPE, OST_LENGTH
   */
  forward(x: Tensor, { state, lengths }: ForwardOptions = {}): ForwardResult {
    const { inputSize, hiddenSize } = this.cell;
    if (x.shape.length !== 3 || x.shape[2] !== inputSize) {
      throw new OstinatoError("OST_SHAPE", {
        what: `the cell wants [batch, time, ${inputSize}]`,
        got: describeShape(x.shape, ["batch", "time", "features"]),
        where: "recurrent.forward",
      });
    }
    const [batch, time] = x.shape;
    const valid = resolveLengths(x, lengths).ints().slice();
    let carried = state ?? this.initialState(batch);
    wantState(this.stateSpec, carried, batch, "recurrent.forward");
    const nothing = zeros([batch, hiddenSize], { engine: x.engine });
    const blank = zeros([batch, inputSize], { engine: x.engine });
    let last = this.stateSpec["h"] === hiddenSize ? carried["h"] : nothing;
    const outputs: Tensor[] = [];
    for (let t = 0; t < time; t++) {
      const active = Uint8Array.from(valid, (length) => (t < length ? 1 : 0));
      // Padding is never shown to the cell: a NaN there would reach the weights' gradients as 0 * NaN.
      const shown = apply(selectRows, [x.slice(1, t, t + 1).reshape([batch, inputSize]), blank], { mask: active });
      const next = this.cell.step(shown, carried);
      carried = resetRows(carried, next.state, active);
      last = apply(selectRows, [next.output, last], { mask: active });
      outputs.push(apply(selectRows, [next.output, nothing], { mask: active }).reshape([batch, 1, hiddenSize]));
    }
    const output = time > 0 ? concatenate(outputs, 1) : zeros([batch, 0, hiddenSize], { engine: x.engine });
    return { output, last, state: carried };
  }
}
