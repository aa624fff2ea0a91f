/**
 * @file Where a NaN or an infinity first arose: the operation, the layer (by its parameters' names) and the time step.
 *
 * Walks the recorded operations in the order they ran; the first whose inputs are all finite and whose output is not is the culprit. If the
 * forward pass is clean, the same is done with the gradients, from the loss backward.
 */
import { describeShape } from "../core/shape.js";
import { type Buffer, backward, graphOf, type Node, Parameter, type Tensor } from "../tensor/index.js";

export interface NanTrace {
  direction: "forward" | "backward";
  /** For example "recurrent", "linear", "crossEntropy"; "input" when the data itself is not finite. */
  op: string;
  /** Module path, for example "recurrent" or "head"; "" when the operation has no parameters. */
  layer: string;
  /** Index along the time axis of a [batch, time, ...] value, or null. */
  timeStep: number | null;
  row: number | null;
  value: number;
  shape: readonly number[];
}

/** Examines the graph of a loss that was recorded and not yet run backward. Null when everything is finite. */
export function traceNonFinite(loss: Tensor): NanTrace | null {
  for (const node of graphOf(loss)) {
    for (const input of node.inputs) {
      const found = input.node === null && firstNonFinite(input);
      if (found)
        return { direction: "forward", op: input instanceof Parameter ? "parameter" : "input", layer: layerOf(input), ...found };
    }
    for (const output of node.outputs) {
      const found = firstNonFinite(output);
      if (found) return { direction: "forward", op: node.op.name, layer: layerOfNode(node), ...found };
    }
  }
  let trace: NanTrace | null = null;
  backward(loss, {
    onGradients(node, dInputs) {
      for (const gradient of dInputs) {
        const found = trace === null && gradient !== null && firstNonFinite(gradient);
        if (found) trace = { direction: "backward", op: node.op.name, layer: layerOfNode(node), ...found };
      }
    },
  });
  return trace;
}

/** One sentence for an error message. */
export function describeTrace({ direction, op, layer, timeStep, row, value, shape }: NanTrace): string {
  const where = [layer && `layer "${layer}"`, timeStep !== null && `time step ${timeStep}`, row !== null && `row ${row}`].filter(
    Boolean,
  );
  return `${value} first arose in the ${direction} pass, op ${op}${where.length ? `, ${where.join(", ")}` : ""}, of shape ${describeShape(shape)}`;
}

/** The earliest time step wins, then the first row. */
function firstNonFinite(buffer: Buffer): Pick<NanTrace, "timeStep" | "row" | "value" | "shape"> | null {
  if (buffer.dtype !== "float") return null;
  const values = buffer.floats();
  const { shape } = buffer;
  const sequence = shape.length >= 3;
  const time = sequence ? shape[1] : 1;
  const width = shape.length === 0 ? 1 : buffer.size / (shape[0] * time);
  let best: { timeStep: number | null; row: number | null; value: number; shape: readonly number[] } | null = null;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    const step = Math.floor(i / width) % time;
    if (best === null || (sequence && step < (best.timeStep as number))) {
      best = {
        timeStep: sequence ? step : null,
        row: shape.length > 0 ? Math.floor(i / (width * time)) : null,
        value: values[i],
        shape,
      };
    }
    if (!sequence) break;
  }
  return best;
}

function layerOfNode(node: Node): string {
  for (const input of node.inputs) {
    const layer = layerOf(input);
    if (layer) return layer;
  }
  return "";
}

function layerOf(value: unknown): string {
  return value instanceof Parameter ? value.name.slice(0, Math.max(0, value.name.lastIndexOf("."))) || value.name : "";
}
