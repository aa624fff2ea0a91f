/**
 * @file Columns behind those a row has: their names, and the longer row.
 */
import { nearest, OstinatoError } from "../../core/errors.js";
import type { Row } from "../record.js";

/**
 * The names of all columns once `added` stand behind `inputs`.
 *
 * @param where names the transform in a message.
 * @throws OST_COLUMN if a name would occur twice.
 */
export function appendedNames(inputs: readonly string[], added: readonly string[], where: string): string[] {
  const names = [...inputs, ...added];
  const known = new Set<string>();
  for (const name of names) {
    if (!known.has(name)) {
      known.add(name);
      continue;
    }
    throw new OstinatoError("OST_COLUMN", {
      what: "two columns would have the same name",
      expected: "names that no column has yet",
      got: `"${name}" twice`,
      where,
      repair: `rename the column "${name}" in the data`,
    });
  }
  return names;
}

/** The row with room for `added` more values, all 0. */
export function appendedRow(row: Row, added: number): Row {
  const values = new Float64Array(row.values.length + added);
  values.set(row.values);
  return { ...row, values };
}

/** The place of a column. @throws OST_COLUMN if there is none. */
export function placeOf(name: string, inputs: readonly string[], where: string): number {
  const place = inputs.indexOf(name);
  if (place >= 0) return place;
  const near = nearest(name, inputs);
  throw new OstinatoError("OST_COLUMN", {
    what: "there is no such column",
    expected: `one of ${inputs.join(", ")}`,
    got: `"${name}"`,
    where,
    repair: near === undefined ? undefined : `did you mean "${near}"?`,
  });
}
