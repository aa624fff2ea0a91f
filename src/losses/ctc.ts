/**
 * @file The CTC loss: -log of the probability of a target summed over all its alignments with the input (Graves, Fernandez, Gomez &
 * Schmidhuber 2006). Computed in float64 whatever the engine's float type; the equations are in `core/ctc-alignment.ts`.
 */

import { CtcAlignment, checkCtcTokens, ctcSteps } from "../core/ctc-alignment.js";
import { OstinatoError } from "../core/errors.js";
import { logSoftmax } from "../core/log-softmax.js";
import { describeShape } from "../core/shape.js";
import type { FloatArray } from "../kernels/index.js";
import { apply, type Op, type Tensor, tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";

/** What the logits are held against; a `Batch` of target kind "tokens" has these fields. */
export interface CtcTargets {
  /** Valid steps of each example, [B], 0 .. T. Where a network gives fewer steps than it reads, those of the logits. */
  lengths: ArrayLike<number>;
  /** Target classes, [B, U] row-major; what stands at and after a target's length means nothing. */
  tokens: ArrayLike<number>;
  /** [B], 0 .. U */
  tokenLengths: ArrayLike<number>;
}

export interface CtcLossOptions {
  /** Index of the blank; default the last class. */
  blank?: number;
  /**
   * "mean" over the examples (the default); "perToken": each loss first divided by the length of its target, at least 1, so that long
   * targets do not outweigh short ones; "none": one loss per example, [B].
   */
  reduction?: "mean" | "perToken" | "none";
  /** A target that its input has too few steps for: an error (the default), or a loss of +Infinity with gradient zero. */
  impossible?: "error" | "infinite";
}

/**
 * Negative log-probability of the targets, in nats. A target whose alignments all have probability 0 costs +Infinity and has gradient zero;
 * log-probabilities at or below -1e29 count as 0. NaN among an example's valid logits gives NaN for that example.
 *
 * @param logits [B, T, C], before the softmax
 * @throws OST_SHAPE, OST_LENGTH, OST_RANGE; OST_TARGET naming example, needed and available steps of an impossible target
 */
export function ctcLoss(
  logits: Tensor,
  targets: CtcTargets,
  { blank, reduction = "mean", impossible = "error" }: CtcLossOptions = {},
): Tensor {
  const { lengths, tokenLengths } = targets;
  const [batchSize, time, classes] = logits.shape;
  wantFloat(logits, "ctcLoss");
  if (logits.shape.length !== 3 || classes < 1 || lengths.length !== batchSize || tokenLengths.length !== batchSize) {
    throw new OstinatoError("OST_SHAPE", {
      what: "one length and one target per example of the logits is wanted",
      expected: "logits [batch, time, classes], lengths [batch], tokenLengths [batch]",
      got: `${describeShape(logits.shape)}, [${lengths.length}], [${tokenLengths.length}]`,
      where: "ctcLoss",
    });
  }
  const width = batchSize > 0 ? targets.tokens.length / batchSize : 0;
  if (!Number.isInteger(width)) {
    throw new OstinatoError("OST_SHAPE", {
      what: "targets are one padded row of tokens per example",
      expected: `a multiple of ${batchSize} tokens`,
      got: String(targets.tokens.length),
      where: "ctcLoss",
    });
  }
  const blankClass = blank ?? classes - 1;
  const examples: CtcExample[] = [];
  const refused: string[] = [];
  for (let b = 0; b < batchSize; b++) {
    const [steps, count] = [lengths[b], tokenLengths[b]];
    checkLength(steps, time, `length of example ${b}`);
    checkLength(count, width, `target length of example ${b}`);
    const tokens = Int32Array.from({ length: count }, (_, i) => targets.tokens[b * width + i]);
    checkCtcTokens(tokens, { classes, blank: blankClass, where: `ctcLoss, example ${b}` });
    const needed = ctcSteps(tokens);
    if (needed > steps) refused.push(`example ${b}: its ${count} tokens need ${needed} steps and ${steps} are there`);
    examples.push({ time: steps, tokens: count, alignment: new CtcAlignment(tokens, blankClass) });
  }
  if (impossible === "error" && refused.length > 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "a target is longer than its input can be aligned with: one step per token, and one more between equal neighbours",
      got: refused.length === 1 ? refused[0] : `${refused[0]} (and ${refused.length - 1} more)`,
      where: "ctcLoss",
      repair: 'leave such examples out, keep more steps per input, or pass impossible: "infinite" for a loss of +Infinity',
    });
  }
  const losses = apply(alignmentLoss, [logits], { examples });
  if (reduction === "none") return losses;
  const weights = Float64Array.from(
    examples,
    ({ tokens }) => 1 / batchSize / (reduction === "perToken" ? Math.max(1, tokens) : 1),
  );
  return losses.multiply(tensor(weights, [batchSize], { engine: logits.engine })).sum();
}

function checkLength(length: number, most: number, what: string): void {
  if (Number.isInteger(length) && length >= 0 && length <= most) return;
  throw new OstinatoError("OST_LENGTH", { what, expected: `0 .. ${most}`, got: String(length), where: "ctcLoss" });
}

interface CtcExample {
  time: number;
  tokens: number;
  alignment: CtcAlignment;
}

/** Logits [B, T, C] to losses [B]. The forward pass of a recorded operation keeps the gradient, which costs one more pass. */
const alignmentLoss: Op<{ examples: readonly CtcExample[] }> = {
  name: "ctcLoss",
  shapes: ([logits]) => [[logits.shape[0]]],
  saved: ([logits]) => [logits.shape],
  forward(engine, [losses], [logits], saved, { examples }) {
    const values = engine.memory.floats;
    const [, time, classes] = logits.shape;
    const logs = new Float64Array(time * classes);
    const gradient = new Float64Array(saved ? time * classes : 0);
    examples.forEach((example, b) => {
      const used = example.time * classes;
      const first = logits.offset + b * time * classes;
      const finite = logSoftmaxRows(values, first, example.time, classes, logs);
      let total = Number.NaN;
      if (!finite) gradient.fill(Number.NaN, 0, used);
      else if (saved) total = example.alignment.gradient(logs, example.time, classes, gradient);
      else total = example.alignment.logProbability(logs, example.time, classes);
      // -0 would differ from 0 bit for bit.
      values[losses.offset + b] = total === 0 ? 0 : -total;
      if (!saved) return;
      gradient.fill(0, used);
      values.set(gradient, saved[0].offset + b * time * classes);
    });
  },
  backward(engine, [dLogits], [dLosses], [logits], _, [gradient]) {
    if (!dLogits || !dLosses) return;
    const values = engine.memory.floats;
    const [batchSize, time, classes] = logits.shape;
    for (let b = 0; b < batchSize; b++) {
      const factor = values[dLosses.offset + b];
      const [from, to] = [gradient.offset + b * time * classes, dLogits.offset + b * time * classes];
      for (let i = 0; i < time * classes; i++) values[to + i] += factor * values[from + i];
    }
  },
};

/** Log-softmax of each row in float64; false if a row has none: NaN, +Infinity, or nothing but -Infinity. */
function logSoftmaxRows(values: FloatArray, first: number, rows: number, classes: number, logs: Float64Array): boolean {
  for (let row = 0; row < rows; row++) {
    if (!logSoftmax(values, first + row * classes, logs.subarray(row * classes, (row + 1) * classes))) return false;
  }
  return true;
}
