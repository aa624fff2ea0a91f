/**
 * @file The WebAssembly engine: the kernels of kernels/*.c, compiled to two modules.
 *
 * `simd128` runs wherever WebAssembly SIMD does; `relaxed-simd` uses the fused multiply-add of relaxed SIMD where the runtime has it. Both are
 * committed as base64 (rebuilt and compared by `node kernels/build.mjs --check`), so that creating an engine needs no file and no wait.
 *
 * The module keeps its constants and stack in the first bytes of the memory; the rest is the allocator's. An engine for one thread has a plain
 * memory. One for several has a shared memory and workers (worker-pool.ts); its module is the same but for the byte that says so.
 */
import { missingForWorkers, prepareWasm } from "#platform";
import { OstinatoError } from "../core/errors.js";
import { CompiledKernels } from "./compiled.js";
import type { Pointer } from "./kernels.js";
import { Memory } from "./memory.js";
import { countThreads, type ThreadCount } from "./thread-count.js";
import relaxed, { limitsAt as relaxedLimitsAt } from "./wasm/relaxed.js";
import simd128, { limitsAt as simd128LimitsAt } from "./wasm/simd128.js";
import { WorkerPool } from "./worker-pool.js";

export type WasmVariant = "simd128" | "relaxed";

export interface WasmOptions {
  /** "auto" (the default) takes relaxed SIMD where the runtime validates it, else simd128. */
  variant?: WasmVariant | "auto";
  /**
   * Most threads one call may use, the caller's included; default 1. Several need workers and a shared memory, which an engine has from its
   * beginning or never; a browser gives both only to a page that is cross-origin isolated. A number is a demand. "auto" takes one per core, at
   * most 8, and one alone where there cannot be more; `detail` then says why.
   */
  threads?: ThreadCount;
  /** How long a call waits for workers that do not answer before it gives up. Default 30 seconds. */
  timeoutMs?: number;
  /** Added to `detail`, for example why no faster engine runs. */
  note?: string;
}

const INITIAL_PAGES = 64;
const MAX_PAGES = 65536;
const TIMEOUT_MS = 30_000;
const MODULES = {
  relaxed: { base64: relaxed, limitsAt: relaxedLimitsAt },
  simd128: { base64: simd128, limitsAt: simd128LimitsAt },
};
/** In the limits of a memory. */
const SHARED = 2;

interface Exports {
  run(memory: Pointer, block: Pointer, context: Pointer): number;
  pool_threads(): number;
  __heap_base: WebAssembly.Global;
}

/** Ends the workers of an engine that nobody refers to any more. A pool does not refer to its engine. */
const forgotten = new FinalizationRegistry<WorkerPool>((pool) => pool.end());

export class WasmKernels extends CompiledKernels {
  readonly name = "wasm";
  readonly isa: string;
  readonly variant: WasmVariant;
  readonly #exports: Exports;
  readonly #pool: WorkerPool | undefined;
  readonly #notes: readonly string[];

  private constructor(variant: WasmVariant, module: WebAssembly.Module, notes: readonly string[], pool?: WorkerPool) {
    const wasm = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAX_PAGES, shared: pool !== undefined });
    const env = { memory: wasm, linger: pool?.linger ?? (() => {}), now: () => performance.now() };
    const exports = new WebAssembly.Instance(module, { env }).exports as unknown as Exports;
    super(new Memory("float32", { wasm, reservedBytes: exports.__heap_base.value as number }));
    this.#exports = exports;
    this.#pool = pool;
    this.#notes = notes;
    this.variant = variant;
    this.isa = variant === "relaxed" ? "relaxed-simd" : "simd128";
    if (pool) forgotten.register(this, pool);
  }

  /**
   * Compiles the kernels and gives them a memory of their own, at once (on a browser's main thread too: the modules are small). Workers take
   * part in calls when they have started.
   *
   * @throws OST_ENGINE when the runtime does not have the variant, or the threads that a number asks for.
   * @throws OST_RANGE for a number of threads outside 1 .. 64.
   */
  static create({ variant = "auto", threads = 1, timeoutMs = TIMEOUT_MS, note }: WasmOptions = {}): WasmKernels {
    if (typeof WebAssembly === "undefined") {
      throw new OstinatoError("OST_ENGINE", { what: "this runtime has no WebAssembly", where: "WasmKernels.create" });
    }
    prepareWasm();
    const notes = note === undefined ? [] : [note];
    const count = countThreads(threads, "WasmKernels.create");
    const candidates: WasmVariant[] = variant === "auto" ? ["relaxed", "simd128"] : [variant];
    const chosen = candidates.find((candidate) => WebAssembly.validate(moduleBytes(candidate)));
    if (chosen === undefined) {
      throw new OstinatoError("OST_ENGINE", {
        what: "this runtime cannot run the WebAssembly kernels",
        expected: `WebAssembly with ${variant === "relaxed" ? "relaxed SIMD" : "SIMD"}`,
        where: "WasmKernels.create",
        repair: variant === "relaxed" ? 'use variant "auto"' : "use a newer runtime, or the reference engine",
      });
    }
    if (count > 1) {
      try {
        return WasmKernels.#withWorkers(chosen, count, timeoutMs, notes);
      } catch (error) {
        if (threads !== "auto" || !(error instanceof OstinatoError)) throw error;
        notes.push(`one thread: ${error.detail.got}`);
      }
    }
    return new WasmKernels(chosen, new WebAssembly.Module(moduleBytes(chosen)), notes);
  }

  static #withWorkers(variant: WasmVariant, count: number, timeoutMs: number, notes: readonly string[]): WasmKernels {
    const missing = missingForWorkers();
    if (missing !== undefined) throw noThreads(count, missing);
    const module = new WebAssembly.Module(moduleBytes(variant, SHARED));
    const pool = new WorkerPool(module, timeoutMs);
    try {
      const kernels = new WasmKernels(variant, module, notes, pool);
      kernels.threads = count;
      return kernels;
    } catch (error) {
      pool.end();
      throw error instanceof OstinatoError ? error : noThreads(count, String(error), error);
    }
  }

  /** Whether this runtime has the variant. */
  static runs(variant: WasmVariant): boolean {
    if (typeof WebAssembly === "undefined") return false;
    prepareWasm();
    return WebAssembly.validate(moduleBytes(variant));
  }

  get detail(): string {
    const missing = this.#pool?.missing;
    const runsOn = this.threads > 1 ? `${this.isa}, ${this.threads} threads` : this.isa;
    return [runsOn, ...(missing === undefined ? [] : [`fewer threads: ${missing}`]), ...this.#notes].join("; ");
  }

  /** Threads there are by now, the caller's included: fewer than `threads` while workers start. */
  get threadsReady(): number {
    return 1 + this.#exports.pool_threads();
  }

  protected override wantThreads(count: number): void {
    if (this.#pool === undefined) throw noThreads(count, "the engine was made for one");
    this.#pool.start(count - 1, this.memory);
  }

  protected override run(block: Pointer, context: Pointer): number {
    const pool = this.#pool;
    if (pool === undefined) return this.#exports.run(0, block, context) >>> 0;
    if (pool.failure) throw pool.failure;
    try {
      return this.#exports.run(0, block, context) >>> 0;
    } catch (error) {
      // The others may be waiting for this thread.
      pool.fail(String(error));
      throw error;
    }
  }
}

function noThreads(count: number, got: string, cause?: unknown): OstinatoError {
  return new OstinatoError(
    "OST_ENGINE",
    {
      what: "the WebAssembly engine has no threads here",
      expected: `${count} threads`,
      got,
      where: "WasmKernels",
      repair: 'make the engine with threads: "auto", or one thread; a page has to be cross-origin isolated',
    },
    { cause },
  );
}

/** A module's bytes; `limits` is added to those of its memory. */
function moduleBytes(variant: WasmVariant, limits = 0): Uint8Array<ArrayBuffer> {
  const { base64, limitsAt } = MODULES[variant];
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  bytes[limitsAt] |= limits;
  return bytes;
}
