/** @file In place of `model-check-worker.ts`: opening a file goes wrong in the way that the file's only byte names. */
import { parentPort } from "node:worker_threads";
import type { ModelSource } from "../../src/serve/engine.js";

export const BOMBS = ["hang", "heap", "buffers", "exit", "throw", "silence"] as const;

parentPort?.once("message", (source: ModelSource) => {
  switch (BOMBS["bytes" in source ? source.bytes[0] : 0]) {
    case "hang":
      for (;;);
    case "heap": {
      const kept: number[][] = [];
      for (;;) kept.push(new Array(100_000).fill(kept.length + 0.5));
    }
    case "buffers": {
      const kept: Uint8Array[] = [];
      for (;;) kept.push(new Uint8Array(1_048_576).fill(1));
    }
    case "exit":
      process.exit(0);
      break;
    case "throw":
      setImmediate(() => {
        throw new TypeError("odd");
      });
      break;
    default:
      setInterval(() => {}, 1000);
  }
});
parentPort?.postMessage({ kind: "ready" });
