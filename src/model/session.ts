/** @file A live sequence with an owner, held in process: of a model file, which takes raw records, or of a bare network, which takes numbers. */
import type { SequenceModel } from "../nn/index.js";
import type { LoadedModel } from "./load.js";
import { NetworkSession } from "./network-session.js";
import { type SessionOptions, wantOwner } from "./owner.js";
import { type PushResult, type RawRecord, type StreamModel, type StreamState, toStream } from "./stream.js";

export class StreamSession {
  #state: StreamState;
  readonly model: StreamModel;
  readonly owner: string;

  constructor(model: StreamModel, options: SessionOptions) {
    this.owner = wantOwner(options);
    this.model = model;
    this.#state = options.snapshot ? model.restore(options.snapshot, this.owner) : model.initialState();
  }

  /** Records applied since the start, the last reset, or the beginning of the data's session where data are cut into sessions. */
  get steps(): number {
    return this.#state.steps;
  }

  /** Applies one raw record. On an error the state is as before. */
  push(record: RawRecord): PushResult["predictions"] {
    const { state, predictions } = this.model.push(record, this.#state);
    this.#state = state;
    return predictions;
  }

  reset(): void {
    this.#state = this.model.initialState();
  }

  /** Versioned, checksummed bytes, bound to the model and the owner. */
  snapshot(): Uint8Array {
    return this.model.snapshot(this.#state, this.owner);
  }
}

/**
 * Opens a session: of a model file it takes raw records by `push`, of a bare network one time step of numbers by `step`.
 *
 * @throws OST_OWNER without an owner; OST_CAUSAL for a model that looks ahead; OST_SNAPSHOT for a snapshot that does not belong here.
 */
export function openSession(model: LoadedModel | StreamModel, options: SessionOptions): StreamSession;
export function openSession(network: SequenceModel, options: SessionOptions): NetworkSession;
export function openSession(
  model: LoadedModel | StreamModel | SequenceModel,
  options: SessionOptions,
): StreamSession | NetworkSession {
  if ("forward" in model) return new NetworkSession(model, options);
  return new StreamSession("push" in model ? model : toStream(model), options);
}
