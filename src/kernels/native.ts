/**
 * @file The native engine: the kernels of kernels/*.c as a Node addon, working in place on a WebAssembly memory.
 *
 * It is optional: built by `npm ci` in the repository where a C compiler is present, by `ostinato build-native` later, or installed as a
 * package for this platform. One addon per instruction set; the best one that this processor has is taken.
 */
import { loadAddons, type NativeAddon } from "#platform";
import { OstinatoError } from "../core/errors.js";
import { CompiledKernels } from "./compiled.js";
import type { Pointer } from "./kernels.js";
import { Memory } from "./memory.js";

export class NativeKernels extends CompiledKernels {
  readonly name = "native";
  readonly isa: string;
  readonly #addon: NativeAddon;

  private constructor(addon: NativeAddon) {
    super(new Memory("float32"));
    this.#addon = addon;
    this.isa = addon.isa;
  }

  get detail(): string {
    return this.threads > 1 ? `${this.isa}, ${this.threads} threads` : this.isa;
  }

  /**
   * @param options `isa`: one instruction set instead of the best.
   * @throws OST_ENGINE when no addon is installed, or none that this processor can run.
   */
  static create({ isa }: { isa?: string } = {}): NativeKernels {
    const { addons, reason } = loadAddons();
    const usable = addons.filter((addon) => addon.supported === 1 && (isa === undefined || addon.isa === isa));
    const best = usable[usable.length - 1];
    if (best) return new NativeKernels(best);
    throw new OstinatoError("OST_ENGINE", {
      what: isa === undefined ? "the native engine is not available" : `the native engine has no ${isa}`,
      expected: "an addon for this platform and processor",
      got: reason ?? `${addons.map((addon) => addon.isa).join(", ") || "none"}, of which this processor runs ${addons.filter((addon) => addon.supported === 1).map((addon) => addon.isa).join(", ") || "none"}`,
      where: "NativeKernels.create",
      repair: "ostinato build-native builds it with the system's C compiler; without it the WebAssembly engine is used",
    });
  }

  protected override run(block: Pointer, context: Pointer): number {
    return this.#addon.run(this.memory.bytes, block, context);
  }
}
