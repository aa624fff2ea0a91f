/** @file Tag: one class per step, aligned with the input. Loss: cross-entropy over the steps that have a class. */
import { sequences, windows } from "../data/index.js";
import { classLoss } from "./class-loss.js";
import type { Task } from "./task.js";

export const tag: Task = {
  name: "tag",
  targetKind: "tags",
  metric: "accuracy",
  unit: "step",
  examples(prepared, { window }, part, { length = window.length } = {}) {
    return length === undefined ? sequences(prepared, { part }) : windows(prepared, { length, part });
  },
  loss: classLoss,
};
