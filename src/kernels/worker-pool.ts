/**
 * @file The workers behind a WebAssembly engine with threads: each runs the engine's module on the engine's memory, with a stack of its own,
 * and spends its life in `serve_pool` (kernels/parallel.c).
 *
 * They start in their own time, and one may be lost: calls then run on fewer threads, with the same bits. They keep no process alive, and end
 * with it or with `end`. One that is lost in the middle of a call leaves the call half computed, and its caller waiting: the caller gives up
 * after a while, and the engine is at its end.
 */
import { startWorker } from "#platform";
import { OstinatoError } from "../core/errors.js";
import type { Memory } from "./memory.js";

/** As large as the stack of the module itself (kernels/build.mjs). */
const STACK_BYTES = 65536;
/** A worker's word lies below its stack, in a cache line of its own. */
const WORD_BYTES = 64;
/** What a worker's word says. */
const [STARTING, SERVING, FAILED] = [0, 1, 2];
/** How long a thread that waits leaves the core to others; what a system makes of it is nearer to 0.07. */
const NAP_MS = 0.001;
/** Time in which nothing here ran, because the machine was suspended or busy elsewhere, counts no more than this. */
const LONGEST_STEP_MS = 1000;

/** A worker's whole program: text, so that neither a bundler nor a runtime has to find a file. It is called with what `start` hands over. */
const PROGRAM = `({ module, memory, word, stack }) => {
  const words = new Int32Array(memory.buffer, word, 1);
  const linger = () => { Atomics.wait(words, 0, ${SERVING}, ${NAP_MS}); };
  const { exports } = new WebAssembly.Instance(module, { env: { memory, linger, now: () => 0 } });
  exports.__stack_pointer.value = stack;
  Atomics.store(words, 0, ${SERVING});
  try {
    exports.serve_pool();
  } catch (error) {
    Atomics.store(words, 0, ${FAILED});
    throw error;
  }
}`;

export class WorkerPool {
  readonly #module: WebAssembly.Module;
  readonly #timeoutMs: number;
  readonly #mayNap = mayNap();
  /** One per worker, in the engine's memory. */
  readonly #words: Int32Array[] = [];
  readonly #ends: (() => void)[] = [];
  #failure: OstinatoError | undefined;
  #missing: string | undefined;
  #ended = false;
  #waitedMs = 0;
  #lastTurn = 0;

  /** @param timeoutMs after how long a wait for other threads is given up. */
  constructor(module: WebAssembly.Module, timeoutMs: number) {
    this.#module = module;
    this.#timeoutMs = timeoutMs;
  }

  /** Why no call can be made any more, if a worker was lost. */
  get failure(): OstinatoError | undefined {
    return this.#failure;
  }

  /** Why there are fewer workers than were started, if there are. */
  get missing(): string | undefined {
    return this.#missing;
  }

  /** Starts workers until `count` have been started. @throws Error where the platform refuses. */
  start(count: number, memory: Memory): void {
    while (this.#words.length < count) {
      const place = memory.allocate(WORD_BYTES + STACK_BYTES);
      const word = new Int32Array(memory.wasm.buffer, place, 1);
      word[0] = STARTING;
      const stack = place + WORD_BYTES + STACK_BYTES;
      const end = startWorker(PROGRAM, { module: this.#module, memory: memory.wasm, word: place, stack }, (reason) => {
        if (this.#ended) return;
        if (Atomics.load(word, 0) === FAILED) this.fail(reason);
        else this.#miss(reason);
      });
      this.#ends.push(end);
      this.#words.push(word);
    }
  }

  /** What the kernels call on the engine's own thread while it waits for the others; `turn` counts from 1 within one wait. */
  readonly linger = (turn: number): void => {
    const now = performance.now();
    this.#waitedMs = turn === 1 ? 0 : this.#waitedMs + Math.min(now - this.#lastTurn, LONGEST_STEP_MS);
    this.#lastTurn = now;
    if (this.#words.some((word) => Atomics.load(word, 0) === FAILED)) throw this.fail("it met an error");
    if (this.#waitedMs > this.#timeoutMs) throw this.fail(`nothing for ${this.#timeoutMs / 1000} s`);
    if (this.#mayNap) Atomics.wait(this.#words[0], 0, SERVING, NAP_MS);
  };

  /** The engine is at its end: ends all workers, because some may wait for others for ever. Returns the error of the first failure. */
  fail(reason: string): OstinatoError {
    this.#failure ??= new OstinatoError("OST_ENGINE", {
      what: "a worker thread stopped answering, and this engine computes no more",
      got: reason,
      where: "WebAssembly engine with threads",
      repair: "make a new engine; go on from the last checkpoint or snapshot",
    });
    this.end();
    return this.#failure;
  }

  end(): void {
    this.#ended = true;
    for (const end of this.#ends.splice(0)) end();
  }

  #miss(reason: string): void {
    if (this.#missing !== undefined) return;
    this.#missing = reason;
    console.warn(`ostinato: computing on fewer threads, because a worker is missing: ${reason}`);
  }
}

/** A browser's own thread must not sleep; it only looks again. */
function mayNap(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}
