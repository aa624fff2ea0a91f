/**
 * @file How much memory one training step of a recurrent network takes at most, without running it.
 *
 * The step is played through on shapes alone: the forward pass keeps every result and what the fused layers save, the backward pass holds
 * the gradients between two operations and the blocks of the one that runs. Sizes are those the engine's memory would count, its rounding
 * included. Padding counts like steps: ragged rows take what the longest takes.
 *
 * Legend: B batch, T time, I inputSize, H hiddenSize, O outputSize.
 */
import { type Shape, sizeOf } from "../core/shape.js";
import type { Kernels, RecurrentForward } from "../kernels/index.js";
import { type RecurrentLayer, RecurrentNetwork } from "../nn/index.js";
import { savedShapes } from "../nn/recurrent-op.js";
import { backwardBlocks, type Recompute, segmentSteps } from "../nn/recurrent-segment.js";

export interface MemoryEstimateOptions {
  /** Rows of a batch, >= 1. */
  batch: number;
  /** Steps of the longest row. */
  time: number;
  /** What the loss reads: the output of every step (default), or each row's last. */
  reads?: "output" | "last";
  /** "pointwise" (default): one target per output value; "crossEntropy": one class per row or step. */
  loss?: "pointwise" | "crossEntropy";
  /** Numbers the optimizer keeps per parameter: Adam 2 (default), SGD 1 with momentum and 0 without. */
  moments?: number;
  /** Default the network's own; null: everything is kept. */
  recompute?: Recompute | null;
}

/** In bytes, each the most at once; `totalBytes` is their sum. */
export interface MemoryEstimate {
  /** Weights, and their copy in the engine's own layout. */
  parameterBytes: number;
  gradientBytes: number;
  optimizerBytes: number;
  /** What a step takes and gives back: batch, results, what the backward pass needs of them, and the gradients between operations. */
  activationBytes: number;
  /** The kernels' working memory, which the engine keeps apart from the rest: roughly that of the largest call. */
  scratchBytes: number;
  totalBytes: number;
}

/** Predicts the peak of `trainStep` on a whole network, or on one recurrent layer whose output is the prediction. */
export function estimateMemory(
  network: RecurrentNetwork | RecurrentLayer,
  { batch, time, reads = "output", loss = "pointwise", moments = 2, recompute }: MemoryEstimateOptions,
): MemoryEstimate {
  const [layer, head] = network instanceof RecurrentNetwork ? [network.recurrent, network.head] : [network, null];
  const { engine, cell, hiddenSize, outputSize, numLayers } = layer;
  const { bytesPerFloat } = engine.memory;
  const chosen = recompute === null ? undefined : (recompute ?? layer.recompute);
  const steps = segmentSteps(chosen, time);
  const directions = layer.bidirectional ? 2 : 1;
  const own = { cell, recompute: chosen, batch, time, hiddenSize };

  const plan = new StepPlan(bytesPerFloat);
  const embedding = network instanceof RecurrentNetwork ? network.embedding : null;
  let input = plan.constant([batch, time, embedding?.layout.inputSize ?? layer.inputSize]);
  plan.lengths(batch);
  if (embedding) [input] = plan.apply([input], [[batch, time, embedding.outputSize]]);
  for (const width of Object.values(layer.stateSpec)) plan.constant([batch, width]);
  const state = [batch, hiddenSize];
  let packedBytes = 0;
  let scratchBytes = 0;
  let last = input;
  for (let index = 0; index < numLayers; index++) {
    const inputSize = index === 0 ? layer.inputSize : outputSize;
    const sizes = { cell, batch, inputSize, hiddenSize };
    if (index > 0 && layer.dropout > 0) [input] = plan.apply([input], [input.shape]);
    const results = Array.from({ length: directions }, () =>
      plan.apply([input], [[batch, time, hiddenSize], state, ...(cell === "lstm" ? [state] : [])], {
        saved: savedShapes(own),
        temporary: ([dOutput], [dX]) => {
          const border = batch * hiddenSize * bytesPerFloat;
          const gradients = cell === "lstm" ? [border, border] : [border];
          if (steps === null) return cell.startsWith("rnn") ? [border * time, ...gradients] : gradients;
          return [...gradients, ...Object.values(backwardBlocks(sizes, steps, bytesPerFloat, { dOutput, dX })).filter(Boolean)];
        },
      }),
    );
    packedBytes += directions * blockBytes(engine.packedBytes(cell, inputSize, hiddenSize));
    if (engine.name !== "reference") scratchBytes = Math.max(scratchBytes, kernelScratch(engine, sizes, steps ?? time));
    [input] =
      directions === 1
        ? results[0]
        : plan.apply(
            results.map(([output]) => output),
            [[batch, time, outputSize]],
          );
    [last] =
      directions === 1
        ? [results[0][1]]
        : plan.apply(
            results.map(([, hN]) => hN),
            [[batch, outputSize]],
          );
  }
  let prediction = reads === "output" ? input : last;
  if (network instanceof RecurrentNetwork && network.dropout > 0) [prediction] = plan.apply([prediction], [prediction.shape]);
  if (head) {
    const [outputs, inputs] = head.weight.shape;
    packedBytes += blockBytes(engine.linearPackedBytes(inputs, outputs));
    [prediction] = plan.apply([prediction], [[...prediction.shape.slice(0, -1), outputs]]);
  }
  const value = loss === "pointwise" ? plan.pointwise(prediction) : plan.crossEntropy(prediction);

  const parameters = network.parameters().reduce((total, { size }) => total + blockBytes(size * bytesPerFloat), 0);
  const parts = {
    parameterBytes: parameters + packedBytes,
    gradientBytes: parameters,
    optimizerBytes: moments * parameters,
    activationBytes: plan.peak(value),
    scratchBytes,
  };
  return { ...parts, totalBytes: Object.values(parts).reduce((total, bytes) => total + bytes) };
}

/** A result in the plan; `computed` when a gradient flows through it. */
interface Planned {
  shape: Shape;
  computed: boolean;
}

interface PlannedOperation {
  inputs: readonly Planned[];
  outputs: readonly Planned[];
  /** Bytes of the blocks its backward pass takes for its length, given which gradients there are. */
  temporary: (dOutputs: readonly boolean[], dInputs: readonly boolean[]) => readonly number[];
}

/** Operations on shapes, recorded as autograd records them, and the most memory that running them forward and backward holds. */
class StepPlan {
  #keptBytes = 0;
  readonly #operations: PlannedOperation[] = [];

  constructor(readonly bytesPerFloat: number) {}

  constant(shape: Shape): Planned {
    return this.#keep(shape, false);
  }

  /** One int32 per row. */
  lengths(count: number): void {
    this.#keptBytes += blockBytes(count * 4);
  }

  apply(
    inputs: readonly Planned[],
    outputs: readonly Shape[],
    { saved = [], temporary = () => [] }: { saved?: readonly Shape[]; temporary?: PlannedOperation["temporary"] } = {},
  ): Planned[] {
    for (const shape of saved) this.#keep(shape, false);
    const results = outputs.map((shape) => this.#keep(shape, true));
    this.#operations.push({ inputs, outputs: results, temporary });
    return results;
  }

  /** The mean over all values against a target of the same shape. */
  pointwise(prediction: Planned): Planned {
    const target = this.constant(prediction.shape);
    return this.apply([prediction, target], [[]])[0];
  }

  /** The losses of rows, their sum, and its share. */
  crossEntropy(logits: Planned): Planned {
    const rows = logits.shape.slice(0, -1);
    this.lengths(sizeOf(rows));
    const [losses] = this.apply([logits], [rows]);
    const [sum] = this.apply([losses], [[]]);
    return this.apply([sum], [[]])[0];
  }

  /** Bytes held at most, forward and backward from `root`, in the order of `backward` in tensor/autograd.ts. */
  peak(root: Planned): number {
    const gradients = new Set<Planned>([root]);
    let held = this.#keptBytes + this.#bytes(root.shape);
    let peak = held;
    for (const { inputs, outputs, temporary } of [...this.#operations].reverse()) {
      const dOutputs = outputs.map((output) => gradients.has(output));
      if (!dOutputs.includes(true)) continue;
      for (const input of inputs) {
        if (!input.computed || gradients.has(input)) continue;
        gradients.add(input);
        held += this.#bytes(input.shape);
      }
      const blocks = temporary(
        dOutputs,
        inputs.map(({ computed }) => computed),
      );
      peak = Math.max(peak, held + blocks.reduce((total, bytes) => total + blockBytes(bytes), 0));
      for (const output of outputs) if (gradients.delete(output)) held -= this.#bytes(output.shape);
    }
    return peak;
  }

  #keep(shape: Shape, computed: boolean): Planned {
    this.#keptBytes += this.#bytes(shape);
    return { shape, computed };
  }

  #bytes(shape: Shape): number {
    return blockBytes(sizeOf(shape) * this.bytesPerFloat);
  }
}

/** Bytes that the engine's memory counts for a block, by its rule: a header of 64, multiples of 64 up to 4 KB, then quarters of a power of two. */
export function blockBytes(bytes: number): number {
  if (bytes <= 4096) return 64 + Math.max(64, Math.ceil(bytes / 64) * 64);
  const quarter = 2 ** (Math.ceil(Math.log2(bytes)) - 3);
  return 64 + Math.ceil(bytes / quarter) * quarter;
}

/**
 * Backward, the larger pass: four lists with an address per row and step, the weights laid out as right factors, and each thread's panels of a
 * product (`lay_out_backward` of kernels/recurrent.c).
 */
function kernelScratch(
  { name, memory: { bytesPerFloat }, threads }: Kernels,
  { cell, batch, inputSize, hiddenSize }: Pick<RecurrentForward, "cell" | "batch" | "inputSize" | "hiddenSize">,
  steps: number,
): number {
  const addressBytes = name === "native" ? 8 : 4;
  const rows = (cell === "lstm" ? 4 : cell.startsWith("gru") ? 3 : 1) * hiddenSize;
  const weights = rows * (inputSize + hiddenSize) + hiddenSize * hiddenSize;
  const panels = Math.min(256, batch * steps) * (Math.min(256, Math.max(inputSize, hiddenSize)) + Math.min(96, rows));
  return blockBytes(batch * steps * 4 * addressBytes + (weights + threads * panels) * bytesPerFloat);
}
