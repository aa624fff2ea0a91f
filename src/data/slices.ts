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
