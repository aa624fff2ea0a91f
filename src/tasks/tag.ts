/**
 * @file Tag: one class per step, aligned with the input. Loss: cross-entropy over the steps that have a class.
 *
 * Training cuts a series into windows side by side, each step in one of them. A causal model is judged as it is served: at every step by
 * the trailing window that ends there, of which the last step alone counts.
 */
import { sequences, trailingWindows, windows } from "../data/index.js";
import { classLoss, classLossWeight } from "./class-loss.js";
import type { Task } from "./task.js";

export const tag: Task = {
  name: "tag",
  targetKind: "tags",
  metric: "accuracy",
  unit: "step",
  examples(prepared, { window, mode }, part, { length = window.length, served = false, stride } = {}) {
    if (length === undefined) return sequences(prepared, { part });
    return served && mode !== "offline"
      ? trailingWindows(prepared, { length, part, stride })
      : windows(prepared, { length, part });
  },
  loss: classLoss,
  lossWeight: classLossWeight,
};
