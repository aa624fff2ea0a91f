/** @file A thread of the runtime that trains on a native engine of its own, again and again: what `test/laws/threads.test.ts` starts. */
import { parentPort, workerData } from "node:worker_threads";
import { NativeKernels } from "../../src/kernels/index.js";
import { threadedTraining } from "./threaded-training.js";

const { spec, threads, times } = workerData;
const engine = NativeKernels.create();
const runs = Array.from({ length: times }, () => threadedTraining(engine, spec, { threads, insist: false }));
parentPort?.postMessage(runs.map(({ values }) => values));
