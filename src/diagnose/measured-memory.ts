/**
 * @file What an update takes, measured on updates of a few rows: whatever the first rows take, every further row takes too. For networks that
 * `estimateMemory` has no plan of.
 */
import { type Parameter, scope } from "../tensor/index.js";
import { blockBytes, type MemoryEstimate } from "./memory-estimate.js";

export interface MeasureMemoryOptions {
  /** Rows of the largest batch, >= 1, and steps of its longest row. */
  batch: number;
  time: number;
  /** Numbers the optimizer keeps per parameter: Adam 2 (default), SGD 1 with momentum and 0 without. */
  moments?: number;
  /** Forward and backward pass over so many of the longest rows. */
  pass: (rows: number) => void;
}

/** Rows of the two updates that are measured. */
const [FEW, MORE] = [2, 6];

/** Leaves gradients behind: give it parameters that are not trained. */
export function measureMemory(
  parameters: readonly Parameter[],
  { batch, time, moments = 2, pass }: MeasureMemoryOptions,
): MemoryEstimate & { batch: number; time: number } {
  const { memory } = parameters[0].engine;
  const taken = (rows: number) => {
    memory.resetPeak();
    const before = memory.bytesInUse;
    scope(() => pass(rows));
    return memory.peakBytesInUse - before;
  };
  // The first pass makes the gradients, which stay.
  taken(1);
  const few = taken(Math.min(batch, FEW));
  const more = Math.min(batch, MORE);
  const perRow = more > FEW ? (taken(more) - few) / (more - FEW) : 0;
  const size = parameters.reduce((total, one) => total + blockBytes(one.size * memory.bytesPerFloat), 0);
  const parts = {
    parameterBytes: size,
    gradientBytes: size,
    optimizerBytes: moments * size,
    activationBytes: Math.round(few + perRow * Math.max(0, batch - FEW)),
    scratchBytes: memory.scratchBytes,
  };
  return { ...parts, totalBytes: Object.values(parts).reduce((total, bytes) => total + bytes), batch, time };
}
