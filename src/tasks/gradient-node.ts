/** @file Threads of Node that compute the gradient of a batch together: see train/data-parallel.ts for the step that they serve. */
import type { Worker } from "node:worker_threads";
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { landError } from "../data/prefetch.js";
import { moduleBeside, startThread } from "../data/prefetch-node.js";
import type { FloatArray } from "../kernels/index.js";
import type { SequenceModel } from "../nn/index.js";
import type { Parameter } from "../tensor/index.js";
import type { GradientJob, GradientShare, GradientWorkers, PlainState } from "../train/index.js";
import {
  type GradientReply,
  type GradientRequest,
  type GradientWorkerData,
  joinStates,
  rowsOf,
  shareOf,
  shareRng,
  stateRows,
} from "./gradient-share.js";

export interface GradientThreadsOptions {
  /** Threads, a whole number >= 1. The result of a run depends on it, and on nothing else of them. */
  count: number;
  /** A module that exports `buildReplica`, as `BuildReplica` of gradient-share.ts says; default that of experiments. */
  module?: URL;
  /** What `buildReplica` is given, copied to every thread. */
  description: unknown;
  /** The threads' program; default the one beside this file. */
  program?: URL;
}

/**
 * Starts threads, each with a replica of the network on an engine of its own with one thread. They share memory for the weights and the
 * gradients; batches are copied to them by rows. `close` ends them; until then they keep the process alive.
 *
 * @throws OST_RANGE if `count` is no whole number >= 1. What a thread meets while it starts, `compute` throws.
 */
export function gradientThreads(
  network: Pick<SequenceModel, "namedParameters" | "engine">,
  options: GradientThreadsOptions,
): GradientWorkers<Batch> {
  const { count } = options;
  if (!(Number.isInteger(count) && count >= 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "not a number of workers",
      expected: "a whole number >= 1",
      got: String(count),
      where: "train.workers",
    });
  }
  return new GradientThreads(network, options);
}

class GradientThreads implements GradientWorkers<Batch> {
  readonly count: number;
  readonly #weights: FloatArray;
  readonly #threads: GradientThread[];
  #revision = 0;

  constructor(
    network: Pick<SequenceModel, "namedParameters" | "engine">,
    {
      count,
      module = moduleBeside(import.meta.url, "replica"),
      description,
      program = moduleBeside(import.meta.url, "gradient-worker"),
    }: GradientThreadsOptions,
  ) {
    const { name, isa, memory } = network.engine;
    const { floatType, bytesPerFloat } = memory;
    const parameters = [...network.namedParameters()].map(([path, { size }]) => [path, size] as const);
    const values = parameters.reduce((total, [, size]) => total + size, 0);
    const share = () => new SharedArrayBuffer(values * bytesPerFloat);
    const viewOf = (shared: SharedArrayBuffer) => (floatType === "float64" ? new Float64Array(shared) : new Float32Array(shared));
    const weights = share();
    this.count = count;
    this.#weights = viewOf(weights);
    this.#threads = Array.from({ length: count }, (_, index) => {
      const gradient = share();
      const engine = { name, isa, floatType };
      const workerData: GradientWorkerData = { module: module.href, description, engine, parameters, weights, gradient };
      return new GradientThread(index, program, workerData, viewOf(gradient));
    });
  }

  broadcast(parameters: readonly Parameter[]): void {
    let at = 0;
    for (const parameter of parameters) {
      this.#weights.set(parameter.floats(), at);
      at += parameter.size;
    }
    this.#revision++;
  }

  async compute({ batch, state, step, part, seed }: GradientJob<Batch>): Promise<{
    shares: readonly GradientShare[];
    state?: PlainState;
  }> {
    // All answers are waited for, also after a fault: a thread that still writes must not meet the next job.
    const done = await Promise.allSettled(
      this.#threads.map((thread, index) => {
        const { from, to } = shareOf(batch.batchSize, index, this.count);
        if (from === to) return { share: thread.nothing, state: undefined };
        const rng = shareRng(seed, step, part, index).state;
        const own = state && stateRows(state, from, to);
        return thread.compute({ revision: this.#revision, batch: rowsOf(batch, from, to), state: own, rng, step });
      }),
    );
    const shares = done.map((one) => {
      if (one.status === "rejected") throw one.reason;
      return one.value;
    });
    return { shares: shares.map(({ share }) => share), state: joinStates(shares.map((one) => one.state)) };
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

interface Waiting {
  resolve(reply: Extract<GradientReply, { kind: "share" }>): void;
  reject(error: unknown): void;
}

/** One thread, with one job at a time. */
class GradientThread {
  /** Of no rows. */
  readonly nothing: GradientShare;
  readonly #where: string;
  readonly #gradient: FloatArray;
  readonly #worker: Worker;
  readonly #ready: Promise<void>;
  #waiting: Waiting | null = null;
  #failure: OstinatoError | null = null;
  #closed = false;

  constructor(index: number, program: URL, workerData: GradientWorkerData, gradient: FloatArray) {
    this.#where = `gradient worker ${index + 1}`;
    this.#gradient = gradient;
    this.nothing = { loss: 0, weight: 0, gradient };
    const worker = startThread(program, { name: "ostinato-gradient", workerData });
    this.#worker = worker;
    let begun: (() => void) | undefined;
    this.#ready = new Promise((resolve) => {
      begun = resolve;
    });
    let reason = "it was ended";
    worker.on("message", (reply: GradientReply) => {
      if (reply.kind === "ready") return begun?.();
      const waiting = this.#waiting;
      this.#waiting = null;
      if (reply.kind === "share") return waiting?.resolve(reply);
      const error = landError(reply.error, { what: "a worker that computes gradients failed", where: this.#where });
      if (waiting) return waiting.reject(error);
      this.#failure ??= error;
      begun?.();
    });
    worker.on("error", (error) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    worker.on("exit", () => {
      this.#failure ??= new OstinatoError("OST_INTERNAL", {
        what: "a worker that computes gradients ended",
        got: this.#closed ? "it was closed" : reason,
        where: this.#where,
        repair: "resume from the last checkpoint, with the same train.workers to go on bit for bit",
      });
      begun?.();
      this.#waiting?.reject(this.#failure);
      this.#waiting = null;
    });
  }

  async compute(request: GradientRequest): Promise<{ share: GradientShare; state?: PlainState }> {
    await this.#ready;
    if (this.#failure) throw this.#failure;
    const { loss, weight, state } = await new Promise<Extract<GradientReply, { kind: "share" }>>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(request);
    });
    return { share: { loss, weight, gradient: this.#gradient }, state };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker.terminate();
  }
}
