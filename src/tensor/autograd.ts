/**
 * @file Reverse-mode automatic differentiation over recorded operations (Linnainmaa 1970; Griewank & Walther 2008).
 *
 * A recorded operation is a `Node`; nodes are numbered in the order they ran, so running them backward in descending order meets every
 * node after all its consumers.
 */
import { OstinatoError } from "../core/errors.js";
import { emptyBuffer, type Op, type RawBuffer } from "./op.js";
import { release } from "./storage.js";

/** A buffer that can take part in differentiation. */
export interface Variable extends RawBuffer {
  readonly requiresGrad: boolean;
  /** Parameters accumulate here over backward passes until the optimizer clears it. */
  grad: RawBuffer | null;
  readonly node: Node | null;
}

let lastNode = 0;

/** One recorded operation. */
export class Node {
  readonly id = ++lastNode;
  outputs: readonly Variable[] = [];
  spent = false;

  constructor(
    // biome-ignore lint/suspicious/noExplicitAny: a tape holds operations of every attribute type.
    readonly op: Op<any>,
    readonly inputs: readonly Variable[],
    readonly saved: readonly RawBuffer[],
    readonly attrs: unknown,
  ) {}
}

/** All nodes that a value depends on, in the order they ran. */
export function graphOf(root: Variable): Node[] {
  const seen = new Set<Node>();
  const pending = root.node ? [root.node] : [];
  while (pending.length > 0) {
    const node = pending.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) if (input.node && !seen.has(input.node)) pending.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * Adds the gradient of a scalar by every parameter it depends on to that parameter's `grad`.
 *
 * @param options For diagnosis. `onGradients`: called after each node with the gradients of its inputs, newest node first. `everyInput`:
 *                computes the gradients by float inputs that are no parameters too.
 * @throws OST_GRADIENT if the value is not a scalar, was not recorded, or was already run backward.
 */
export function backward(
  root: Variable,
  {
    onGradients,
    everyInput = false,
  }: { onGradients?: (node: Node, dInputs: readonly (RawBuffer | null)[]) => void; everyInput?: boolean } = {},
): void {
  if (root.size !== 1 || !root.requiresGrad) {
    throw new OstinatoError("OST_GRADIENT", {
      what:
        root.size === 1
          ? "nothing here depends on a parameter, or it was computed in inference()"
          : "backward starts from a scalar",
      expected: "a recorded value of size 1",
      got: `size ${root.size}, ${root.requiresGrad ? "recorded" : "not recorded"}`,
      where: "backward",
    });
  }
  if (root.node === null) {
    gradientOf(root, new Map()).floats()[0] += 1;
    return;
  }
  const gradients = new Map<Variable, RawBuffer>();
  const first = emptyBuffer(root.engine, root.shape);
  first.floats()[0] = 1;
  gradients.set(root, first);

  for (const node of graphOf(root).reverse()) {
    if (node.spent) {
      throw new OstinatoError("OST_GRADIENT", { what: "a recorded operation runs backward once", where: node.op.name });
    }
    const { op, inputs, outputs, saved, attrs } = node;
    const dOutputs: (RawBuffer | null)[] = [];
    let reached = false;
    for (const output of outputs) {
      const gradient = gradients.get(output) ?? null;
      dOutputs.push(gradient);
      reached ||= gradient !== null;
    }
    if (!reached) continue;
    node.spent = true;
    const dInputs: (RawBuffer | null)[] = [];
    for (const input of inputs) {
      const wanted = input.requiresGrad || (everyInput && input.dtype === "float");
      dInputs.push(wanted ? gradientOf(input, gradients) : null);
    }
    op.backward(inputs[0].engine, dInputs, dOutputs, inputs, outputs, saved, attrs);
    onGradients?.(node, dInputs);
    for (let i = 0; i < outputs.length; i++) {
      const gradient = dOutputs[i];
      if (gradient === null) continue;
      release(gradient.storage);
      gradients.delete(outputs[i]);
    }
  }
}

/** Leaves accumulate in their own persistent `grad`; values in between get a gradient for the length of the backward pass. */
function gradientOf(variable: Variable, gradients: Map<Variable, RawBuffer>): RawBuffer {
  if (variable.node === null) {
    if (variable.grad === null) {
      variable.grad = emptyBuffer(variable.engine, variable.shape, { persistent: true });
      variable.grad.floats().fill(0);
    }
    return variable.grad;
  }
  let gradient = gradients.get(variable);
  if (gradient === undefined) {
    gradient = emptyBuffer(variable.engine, variable.shape);
    gradient.floats().fill(0);
    gradients.set(variable, gradient);
  }
  return gradient;
}
