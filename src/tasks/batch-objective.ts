/** @file The loss of a batch in training, as a configuration says. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Network, sequenceModel } from "../model/index.js";
import { resetRows, type State } from "../nn/index.js";
import type { Objective, ObjectiveContext } from "../train/index.js";
import type { LossOptions, TaskConfig } from "./task.js";
import { taskOf } from "./task.js";

export interface ObjectiveSetup {
  config: TaskConfig;
  spec: ExampleSpec;
  options: LossOptions;
}

/** What `train` asks of every batch. */
export function batchObjective(
  network: Network,
  { config, spec, options }: ObjectiveSetup,
): (batch: Batch, context: ObjectiveContext) => Objective {
  const task = taskOf(config);
  return (batch, { rng, state, step }) => {
    const made = task.objective(batch, { network, spec, options, rng, state: carriedInto(batch, network, state), step });
    return { ...made, weight: made.weight ?? task.lossWeight(batch, options) };
  };
}

/** What is carried from the batch before, with a fresh state in the rows that begin a series. */
export function carriedInto(batch: Batch, network: Network, state: State | undefined): State | undefined {
  return state && batch.reset ? resetRows(state, sequenceModel(network).initialState(batch.batchSize), batch.reset) : state;
}
