/** @file The gradient of several batches in one, and their loss: means joined by what they are means over. */
import { OstinatoError } from "../core/errors.js";
import type { FloatArray } from "../kernels/index.js";
import { emptyBuffer, type Parameter } from "../tensor/index.js";

/**
 * sum(weight * gradient) / sum(weight), summed in float64 in the order of the parts and rounded once. Weights count relative to the first, so
 * that the mean of equal gradients of equal weight is that gradient, bit for bit.
 */
export class GradientMean {
  readonly #parameters: readonly Parameter[];
  readonly #sums: Float64Array[];
  #first = 0;
  #total = 0;
  #loss = 0;

  constructor(parameters: readonly Parameter[]) {
    this.#parameters = parameters;
    this.#sums = parameters.map(({ size }) => new Float64Array(size));
  }

  /**
   * @param gradients of every parameter in order; null where no loss reached it.
   * @throws OST_RANGE if the weight is no number >= 0.
   */
  add(loss: number, weight: number, gradients: readonly (FloatArray | null)[]): void {
    wantWeight(weight);
    if (weight === 0) return;
    if (this.#total === 0) this.#first = weight;
    const factor = weight / this.#first;
    this.#total += factor;
    this.#loss += factor * loss;
    this.#sums.forEach((sums, i) => {
      const gradient = gradients[i];
      if (gradient) for (let k = 0; k < sums.length; k++) sums[k] += factor * gradient[k];
    });
  }

  /** The mean loss; 0 where nothing counted. */
  get loss(): number {
    return this.#total > 0 ? this.#loss / this.#total : 0;
  }

  /** Makes the mean the `grad` of those of the parameters that are `trained`. */
  write(trained: readonly Parameter[]): void {
    const wanted = new Set(trained);
    const total = this.#total || 1;
    this.#parameters.forEach((parameter, i) => {
      if (!wanted.has(parameter)) return;
      parameter.grad ??= emptyBuffer(parameter.engine, parameter.shape, { persistent: true });
      const grad = parameter.grad.floats();
      const sums = this.#sums[i];
      for (let k = 0; k < grad.length; k++) grad[k] = sums[k] / total;
    });
  }
}

/** @throws OST_RANGE unless it is a number >= 0. */
export function wantWeight(weight: number): void {
  if (weight >= 0 && Number.isFinite(weight)) return;
  throw new OstinatoError("OST_RANGE", {
    what: "the weight of a batch is no number >= 0",
    got: String(weight),
    where: "objective.weight",
  });
}
