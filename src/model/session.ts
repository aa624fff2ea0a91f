/** @file A live stream with an owner, held in process: push records, snapshot, reset. */
import { OstinatoError } from "../core/errors.js";
import type { LoadedModel } from "./load.js";
import { type PushResult, type RawRecord, type StreamModel, type StreamState, toStream } from "./stream.js";

export class StreamSession {
  #state: StreamState;
  readonly model: StreamModel;
  readonly owner: string;

  constructor(model: StreamModel, { owner, snapshot }: { owner: string; snapshot?: Uint8Array }) {
    if (!owner) {
      throw new OstinatoError("OST_OWNER", {
        what: "a session needs an owner",
        where: "openSession",
        repair: "pass { owner }, the key of the device or user",
      });
    }
    this.model = model;
    this.owner = owner;
    this.#state = snapshot ? model.restore(snapshot, owner) : model.initialState();
  }

  /** Records applied since the start or the last reset. */
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

/** @throws OST_OWNER without an owner; OST_CAUSAL for a model that looks ahead; OST_SNAPSHOT for a snapshot that does not belong here. */
export function openSession(model: LoadedModel | StreamModel, options: { owner: string; snapshot?: Uint8Array }): StreamSession {
  return new StreamSession("push" in model ? model : toStream(model), options);
}
