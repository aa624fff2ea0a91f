/** @file The quick model an audit may be given: `data` knows no model, so whoever has one passes it in. */

export interface QuickExamples {
  /** One row of inputs per example, all of one width. */
  x: readonly Float64Array[];
  /** A value per example, or the index of its class. */
  y: Float64Array;
  kind: "values" | "class";
  /** Number of classes; 0 for values. */
  classes: number;
}

/** Learns from `train` and predicts for each row of `x` a value or the index of a class. It must be deterministic. */
export type QuickModel = (train: QuickExamples, x: readonly Float64Array[]) => ArrayLike<number>;
