/**
 * @file Where a NaN or an infinity first arose: the operation, the layer (by its parameters' names) and the time step.
 *
 * Walks the recorded operations in the order they ran; the first whose output is not finite is the culprit, or the data it read if that is
 * not finite either. A value that reaches no output, such as a masked target, accuses nobody. If the forward pass is clean, the same is done
 * with the gradients, from the loss backward.
 */
import { describeShape } from "../core/shape.js";
import { backward, emptyBuffer, graphOf, type Node, Parameter, type RawBuffer, type Tensor } from "../tensor/index.js";

export interface NanTrace {
  direction: "forward" | "backward";
  /** For example "recurrent", "linear", "crossEntropy"; "input" when the data itself is not finite, "parameter" when a weight is. */
  op: string;
  /** Module path, for example "recurrent" or "head", of the operation or of what reads the input; "" when it has no parameters. */
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
      const found = input instanceof Parameter && firstNonFinite(input);
      if (found) return { direction: "forward", op: "parameter", layer: layerOf(input), ...found };
    }
    for (const output of node.outputs) {
      const found = firstNonFinite(output);
      if (found) return faultyData(node) ?? { direction: "forward", op: node.op.name, layer: layerOfNode(node), ...found };
    }
  }
  let trace: NanTrace | null = null;
  backward(loss, {
    everyInput: true,
    onGradients(node, dInputs) {
      if (trace !== null) return;
      // Gradients run against time, so the latest step is where it began; in a reversed direction, the earliest.
      const latest = !(node.attrs as { reverse?: boolean } | undefined)?.reverse;
      for (const gradient of dInputs) {
        const found = gradient && firstNonFinite(gradient, latest);
        if (!found) continue;
        const data = found.timeStep === null ? faultyData(node) : null;
        trace = data ?? { direction: "backward", op: node.op.name, layer: layerOfNode(node), ...found };
        return;
      }
    },
  });
  return trace;
}

/** The first non-finite value among what a node read that was not computed here, if the node's output would be finite without it. */
function faultyData(node: Node): NanTrace | null {
  const { engine } = node.inputs[0];
  for (const input of node.inputs) {
    const found = input.node === null && firstNonFinite(input);
    if (!found) continue;
    const repaired = emptyBuffer(engine, input.shape);
    repaired.floats().set(input.floats().map((value) => (Number.isFinite(value) ? value : 0)));
    const outputs = node.outputs.map(({ shape }) => emptyBuffer(engine, shape));
    const inputs = node.inputs.map((other) => (other === input ? repaired : other));
    node.op.forward(engine, outputs, inputs, null, node.attrs);
    if (outputs.every((output) => !firstNonFinite(output)))
      return { direction: "forward", op: "input", layer: layerOfNode(node), ...found };
  }
  return null;
}

/** One sentence for an error message. */
export function describeTrace({ direction, op, layer, timeStep, row, value, shape }: NanTrace): string {
  const where = [layer && `layer "${layer}"`, timeStep !== null && `time step ${timeStep}`, row !== null && `row ${row}`].filter(
    Boolean,
  );
  return `${value} first arose in the ${direction} pass, op ${op}${where.length ? `, ${where.join(", ")}` : ""}, of shape ${describeShape(shape)}`;
}

/** The earliest time step wins, or the latest; then the first row. */
function firstNonFinite(buffer: RawBuffer, latest = false): Pick<NanTrace, "timeStep" | "row" | "value" | "shape"> | null {
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
    const wins = best === null || (sequence && (latest ? step > (best.timeStep as number) : step < (best.timeStep as number)));
    if (wins)
      best = {
        timeStep: sequence ? step : null,
        row: shape.length > 0 ? Math.floor(i / (width * time)) : null,
        value: values[i],
        shape,
      };
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
