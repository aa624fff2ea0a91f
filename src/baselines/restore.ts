/** @file From what a model file holds back to a baseline that predicts the same bits. */
import { OstinatoError } from "../core/errors.js";
import { AR } from "./ar.js";
import type { Baseline, BaselineArrays, BaselineJson } from "./baseline.js";
import { ColumnMean } from "./column-mean.js";
import { CountTable } from "./count-table.js";
import { Drift } from "./drift.js";
import { ETS } from "./ets.js";
import { KeyFrequency, KeyMarkov } from "./key-rate.js";
import { Logistic, type LogisticChoice } from "./logistic.js";
import { Majority } from "./majority.js";
import { MostFrequentSequence } from "./most-frequent-sequence.js";
import { MostFrequentTag } from "./most-frequent-tag.js";
import { MovingAverage, type MovingAverageOptions } from "./moving-average.js";
import { NearestSource } from "./nearest-source.js";
import { NGram, type NGramChoice } from "./ngram.js";
import { Persistence } from "./persistence.js";
import { Ridge, type RidgeChoice } from "./ridge.js";
import { SeasonalNaive, type SeasonalNaiveOptions } from "./seasonal-naive.js";
import { Theta } from "./theta.js";
import { WindowedGaussian } from "./windowed-gaussian.js";

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
    case "ets":
      return ETS.restore(spec, options as Parameters<typeof ETS.restore>[1]);
    case "theta":
      return Theta.restore(spec, options as Parameters<typeof Theta.restore>[1]);
    case "ar":
      return AR.restore(spec, options as Parameters<typeof AR.restore>[1]);
    case "windowedGaussian":
      return WindowedGaussian.restore(spec, options as Parameters<typeof WindowedGaussian.restore>[1]);
    case "columnMean":
      return ColumnMean.restore(spec, arrays);
    case "ngram":
      return NGram.restore(spec, options as NGramChoice, arrays);
    case "countTable":
      return CountTable.restore(spec, options as Parameters<typeof CountTable.restore>[1], arrays);
    case "keyFrequency":
      return KeyFrequency.restore(spec, arrays);
    case "keyMarkov":
      return KeyMarkov.restore(spec, arrays);
    case "mostFrequentTag":
      return MostFrequentTag.restore(spec, options as Parameters<typeof MostFrequentTag.restore>[1], arrays);
    case "mostFrequentSequence":
      return MostFrequentSequence.restore(spec, options as Parameters<typeof MostFrequentSequence.restore>[1]);
    case "nearestSource":
      return NearestSource.restore(spec, options as Parameters<typeof NearestSource.restore>[1], arrays);
    default:
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "the file holds a baseline of an unknown kind",
        expected: "one of those that defaultBaselines makes",
        got: kind,
        where: "baseline",
        repair: "open it with a newer version",
      });
  }
}
