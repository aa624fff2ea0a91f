/**
 * @file The native engine: the kernels of kernels/*.c as a Node addon, working in place on a WebAssembly memory.
 *
 * It is optional: built by `npm ci` in the repository where a C compiler is present, by `ostinato build-native` later, or installed as a
 * package for this platform. One addon per instruction set; the best one that this processor has is taken.
 */
import { findAddons, type NativeAddon } from "#platform";
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
    const { files } = findAddons();
    const best = files.find(({ addon }) => addon?.supported === 1 && (isa === undefined || addon.isa === isa))?.addon;
    if (best) return new NativeKernels(best);
    const sets = nativeSets();
    const known = isa === undefined || sets.some((set) => set.isa === isa);
    const reasons = sets.filter((set) => isa === undefined || set.isa === isa).map((set) => `${set.isa} ${set.reason}`);
    throw new OstinatoError("OST_ENGINE", {
      what: isa === undefined ? "the native engine is not available" : `the native engine has no ${isa}`,
      expected: known ? "an addon for this platform and processor" : `one of ${sets.map((set) => set.isa).join(", ") || "none"}`,
      got: known ? [...new Set(reasons)].join("; ") || findAddons().absent : isa,
      where: "NativeKernels.create",
      repair: "ostinato build-native builds it with the system's C compiler; without it the WebAssembly engine is used",
    });
  }

  protected override run(block: Pointer, context: Pointer): number {
    return this.#addon.run(this.memory.bytes, block, context);
  }
}

/** What became of one instruction set of this platform. */
export interface NativeSet {
  isa: string;
  /** Why it cannot be used, in a few words; null where it can. */
  reason: string | null;
  /** The addon, where there is one. */
  path: string | null;
  /** There is an addon, and it was refused: it cannot be loaded, or was built from other sources. */
  refused: boolean;
}

/** Every instruction set of this platform's processor family, best first; empty where the engine is not made for the platform. */
export function nativeSets(): NativeSet[] {
  const { sets, files, absent = "not built" } = findAddons();
  return sets.map((isa) => {
    const found = files.filter((file) => file.isa === isa);
    const file = found.find(({ addon }) => addon) ?? found[0];
    if (!file) return { isa, reason: absent, path: null, refused: false };
    const lacking = file.addon?.supported === 0 ? "not a part of this processor" : null;
    return { isa, reason: file.fault ?? lacking, path: file.path, refused: file.fault !== undefined };
  });
}
