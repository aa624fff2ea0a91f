/** @file Gradient clipping by the global norm (Pascanu, Mikolov & Bengio 2013). */
import type { Pointer } from "../kernels/index.js";
import type { Parameter } from "../tensor/index.js";

export interface ClipResult {
  /** Norm of all gradients together, before clipping. */
  gradNorm: number;
  /** What to multiply every gradient with: min(1, clipNorm / gradNorm). Pass it to `optimizer.step`. */
  gradientScale: number;
  clipped: boolean;
}

/** Measures the gradients; nothing is scaled here, the optimizer reads them through `gradientScale`. clipNorm Infinity turns clipping off. */
export function clipByGlobalNorm(parameters: readonly Parameter[], clipNorm: number): ClipResult {
  const arrays: { count: number; pointer: Pointer }[] = [];
  for (const { grad } of parameters) if (grad) arrays.push({ count: grad.size, pointer: grad.pointer });
  const total = parameters.length > 0 ? parameters[0].engine.sumOfSquares(arrays) : 0;
  const gradNorm = Math.sqrt(total);
  const clipped = gradNorm > clipNorm;
  return { gradNorm, gradientScale: clipped ? clipNorm / gradNorm : 1, clipped };
}
