export { Adam, type AdamOptions, AdamW } from "./adam.js";
export { type ClipResult, clipByGlobalNorm } from "./clip.js";
export type { Optimizer, OptimizerState } from "./optimizer.js";
export { RMSprop, type RMSpropOptions } from "./rmsprop.js";
export { constant, plateau, type Schedule, stepDecay, warmupCosine } from "./schedule.js";
export { SGD } from "./sgd.js";
export { WeightAverage, type WeightAverageOptions, type WeightAverageState } from "./weight-average.js";
