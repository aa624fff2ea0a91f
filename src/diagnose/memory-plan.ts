/** @file What an update will take, with and without recomputing activations, and how that is said in one line. */
import type { RecurrentLayer, RecurrentNetwork } from "../nn/index.js";
import type { Recompute } from "../nn/recurrent-segment.js";
import { estimateMemory, type MemoryEstimate, type MemoryEstimateOptions } from "./memory-estimate.js";

/** An estimate, what it is of, and what the other way would take. */
export interface MemoryPlan extends MemoryEstimate {
  /** Rows and steps of the largest batch. */
  batch: number;
  time: number;
  /** As the run is set; null: activations are kept. */
  recompute: Recompute | null;
  /** `activationBytes` when all are kept, and when they are computed again: as the run is set, or with "auto". */
  keptBytes: number;
  recomputedBytes: number;
}

/** `estimateMemory` as the run is set, and the activations of the other way beside it. */
export function planMemory(network: RecurrentNetwork | RecurrentLayer, options: MemoryEstimateOptions): MemoryPlan {
  const layer = "recurrent" in network ? network.recurrent : network;
  const recompute = options.recompute === undefined ? (layer.recompute ?? null) : options.recompute;
  const activations = (choice: Recompute | null) => estimateMemory(network, { ...options, recompute: choice }).activationBytes;
  return {
    ...estimateMemory(network, { ...options, recompute }),
    batch: options.batch,
    time: options.time,
    recompute,
    keptBytes: activations(null),
    recomputedBytes: activations(recompute ?? "auto"),
  };
}

/**
 * One line, for example "an update of 32 x 500 steps takes about 41.2 MB: activations 33.1 MB (9.4 MB with train.recompute), weights and
 * gradients 3.2 MB, optimizer 3.2 MB, scratch 1.7 MB".
 */
export function describeMemory(plan: MemoryEstimate & Partial<MemoryPlan>): string {
  const { parameterBytes, gradientBytes, optimizerBytes, activationBytes, scratchBytes, totalBytes } = plan;
  const { batch, time, recompute, keptBytes, recomputedBytes } = plan;
  let other = "";
  if (recompute && keptBytes !== undefined) other = ` (recomputed; ${megabytes(keptBytes)} if kept)`;
  // A choice that saves nothing is none.
  else if (recomputedBytes !== undefined && recomputedBytes < 0.9 * activationBytes)
    other = ` (${megabytes(recomputedBytes)} with train.recompute)`;
  const parts = [
    `activations ${megabytes(activationBytes)}${other}`,
    `weights and gradients ${megabytes(parameterBytes + gradientBytes)}`,
    ...(optimizerBytes > 0 ? [`optimizer ${megabytes(optimizerBytes)}`] : []),
    ...(scratchBytes > 0 ? [`scratch ${megabytes(scratchBytes)}`] : []),
  ];
  const of = batch === undefined || time === undefined ? "" : ` of ${batch} x ${time} steps`;
  return `an update${of} takes about ${megabytes(totalBytes)}: ${parts.join(", ")}`;
}

function megabytes(bytes: number): string {
  if (bytes < 1e6) return `${Math.round(bytes / 1000)} KB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
