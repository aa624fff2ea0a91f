/** @file Where the inputs hold a category whose codes are also the classes: as a column of codes, or as a column of 0 and 1 per code. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";

/** The code of a step, 0 .. size - 1; -1 where the column holds no such number. */
export type ReadCode = (batch: Batch, row: number, step: number) => number;

/** The column of codes of x, or the first of the columns `<name>=<class>` that stand side by side; undefined where there is neither. */
export function classInput({
  features,
  classes,
  codes = [],
}: Pick<ExampleSpec, "features" | "classes" | "codes">): { read: ReadCode; size: number } | undefined {
  const coded = codes.find(({ size }) => size === classes.length);
  if (coded) return { read: columnReader(coded.column, coded.size), size: coded.size };
  const first = features.findIndex((_, at) => isOneHot(features, at, classes));
  if (first < 0 || classes.length === 0) return undefined;
  return { size: classes.length, read: (batch, row, step) => largest(batch, row, step, first, classes.length) };
}

/** Reads a column of codes 0 .. size - 1. */
export function columnReader(column: number, size: number): ReadCode {
  return (batch, row, step) => {
    const code = batch.x[(row * batch.time + step) * batch.features + column];
    return Number.isInteger(code) && code >= 0 && code < size ? code : -1;
  };
}

/** Whether the columns from `at` on are `<name>=<class>`, one per class in their order; a repeated class has a number behind its name. */
function isOneHot(features: readonly string[], at: number, classes: readonly string[]): boolean {
  if (classes.length === 0 || at + classes.length > features.length || !features[at].endsWith(`=${classes[0]}`)) return false;
  const prefix = features[at].slice(0, features[at].length - classes[0].length);
  return classes.every((name, c) => {
    const feature = features[at + c];
    return feature === prefix + name || feature.startsWith(`${prefix + name}#`);
  });
}

/** The column of the largest number: the 1, also after scaling. Ties go to the first; -1 where none is a number. */
function largest(batch: Batch, row: number, step: number, first: number, count: number): number {
  const from = (row * batch.time + step) * batch.features + first;
  let best = -1;
  for (let c = 0; c < count; c++) {
    const value = batch.x[from + c];
    if (!Number.isNaN(value) && (best < 0 || value > batch.x[from + best])) best = c;
  }
  return best;
}

/** @throws OST_TARGET if the inputs do not hold the category that is predicted. */
export function requireClassInput(spec: ExampleSpec, where: string): { read: ReadCode; size: number } {
  const found = spec.targetKind === "next" ? classInput(spec) : undefined;
  if (found) return found;
  throw new OstinatoError("OST_TARGET", {
    what: "this baseline predicts the next code from the latest ones",
    expected: "the code of the next row as target, and a column of the same codes among the features",
    got: spec.targetKind === "next" ? `features ${spec.features.slice(0, 5).join(", ") || "none"}` : spec.targetKind,
    where,
    repair: "add the target's column to data.features, or leave this baseline out",
  });
}
