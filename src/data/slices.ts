/**
 * @file What a long column must offer, in memory or on disk: its length, and any stretch of it as a typed array.
 *
 * A typed array is one already. A stretch is only read, never written.
 */
export interface Slices<A> {
  readonly length: number;
  /** Elements [from, to), with 0 <= from <= to <= length. */
  subarray(from: number, to: number): A;
}

/** One element of a column; what is not there is undefined, as in a typed array. */
export function elementAt<A extends { [index: number]: number }>(column: Slices<A>, index: number): number {
  return column.subarray(index, Math.min(index + 1, column.length))[0];
}

/** Elements that `stretches` holds at once. */
const STRETCH = 65_536;

/** Elements [from, to) in order, a stretch of at most `size` at a time, so that a long column is never held whole. */
export function* stretches<A>(
  column: Slices<A>,
  { from = 0, to = column.length, size = STRETCH }: { from?: number; to?: number; size?: number } = {},
): Generator<A, void, undefined> {
  for (let at = from; at < to; at += size) yield column.subarray(at, Math.min(to, at + size));
}

/** A column that another thread can open for itself. */
export interface ReopenableSlices<A> extends Slices<A> {
  readonly reopen: {
    /** URL of the module whose export `openColumn(description)` gives the same column. */
    module: string;
    /** Anything that can be sent to a thread. */
    description: unknown;
  };
}
