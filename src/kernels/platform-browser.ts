/** @file What the engines need of a browser: no flags, and there are no addons. The twin of `platform-node.ts`. */
import type { AddonSearch } from "./addon-file.js";

export type { AddonFile, AddonSearch, NativeAddon } from "./addon-file.js";

export function prepareWasm(): void {}

export function findAddons(): AddonSearch {
  return { sets: [], files: [], absent: "not for browsers" };
}

/** Cores of this machine, as far as the browser says. */
export function coreCount(): number {
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

/** Why there can be no workers on a shared memory; undefined where there can. */
export function missingForWorkers(): string | undefined {
  if (typeof Worker === "undefined") return "there are no web workers here";
  return globalThis.crossOriginIsolated ? undefined : "the page is not cross-origin isolated";
}

let programUrl: string | undefined;

/** Starts a worker that calls `program`, the text of a function and always the same one, with `data`. Returns what ends it. */
export function startWorker(program: string, data: object, onLost: (reason: string) => void): () => void {
  const source = `onmessage = ({ data }) => (${program})(data);`;
  programUrl ??= URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(programUrl, { name: "ostinato" });
  worker.onerror = (event) => {
    event.preventDefault();
    onLost(event.message || "the browser refused it; a content security policy has to allow worker-src blob:");
  };
  worker.postMessage(data);
  return () => worker.terminate();
}
