/** @file Which engine computes: chosen once per process. */
import { nearest, OstinatoError } from "../core/errors.js";
import type { Kernels } from "./kernels.js";
import { NativeKernels } from "./native.js";
import { ReferenceKernels } from "./reference.js";
import { WasmKernels } from "./wasm.js";

const ENGINES = ["native", "wasm", "reference"];

let engine: Kernels | undefined;

/**
 * The engine of this process, made at the first call: native where its addon is installed, else WebAssembly, else the float32 reference.
 *
 * `OSTINATO_ENGINE=native|wasm|reference` chooses it; `OSTINATO_ISA` restricts it to one instruction set (native: avx512vnni, avx512, avx2,
 * x86-64, neon; wasm: relaxed-simd, simd128); `OSTINATO_THREADS=N` lets one call use N threads (default 1). An engine that was asked for and
 * is not there is an error. Where WebAssembly cannot run at all the reference engine stands in, slower by far, with one warning. Why no
 * faster engine was taken stands in `detail`.
 *
 * @throws OST_ENGINE when a variable names what there is not.
 */
export function defaultEngine(): Kernels {
  if (engine === undefined) {
    engine = create();
    engine.threads = threadsWanted();
  }
  return engine;
}

function create(): Kernels {
  const wanted = variable("OSTINATO_ENGINE");
  const isa = variable("OSTINATO_ISA");
  if (wanted === "reference") return new ReferenceKernels("float32");
  if (wanted === "native") return NativeKernels.create({ isa });
  if (wanted === "wasm") return wasm(isa);
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
  if (isa === "relaxed-simd" || isa === "simd128") return wasm(isa);
  let absent: string | undefined;
  try {
    return NativeKernels.create({ isa });
  } catch (error) {
    if (isa !== undefined) throw error;
    absent = error instanceof OstinatoError ? (error.detail.got ?? error.message) : String(error);
  }
  try {
    return WasmKernels.create({ note: `native: ${absent}` });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.warn(`ostinato: computing with the slow reference engine, because the WebAssembly engine failed: ${reason}`);
    return new ReferenceKernels("float32", `in place of wasm: ${reason}`);
  }
}

function wasm(isa: string | undefined): WasmKernels {
  if (isa === undefined) return WasmKernels.create();
  if (isa === "relaxed-simd") return WasmKernels.create({ variant: "relaxed" });
  if (isa === "simd128") return WasmKernels.create({ variant: "simd128" });
  throw new OstinatoError("OST_ENGINE", {
    what: `the WebAssembly engine has no ${isa}`,
    expected: "relaxed-simd or simd128",
    got: isa,
    where: "environment variable OSTINATO_ISA",
  });
}

function threadsWanted(): number {
  const text = variable("OSTINATO_THREADS");
  if (text === undefined) return 1;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new OstinatoError("OST_ENGINE", {
    what: "no such number of threads",
    expected: "1 .. 64",
    got: text,
    where: "environment variable OSTINATO_THREADS",
  });
}

function variable(name: string): string | undefined {
  return globalThis.process?.env?.[name] || undefined;
}
