/**
 * @file One `ModelStreamInfer` call: requests of many sequences on one stream.
 *
 * Requests of one sequence run and are answered in their order; those of different ones run side by side. An error answers its request and
 * leaves the stream open. Nothing grows with a client's haste or sloth: the stream is not read while enough waits to be computed or to be
 * fetched, and a reader that fetches nothing for a while is cut off.
 */
import { setMaxListeners } from "node:events";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { OstinatoError } from "../core/errors.js";
import { GRPC_STATUS, oipError } from "./oip-error.js";
import { type InferAnswer, type InferRequest, infer, sequenceId } from "./oip-infer.js";
import { readInferMessage, streamErrorMessage, streamMessage } from "./oip-message.js";
import type { InferenceStatistics } from "./oip-statistics.js";
import type { Principal } from "./principal.js";
import type { Sessions } from "./sessions.js";

export interface InferStreamOptions {
  sessions: Sessions;
  principal: Principal;
  statistics: InferenceStatistics;
  /** @throws OST_CREDENTIAL once the credential is no longer good. */
  recheck?(principal: Principal): void;
  /** A fault of the program. */
  fault(error: unknown): void;
  /** The reader fetched nothing for too long; what is left of the call after a second is to be torn down. */
  onSlow(): void;
}

/** Requests, and bytes of them, that wait or run at once. */
const MAX_WAITING = 256;
const MAX_WAITING_BYTES = 1024 * 1024;
/** Answers not fetched yet: reading stops at the first, the call ends at the second, or after so long at the first. */
const PAUSE_BYTES = 64 * 1024;
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;
const STALL_MS = 10_000;
const RECHECK_MS = 1_000;

export const SHUTTING_DOWN = "the server is shutting down";

export type InferCall = ServerDuplexStream<Buffer, Buffer>;

export class InferStream {
  readonly #call: InferCall;
  readonly #options: InferStreamOptions;
  readonly #abort = new AbortController();
  /** The last request of each sequence under way. */
  readonly #tails = new Map<string, Promise<void>>();
  readonly #loose = new Set<Promise<void>>();
  #waiting = 0;
  #waitingBytes = 0;
  #queuedBytes = 0;
  #paused = false;
  #ended = false;
  #stalled: NodeJS.Timeout | undefined;
  #checkedAt = performance.now();

  constructor(call: InferCall, options: InferStreamOptions) {
    this.#call = call;
    this.#options = options;
    setMaxListeners(0, this.#abort.signal);
    call.on("data", (bytes: Buffer) => this.#take(bytes));
    call.once("end", () => void this.#finish(null));
    call.once("cancelled", () => this.#leave());
    call.once("close", () => this.#leave());
  }

  /** Reads no more, answers what it has, and ends with UNAVAILABLE. */
  async drain(): Promise<void> {
    await this.#finish({ code: GRPC_STATUS.UNAVAILABLE, details: SHUTTING_DOWN });
  }

  async #finish(status: { code: number; details: string } | null): Promise<void> {
    this.#ended ||= status !== null;
    if (status) this.#call.pause();
    while (this.#tails.size + this.#loose.size > 0) await Promise.all([...this.#tails.values(), ...this.#loose]);
    if (this.#call.destroyed || this.#call.writableEnded) return;
    if (status) this.#fail(status);
    else this.#call.end();
  }

  #fail(status: { code: number; details: string }): void {
    this.#ended = true;
    this.#call.emit("error", status);
  }

  #leave(): void {
    this.#ended = true;
    clearTimeout(this.#stalled);
    this.#abort.abort();
  }

  #take(bytes: Buffer): void {
    if (this.#ended || !this.#stillGood()) return;
    const { length } = bytes;
    let ask: InferRequest;
    try {
      ask = readInferMessage(bytes);
    } catch (error) {
      if (error instanceof OstinatoError) this.#options.sessions.refused(error.code, "oip-grpc");
      this.#refuse(error, null);
      return;
    }
    this.#waiting++;
    this.#waitingBytes += length;
    this.#balance();
    const key = orderKey(ask);
    const before = key === null ? undefined : this.#tails.get(key);
    const run = before === undefined ? this.#run(ask, length) : before.then(() => this.#run(ask, length));
    if (key === null) {
      this.#loose.add(run);
      void run.then(() => this.#loose.delete(run));
    } else {
      this.#tails.set(key, run);
      void run.then(() => {
        if (this.#tails.get(key) === run) this.#tails.delete(key);
      });
    }
  }

  #stillGood(): boolean {
    const { recheck, principal } = this.#options;
    const now = performance.now();
    if (!recheck || now - this.#checkedAt < RECHECK_MS) return true;
    this.#checkedAt = now;
    try {
      recheck(principal);
      return true;
    } catch (error) {
      const { grpc, text } = oipError(error);
      this.#fail({ code: grpc, details: text });
      return false;
    }
  }

  /** Never rejects. */
  async #run(ask: InferRequest, length: number): Promise<void> {
    const { sessions, principal, statistics } = this.#options;
    let answer: InferAnswer | undefined;
    try {
      answer = await infer(sessions, { principal, protocol: "oip-grpc", signal: this.#abort.signal }, { ask, statistics });
    } catch (error) {
      this.#refuse(error, ask);
    }
    if (answer) this.#send(streamMessage(answer));
    this.#waiting--;
    this.#waitingBytes -= length;
    this.#balance();
  }

  #refuse(error: unknown, ask: InferRequest | null): void {
    if (!(error instanceof OstinatoError)) this.#options.fault(error);
    this.#send(streamErrorMessage(oipError(error), ask));
  }

  #send(bytes: Buffer): void {
    if (this.#call.destroyed || this.#call.writableEnded) return;
    this.#queuedBytes += bytes.length;
    this.#call.write(bytes, () => {
      this.#queuedBytes -= bytes.length;
      clearTimeout(this.#stalled);
      this.#stalled = undefined;
      this.#balance();
    });
    if (this.#queuedBytes > MAX_QUEUED_BYTES) this.#cut();
    else this.#balance();
  }

  /** Reads while there is room, and watches a reader that leaves none. */
  #balance(): void {
    if (this.#ended) return;
    const full = this.#queuedBytes > PAUSE_BYTES;
    const paused = full || this.#waiting >= MAX_WAITING || this.#waitingBytes > MAX_WAITING_BYTES;
    if (full) this.#stalled ??= setTimeout(() => this.#cut(), STALL_MS).unref();
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#call.pause();
    else this.#call.resume();
  }

  #cut(): void {
    if (this.#call.destroyed || this.#call.writableEnded) return;
    this.#options.onSlow();
    this.#abort.abort();
    this.#fail({ code: GRPC_STATUS.RESOURCE_EXHAUSTED, details: "the answers were not read" });
  }
}

/** What requests are kept in order by; null where none is needed, or where the request will be refused. */
function orderKey({ model, parameters }: InferRequest): string | null {
  try {
    const id = sequenceId(parameters);
    return id === null ? null : `${model}\n${"text" in id ? `s${id.text}` : `u${id.number}`}`;
  } catch {
    return null;
  }
}
