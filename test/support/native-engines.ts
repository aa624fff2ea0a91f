/** @file The native engine for lists of engines: each instruction set that is built and that this processor has; the others skip by name. */
import { it } from "vitest";
import { NativeKernels, nativeSets } from "../../src/kernels/index.js";

const sets = nativeSets();

/** Names and makers, such as "native avx512". */
export const NATIVE_ENGINES: [name: string, create: () => NativeKernels][] = sets
  .filter(({ reason }) => reason === null)
  .map(({ isa }) => [`native ${isa}`, () => NativeKernels.create({ isa })]);

/** The fastest here, or undefined. */
export const BEST_NATIVE: [string, () => NativeKernels] | undefined = NATIVE_ENGINES[0];

/** A skipped test for every instruction set that could not be tested, which says why. */
export function skipAbsentNative(): void {
  if (sets.length === 0) it.skip("native: not made for this platform", () => {});
  for (const { isa, reason } of sets) if (reason !== null) it.skip(`native ${isa}: ${reason}`, () => {});
}
