/**
 * @file Training copies in which some columns are missing throughout, so that a model has met hosts that do not offer them.
 *
 * A flag that is never 1 in training keeps the weights it was drawn with, and the first device without that counter is judged by chance.
 * The statistics of the preprocessing are fitted on the originals alone; validation and test parts stay as they are.
 */
import { OstinatoError } from "../core/errors.js";
import type { Series } from "./series.js";
import { partCode } from "./split.js";

/** Groups of features that go missing together. */
export type HiddenGroups = readonly (readonly string[])[];

/**
 * One copy of every training series, the groups taking turns: series s lacks group s modulo their number.
 *
 * The copies keep the parts of their originals, so that their windows too stop at a border; they are examples of training only.
 *
 * @param part per series the part of each row.
 * @throws OST_COLUMN if a group names no feature. @throws OST_CONFIG if missing values are refused.
 */
export function hiddenCopies(
  series: readonly Series[],
  part: readonly Uint8Array[],
  { groups, features, refuses }: { groups: HiddenGroups; features: readonly string[]; refuses: boolean },
): { series: Series[]; part: Uint8Array[] } {
  const copies: { series: Series[]; part: Uint8Array[] } = { series: [], part: [] };
  if (groups.length === 0) return copies;
  if (refuses) {
    throw new OstinatoError("OST_CONFIG", {
      what: "columns cannot be hidden while missing values are refused",
      expected: "another policy in data.missing, with flag: true",
      where: "data.hide",
      repair: "set data.missing: { policy: forwardFill, flag: true }, or remove data.hide",
    });
  }
  const indexes = groups.map((group) =>
    group.map((name) => {
      const index = features.indexOf(name);
      if (index >= 0) return index;
      throw new OstinatoError("OST_COLUMN", { what: "only features can be hidden", got: `"${name}"`, where: "data.hide" });
    }),
  );
  const train = partCode("train");
  series.forEach((one, s) => {
    if (!part[s].includes(train)) return;
    const values = one.features.slice();
    const turn = copies.series.length % groups.length;
    for (let row = 0; row < one.rows; row++) {
      for (const index of indexes[turn]) values[row * features.length + index] = Number.NaN;
    }
    copies.series.push({ ...one, entity: `${one.entity} without ${groups[turn].join(", ")}`, features: values });
    copies.part.push(part[s]);
  });
  return copies;
}
