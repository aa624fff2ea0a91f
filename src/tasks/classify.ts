/** @file Classify: one class per sequence or window, read from the output at its last valid step. Loss: cross-entropy. */
import { sequences, windows } from "../data/index.js";
import { classLoss, classLossWeight } from "./class-loss.js";
import type { Task } from "./task.js";

export const classify: Task = {
  name: "classify",
  targetKind: "class",
  metric: "accuracy",
  unit: "sequence",
  examples(prepared, { window }, part, { stride = window.stride, length = window.length } = {}) {
    return length === undefined ? sequences(prepared, { part }) : windows(prepared, { length, stride, part });
  },
  loss: classLoss,
  lossWeight: classLossWeight,
};
