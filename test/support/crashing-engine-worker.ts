/** @file The program of an engine's thread that dies at a chosen point, in a chosen way, as often as it is told: in place of `engine-worker.ts`. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { Store } from "../../src/protocol/store.js";
import { serveEngine } from "../../src/serve/engine-worker-port.js";
import { openStore } from "../../src/serve/engine-worker-store.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import type { EngineWorkerData } from "../../src/serve/worker-engine.js";
import type { CrashPlan } from "./crashing-engine-plan.js";

const { store: choice, engine: options, programData } = workerData as EngineWorkerData;
const plan = programData as CrashPlan;
const counts = new Int32Array(plan.counts);

function isDue(keys: readonly string[]): boolean {
  if (counts[1] === 0 || (plan.key === undefined ? keys.every((key) => key.startsWith("!")) : !keys.includes(plan.key)))
    return false;
  return Atomics.sub(counts, 0, 1) <= 0;
}

/** Never returns but to throw. */
async function die(): Promise<never> {
  Atomics.store(counts, 0, 0);
  Atomics.sub(counts, 1, 1);
  Atomics.add(counts, 2, 1);
  switch (plan.way) {
    case "throw":
      setImmediate(() => {
        throw new Error("a fault of the test");
      });
      break;
    case "exit":
      process.exit(3);
      break;
    case "trap":
      // A module whose only function is `unreachable`.
      new WebAssembly.Instance(
        new WebAssembly.Module(
          Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 5, 1, 3, 0, 0, 11),
        ),
      );
      break;
    case "memory": {
      const kept: number[][] = [];
      for (;;) kept.push(new Array(100_000).fill(kept.length + 0.5));
    }
    case "hang":
      for (;;);
  }
  return new Promise(() => {});
}

await serveEngine(parentPort as MessagePort, async () => {
  const inner = await openStore(choice);
  const store: Store = {
    durability: inner.durability,
    load: (keys) => inner.load(keys),
    async commit(writes) {
      const keys = writes.map(({ key }) => key);
      if (plan.point === "before commit" && isDue(keys)) await die();
      const outcomes = await inner.commit(writes);
      if (plan.point === "before reply" && isDue(keys)) await die();
      return outcomes;
    },
    scan: (range) => inner.scan(range),
    count: () => inner.count(),
    flush: () => inner.flush(),
    close: () => inner.close(),
  };
  const engine = await SessionEngine.open({ ...options, store });
  const execute = engine.execute.bind(engine);
  engine.execute = async (operations) => {
    if (plan.point === "before compute" && isDue(operations.map(({ key }) => key))) await die();
    return execute(operations);
  };
  return engine;
});
