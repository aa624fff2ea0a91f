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
import type { CellKind, Kernels, RecurrentForward } from "../kernels/index.js";
import { type LayerSizes, type RecurrentLayer, RecurrentNetwork } from "../nn/index.js";
import { savedShapes } from "../nn/recurrent-op.js";
import { backwardBlocks, type Recompute, segmentSteps } from "../nn/recurrent-segment.js";
import { stepsAreFused } from "../nn/recurrent-steps.js";

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
  const whole = network instanceof RecurrentNetwork ? network : null;
  const layer = whole?.recurrent ?? (network as RecurrentLayer);
  const { engine, cell, dropout, layout, variant } = layer;
  const { lockedDropout = 0, weightDropout = 0 } = variant;
  const { bytesPerFloat } = engine.memory;
  const chosen = recompute === null ? undefined : (recompute ?? layer.recompute);
  const steps = segmentSteps(chosen, time);
  const directions = layer.bidirectional ? 2 : 1;
  const isLstm = cell === "lstm";

  const plan = new StepPlan(bytesPerFloat);
  const embedding = whole?.embedding ?? null;
  let input = plan.constant([batch, time, embedding?.layout.inputSize ?? layer.inputSize]);
  plan.lengths(batch);
  if (embedding) {
    const tables = whole?.embeddingDropout ? embedding.weights.flatMap(({ shape }) => plan.apply([], [shape])) : [];
    [input] = plan.apply([input, ...tables], [[batch, time, embedding.outputSize]]);
  }
  const fresh = Object.values(layer.stateSpec).map((width) => {
    const nothing = plan.constant([batch, width]);
    return variant.learnedState ? plan.apply([nothing], [nothing.shape])[0] : nothing;
  });
  let packedBytes = 0;
  let scratchBytes = 0;
  let last = input;
  for (const [index, sizes] of layout.entries()) {
    const { inputSize, hiddenSize, stateSize, outputSize } = sizes;
    const own = { cell, batch, inputSize, hiddenSize };
    const masks = index > 0 ? [dropout, lockedDropout] : [0, variant.inputDropout ?? 0];
    let shown = input;
    for (const mask of masks) if (mask > 0) [shown] = plan.apply([shown], [shown.shape]);
    const rows = GATES[cell] * hiddenSize;
    const results = Array.from({ length: directions }, () => {
      const recurrentWeights = weightDropout > 0 ? plan.apply([], [[rows, stateSize]]) : [];
      const states = fresh.splice(0, isLstm ? 2 : 1);
      if (layer.trainsInSteps) return planSteps(plan, shown, recurrentWeights, states, { layer, sizes, time });
      const state = [batch, hiddenSize];
      return plan.apply([shown, ...recurrentWeights, ...states], [[batch, time, hiddenSize], state, ...(isLstm ? [state] : [])], {
        saved: savedShapes({ cell, recompute: chosen, batch, time, hiddenSize }),
        temporary: ([dOutput], [dX]) => {
          const border = batch * hiddenSize * bytesPerFloat;
          const gradients = isLstm ? [border, border] : [border];
          if (steps === null) return cell.startsWith("rnn") ? [border * time, ...gradients] : gradients;
          return [...gradients, ...Object.values(backwardBlocks(own, steps, bytesPerFloat, { dOutput, dX })).filter(Boolean)];
        },
      });
    });
    packedBytes += directions * packedSize(layer, sizes);
    if (engine.name !== "reference") scratchBytes = Math.max(scratchBytes, kernelScratch(engine, own, steps ?? time));
    const merged = (parts: Planned[], shape: Shape): Planned => {
      if (directions === 1) return parts[0];
      const [one] = plan.apply(parts, [shape]);
      return variant.merge === "mean" ? plan.apply([one], [shape])[0] : one;
    };
    const vector = [batch, outputSize];
    const all = [batch, time, outputSize];
    let output = merged(
      results.map(([made]) => made),
      all,
    );
    let final = merged(
      results.map(([, hN]) => hN),
      vector,
    );
    if (variant.layerNorm) {
      [output] = plan.apply([output], [all], { saved: [[batch * time]] });
      [final] = plan.apply([final], [vector], { saved: [[batch]] });
    }
    if (sizes.residual) {
      [output] = plan.apply([output, input], [all]);
      [final] = plan.apply([final, last], [vector]);
    }
    [input, last] = [output, final];
  }
  let prediction = reads === "output" ? input : last;
  if (whole)
    for (const mask of [dropout, lockedDropout]) if (mask > 0) [prediction] = plan.apply([prediction], [prediction.shape]);
  for (const head of whole?.heads ?? []) {
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

const GATES: Record<CellKind, number> = { rnnTanh: 1, rnnRelu: 1, lstm: 4, gru: 3, gruResetBefore: 3 };

/** The engine's own copies of one direction's weights. */
function packedSize(layer: RecurrentLayer, { inputSize, hiddenSize, stateSize }: LayerSizes): number {
  const { cell, engine } = layer;
  const fused = layer.variant.projection === undefined ? blockBytes(engine.packedBytes(cell, inputSize, hiddenSize)) : 0;
  if (!layer.trainsInSteps || trainsInFusedSteps(layer)) return fused;
  const rows = GATES[cell] * hiddenSize;
  // The slices that a reset gate before the product needs are packed for a call only.
  const own = [[inputSize, rows], ...(cell === "gruResetBefore" ? [] : [[stateSize, rows]])];
  if (stateSize !== hiddenSize) own.push([hiddenSize, stateSize]);
  return own.reduce((total, [inputs, outputs]) => total + blockBytes(engine.linearPackedBytes(inputs, outputs)), fused);
}

function trainsInFusedSteps({ cell, variant: { projection, recurrentDropout } }: RecurrentLayer): boolean {
  return stepsAreFused(cell, { projected: projection !== undefined, masked: Boolean(recurrentDropout) });
}

/** One direction as `recurrentSteps` runs it, operation by operation, every row as long as the longest. */
function planSteps(
  plan: StepPlan,
  x: Planned,
  recurrentWeights: readonly Planned[],
  [before, cellsBefore]: readonly Planned[],
  { layer, sizes, time }: { layer: RecurrentLayer; sizes: LayerSizes; time: number },
): Planned[] {
  const { cell, variant } = layer;
  const { inputSize, hiddenSize, stateSize } = sizes;
  const { recurrentDropout = 0, zoneout = 0, cellZoneout = zoneout } = variant;
  const batch = x.shape[0];
  const fused = trainsInFusedSteps(layer);
  plan.constant([batch, stateSize]);
  const fromInput = fused ? x : plan.apply([x], [[batch, time, GATES[cell] * hiddenSize]])[0];
  let [h, c] = [before, cellsBefore];
  const outputs: Planned[] = [];
  for (let t = 0; t < time; t++) {
    const seen = recurrentDropout > 0 ? plan.apply([h], [[batch, stateSize]])[0] : h;
    let next: Planned;
    let cells: Planned | undefined;
    if (fused) {
      plan.lengths(batch);
      const [at] = plan.apply([x], [[batch, 1, inputSize]]);
      const state = [batch, hiddenSize];
      const inputs = [at, ...recurrentWeights, seen, ...(cell === "lstm" ? [c] : [])];
      [, next, cells] = plan.apply(inputs, [[batch, 1, hiddenSize], state, ...(cell === "lstm" ? [state] : [])], {
        saved: savedShapes({ cell, batch, time: 1, hiddenSize }),
        temporary: () =>
          new Array(cell === "gru" || cell === "gruResetBefore" ? 1 : 2).fill(batch * hiddenSize * plan.bytesPerFloat),
      });
    } else {
      [next, cells] = planProducts(plan, fromInput, seen, [h, c], { layer, sizes, recurrentWeights });
    }
    h = zoneout > 0 ? plan.apply([next, h], [[batch, stateSize]])[0] : next;
    if (cells) c = cellZoneout > 0 ? plan.apply([cells, c], [[batch, hiddenSize]])[0] : cells;
    outputs.push(...plan.apply([h], [[batch, 1, stateSize]]));
  }
  return [...plan.apply(outputs, [[batch, time, stateSize]]), h];
}

/** A step that is not fused: the new h, and c of an LSTM. */
function planProducts(
  plan: StepPlan,
  fromInput: Planned,
  seen: Planned,
  [h, c]: readonly Planned[],
  { layer, sizes, recurrentWeights }: { layer: RecurrentLayer; sizes: LayerSizes; recurrentWeights: readonly Planned[] },
): [Planned, Planned?] {
  const { cell } = layer;
  const [batch, , rows] = fromInput.shape;
  const { hiddenSize: H, stateSize } = sizes;
  const of = (inputs: readonly Planned[], width = H) => plan.apply(inputs, [[batch, width]])[0];
  const at = of(plan.apply([fromInput], [[batch, 1, rows]]), rows);
  if (cell === "lstm") {
    const gates = of([at, of([seen, ...recurrentWeights], rows)], rows);
    const [i, f, g, o] = Array.from({ length: 4 }, () => of([of([gates])]));
    const cells = of([of([f, c]), of([i, g])]);
    return [of([of([o, of([cells])])], stateSize), cells];
  }
  const resetBefore = cell === "gruResetBefore";
  const fromHidden = of([seen, ...recurrentWeights], resetBefore ? 2 * H : rows);
  const [r, z] = Array.from({ length: 2 }, () => of([of([of([at]), of([fromHidden])])]));
  // The product and its candidate, or the slice and the product.
  const candidate = resetBefore ? of([of([r, seen])]) : of([r, of([fromHidden])]);
  const n = of([of([of([at]), candidate])]);
  return [of([n, of([z, of([h, n])])])];
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
