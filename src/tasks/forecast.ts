/**
 * @file Forecast: the next `horizon` values of the target columns, from a window or at every step of a stream.
 *
 * Direct: all of the horizon at once. Recursive: one step ahead, reading its own predictions for the next; learned from every step of a
 * window, and from `train.rollout` steps beyond its end that are predicted from predictions. Points are learned by MSE, MAE or Huber;
 * distributions by their likelihood, quantiles by the pinball loss.
 */
import type { ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Distribution, outputsPerValue } from "../core/predictive-distribution.js";
import { windows } from "../data/index.js";
import { targetOfFeature } from "../model/index.js";
import { checkCounts } from "./count-target.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import { recursiveObjective } from "./recursive-objective.js";
import { countTargets } from "./target-count.js";
import type { Task, TaskConfig } from "./task.js";
import { valueTask } from "./value-loss.js";

export function forecast(config: TaskConfig): Task {
  const { window, train, forecast: settings, mode } = config;
  const recursive = settings.strategy === "recursive";
  const distribution = distributionOf(settings);
  const rollout = recursive ? (train.rollout ?? 1) : window.horizon;
  const shared: Pick<Task, "check" | "name" | "targetKind" | "metric" | "unit" | "streams" | "examples"> = {
    name: "forecast",
    targetKind: "values",
    metric: distribution ? "crps" : "mse",
    unit: "window",
    check(prepared) {
      if (settings.distribution === "negativeBinomial") checkCounts(prepared);
    },
    streams: true,
    examples(
      prepared,
      part,
      { stride = part === "train" ? window.stride : 1, length = window.length, served = part !== "train", keepUnscored } = {},
    ) {
      const horizon = served ? window.horizon : rollout;
      // A recursive forecast is learned from every step of a window.
      const everyStep = recursive && !served;
      return windows(prepared, { length: length as number, horizon, stride, part, everyStep, keepUnscored });
    },
  };
  if (!recursive) {
    return {
      ...shared,
      complete: (spec) => (distribution ? { ...spec, distribution } : spec),
      architecture: (spec) => recurrentArchitecture(config, spec),
      ...valueTask(config, { distribution, everyStep: mode === "streaming", horizon: window.horizon, ahead: 1 }),
    };
  }
  return {
    ...shared,
    everyStep: false,
    horizon: { train: rollout, judged: window.horizon },
    ahead: 1,
    complete(spec) {
      wantAllPredicted(spec);
      const { paths, levels } = settings;
      return {
        ...spec,
        recursive: { ...(distribution && { distribution }), paths, seed: train.seed },
        ...(distribution && { distribution: { kind: "quantiles" as const, levels } }),
      };
    },
    architecture: (spec) =>
      recurrentArchitecture(config, spec, { outputSize: spec.targets.length * outputsPerValue(distribution) }),
    objective: recursiveObjective(config, distribution),
    lossWeight: countTargets,
  };
}

function distributionOf({ distribution, levels }: TaskConfig["forecast"]): Distribution | undefined {
  if (distribution === "point") return undefined;
  return distribution === "quantiles" ? { kind: "quantiles", levels } : { kind: distribution };
}

/** @throws OST_CONFIG where an input is not among the values that are predicted, or one of those is no input. */
function wantAllPredicted(spec: ExampleSpec): void {
  const unread = spec.targets.filter((_, k) => spec.targetFeature[k] < 0);
  if (unread.length > 0) {
    throw new OstinatoError("OST_CONFIG", {
      what: "a recursive forecast reads its own predictions, and some of them are no inputs",
      expected: "targets that all are inputs",
      got: unread.slice(0, 8).join(", "),
      where: "data.target",
      repair: "add them to data.features, leave them out, or set forecast.strategy: direct",
    });
  }
  const targets = targetOfFeature(spec);
  const unknown = spec.features.filter((_, f) => targets[f] < 0);
  if (unknown.length === 0) return;
  throw new OstinatoError("OST_CONFIG", {
    what: "a recursive forecast reads its own predictions, and some inputs are not predicted",
    expected: "inputs that all are targets, unscaled or scaled alike",
    got: unknown.slice(0, 8).join(", "),
    where: "data.features",
    repair: "add them to data.target, leave them out, or set forecast.strategy: direct",
  });
}
