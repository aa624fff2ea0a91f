/** @file One life of the thread that computes: from its start to its end, whatever the end is. */
import { performance } from "node:perf_hooks";
import type { Worker } from "node:worker_threads";
import { OstinatoError } from "../core/errors.js";
import { type CallName, type EngineReply, type EngineRequest, landError } from "./engine-messages.js";
import { startThread, type ThreadOptions } from "./worker-engine-thread.js";

export interface EngineLifeOptions extends Omit<ThreadOptions, "name"> {
  program: string | URL;
  /** A thread that owes answers and gives none for so long is ended. */
  hangMs: number;
  onReply(reply: Exclude<EngineReply, { kind: "ready" | "failed" }>): void;
  /** Told once, of any end but that by `end`. */
  onEnd(reason: OstinatoError): void;
}

/** Time in which this thread did not run either says nothing of the other one. */
const TICKS = 8;

/** Ids below 1 are those of calls that a life makes for itself. */
interface OwnCall {
  resolve(value: unknown): void;
  reject(error: OstinatoError): void;
}

export class EngineLife {
  /** Rejects with why the engine could not be opened. */
  readonly ready: Promise<void>;
  readonly #options: EngineLifeOptions;
  readonly #worker: Worker;
  readonly #watch: NodeJS.Timeout;
  readonly #own = new Map<number, OwnCall>();
  /** ms more than `hangMs` that each request under way may take. */
  readonly #patience = new Map<number, number>();
  #settleReady: OwnCall = { resolve() {}, reject() {} };
  #nextOwn = -1;
  #waitedMs = 0;
  #lastTick = performance.now();
  #reason: OstinatoError | null = null;
  #starting = true;
  #over = false;

  constructor(options: EngineLifeOptions) {
    this.#options = options;
    const { program, workerData, env, resourceLimits, hangMs } = options;
    this.ready = new Promise<void>((resolve, reject) => {
      this.#settleReady = { resolve: () => resolve(), reject };
    });
    this.#worker = startThread(program, { name: "ostinato-engine", workerData, env, resourceLimits });
    this.#worker.on("message", (reply: EngineReply) => this.#take(reply));
    this.#worker.on("messageerror", (error) => this.#kill(ended("a message that cannot be read", String(error))));
    this.#worker.on("error", (error) => {
      this.#reason ??= ended("it met an error", error instanceof Error ? error.message : String(error), error);
    });
    this.#worker.on("exit", (code) => this.#end(this.#reason ?? ended("it ended", `exit code ${code}`)));
    this.#watch = setInterval(() => this.#tick(), Math.max(10, hangMs / TICKS));
    this.#watch.unref();
  }

  /** Why it ended; null while it lives. */
  get over(): OstinatoError | null {
    return this.#over ? (this.#reason ?? ended("it was closed")) : null;
  }

  /** @param patienceMs how much longer than usual the answer may take. */
  send(request: EngineRequest, { moved = [], patienceMs = 0 }: { moved?: ArrayBuffer[]; patienceMs?: number } = {}): void {
    if (this.#patience.size === 0) this.#waitedMs = 0;
    this.#patience.set(request.id, patienceMs);
    this.#worker.postMessage(request, moved);
  }

  /** A call of the life's own, answered before whatever is sent after it is sent. */
  call(name: CallName, given: readonly unknown[], patienceMs = 0): Promise<unknown> {
    const id = this.#nextOwn--;
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(this.#reason ?? ended("it ended"));
        return;
      }
      const settled = () => this.#own.delete(id);
      this.#own.set(id, {
        resolve: (value) => settled() && resolve(value),
        reject: (error) => settled() && reject(error),
      });
      this.send({ kind: "call", id, name, arguments: given }, { patienceMs });
    });
  }

  /** Ends it without a word to `onEnd`. */
  async end(): Promise<void> {
    this.#over = true;
    clearInterval(this.#watch);
    await this.#worker.terminate();
  }

  #take(reply: EngineReply): void {
    this.#waitedMs = 0;
    if (reply.kind === "ready") {
      this.#starting = false;
      this.#settleReady.resolve(undefined);
      return;
    }
    if (reply.kind === "failed") {
      this.#kill(landError(reply.error, "engine"));
      return;
    }
    const own = reply.kind === "fault" ? undefined : this.#own.get(reply.id);
    if (reply.kind !== "fault") this.#patience.delete(reply.id);
    if (own && reply.kind === "value") own.resolve(reply.value);
    else if (own && reply.kind === "error") own.reject(landError(reply.error, "engine"));
    else this.#options.onReply(reply);
  }

  #tick(): void {
    const now = performance.now();
    const { hangMs } = this.#options;
    this.#waitedMs += Math.min(now - this.#lastTick, (2 * hangMs) / TICKS);
    this.#lastTick = now;
    if (!this.#starting && this.#patience.size === 0) {
      this.#waitedMs = 0;
      return;
    }
    const limit = hangMs + Math.max(0, ...this.#patience.values()) + (this.#starting ? START_MS : 0);
    if (this.#waitedMs > limit) this.#kill(ended("no answer", `nothing for ${Math.round(limit / 1000)} s`));
  }

  #kill(reason: OstinatoError): void {
    this.#reason ??= reason;
    void this.#worker.terminate();
  }

  #end(reason: OstinatoError): void {
    if (this.#over) return;
    this.#over = true;
    this.#reason = reason;
    clearInterval(this.#watch);
    this.#settleReady.reject(reason);
    for (const { reject } of [...this.#own.values()]) reject(reason);
    this.#options.onEnd(reason);
  }
}

/** Opening a store and compiling kernels on a busy machine. */
const START_MS = 60_000;

function ended(what: string, got?: string, cause?: unknown): OstinatoError {
  const detail = {
    what: `the thread that computes: ${what}`,
    got,
    where: "engine",
    repair: "none: another one begins where it was",
  };
  return new OstinatoError("OST_INTERNAL", detail, { cause });
}
