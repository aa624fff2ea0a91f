/**
 * @file Gradients against numbers: what autograd says must equal 5-point central differences in float64.
 *
 *     f'(x) = (f(x - 2h) - 8 f(x - h) + 8 f(x + h) - f(x + 2h)) / 12h + O(h^4)      (Fornberg 1988, Mathematics of Computation 51)
 */
import { seed } from "../core/rng.js";
import { type Shape, sizeOf } from "../core/shape.js";
import { type FloatArray, type Kernels, ReferenceKernels } from "../kernels/index.js";
import { inference, type Parameter, parameter, scope, type Tensor, tensor } from "../tensor/index.js";

export interface CheckGradientOptions {
  /** h, default 1e-4. */
  step?: number;
  /** Largest |gradient - difference| / max(|gradient|, |difference|, 1e-4); default 1e-6. */
  tolerance?: number;
}

export interface CheckGradientReport {
  /** Values whose gradient was compared. */
  checks: number;
  /** The largest error met, as defined at `tolerance`. */
  maxError: number;
}

/**
 * Compares the gradient of a loss by every value of the given parameters with finite differences. Values and gradients of the parameters
 * are afterwards what they were, gradients zero.
 *
 * @param loss       computes a scalar from the parameters, the same one at every call (a generator it uses is made anew inside)
 * @param parameters by name; all on one float64 engine
 * @throws Error naming the first parameter and index whose gradient is wrong.
 */
export function checkGradient(
  loss: () => Tensor,
  parameters: ReadonlyMap<string, Parameter>,
  { step = 1e-4, tolerance = 1e-6 }: CheckGradientOptions = {},
): CheckGradientReport {
  const report: CheckGradientReport = { checks: 0, maxError: 0 };
  const gradients = gradientsOf(loss, parameters);
  for (const [name, parameter] of parameters) {
    if (parameter.engine.memory.floatType !== "float64") throw new Error(`checkGradient: ${name} must live on a float64 engine`);
    const gradient = gradients.get(name) as FloatArray;
    const at = (i: number, value: number) => {
      parameter.floats()[i] = value;
      parameter.version++;
      return inference(() => loss().item());
    };
    for (let i = 0; i < parameter.size; i++) {
      const value = parameter.floats()[i];
      const ring = at(i, value - 2 * step) - 8 * at(i, value - step) + 8 * at(i, value + step) - at(i, value + 2 * step);
      at(i, value);
      const expected = ring / (12 * step);
      const error = Math.abs(gradient[i] - expected) / Math.max(Math.abs(gradient[i]), Math.abs(expected), 1e-4);
      if (!(error <= tolerance)) {
        throw new Error(
          `gradient of ${name}[${i}]: autograd says ${gradient[i]}, finite differences say ${expected} (error ${error})`,
        );
      }
      report.checks++;
      report.maxError = Math.max(report.maxError, error);
    }
  }
  return report;
}

/** Copies of the gradients of a loss by all parameters; zeros where the loss does not depend on one. */
export function gradientsOf(loss: () => Tensor, parameters: ReadonlyMap<string, Parameter>): Map<string, FloatArray> {
  const clear = () => {
    for (const { grad } of parameters.values()) grad?.floats().fill(0);
  };
  clear();
  scope(() => loss().backward());
  const gradients = new Map(
    [...parameters].map(([name, { grad, size }]) => [name, grad?.floats().slice() ?? new Float64Array(size)] as const),
  );
  clear();
  return gradients;
}

/** An input of an operation under test: random values in [low, high), default -1 .. 1, or the given ones. */
export interface CheckOpInput {
  shape: Shape;
  low?: number;
  high?: number;
  values?: ArrayLike<number>;
}

/**
 * Holds an operation to the laws of `Op`, in float64: gradients by every input equal finite differences; they are added to what is there;
 * an input's gradient does not depend on whether the others want one; recording changes no result.
 *
 * @param compute the operation on its inputs; gives one tensor or several. Integer inputs are made inside, on `inputs[0].engine`.
 * @throws Error naming the law that does not hold.
 */
export function checkOp(
  compute: (...inputs: Tensor[]) => Tensor | readonly Tensor[],
  inputs: readonly CheckOpInput[],
  { seed: seedValue = 1, ...options }: CheckGradientOptions & { seed?: number } = {},
): CheckGradientReport {
  const engine = new ReferenceKernels("float64");
  const rng = seed(seedValue);
  const values = inputs.map((input) => {
    const { shape, low = -1, high = 1 } = input;
    return input.values
      ? Float64Array.from(input.values)
      : Float64Array.from({ length: sizeOf(shape) }, () => rng.uniform(low, high));
  });
  const outputsOf = (tensors: Tensor[]) => [compute(...tensors)].flat() as Tensor[];
  const plain = () => inputs.map(({ shape }, i) => tensor(values[i], shape, { engine }));
  const parameters = inputs.map(({ shape }, i) => parameter(values[i], shape, { engine }));
  const named = new Map(parameters.map((parameter, i) => [`input ${i}`, parameter]));
  const weights = scope(() =>
    outputsOf(plain()).map(({ size }) => Float64Array.from({ length: size }, () => rng.uniform(0.5, 1.5))),
  );
  const loss = (tensors: Tensor[]) => weightedSum(outputsOf(tensors), weights, engine);

  const report = checkGradient(() => loss(parameters), named, options);

  const gradients = gradientsOf(() => loss(parameters), named);
  scope(() => loss(parameters).backward());
  scope(() => loss(parameters).backward());
  parameters.forEach((parameter, i) => {
    const once = gradients.get(`input ${i}`) as FloatArray;
    parameter.grad?.floats().forEach((value, k) => {
      if (Math.abs(value - 2 * once[k]) > 1e-12 * (1 + Math.abs(value)))
        throw new Error(`gradient of input ${i} is not added to what is there`);
    });
  });
  inputs.forEach((_, i) => {
    const alone = gradientsOf(
      () => loss(plain().map((other, k) => (k === i ? parameters[i] : other))),
      new Map([["", parameters[i]]]),
    ).get("");
    if (!sameBits(alone as FloatArray, gradients.get(`input ${i}`) as FloatArray)) {
      throw new Error(`gradient of input ${i} changes when the other inputs want none`);
    }
  });
  const kept = scope(() => outputsOf(parameters).map((output) => output.toArray()));
  const unkept = inference(() => outputsOf(parameters).map((output) => output.toArray()));
  if (!kept.every((output, i) => sameBits(output, unkept[i]))) throw new Error("recording changes the result");
  return report;
}

/** Sum over all tensors of value times weight: a scalar in which every value counts differently. */
export function weightedSum(tensors: readonly Tensor[], weights: readonly ArrayLike<number>[], engine: Kernels): Tensor {
  return tensors
    .map((value, i) => value.multiply(tensor(weights[i], value.shape, { engine })).sum())
    .reduce((total, part) => total.add(part));
}

/** Bit for bit, NaN equal to NaN. */
export function sameBits(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
