/** @file Examples of a task that predicts one class at every step. */
import type { Part } from "../core/batch.js";
import { type Examples, type PreparedData, sequences, trailingWindows, windows } from "../data/index.js";
import type { ExampleOptions, TaskConfig } from "./task.js";

/** @param together labels of an example are decided together, so that a window of its own for each step would mean nothing. */
export function stepExamples({ window, mode }: TaskConfig, { together }: { together: boolean }) {
  return <P extends Part>(
    prepared: PreparedData,
    part: P,
    { length = window.length, served = false, stride }: ExampleOptions = {},
  ): Examples<P> => {
    if (length === undefined) return sequences(prepared, { part });
    return served && mode !== "offline" && !together
      ? trailingWindows(prepared, { length, part, stride })
      : windows(prepared, { length, part });
  };
}
