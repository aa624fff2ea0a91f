/**
 * @file RMSprop (Tieleman & Hinton 2012), in PyTorch's form; centered as in Graves 2013 (arXiv 1308.0850, eqs. 38 to 45).
 *
 *     g = g + weightDecay * p;   s = decay s + (1 - decay) g^2;   centered: m = decay m + (1 - decay) g, s' = s - m^2, else s' = s
 *     u = g / (sqrt(s') + epsilon);   with momentum: v = momentum v + u, p = p - learningRate v;   else p = p - learningRate u
 */
import { OstinatoError } from "../core/errors.js";
import type { Parameter, RawBuffer } from "../tensor/index.js";
import { BufferedOptimizer } from "./optimizer.js";

export interface RMSpropOptions {
  /** Default 1e-2. */
  learningRate?: number;
  /** Decay of the mean square, 0 <= decay < 1; default 0.99. */
  decay?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** 0 <= momentum < 1; default 0. */
  momentum?: number;
  /** Added to the gradient, times the parameter; default 0. */
  weightDecay?: number;
  /** Divides by the standard deviation of the gradient instead of its root mean square; default false. */
  centered?: boolean;
}

export class RMSprop extends BufferedOptimizer {
  readonly decay: number;
  readonly epsilon: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly centered: boolean;

  /** @throws OST_RANGE if an option lies outside its range. */
  constructor(
    parameters: readonly Parameter[],
    { learningRate = 1e-2, decay = 0.99, epsilon = 1e-8, momentum = 0, weightDecay = 0, centered = false }: RMSpropOptions = {},
  ) {
    const names = ["meanSquare", ...(centered ? ["mean"] : []), ...(momentum > 0 ? ["velocity"] : [])];
    super(parameters, learningRate, names);
    for (const [name, share] of Object.entries({ decay, momentum })) {
      if (share >= 0 && share < 1) continue;
      throw new OstinatoError("OST_RANGE", {
        what: `${name} is a share`,
        expected: `0 <= ${name} < 1`,
        got: String(share),
        where: "RMSprop",
      });
    }
    this.decay = decay;
    this.epsilon = epsilon;
    this.momentum = momentum;
    this.weightDecay = weightDecay;
    this.centered = centered;
  }

  protected override update(gradients: readonly RawBuffer[], gradientScale: number): void {
    const { decay, epsilon, momentum, weightDecay, learningRate } = this;
    this.parameters.forEach((parameter, i) => {
      const p = parameter.floats();
      const g = gradients[i].floats();
      const own = (name: string) => this.buffers.get(name)?.[i].floats();
      const s = own("meanSquare") as Float32Array;
      const [m, v] = [own("mean"), own("velocity")];
      for (let k = 0; k < p.length; k++) {
        const slope = g[k] * gradientScale + weightDecay * p[k];
        s[k] = decay * s[k] + (1 - decay) * slope * slope;
        let square = s[k];
        if (m) {
          m[k] = decay * m[k] + (1 - decay) * slope;
          // Rounding may leave a variance of nothing just below zero.
          square = Math.max(0, square - m[k] * m[k]);
        }
        let change = slope / (Math.sqrt(square) + epsilon);
        if (v) change = v[k] = momentum * v[k] + change;
        p[k] -= learningRate * change;
      }
    });
  }
}
