/** @file A live sequence of a bare network, with an owner, held in process: numbers in, numbers out, one time step per call. */
import { crc32 } from "../core/bytes.js";
import { OstinatoError } from "../core/errors.js";
import { flattenState, type SequenceModel, type Stepper, stateWidth, stepperOf } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import { type SessionOptions, wantOwner } from "./owner.js";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.js";

/** A bare network has no preprocessing, and its snapshots hold none. */
const NO_PREPROCESSING = new Float64Array(0);

/**
 * What it owns is its state, a few numbers: weights and working memory belong to the network and serve all its sessions. When the weights
 * change, the next step uses them as they are then.
 */
export class NetworkSession {
  readonly network: SequenceModel;
  readonly owner: string;
  readonly #stepper: Stepper;
  #state: Float32Array;
  #steps = 0;

  /** As {@link openSession}. */
  constructor(network: SequenceModel, options: SessionOptions) {
    this.owner = wantOwner(options);
    if (!network.causal) {
      throw new OstinatoError("OST_CAUSAL", {
        what: "this network looks ahead and cannot be streamed",
        got: "a bidirectional network",
        where: "openSession",
        repair: "train it with bidirectional: false, or run forward on whole sequences",
      });
    }
    this.network = network;
    this.#stepper = stepperOf(network);
    if (options.snapshot === undefined) {
      this.#state = initialState(network);
    } else {
      const expected = { model: weightsHash(network), owner: this.owner, preprocessing: 0, state: stateWidth(network.stateSpec) };
      const { model, steps } = decodeSnapshot(options.snapshot, expected);
      this.#state = model;
      this.#steps = steps;
    }
  }

  /** Time steps taken since the start or the last reset. */
  get steps(): number {
    return this.#steps;
  }

  /** A copy of the carried values: the tensors of the network's `stateSpec`, side by side. */
  get state(): Float32Array {
    return this.#state.slice();
  }

  /**
   * Takes one time step; on an error the state is as before.
   *
   * @param x one value per input feature, as the network reads them.
   * @returns the network's output at this step, [outputSize]: a fresh array, the caller's to keep.
   * @throws OST_SHAPE if x has another width; OST_NAN if x, the output or the new state is not finite.
   */
  step(x: ArrayLike<number>): Float32Array {
    const output = this.#stepper.step(x, this.#state);
    if (output === null) {
      throw new OstinatoError("OST_NAN", {
        what: "the step gave a value that is not finite; the state is as before",
        got: Float32Array.from(x).every(Number.isFinite)
          ? "a result beyond the range of float32"
          : "an input that is no finite float32",
        where: "session.step",
        repair: "check the input's range",
      });
    }
    this.#steps++;
    return output;
  }

  reset(): void {
    this.#state = initialState(this.network);
    this.#steps = 0;
  }

  /** Versioned, checksummed bytes, bound to the network's present weights and to the owner. */
  snapshot(): Uint8Array {
    const state = { preprocessing: NO_PREPROCESSING, model: this.#state, steps: this.#steps, entity: null };
    return encodeSnapshot(state, { model: weightsHash(this.network), owner: this.owner });
  }
}

function initialState(network: SequenceModel): Float32Array {
  return inference(() => flattenState(network.stateSpec, network.initialState(1)));
}

const hashes = new WeakMap<SequenceModel, { version: number; hash: string }>();

/** Two CRC-32, of the parameters' names and shapes and of their values: enough to tell one training from another, and no proof against forgery. */
function weightsHash(network: SequenceModel): string {
  const parameters = [...network.namedParameters()];
  const version = parameters.reduce((sum, [, parameter]) => sum + parameter.version, 0);
  let known = hashes.get(network);
  if (known?.version !== version) {
    const layout = new TextEncoder().encode(JSON.stringify(parameters.map(([name, { shape }]) => [name, shape])));
    const values = new Float32Array(parameters.reduce((sum, [, { size }]) => sum + size, 0));
    let start = 0;
    for (const [, parameter] of parameters) {
      values.set(parameter.floats(), start);
      start += parameter.size;
    }
    const hex = (bytes: Uint8Array) => crc32(bytes).toString(16).padStart(8, "0");
    known = { version, hash: `${hex(layout)}${hex(new Uint8Array(values.buffer))}` };
    hashes.set(network, known);
  }
  return known.hash;
}
