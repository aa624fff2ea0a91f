export { configJsonSchema, configSchema, type ExperimentConfig, type ExperimentConfigInput, parseConfig } from "./config.js";
export {
  type Entrant,
  type ExperimentData,
  type ExperimentEvent,
  type ExperimentOptions,
  type ExperimentResult,
  type Judgement,
  judgeEntrants,
  type Metrics,
  prepareExperiment,
  runExperiment,
  scoringOptions,
  VERSION,
} from "./experiment.js";
export { evaluationBatches, type FitOptions, type FittedNetwork, fitNetwork } from "./fit-network.js";
export { type Task, taskOf } from "./task.js";
