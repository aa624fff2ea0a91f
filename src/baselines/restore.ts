/** @file From what a model file holds back to a baseline that predicts the same bits. */
import { OstinatoError } from "../core/errors.js";
import type { Baseline, BaselineArrays, BaselineJson } from "./baseline.js";
import { Drift } from "./drift.js";
import { Logistic, type LogisticChoice } from "./logistic.js";
import { Majority } from "./majority.js";
import { MovingAverage, type MovingAverageOptions } from "./moving-average.js";
import { Persistence } from "./persistence.js";
import { Ridge, type RidgeChoice } from "./ridge.js";
import { SeasonalNaive, type SeasonalNaiveOptions } from "./seasonal-naive.js";

/**
 * @param json   what `toJSON` gave
 * @param arrays what `arrays` gave
 * @throws OST_MODEL_FILE if the kind is unknown, a setting is out of range, or an array is absent or of another shape.
 */
export function restoreBaseline(json: BaselineJson, arrays: BaselineArrays): Baseline {
  try {
    return restoreKind(json, arrays);
  } catch (cause) {
    if (cause instanceof OstinatoError && cause.code === "OST_MODEL_FILE") throw cause;
    throw new OstinatoError(
      "OST_MODEL_FILE",
      {
        what: `the settings of the baseline do not hold together: ${cause instanceof OstinatoError ? cause.detail.what : "malformed"}`,
        expected: `the settings of a ${json.kind} baseline`,
        got: JSON.stringify(json.options),
        where: "baseline",
        repair: "save the baseline again",
      },
      { cause },
    );
  }
}

function restoreKind({ kind, spec, options }: BaselineJson, arrays: BaselineArrays): Baseline {
  switch (kind) {
    case "persistence":
      return new Persistence(spec);
    case "seasonalNaive":
      return new SeasonalNaive(spec, options as SeasonalNaiveOptions);
    case "drift":
      return new Drift(spec);
    case "movingAverage":
      return new MovingAverage(spec, options as MovingAverageOptions);
    case "ridge":
      return Ridge.restore(spec, options as RidgeChoice, arrays);
    case "majority":
      return Majority.restore(spec, arrays);
    case "logistic":
      return Logistic.restore(spec, options as LogisticChoice, arrays);
    default:
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "the file holds a baseline of an unknown kind",
        expected: "persistence, seasonalNaive, drift, movingAverage, ridge, majority or logistic",
        got: kind,
        where: "baseline",
        repair: "open it with a newer version",
      });
  }
}
