/** @file The seam of optimizers: one update from the accumulated gradients, and a state that a checkpoint can hold. */
import { OstinatoError } from "../core/errors.js";
import type { Parameter, RawBuffer } from "../tensor/index.js";
import { emptyBuffer } from "../tensor/index.js";

/** Everything needed to continue as if never stopped: numbers, and arrays by name. */
export interface OptimizerState {
  step: number;
  learningRate: number;
  arrays: Map<string, Float32Array | Float64Array>;
}

export interface Optimizer {
  /** May be changed between steps; schedules do. */
  learningRate: number;
  readonly parameters: readonly Parameter[];
  /** One update. Gradients are read as gradient * gradientScale (clipping), default 1. */
  step(options?: { gradientScale?: number }): void;
  zeroGrad(): void;
  stateDict(): OptimizerState;
  loadStateDict(state: OptimizerState): void;
}

/** What SGD, Adam and AdamW share: parameters with named buffers of their own size. */
export abstract class BufferedOptimizer implements Optimizer {
  learningRate: number;
  readonly parameters: readonly Parameter[];
  protected steps = 0;
  protected readonly buffers: ReadonlyMap<string, RawBuffer[]>;

  protected constructor(parameters: readonly Parameter[], learningRate: number, bufferNames: readonly string[]) {
    if (parameters.length === 0)
      throw new OstinatoError("OST_RANGE", { what: "an optimizer needs parameters", where: "optimizer" });
    if (!(learningRate > 0 && Number.isFinite(learningRate))) {
      throw new OstinatoError("OST_RANGE", {
        what: "the learning rate is positive",
        got: String(learningRate),
        where: "optimizer",
      });
    }
    this.parameters = parameters;
    this.learningRate = learningRate;
    this.buffers = new Map(bufferNames.map((name) => [name, parameters.map(zerosLike)]));
  }

  /** Updates all parameters; gradients[i] is the accumulated gradient of parameter i. */
  protected abstract update(gradients: readonly RawBuffer[], gradientScale: number): void;

  step({ gradientScale = 1 }: { gradientScale?: number } = {}): void {
    this.steps++;
    const gradients = this.parameters.map((parameter) => {
      // A parameter that no loss has reached yet is treated like one whose gradient is zero, as it will be ever after.
      parameter.grad ??= zerosLike(parameter);
      return parameter.grad;
    });
    this.update(gradients, gradientScale);
    for (const parameter of this.parameters) parameter.version++;
  }

  zeroGrad(): void {
    for (const { grad } of this.parameters) grad?.floats().fill(0);
  }

  stateDict(): OptimizerState {
    const arrays = new Map<string, Float32Array | Float64Array>();
    for (const [name, buffers] of this.buffers) {
      buffers.forEach((buffer, i) => {
        arrays.set(`${name}.${i}`, buffer.floats().slice());
      });
    }
    return { step: this.steps, learningRate: this.learningRate, arrays };
  }

  /** @throws OST_CHECKPOINT if the state belongs to other parameters; nothing is changed then. */
  loadStateDict({ step, learningRate, arrays }: OptimizerState): void {
    const entries = [...this.buffers].flatMap(([name, buffers]) => buffers.map((buffer, i) => ({ key: `${name}.${i}`, buffer })));
    for (const { key, buffer } of entries) {
      if (arrays.get(key)?.length !== buffer.size) {
        throw new OstinatoError("OST_CHECKPOINT", {
          what: "the optimizer's state belongs to another model",
          expected: `${buffer.size} values for ${key}`,
          got: `${arrays.get(key)?.length ?? "none"}`,
        });
      }
    }
    for (const { key, buffer } of entries) buffer.floats().set(arrays.get(key) as Float32Array);
    this.steps = step;
    this.learningRate = learningRate;
  }
}

function zerosLike(parameter: Parameter): RawBuffer {
  const buffer = emptyBuffer(parameter.engine, parameter.shape, { persistent: true });
  buffer.floats().fill(0);
  return buffer;
}
