/**
 * @file Which rows are known to be anomalous: what detectors are judged by. No model reads it and nothing is fitted on it.
 */
import { OstinatoError } from "../core/errors.js";
import { type Table, textsOf } from "./table.js";
import { frozen } from "./transform.js";

export interface AnomalyOptions {
  /** Column that says it. */
  column: string;
  /** The cells of it that mean "normal"; every other means "anomalous", and an empty one "unknown". */
  normal: readonly (string | number)[];
}

export const NORMAL = 0;
export const ANOMALOUS = 1;
export const UNKNOWN = 255;

/** Per row of a table 0 normal, 1 anomalous, 255 unknown. @throws OST_COLUMN if the column is not there. */
export function anomalyCodes(table: Table, { column, normal }: AnomalyOptions): Uint8Array {
  const cells = textsOf(table, column, "anomaly");
  const good = new Set(normal.map(String));
  return Uint8Array.from(cells, (cell) => (cell === "" ? UNKNOWN : good.has(cell) ? NORMAL : ANOMALOUS));
}

/** @throws OST_TARGET if the column is an input or a target. @throws OST_RANGE without a value that means "normal". */
export function checkAnomaly(
  { column, normal }: AnomalyOptions,
  { inputs, target }: { inputs: readonly string[]; target: readonly string[] },
): void {
  if (normal.length === 0) {
    throw new OstinatoError("OST_RANGE", {
      what: "no value means that a row is normal",
      expected: "at least one",
      where: "data.anomaly.normal",
      repair: 'name what the column holds in normal rows, such as normal: ["0"]',
    });
  }
  if (!inputs.includes(column) && !target.includes(column)) return;
  throw new OstinatoError("OST_TARGET", {
    what: "the column that says what is anomalous is also an input or a target, so the detector would be told the answer",
    got: `"${column}" in both`,
    where: "data.anomaly",
    repair: `remove "${column}" from data.features, data.categories and data.target`,
  });
}

/** @throws OST_MODEL_FILE */
export function anomalyFromJSON(json: unknown, where: string): AnomalyOptions | null {
  if (json === undefined || json === null) return null;
  const { column, normal } = frozen.object(json, where);
  if (typeof column !== "string") return frozen.fail(`${where}.column`, "a name", column);
  return { column, normal: frozen.texts(normal, `${where}.normal`) };
}
