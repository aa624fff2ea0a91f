/**
 * @file Stochastic gradient descent with momentum (Polyak 1964), in PyTorch's form.
 *
 *     v = momentum * v + (g + weightDecay * p);   p = p - learningRate * v
 */
import type { Parameter, RawBuffer } from "../tensor/index.js";
import { BufferedOptimizer } from "./optimizer.js";

export class SGD extends BufferedOptimizer {
  readonly momentum: number;
  readonly weightDecay: number;

  constructor(
    parameters: readonly Parameter[],
    {
      learningRate = 0.01,
      momentum = 0,
      weightDecay = 0,
    }: { learningRate?: number; momentum?: number; weightDecay?: number } = {},
  ) {
    super(parameters, learningRate, momentum > 0 ? ["velocity"] : []);
    this.momentum = momentum;
    this.weightDecay = weightDecay;
  }

  protected override update(gradients: readonly RawBuffer[], gradientScale: number): void {
    this.parameters.forEach((parameter, i) => {
      const p = parameter.floats();
      const g = gradients[i].floats();
      const v = this.buffers.get("velocity")?.[i].floats();
      for (let k = 0; k < p.length; k++) {
        let change = g[k] * gradientScale + this.weightDecay * p[k];
        if (v) change = v[k] = this.momentum * v[k] + change;
        p[k] -= this.learningRate * change;
      }
    });
  }
}
