/** @file Which engine computes: chosen once per process. */
import { nearest, OstinatoError } from "../core/errors.js";
import type { Kernels } from "./kernels.js";
import { ReferenceKernels } from "./reference.js";
import { WasmKernels } from "./wasm.js";

const ENGINES = ["wasm", "reference"];

let engine: Kernels | undefined;

/**
 * The engine of this process, made at the first call.
 *
 * `OSTINATO_ENGINE=wasm` (the default) or `reference` chooses it. Where WebAssembly cannot run, the float32 reference engine stands in:
 * slower by far, with one warning and the reason in `detail`.
 *
 * @throws OST_ENGINE when OSTINATO_ENGINE names no engine.
 */
export function defaultEngine(): Kernels {
  engine ??= create();
  return engine;
}

function create(): Kernels {
  const wanted = globalThis.process?.env?.["OSTINATO_ENGINE"] || "wasm";
  if (wanted === "reference") return new ReferenceKernels("float32");
  if (wanted === "wasm") {
    try {
      return WasmKernels.create();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      console.warn(`ostinato: computing with the slow reference engine, because the WebAssembly engine failed: ${reason}`);
      return new ReferenceKernels("float32", `in place of wasm: ${reason}`);
    }
  }
  const close = nearest(wanted, ENGINES);
  throw new OstinatoError("OST_ENGINE", {
    what: "no such engine",
    expected: ENGINES.join(" or "),
    got: wanted,
    where: "environment variable OSTINATO_ENGINE",
    repair: close ? `set it to ${close}` : "leave it unset",
  });
}
