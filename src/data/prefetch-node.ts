/** @file Batches made ahead by a thread of Node. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { Rng } from "../core/rng.js";
import type { AsyncBatchSequence, BatchSequence } from "./batch-sequence.js";
import {
  type BatchRecipe,
  freezeRecipe,
  landError,
  makeBatches,
  type Prefetched,
  type PrefetchOptions,
  type PrefetchReply,
  type PrefetchRequest,
} from "./prefetch.js";

export interface WorkerPrefetchOptions extends PrefetchOptions {
  /** The thread's program; default the one beside this file. */
  program?: URL;
  /** Told why no thread could be started, so that batches are made in this one; default a warning of the process. */
  onFallback?: (reason: string) => void;
}

/**
 * Starts one thread for all epochs of a recipe. It gets the columns in shared memory, or opens them again where they are on disk, and hands
 * its batches over without copying. Where no thread can be started the batches are made in this one, and `onFallback` is told.
 *
 * @throws OST_RANGE if a column can neither be shared nor opened again, or `ahead` is no whole number >= 1.
 */
export function workerPrefetcher(recipe: BatchRecipe, options: WorkerPrefetchOptions = {}): Prefetched {
  const { ahead = 4, program, onFallback = warn } = options;
  if (!(Number.isInteger(ahead) && ahead >= 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "not a number of batches",
      expected: "a whole number >= 1",
      got: String(ahead),
      where: "prefetch.ahead",
    });
  }
  return new WorkerPrefetch(recipe, { ahead, program, onFallback });
}

function warn(reason: string): void {
  process.emitWarning(`Batches are made in the thread that trains, which waits for them: ${reason}`, { type: "OstinatoWarning" });
}

/** Starts a thread's program. Sources need a compiler first, which a thread does not take over from its process. */
export function startThread(program: URL, options: { name: string; workerData: unknown }): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(program, { ...options, execArgv: [] });
  const [compiler, file] = [compilerUrl(), program.href].map((href) => JSON.stringify(href));
  const source = `import(${compiler}).then(({ register }) => { register(); return import(${file}); });`;
  return new Worker(source, { ...options, eval: true, execArgv: ["--conditions=ostinato-source"] });
}

/** A module beside another: source beside source, and compiled beside compiled. */
export function moduleBeside(url: string, name: string): URL {
  return new URL(`./${name}${url.endsWith(".ts") ? ".ts" : ".js"}`, url);
}

/** The compiler as a module; where nothing resolves modules but `require`, what that finds, which a test runner can load too. */
function compilerUrl(): string {
  try {
    return import.meta.resolve("tsx/esm/api");
  } catch {
    return pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm/api")).href;
  }
}

interface Waiting {
  resolve(reply: PrefetchReply): void;
  reject(error: unknown): void;
}

class WorkerPrefetch implements Prefetched {
  readonly #recipe: BatchRecipe;
  readonly #ahead: number;
  readonly #onFallback: (reason: string) => void;
  #worker: Worker | null = null;
  /** True once the thread has run; false if it never could. */
  readonly #ready: Promise<boolean>;
  #failure: OstinatoError | null = null;
  #epoch = -1;
  #replies: PrefetchReply[] = [];
  #waiting: Waiting | null = null;
  #closed = false;

  constructor(recipe: BatchRecipe, options: { ahead: number; program?: URL; onFallback: (reason: string) => void }) {
    this.#recipe = recipe;
    this.#ahead = options.ahead;
    this.#onFallback = options.onFallback;
    const workerData = freezeRecipe(recipe);
    this.#ready = new Promise((resolve) => {
      try {
        const program = options.program ?? moduleBeside(import.meta.url, "prefetch-worker");
        const worker = startThread(program, { name: "ostinato-prefetch", workerData });
        this.#worker = worker;
        let reason = "it ended";
        let ran = false;
        worker.on("message", (reply: PrefetchReply) => {
          if (reply.kind !== "ready") return this.#take(reply);
          ran = true;
          resolve(true);
        });
        worker.on("error", (error) => {
          reason = error instanceof Error ? error.message : String(error);
        });
        worker.on("exit", () => {
          this.#worker = null;
          resolve(ran);
          this.#lose(reason);
          if (!ran && !this.#closed) this.#fallBack(reason);
        });
      } catch (error) {
        resolve(false);
        this.#fallBack(error instanceof Error ? error.message : String(error));
      }
    });
  }

  batches(rng: Rng): AsyncBatchSequence {
    const state = rng.state;
    const epoch = ++this.#epoch;
    this.#replies = [];
    this.#waiting?.reject(replaced());
    this.#waiting = null;
    let skipped = 0;
    let begun = false;
    let ended = false;
    let local: BatchSequence | null = null;
    const end = () => {
      ended = true;
      return { done: true as const, value: undefined };
    };
    const next = async (): Promise<IteratorResult<Batch, undefined>> => {
      if (ended) return end();
      if (epoch !== this.#epoch) throw replaced();
      if (local) return local.next();
      if (!begun) {
        begun = true;
        if (!(await this.#ready)) {
          local = makeBatches(this.#recipe, new Rng(state));
          local.skip(skipped);
          return local.next();
        }
        if (epoch !== this.#epoch) throw replaced();
        this.#send({ kind: "begin", epoch, rng: state, skip: skipped, ahead: this.#ahead });
      } else {
        this.#send({ kind: "more", epoch });
      }
      const reply = await this.#reply();
      if (reply.kind === "batch") return { done: false, value: reply.batch };
      ended = true;
      if (reply.kind === "error") throw landError(reply.error);
      return end();
    };
    const sequence: AsyncBatchSequence = {
      next,
      return: async () => end(),
      skip(count) {
        if (begun)
          throw new OstinatoError("OST_RANGE", { what: "batches are passed over before the first is taken", where: "prefetch" });
        skipped += count;
      },
      [Symbol.asyncIterator]: () => sequence,
    };
    return sequence;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }

  #fallBack(reason: string): void {
    this.#onFallback(`no worker could be started (${reason})`);
  }

  #send(request: PrefetchRequest): void {
    this.#worker?.postMessage(request);
  }

  #take(reply: PrefetchReply): void {
    if (reply.kind === "ready" || reply.epoch !== this.#epoch) return;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting) waiting.resolve(reply);
    else this.#replies.push(reply);
  }

  #reply(): Promise<PrefetchReply> {
    const reply = this.#replies.shift();
    if (reply) return Promise.resolve(reply);
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #lose(reason: string): void {
    this.#failure = new OstinatoError("OST_INTERNAL", {
      what: "the worker that makes batches ended",
      got: this.#closed ? "it was closed" : reason,
      where: "prefetch",
      repair: "set train.prefetch: off",
    });
    this.#waiting?.reject(this.#failure);
    this.#waiting = null;
  }
}

function replaced(): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "these batches ended when others of the same worker were begun",
    where: "prefetch",
  });
}
