export { type Backtest, type BacktestFold, type BacktestOptions, type BacktestRow, backtest } from "./backtest.js";
export { configJsonSchema, configSchema, type ExperimentConfig, type ExperimentConfigInput, parseConfig } from "./config.js";
export { type DetectedRow, detectionTable, detectRows } from "./detect-rows.js";
export { fitDetection, scoreAlerts, surprisesOf } from "./detection.js";
export { evaluationBatches } from "./evaluation-batches.js";
export {
  dataOptions,
  type ExperimentEvent,
  type ExperimentOptions,
  type ExperimentResult,
  type Metrics,
  prepareExperiment,
  runExperiment,
  type Tokenizers,
  VERSION,
} from "./experiment.js";
export { type FitOptions, type FittedNetwork, fitNetwork, trainingPadding } from "./fit-network.js";
export { type Entrant, type ExperimentData, type Judgement, judgeEntrants } from "./judgement.js";
export { scoringOptions } from "./scoring.js";
export { type Task, taskOf } from "./task.js";
