/**
 * @file What the engines need of Node: flags before WebAssembly is compiled, and the native addons. `platform-browser.ts` is its twin;
 * `#platform` names the one that fits.
 */
import { setFlagsFromString } from "node:v8";

export { type AddonFile, type AddonSearch, findAddons, type NativeAddon } from "./addon-file.js";

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
