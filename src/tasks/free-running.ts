/**
 * @file What a model makes of its own output, for the report: language goes on from evenly spaced places of the test part, recursive forecasts
 * from evenly spaced windows of it, each read with what was measured and with its own output. The cost is bounded, whatever the part's size.
 */
import type { ExampleSpec } from "../core/batch.js";
import { type PreparedData, RunList } from "../data/index.js";
import { type Contender, type FreeRunning, metricValue } from "../evaluate/index.js";
import type { ExperimentConfig } from "./config.js";
import { forecastContinuations } from "./free-running-forecast.js";
import { placesOf } from "./free-running-places.js";
import { continuations, readerOf, stepsOf } from "./free-running-steps.js";
import type { Entrant } from "./judgement.js";
import { taskOf } from "./task.js";

/** Places that are gone on from, steps from each, and true steps read before. */
const PLACES = 64;
const STEPS = 64;
const HISTORY = 256;
/** Windows of a recursive forecast. */
const WINDOWS = 256;

export interface FreeRunningOptions {
  /** What one code is called. */
  unitName?: string;
  /** Scores on the test part by which the best baseline is found. */
  contenders: readonly Contender[];
}

/** Undefined for tasks whose predictions are never read back, and for networks that cannot be read on from. */
export function freeRunning(
  config: ExperimentConfig,
  { prepared, spec }: { prepared: PreparedData; spec: ExampleSpec },
  entrants: readonly Entrant[],
  { unitName, contenders }: FreeRunningOptions,
): FreeRunning | undefined {
  if (config.task === "language") return ofLanguage(config, prepared, spec, entrants, { unitName, contenders });
  return spec.recursive ? ofForecast(config, prepared, spec, entrants) : undefined;
}

function ofLanguage(
  config: ExperimentConfig,
  prepared: PreparedData,
  spec: ExampleSpec,
  [model, ...rivals]: readonly Entrant[],
  { unitName = "code", contenders }: FreeRunningOptions,
): FreeRunning | undefined {
  const { mode, window, data } = config;
  const frames = spec.targetKind === "values";
  // A window that is read afresh at each step holds no more history.
  const history = mode === "streaming" ? HISTORY : Math.min(HISTORY, window.length ?? HISTORY);
  const options = { most: PLACES, steps: STEPS, history };
  const places = placesOf(prepared, spec, options);
  const steps = stepsOf(spec, data.target[0]);
  if (!places || !steps) return undefined;
  const costOf = (entrant: Entrant) => {
    const score = contenders.find(({ name }) => name === entrant.name)?.test;
    return (score && metricValue(score, frames ? "nll" : "logLoss")) ?? Number.POSITIVE_INFINITY;
  };
  const baselines = rivals
    .filter(({ kind, predictor }) => kind === "baseline" && readerOf(predictor, spec))
    .sort((a, b) => costOf(a) - costOf(b));
  const rows = [model, ...baselines.slice(0, 1)].flatMap(({ name, predictor }) => {
    const reader = readerOf(predictor, spec);
    const row = reader && continuations(name, reader, steps, places);
    return row ? [row] : [];
  });
  if (rows[0]?.name !== model.name) return undefined;
  return {
    kind: frames ? "frames" : "codes",
    unitName: frames ? "frame" : unitName,
    places: places.examples.count,
    steps: rows[0].byStep.length,
    history,
    rows,
  };
}

function ofForecast(
  config: ExperimentConfig,
  prepared: PreparedData,
  spec: ExampleSpec,
  [model, ...rivals]: readonly Entrant[],
): FreeRunning | undefined {
  const { name: own, predictor } = model;
  const { reader } = predictor;
  if (!reader) return undefined;
  const all = taskOf(config).examples(prepared, "test", { served: true });
  const chosen = Math.min(WINDOWS, all.count);
  const runs = Array.from({ length: chosen }, (_, i) => all.at(Math.floor(((i + 0.5) * all.count) / chosen)));
  const naive = rivals.filter(({ kind, name }) => kind === "baseline" && /^(persistence|seasonalNaive)/.test(name));
  const found = forecastContinuations({ name: own, predictor, reader }, spec, {
    examples: all.with({ runs: RunList.of(runs) }),
    normalize: config.window.normalize,
    naive,
  });
  return found ?? undefined;
}
