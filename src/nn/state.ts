/**
 * @file What a recurrent model carries from step to step: named tensors with the batch as axis 0.
 *
 * One shape for every model, so that batching, lanes, snapshots and stores treat all states alike. Names follow PyTorch's layer suffixes:
 * "h_l0", "c_l0", "h_l0_reverse".
 */
import { OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import { apply, type Tensor, tensor, zeros } from "../tensor/index.js";
import { selectRows } from "../tensor/ops/reshape.js";

/** Each tensor is [batch, width]. */
export type State = Readonly<Record<string, Tensor>>;

/** Width of every tensor of a state, by name, in a fixed order. */
export type StateSpec = Readonly<Record<string, number>>;

/** All zeros. */
export function zeroState(spec: StateSpec, batchSize: number, engine: Kernels): State {
  return mapState(spec, (width) => zeros([batchSize, width], { engine }));
}

/** @throws OST_SHAPE unless the state has every tensor of the spec, each [batchSize, width]. */
export function wantState(spec: StateSpec, state: State, batchSize: number, where: string): void {
  for (const [name, width] of Object.entries(spec)) {
    const shape = state[name]?.shape;
    if (shape?.length === 2 && shape[0] === batchSize && shape[1] === width) continue;
    throw new OstinatoError("OST_SHAPE", {
      what: `state "${name}" does not fit`,
      expected: `[batch ${batchSize}, width ${width}]`,
      got: shape ? describeShape(shape) : `a state with ${Object.keys(state).join(", ") || "nothing"}`,
      where,
    });
  }
}

/** The same values without history: gradients do not flow into earlier chunks. */
export function detachState(state: State): State {
  return Object.fromEntries(Object.entries(state).map(([name, value]) => [name, value.detach()]));
}

/** Row b of `fresh` where reset[b] is 1, else of `state`. */
export function resetRows(state: State, fresh: State, reset: Uint8Array): State {
  return Object.fromEntries(
    Object.entries(state).map(([name, value]) => [name, apply(selectRows, [fresh[name], value], { mask: reset })]),
  );
}

/** Number of values one row carries. */
export function stateWidth(spec: StateSpec): number {
  return Object.values(spec).reduce((a, b) => a + b, 0);
}

/** All rows as plain numbers [batch, stateWidth], tensors side by side in the order of the spec. */
export function flattenState(spec: StateSpec, state: State): Float32Array {
  const names = Object.keys(spec);
  const batchSize = names.length ? state[names[0]].shape[0] : 0;
  const width = stateWidth(spec);
  const flat = new Float32Array(batchSize * width);
  let start = 0;
  for (const name of names) {
    const values = state[name].floats();
    for (let row = 0; row < batchSize; row++) {
      flat.set(values.subarray(row * spec[name], (row + 1) * spec[name]), row * width + start);
    }
    start += spec[name];
  }
  return flat;
}

/** The reverse of `flattenState`. */
export function unflattenState(spec: StateSpec, flat: Float32Array, engine: Kernels): State {
  const width = stateWidth(spec);
  const batchSize = width === 0 ? 0 : flat.length / width;
  let start = 0;
  return mapState(spec, (size) => {
    const values = new Float32Array(batchSize * size);
    for (let row = 0; row < batchSize; row++)
      values.set(flat.subarray(row * width + start, row * width + start + size), row * size);
    start += size;
    return tensor(values, [batchSize, size], { engine });
  });
}

function mapState(spec: StateSpec, make: (width: number, name: string) => Tensor): State {
  return Object.fromEntries(Object.entries(spec).map(([name, width]) => [name, make(width, name)]));
}
