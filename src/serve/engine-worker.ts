/** @file The thread that computes: opens the store and an engine on it, and speaks for the engine. Started by `WorkerEngine`. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { serveEngine } from "./engine-worker-port.js";
import { openStore } from "./engine-worker-store.js";
import { SessionEngine } from "./session-engine.js";
import type { EngineWorkerData } from "./worker-engine.js";

const { store, engine } = workerData as EngineWorkerData;
await serveEngine(parentPort as MessagePort, async (onFault) =>
  SessionEngine.open({ ...engine, onFault, store: await openStore(store) }),
);
