/**
 * @file What the engines need of Node: flags before WebAssembly is compiled, and the native addons. `platform-browser.ts` is its twin;
 * `#platform` names the one that fits.
 */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";

/** What kernels/native/addon.c exports. */
export interface NativeAddon {
  run(memory: Uint8Array, block: number, context: number): number;
  isa: string;
  /** 1 if this processor has the instruction set. */
  supported: number;
}

/** Slowest first. */
const INSTRUCTION_SETS = ["neon", "x86-64", "avx2", "avx512", "avx512vnni"];

/** A module that holds nothing but one relaxed fused multiply-add. */
const RELAXED_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00, 0x0a, 0x13,
  0x01, 0x11, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x85, 0x02, 0x0b,
]);

/**
 * Sets V8 flags for kernels compiled from now on. V8 prints a warning for a flag it does not know instead of throwing, so a flag is set
 * only where it is known to exist and to be needed:
 * - relaxed SIMD is behind a flag in Node 20 and on by itself in later versions, which have dropped the flag;
 * - dynamic tiering (Node 20 and 22) leaves a long synchronous loop in the baseline compiler, at half the speed.
 */
export function prepareWasm(): void {
  const major = Number.parseInt(process.versions.node, 10);
  if (major === 20 && !WebAssembly.validate(RELAXED_PROBE)) setFlagsFromString("--experimental-wasm-relaxed-simd");
  if (major >= 20 && major <= 22) setFlagsFromString("--no-wasm-dynamic-tiering");
}

/** Where addons may lie: built here, or installed as the package of this platform. */
export function addonFolders(): string[] {
  const platform = `${process.platform}-${process.arch}`;
  const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
  const folders = [join(root, "native", platform)];
  try {
    folders.push(dirname(createRequire(import.meta.url).resolve(`@ostinato/native-${platform}/package.json`)));
  } catch {
    // Not installed: the usual case.
  }
  return folders;
}

/** Every addon of the first folder that has any, slowest first; or the reason why there is none. */
export function loadAddons(): { addons: NativeAddon[]; reason?: string } {
  const require = createRequire(import.meta.url);
  const folder = addonFolders().find((path) => existsSync(path) && readdirSync(path).some((name) => name.endsWith(".node")));
  if (folder === undefined) return { addons: [], reason: "not built" };
  const addons: NativeAddon[] = [];
  for (const isa of INSTRUCTION_SETS) {
    const file = join(folder, `ostinato-${isa}.node`);
    if (!existsSync(file)) continue;
    try {
      addons.push(require(file) as NativeAddon);
    } catch (error) {
      return { addons: [], reason: `${file} cannot be loaded: ${error instanceof Error ? error.message : String(error)}` };
    }
  }
  return { addons };
}
