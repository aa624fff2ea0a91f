/** @file A loss that a user writes from tensor operations alone: the example in `index.ts`, held to the laws of the built-in ones. */
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { Linear } from "../nn/index.js";
import { SGD } from "../optim/index.js";
import { parameter, type Tensor, tensor } from "../tensor/index.js";
import { checkGradient } from "../testing/check-gradient.js";
import { trainStep } from "../train/index.js";

const engine = new ReferenceKernels("float64");

/** Squared error that counts three times where the forecast was too low. */
function costlyShortage(prediction: Tensor, target: Tensor): Tensor {
  const short = target.subtract(prediction).relu().square();
  const over = prediction.subtract(target).relu().square();
  return short.multiply(3).add(over).mean();
}

/** The masked mean of log cosh of the error, plus a price on what changes from step to step: [batch, time]. */
function smoothLogCosh(prediction: Tensor, target: Tensor, mask: Tensor): Tensor {
  const error = prediction.subtract(target);
  const logCosh = error.exp().add(error.negate().exp()).multiply(0.5).log();
  const kept = logCosh.multiply(mask).sum().divide(mask.sum());
  const time = prediction.shape[1];
  const change = prediction.slice(1, 1, time).subtract(prediction.slice(1, 0, time - 1));
  return kept.add(change.square().mean().multiply(0.1));
}

describe("a loss of one's own", () => {
  const values = [0.4, -1, 2.2, 0.1, 0.9, -0.3];
  const target = tensor([1, -2, 2, 0.5, 0.6, 1], [2, 3], { engine });

  it("computes what it says", () => {
    const loss = costlyShortage(tensor(values, [2, 3], { engine }), target);
    expect(loss.item()).toBeCloseTo((3 * (0.36 + 0.16 + 1.69) + 1 + 0.04 + 0.09) / 6, 12);
  });

  it("has the gradient of central differences without a line of its own for it", () => {
    const prediction = parameter(values, [2, 3], { engine });
    checkGradient(() => costlyShortage(prediction, target), new Map([["prediction", prediction]]));
    const mask = tensor([1, 1, 0, 1, 0, 0], [2, 3], { engine });
    checkGradient(() => smoothLogCosh(prediction, target, mask), new Map([["prediction", prediction]]));
  });

  it("trains a network to what it asks for: above the mean, where to be short costs more", () => {
    const layer = new Linear(1, 1, { rng: seed(1), engine });
    const optimizer = new SGD(layer.parameters(), { learningRate: 0.1 });
    const input = tensor([0, 0], [2, 1], { engine });
    const wanted = tensor([-1, 1], [2, 1], { engine });
    for (let step = 0; step < 200; step++) {
      trainStep({
        optimizer,
        objective: () => ({ loss: costlyShortage(layer.forward(input), wanted) }),
        rng: seed(2),
        clipNorm: Infinity,
      });
    }
    // 3 (1 - b) = b + 1
    expect(layer.forward(input).toArray()[0]).toBeCloseTo(0.5, 6);
  });
});
