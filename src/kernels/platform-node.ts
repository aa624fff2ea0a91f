/**
 * @file What the engines need of Node: flags before WebAssembly is compiled, and the native addons. `platform-browser.ts` is its twin;
 * `#platform` names the one that fits.
 */
import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";

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

/** Cores that this process may use. */
export function coreCount(): number {
  return availableParallelism();
}

/** Why there can be no workers on a shared memory; undefined where there can. */
export function missingForWorkers(): string | undefined {
  return undefined;
}

/**
 * Starts a worker that calls `program`, the text of a function, with `data`. It keeps no process alive, and begins with nothing of what this
 * one was started with, such as loaders.
 *
 * @param onLost called with a reason when it has ended otherwise than by the function that is returned.
 */
export function startWorker(program: string, data: object, onLost: (reason: string) => void): () => void {
  const source = `(${program})(require("node:worker_threads").workerData)`;
  const worker = new Worker(source, { eval: true, name: "ostinato", workerData: data, execArgv: [], env: {} });
  let reason = "it was ended";
  worker.on("error", (error) => {
    reason = String(error);
  });
  const lost = () => onLost(reason);
  worker.on("exit", lost);
  worker.unref();
  return () => {
    worker.off("exit", lost);
    void worker.terminate();
  };
}
