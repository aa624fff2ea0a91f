export { binaryCrossEntropy } from "./binary-cross-entropy.js";
export { type CrossEntropyOptions, crossEntropy } from "./cross-entropy.js";
export { huber } from "./huber.js";
export { mae } from "./mae.js";
export { mse } from "./mse.js";
export type { PointwiseOptions } from "./pointwise.js";
