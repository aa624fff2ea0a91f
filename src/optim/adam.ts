/**
 * @file Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
 *
 *     m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
 *     p = p - learningRate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 *
 * Weight decay: Adam adds weightDecay * p to g; AdamW shrinks p by learningRate * weightDecay apart from the gradient.
 */
import { emptyBuffer, type Parameter, type RawBuffer } from "../tensor/index.js";
import { release } from "../tensor/storage.js";
import { BufferedOptimizer } from "./optimizer.js";

export interface AdamOptions {
  /** Default 1e-3. */
  learningRate?: number;
  /** Decay of the two moments; default 0.9 and 0.999. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  epsilon?: number;
  /** Default 0 for Adam, 0.01 for AdamW. */
  weightDecay?: number;
}

export class Adam extends BufferedOptimizer {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;

  constructor(
    parameters: readonly Parameter[],
    { learningRate = 1e-3, betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0 }: AdamOptions = {},
  ) {
    super(parameters, learningRate, ["firstMoment", "secondMoment"]);
    this.betas = betas;
    this.epsilon = epsilon;
    this.weightDecay = weightDecay;
  }

  protected override update(gradients: readonly RawBuffer[], gradientScale: number): void {
    if (this.weightDecay === 0) {
      this.adamStep(gradients, gradientScale, 0);
      return;
    }
    const decayed = this.parameters.map((parameter, i) => {
      const buffer = emptyBuffer(parameter.engine, parameter.shape);
      const [p, g, to] = [parameter.floats(), gradients[i].floats(), buffer.floats()];
      for (let k = 0; k < p.length; k++) to[k] = g[k] * gradientScale + this.weightDecay * p[k];
      return buffer;
    });
    this.adamStep(decayed, 1, 0);
    for (const { storage } of decayed) release(storage);
  }

  protected adamStep(gradients: readonly RawBuffer[], gradientScale: number, decoupledDecay: number): void {
    const [beta1, beta2] = this.betas;
    const first = this.buffers.get("firstMoment") as RawBuffer[];
    const second = this.buffers.get("secondMoment") as RawBuffer[];
    this.parameters[0].engine.adamStep({
      parameters: this.parameters.map((parameter, i) => ({
        count: parameter.size,
        parameter: parameter.pointer,
        gradient: gradients[i].pointer,
        firstMoment: first[i].pointer,
        secondMoment: second[i].pointer,
      })),
      gradientScale,
      learningRate: this.learningRate,
      beta1,
      beta2,
      epsilon: this.epsilon,
      weightDecay: decoupledDecay,
      correction1: 1 - beta1 ** this.steps,
      correction2: 1 - beta2 ** this.steps,
    });
  }
}

export class AdamW extends Adam {
  constructor(parameters: readonly Parameter[], { weightDecay = 0.01, ...options }: AdamOptions = {}) {
    super(parameters, { ...options, weightDecay });
  }

  protected override update(gradients: readonly RawBuffer[], gradientScale: number): void {
    this.adamStep(gradients, gradientScale, this.weightDecay);
  }
}
