/**
 * @file Tag: one class per step, aligned with the input. Loss: see `class-loss.ts`, or the conditional random field's.
 *
 * Training cuts a series into windows side by side, each step in one of them. A causal model is judged as it is served: at every step by
 * the trailing window that ends there, of which the last step alone counts. Tags of a scheme of spans are decided together, so that no span
 * goes on that was not begun; then whole windows or sequences are judged.
 */
import { classTask } from "./class-loss.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import { stepExamples } from "./step-examples.js";
import { checkTagScheme } from "./tag-scheme.js";
import type { Task, TaskConfig } from "./task.js";

export function tag(config: TaskConfig): Task {
  const { data, model } = config;
  const together = model.crf || data.tagScheme !== null;
  return {
    name: "tag",
    targetKind: "tags",
    metric: data.tagScheme ? "spanF1" : "accuracy",
    unit: "step",
    streams: !model.crf,
    check(prepared) {
      if (data.tagScheme) checkTagScheme(prepared, data.tagScheme);
    },
    examples: stepExamples(config, { together }),
    complete: (spec) => (data.tagScheme ? { ...spec, tagScheme: data.tagScheme } : spec),
    architecture: (spec) => recurrentArchitecture(config, spec),
    ...classTask(config),
  };
}
