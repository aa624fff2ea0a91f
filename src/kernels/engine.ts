/** @file Which engine computes: chosen once per process. */
import { nearest, OstinatoError } from "../core/errors.js";
import type { Kernels } from "./kernels.js";
import { NativeKernels, nativeSets } from "./native.js";
import { ReferenceKernels } from "./reference.js";
import { countThreads, type ThreadCount } from "./thread-count.js";
import { WasmKernels } from "./wasm.js";

const ENGINES = ["native", "wasm", "reference"];

let engine: Kernels | undefined;

/**
 * The engine of this process, made at the first call: native where its addon is installed, else WebAssembly, else the float32 reference.
 *
 * `OSTINATO_ENGINE=native|wasm|reference` chooses it; `OSTINATO_ISA` restricts it to one instruction set (native: avx512vnni, avx512, avx2,
 * x86-64, neon; wasm: relaxed-simd, simd128); `OSTINATO_THREADS=N` lets one call use N threads (default 1; `auto`: one per core, at most
 * 8). An engine that was asked for and is not there is an error. Nothing falls back in silence: why no faster engine was taken stands in `detail`, an addon that is there and cannot
 * be used is warned of, and so is the reference engine, slower by far, where WebAssembly cannot run at all.
 *
 * @throws OST_ENGINE when a variable names what there is not.
 */
export function defaultEngine(): Kernels {
  engine ??= create(threadsWanted());
  return engine;
}

function create(threads: ThreadCount): Kernels {
  const wanted = variable("OSTINATO_ENGINE");
  const isa = variable("OSTINATO_ISA");
  if (wanted === "reference") return new ReferenceKernels("float32");
  if (wanted === "native") {
    warnOfRefused();
    return native(isa, threads);
  }
  if (wanted === "wasm") return wasm(isa, threads);
  if (wanted !== undefined) {
    const close = nearest(wanted, ENGINES);
    throw new OstinatoError("OST_ENGINE", {
      what: "no such engine",
      expected: ENGINES.join(", "),
      got: wanted,
      where: "environment variable OSTINATO_ENGINE",
      repair: close ? `set it to ${close}` : "leave it unset",
    });
  }
  if (isa === "relaxed-simd" || isa === "simd128") return wasm(isa, threads);
  warnOfRefused();
  let note: string;
  try {
    return native(isa, threads);
  } catch (error) {
    if (isa !== undefined) throw error;
    note = whyNotNative();
  }
  try {
    return WasmKernels.create({ note, threads });
  } catch (error) {
    if (typeof threads === "number" && threads > 1) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    console.warn(`ostinato: computing with the slow reference engine, because the WebAssembly engine failed: ${reason}`);
    return new ReferenceKernels("float32", `in place of wasm: ${reason}`);
  }
}

/** An addon that is there and cannot be used is never passed over in silence. */
function warnOfRefused(): void {
  const [first, ...others] = nativeSets().filter(({ refused }) => refused);
  if (first === undefined) return;
  const more = others.length > 0 ? ` (and ${others.length} more)` : "";
  console.warn(`ostinato: ${first.path}${more} is not used: it ${first.reason}; ostinato build-native makes it anew`);
}

/** One short line with the repair. */
function whyNotNative(): string {
  const sets = nativeSets();
  if (sets.length === 0) return "no native engine for this platform";
  return `native ${sets.some(({ refused }) => refused) ? "refused" : "not built"}: ostinato build-native`;
}

/** What an engine runs on, for provenance: "native (avx512, 2 threads)". */
export function describeEngine({ name, isa, threads, memory }: Pick<Kernels, "name" | "isa" | "threads" | "memory">): string {
  const runsOn = name === "reference" ? memory.floatType : isa;
  return `${name} (${runsOn}${threads > 1 ? `, ${threads} threads` : ""})`;
}

/** Instruction sets that compute the same bits as another, and which. */
const SAME_BITS: Readonly<Record<string, string>> = { avx512vnni: "avx512" };

/**
 * Names what the bits of a result depend on: engines with the same name compute the same. Threads are not in it. A run goes on bit for bit
 * only on an engine of the name it began on.
 */
export function arithmeticOf({ name, isa, memory }: Pick<Kernels, "name" | "isa" | "memory">): string {
  return `${name} ${name === "reference" ? memory.floatType : (SAME_BITS[isa] ?? isa)}`;
}

/** One engine and instruction set, and whether this process could use it. */
export interface EngineChoice {
  engine: string;
  isa: string;
  /** Why it cannot be used, in a few words; null where it can. */
  reason: string | null;
}

/** Every engine there is for this platform, fastest first. */
export function engineChoices(): EngineChoice[] {
  const native = nativeSets().map(({ isa, reason }) => ({ engine: "native", isa, reason }));
  const compiled = (["relaxed", "simd128"] as const).map((variant) => {
    const isa = variant === "relaxed" ? "relaxed-simd" : variant;
    return { engine: "wasm", isa, reason: WasmKernels.runs(variant) ? null : "not a part of this runtime" };
  });
  return [...native, ...compiled, { engine: "reference", isa: "none", reason: null }];
}

function native(isa: string | undefined, threads: ThreadCount): NativeKernels {
  return Object.assign(NativeKernels.create({ isa }), { threads: countThreads(threads, "defaultEngine") });
}

function wasm(isa: string | undefined, threads: ThreadCount): WasmKernels {
  if (isa === undefined) return WasmKernels.create({ threads });
  if (isa === "relaxed-simd") return WasmKernels.create({ variant: "relaxed", threads });
  if (isa === "simd128") return WasmKernels.create({ variant: "simd128", threads });
  throw new OstinatoError("OST_ENGINE", {
    what: `the WebAssembly engine has no ${isa}`,
    expected: "relaxed-simd or simd128",
    got: isa,
    where: "environment variable OSTINATO_ISA",
  });
}

function threadsWanted(): ThreadCount {
  const text = variable("OSTINATO_THREADS");
  if (text === undefined) return 1;
  if (text === "auto") return text;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new OstinatoError("OST_ENGINE", {
    what: "no such number of threads",
    expected: "1 .. 64, or auto",
    got: text,
    where: "environment variable OSTINATO_THREADS",
  });
}

function variable(name: string): string | undefined {
  return globalThis.process?.env?.[name] || undefined;
}
