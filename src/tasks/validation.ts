/** @file What a network is worth on the validation part, at the end of an epoch: its loss, or the metric that the experiment is decided by. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import type { PreparedData } from "../data/index.js";
import { type Decision, decide, decidedValue, evaluate, isHigherBetter } from "../evaluate/index.js";
import { type Network, networkPredictor } from "../model/index.js";
import type { State } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import { carriedInto } from "./batch-objective.js";
import type { ExperimentConfig } from "./config.js";
import { EVALUATED_STEPS, evaluationBatches, THINNED_VALIDATION } from "./evaluation-batches.js";
import { decodingOf, scoringOptions } from "./scoring.js";
import { type LossOptions, type Task, taskOf, WHOLE_LANES, wholeLanes } from "./task.js";

export interface Validation {
  /** Absent: it is the loss that is measured. */
  metric?: { higherIsBetter: boolean };
  /** As the network is now. */
  measure(): number;
}

/** What `train.selection` asks for. */
export function validationOf(
  config: ExperimentConfig,
  { prepared, spec }: { prepared: PreparedData; spec: ExampleSpec },
  network: Network,
  options: LossOptions,
): Validation {
  const task = taskOf(config);
  const { mode, train } = config;
  const source = () => evaluationBatches(config, prepared, "validation", { thinned: THINNED_VALIDATION });
  if (train.selection === "loss") {
    const chunk = EVALUATED_STEPS / WHOLE_LANES;
    const carried = () => wholeLanes(prepared, "validation", Math.max(1, task.horizon.judged), { chunk });
    const measure = () =>
      inference(() => meanLoss(network, spec, mode === "streaming" ? carried() : source(), { task, options }));
    return { measure };
  }
  const decision: Decision = config.decision ?? { metric: task.metric };
  const predictor = networkPredictor("network", network, spec, { decoding: decodingOf(config, prepared) });
  const scoring = scoringOptions(config, prepared);
  return {
    metric: { higherIsBetter: isHigherBetter(decision) },
    measure() {
      const score = evaluate(predictor, source(), spec, scoring);
      return decidedValue(decide(decision, { test: score, validation: score }));
    },
  };
}

/** The loss over all targets of some batches; what lanes carry goes on from batch to batch. NaN where no target is. */
export function meanLoss(
  network: Network,
  spec: ExampleSpec,
  source: Iterable<Batch>,
  { task, options }: { task: Task; options: LossOptions },
): number {
  let total = 0;
  let weight = 0;
  let carried: State | undefined;
  for (const batch of source) {
    const { reset, lengths } = batch;
    const goesOn = carried && reset?.some((begins, b) => begins === 0 && lengths[b] > 0);
    const share = task.lossWeight(batch, options);
    if (share === 0 && !reset) continue;
    const { loss, state } = inference(() => {
      const before = goesOn ? carriedInto(batch, network, carried) : undefined;
      const { loss, state } = task.objective(batch, { network, spec, options, state: before });
      return { loss: share > 0 ? loss.item() : 0, state: reset && state };
    });
    carried = state;
    total += share * loss;
    weight += share;
  }
  return weight > 0 ? total / weight : Number.NaN;
}
