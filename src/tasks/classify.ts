/** @file Classify: one class per sequence or window, read from the output at its last valid step. Loss: see `class-loss.ts`. */
import { sequences, windows } from "../data/index.js";
import { classTask } from "./class-loss.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import type { Task, TaskConfig } from "./task.js";

export function classify(config: TaskConfig): Task {
  const { window } = config;
  return {
    name: "classify",
    targetKind: "class",
    metric: "accuracy",
    unit: "sequence",
    streams: true,
    examples(prepared, part, { stride = window.stride, length = window.length } = {}) {
      return length === undefined ? sequences(prepared, { part }) : windows(prepared, { length, stride, part });
    },
    complete: (spec) => spec,
    architecture: (spec) => recurrentArchitecture(config, spec),
    ...classTask(config),
  };
}
