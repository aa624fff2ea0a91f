/** @file Predictions as numbers, put together and cut. */
import type { Predictions } from "./operation.js";

export const NO_PREDICTIONS: Predictions = {
  count: 0,
  seq: new Float64Array(0),
  time: new Float64Array(0),
  values: new Float64Array(0),
};

/** Several in a row as one. */
export function joinPredictions(parts: readonly Predictions[]): Predictions {
  if (parts.length === 0) return NO_PREDICTIONS;
  if (parts.length === 1) return parts[0];
  const seq = joined(parts.map((part) => part.seq));
  return {
    count: seq.length,
    seq,
    time: joined(parts.map((part) => part.time)),
    values: joined(parts.map((part) => part.values)),
  };
}

/** Those of records with a number above `after`. */
export function predictionsAfter({ count, seq, time, values }: Predictions, after: number): Predictions {
  let first = 0;
  while (first < count && seq[first] <= after) first++;
  const width = count === 0 ? 0 : values.length / count;
  return { count: count - first, seq: seq.subarray(first), time: time.subarray(first), values: values.subarray(first * width) };
}

function joined(arrays: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}
