/**
 * @file A linear path past a recurrent layer: the latest values of each target column, weighted alike for all columns, added to the outputs.
 *
 *     y_{p,k} += sum_{l=1..L} W_{p,l} x_{T+1-l, f(k)} + b_p          f(k): the input column that target k is
 *
 * A recurrent network is slow to follow the scale of its inputs; the linear part follows at once (Lai, Chang, Yang & Liu 2018, "Modeling
 * long- and short-term temporal patterns", the autoregressive component). Steps before the beginning of a row count as 0.
 */
import { OstinatoError } from "../core/errors.js";
import type { Kernels } from "../kernels/index.js";
import { apply, type Op, type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";
import { Module } from "./module.js";

/** A linear path as data. */
export interface HighwaySpec {
  /** L, latest steps that are read. */
  lags: number;
  /** P, steps predicted. */
  horizon: number;
  /** f: the input column of each target. */
  columns: readonly number[];
  /** Raw outputs of a value to which it is added, of M: 1 adds to the first alone, M to all. */
  added: number;
  /** M, raw outputs of a value. */
  perValue: number;
}

export class Highway extends Module {
  readonly spec: HighwaySpec;
  /** [P, L], of the latest step first; zeros at first. */
  readonly weight: Parameter;
  /** [P], zeros at first. */
  readonly bias: Parameter;

  /** @throws OST_RANGE for sizes that are none, or a target that is no input. */
  constructor(spec: HighwaySpec, { engine }: { engine?: Kernels } = {}) {
    super();
    const { lags, horizon, columns, added, perValue } = spec;
    const counts = [lags, horizon, perValue, added].every((count) => Number.isInteger(count) && count >= 1);
    if (
      !counts ||
      added > perValue ||
      columns.length === 0 ||
      columns.some((column) => !(Number.isInteger(column) && column >= 0))
    ) {
      throw new OstinatoError("OST_RANGE", {
        what: "a highway leads from input columns to their forecasts",
        expected: "lags and horizon of at least 1, and for each target the input column that it is",
        got: JSON.stringify(spec).slice(0, 120),
        where: "model.highway",
        repair: "make every target an input too, or leave model.highway out",
      });
    }
    this.spec = spec;
    this.weight = parameter(new Float64Array(horizon * lags), [horizon, lags], { engine });
    this.bias = parameter(new Float64Array(horizon), [horizon], { engine });
  }

  /**
   * @param last    [B, P * K * M], what the network gives at each row's last step
   * @param x       [B, T, F], what it read
   * @param lengths int32 [B]
   * @returns [B, P * K * M]
   */
  forward(last: Tensor, x: Tensor, lengths: Tensor): Tensor {
    const { lags, horizon, columns, perValue, added } = this.spec;
    const K = columns.length;
    const latest = apply(latestValues, [x, lengths], { lags, columns });
    const linear = latest.linear(this.weight, this.bias);
    const batchSize = x.shape[0];
    return last.add(apply(spreadValues, [linear], { batchSize, horizon, columns: K, perValue, added }));
  }
}

/** x [B, T, F], lengths [B] to the latest values of some columns, the newest first: [B * K, L]. */
const latestValues: Op<{ lags: number; columns: readonly number[] }> = {
  name: "latestValues",
  shapes([x], { lags, columns }) {
    wantFloat(x, "highway");
    return [[x.shape[0] * columns.length, lags]];
  },
  forward(engine, [y], [x, lengths], _, attrs) {
    const values = engine.memory.floats;
    values.fill(0, y.offset, y.offset + y.size);
    eachValue(x.shape, lengths.ints(), attrs, (from, to) => {
      values[y.offset + to] = values[x.offset + from];
    });
  },
  backward(engine, [dX], [dY], [x, lengths], _, __, attrs) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    eachValue(x.shape, lengths.ints(), attrs, (from, to) => {
      values[dX.offset + from] += values[dY.offset + to];
    });
  },
};

function eachValue(
  [batch, time, features]: readonly number[],
  lengths: Int32Array,
  { lags, columns }: { lags: number; columns: readonly number[] },
  visit: (from: number, to: number) => void,
): void {
  for (let b = 0; b < batch; b++) {
    columns.forEach((column, k) => {
      for (let l = 0; l < Math.min(lags, lengths[b]); l++) {
        visit((b * time + lengths[b] - 1 - l) * features + column, (b * columns.length + k) * lags + l);
      }
    });
  }
}

interface Spread {
  batchSize: number;
  horizon: number;
  columns: number;
  perValue: number;
  added: number;
}

/** [B * K, P] to [B, P * K * M]: each value to the first `added` of its M places, zeros in the others. */
const spreadValues: Op<Spread> = {
  name: "spreadValues",
  shapes: (_, { batchSize, horizon, columns, perValue }) => [[batchSize, horizon * columns * perValue]],
  forward(engine, [y], [x], _, attrs) {
    const values = engine.memory.floats;
    values.fill(0, y.offset, y.offset + y.size);
    eachPlace(attrs, (from, to) => {
      values[y.offset + to] = values[x.offset + from];
    });
  },
  backward(engine, [dX], [dY], _, __, ___, attrs) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    eachPlace(attrs, (from, to) => {
      values[dX.offset + from] += values[dY.offset + to];
    });
  },
};

function eachPlace({ batchSize, horizon, columns, perValue, added }: Spread, visit: (from: number, to: number) => void): void {
  for (let b = 0; b < batchSize; b++) {
    for (let p = 0; p < horizon; p++) {
      for (let k = 0; k < columns; k++) {
        for (let m = 0; m < added; m++) visit((b * columns + k) * horizon + p, ((b * horizon + p) * columns + k) * perValue + m);
      }
    }
  }
}
