/** @file Targets that must be counts, checked before anything is learned from them. */
import { OstinatoError } from "../core/errors.js";
import { elementAt, type PreparedData, rowName, stretches } from "../data/index.js";

/** @throws OST_TARGET naming the row of the first target value of a part that is no count: 0, 1, 2, ... */
export function checkCounts(prepared: PreparedData): void {
  const targets = prepared.preprocessing.targetColumns;
  for (const { entity, values, part, row, copy } of prepared.series) {
    if (!values || copy) continue;
    let at = 0;
    for (const some of stretches(values)) {
      for (const value of some) {
        const step = Math.floor(at / targets.length);
        const isCount = Number.isNaN(value) || part[step] === 0 || (value >= 0 && Number.isInteger(value));
        if (!isCount)
          throw notCount(targets[at % targets.length], value, `${rowName(prepared, elementAt(row, step))}, series "${entity}"`);
        at++;
      }
    }
  }
}

function notCount(target: string, value: number, where: string): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: `the target "${target}" is no count there`,
    expected: "0, 1, 2, ... as forecast.distribution: negativeBinomial is of, unscaled",
    got: String(value),
    where,
    repair: "set data.scale: none, correct the value, or choose forecast.distribution: gaussian",
  });
}
