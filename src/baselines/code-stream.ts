/** @file From batches of "next" targets to the codes that n-grams are counted from. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { requireBatch } from "./baseline.js";
import type { ReadCode } from "./code-input.js";
import { LaneMemory } from "./lane-memory.js";
import { CodeStream } from "./ngram-counts.js";

/**
 * Every step of the batches with the code that came after it. Padding is never read; a chunk of a lane keeps the lane's past.
 *
 * @param reach codes that a context has at most
 * @throws OST_TARGET if no step has a target.
 */
export function nextCodes(
  batches: Iterable<Batch>,
  spec: ExampleSpec,
  { read, reach, where }: { read: ReadCode; reach: number; where: string },
): CodeStream {
  const stream = new CodeStream();
  const memory = new LaneMemory(read, reach);
  let targets = 0;
  for (const batch of batches) {
    requireBatch(batch, spec, where);
    const past = memory.past(batch);
    for (let row = 0; row < batch.batchSize; row++) {
      past[row].forEach((code, i) => {
        stream.push(code, -1, i === 0);
      });
      for (let step = 0; step < batch.lengths[row]; step++) {
        const target = batch.classes?.[row * batch.time + step] ?? -1;
        if (target >= 0) targets++;
        stream.push(read(batch, row, step), target, step === 0 && past[row].length === 0);
      }
    }
  }
  if (targets > 0) return stream;
  throw new OstinatoError("OST_TARGET", {
    what: "no training step has a code after it",
    expected: "sequences of at least two steps",
    got: "none",
    where,
    repair: "leave this baseline out",
  });
}
