/** @file The recurrent network of a configuration, as data. */
import type { ExampleSpec } from "../core/batch.js";
import { outputsPerValue } from "../core/predictive-distribution.js";
import { type Architecture, recurrentSpec } from "../model/index.js";
import type { HighwaySpec } from "../nn/index.js";
import type { TaskConfig } from "./task.js";

/** @param options `outputSize`: default one output per class, or those of every value. */
export function recurrentArchitecture(
  { model }: Pick<TaskConfig, "model">,
  spec: ExampleSpec,
  { outputSize = outputsOf(spec) }: { outputSize?: number } = {},
): Architecture {
  const { attention: _a, inputFeeding: _f, bridge: _b, targetEmbedding: _t, crf, highway, ...own } = model;
  return recurrentSpec({
    ...own,
    inputSize: spec.features.length,
    outputSize,
    ...(spec.codes && { embeddings: spec.codes }),
    ...(crf && { crf: true }),
    ...(highway !== undefined && { highway: highwaySpec(highway, spec) }),
  });
}

function highwaySpec(lags: number, { horizon, targetFeature, distribution }: ExampleSpec): HighwaySpec {
  const perValue = outputsPerValue(distribution);
  return { lags, horizon, columns: targetFeature, perValue, added: distribution?.kind === "quantiles" ? perValue : 1 };
}

function outputsOf({ targetKind, horizon, targets, classes, distribution }: ExampleSpec): number {
  return targetKind === "values" ? horizon * targets.length * outputsPerValue(distribution) : classes.length;
}
