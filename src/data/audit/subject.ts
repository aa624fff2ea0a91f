/**
 * @file What an audit looks at: raw series, the part of each row, the code that makes a model's inputs of them, and which rows become
 * which input and target.
 *
 * A configuration gives all of it (`subjectOf`); a pipeline of a user's own is audited by filling in the same four things.
 */
import type { Part, TargetKind } from "../../core/batch.js";
import type { OstinatoError } from "../../core/errors.js";
import type { Roles, Series } from "../series.js";
import type { Table } from "../table.js";

/** What a model would read of one series: values [rows, names.length]. */
export interface PipelineOutput {
  names: readonly string[];
  values: ArrayLike<number>;
}

/** The code that makes inputs of raw series. It must be deterministic and must not keep or change what it is given. */
export interface Pipeline {
  /** What messages call it. */
  name: string;
  /** Rows after the current one that it says its outputs depend on; 0 is causal. */
  declaredLookAhead: number;
  /** Fits what it fits, and returns the frozen transform of one series. `parts` holds the part of each row of each series (partCode). */
  fit(series: readonly Series[], parts: readonly Uint8Array[]): (series: Series) => PipelineOutput;
}

/**
 * One example as ranges of rows of one series: [from, to) each. A target of the same rows as the input is a tag or a next code, an empty one a
 * class, a text, or rows of the input that are predicted from those before them.
 */
export interface WindowRows {
  part: Part;
  series: number;
  input: readonly [from: number, to: number];
  target: readonly [from: number, to: number];
}

export interface AuditSubject {
  source: string;
  files: Table["files"];
  /** The raw table, where there is one: cells as they were written. */
  table: Table | null;
  roles: Roles;
  targetKind: TargetKind;
  /** Raw series on their grid. */
  series: readonly Series[];
  /** Per series the part of each row: 0 none, else partCode. */
  parts: readonly Uint8Array[];
  /** How the parts came about, for messages and for what is expected of them: "time", "entity", "group:site", "column:part", or "own". */
  splitBy: string;
  pipeline: Pipeline;
  /** Called afresh for every pass. */
  windows: () => Iterable<WindowRows>;
  length: number;
  horizon: number;
  stride: number;
  /** Steps a model reads of each series, where a row becomes several (a text its tokens); else its rows. */
  steps?: readonly number[];
  /** By name of a column, or of the target, the column of the raw table that holds the time at which it became known. */
  knownAt?: Readonly<Record<string, string>>;
  /** What kept the subject from being made in full. */
  faults?: readonly OstinatoError[];
  /** Some examples of a part in words, the first and the last among them. */
  describe?: (part: Part, count: number) => string[];
}
