/**
 * @file Forecast: the next `horizon` values of the target columns, all at once (direct multi-horizon), from a window or at every step of a
 * stream. Loss: MSE, MAE or Huber over the values that are there.
 */
import type { Batch } from "../core/batch.js";
import { windows } from "../data/index.js";
import { huber, mae, mse } from "../losses/index.js";
import { tensor } from "../tensor/index.js";
import { countTargets } from "./target-count.js";
import type { Task } from "./task.js";

const LOSSES = { mse, mae, huber };

export const forecast: Task = {
  name: "forecast",
  targetKind: "values",
  metric: "mse",
  unit: "window",
  examples(
    prepared,
    { window },
    part,
    { stride = part === "train" ? window.stride : 1, length = window.length, keepUnscored } = {},
  ) {
    return windows(prepared, { length: length as number, horizon: window.horizon, stride, part, keepUnscored });
  },
  loss(prediction, batch, { loss = "mse" }) {
    const { values, mask } = maskedValues(batch);
    const target = tensor(values, prediction.shape, { engine: prediction.engine });
    return LOSSES[loss as keyof typeof LOSSES](prediction, target, { mask });
  },
  lossWeight: countTargets,
};

/** Targets with NaN replaced by 0, and the mask that leaves those out. */
function maskedValues({ values = new Float32Array(0) }: Batch): { values: Float32Array; mask: Uint8Array } {
  const mask = Uint8Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1));
  return { values: values.map((value) => (Number.isNaN(value) ? 0 : value)), mask };
}
