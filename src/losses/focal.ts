/**
 * @file Focal loss (Lin, Goyal, Girshick, He & Dollar 2017): cross-entropy in which examples that are already sure count less, for rare
 * classes among masses of easy examples.
 *
 *     loss = -w (1 - p)^gamma log p,     p: probability of what is true, w: weight of its class
 */
import { OstinatoError } from "../core/errors.js";
import { sigmoid, softplus } from "../core/softplus.js";
import type { Tensor } from "../tensor/index.js";
import { type ClassCost, meanClassCost } from "./class-target.js";
import { type PointwiseOptions, pointwise } from "./pointwise.js";

export interface FocalLossOptions {
  /** How much less sure examples count, >= 0, default 2; with 0 this is cross-entropy. */
  gamma?: number;
  /** One weight per class (the paper's alpha); default all 1. */
  classWeights?: Tensor;
}

/**
 * Averages as `crossEntropy` does: over the rows whose target is not -1, weighted by the weight of each row's target class. (The paper
 * divides by the number of rows that are no background.)
 *
 * @param logits  [..., classes], before the softmax
 * @param targets int32 [...], 0 .. classes-1, or -1 for a row to leave out
 * @throws OST_SHAPE, OST_RANGE
 */
export function focalLoss(logits: Tensor, targets: Tensor, { gamma = 2, classWeights }: FocalLossOptions = {}): Tensor {
  checkGamma(gamma, "focalLoss");
  const cost: ClassCost = {
    cost: (logs, target) => -((-Math.expm1(logs[target])) ** gamma) * logs[target],
    slopes(logs, target, slopes) {
      const log = logs[target];
      const rest = -Math.expm1(log);
      // Where nothing is left to gain, gamma < 1 would make this 0 * Infinity.
      const focusing = gamma > 0 && rest !== 0 ? gamma * rest ** (gamma - 1) * Math.exp(log) * log : 0;
      const byLog = focusing - rest ** gamma;
      for (let k = 0; k < logs.length; k++) slopes[k] = byLog * ((k === target ? 1 : 0) - Math.exp(logs[k]));
    },
  };
  return meanClassCost("focalLoss", cost, logits, targets, classWeights);
}

export interface BinaryFocalLossOptions extends PointwiseOptions {
  /** >= 0, default 2; with 0 this is binary cross-entropy. */
  gamma?: number;
  /** Weight of the positives, 0 .. 1, the negatives having 1 - alpha; the paper uses 0.25. Default: both have weight 1. */
  alpha?: number;
}

/**
 * For flags. Averages over the elements the mask keeps.
 *
 * @param logits  any shape, before the sigmoid
 * @param targets the same shape, 0 .. 1
 * @throws OST_SHAPE, OST_RANGE
 */
export function binaryFocalLoss(
  logits: Tensor,
  targets: Tensor,
  { gamma = 2, alpha, ...options }: BinaryFocalLossOptions = {},
): Tensor {
  checkGamma(gamma, "binaryFocalLoss");
  if (alpha !== undefined && !(alpha >= 0 && alpha <= 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "alpha is a share",
      expected: "0 .. 1",
      got: String(alpha),
      where: "binaryFocalLoss",
    });
  }
  const [positive, negative] = alpha === undefined ? [1, 1] : [alpha, 1 - alpha];
  // A flag that is 1 at log-odds x is one that is 0 at -x.
  const cost = (x: number) => sigmoid(-x) ** gamma * softplus(-x);
  const slope = (x: number) => -(sigmoid(-x) ** gamma) * (gamma * sigmoid(x) * softplus(-x) + sigmoid(-x));
  return pointwise(
    "binaryFocalLoss",
    logits,
    targets,
    options,
    (x, y) => y * positive * cost(x) + (1 - y) * negative * cost(-x),
    (x, y) => y * positive * slope(x) - (1 - y) * negative * slope(-x),
  );
}

function checkGamma(gamma: number, where: string): void {
  if (gamma >= 0 && gamma < Number.POSITIVE_INFINITY) return;
  throw new OstinatoError("OST_RANGE", { what: "gamma is a power", expected: "0 or more", got: String(gamma), where });
}
