/**
 * @file The WebAssembly engine: the kernels of kernels/*.c, compiled to two modules.
 *
 * `simd128` runs wherever WebAssembly SIMD does; `relaxed-simd` uses the fused multiply-add of relaxed SIMD where the runtime has it. Both are
 * committed as base64 (rebuilt and compared by `node kernels/build.mjs --check`), so that creating an engine needs no file and no wait.
 *
 * The module keeps its constants and stack in the first bytes of the memory; the rest is the allocator's.
 */
import { prepareWasm } from "#platform";
import { OstinatoError } from "../core/errors.js";
import { CompiledKernels } from "./compiled.js";
import type { Pointer } from "./kernels.js";
import { Memory } from "./memory.js";
import relaxed from "./wasm/relaxed.js";
import simd128 from "./wasm/simd128.js";

export type WasmVariant = "simd128" | "relaxed";

const INITIAL_PAGES = 64;
const MAX_PAGES = 65536;

interface Exports {
  run(memory: Pointer, block: Pointer, context: Pointer): number;
  __heap_base: WebAssembly.Global;
}

export class WasmKernels extends CompiledKernels {
  readonly name = "wasm";
  readonly isa: string;
  readonly detail: string;
  readonly variant: WasmVariant;
  readonly #exports: Exports;

  private constructor(variant: WasmVariant, module: WebAssembly.Module, note: string | undefined) {
    const wasm = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAX_PAGES });
    const exports = new WebAssembly.Instance(module, { env: { memory: wasm } }).exports as unknown as Exports;
    super(new Memory("float32", { wasm, reservedBytes: exports.__heap_base.value as number }));
    this.#exports = exports;
    this.variant = variant;
    this.isa = variant === "relaxed" ? "relaxed-simd" : "simd128";
    this.detail = note === undefined ? this.isa : `${this.isa}; ${note}`;
  }

  /**
   * Compiles the kernels and gives them a memory of their own, at once (on a browser's main thread too: the modules are small).
   *
   * @param options `variant`: "auto" (the default) takes relaxed SIMD where the runtime validates it, else simd128. `note`: added to
   *                `detail`, for example why no faster engine runs.
   * @throws OST_ENGINE when the runtime does not have the variant.
   */
  static create({ variant = "auto", note }: { variant?: WasmVariant | "auto"; note?: string } = {}): WasmKernels {
    if (typeof WebAssembly === "undefined") {
      throw new OstinatoError("OST_ENGINE", { what: "this runtime has no WebAssembly", where: "WasmKernels.create" });
    }
    prepareWasm();
    const wanted: WasmVariant[] = variant === "auto" ? ["relaxed", "simd128"] : [variant];
    for (const candidate of wanted) {
      const bytes = decode(candidate === "relaxed" ? relaxed : simd128);
      if (WebAssembly.validate(bytes)) return new WasmKernels(candidate, new WebAssembly.Module(bytes), note);
    }
    throw new OstinatoError("OST_ENGINE", {
      what: "this runtime cannot run the WebAssembly kernels",
      expected: `WebAssembly with ${variant === "relaxed" ? "relaxed SIMD" : "SIMD"}`,
      where: "WasmKernels.create",
      repair: variant === "relaxed" ? 'use variant "auto"' : "use a newer runtime, or the reference engine",
    });
  }

  /** Whether this runtime has the variant. */
  static runs(variant: WasmVariant): boolean {
    if (typeof WebAssembly === "undefined") return false;
    prepareWasm();
    return WebAssembly.validate(decode(variant === "relaxed" ? relaxed : simd128));
  }

  protected override run(block: Pointer, context: Pointer): number {
    return this.#exports.run(0, block, context) >>> 0;
  }
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
