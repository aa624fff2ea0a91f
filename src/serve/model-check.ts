/**
 * @file Opens a model file where it can do no harm: in a thread with bounds on its time and its memory, which ends whatever comes of it.
 *
 * Nothing of a file gets near the thread that computes before it has been opened here.
 */
import { OstinatoError } from "../core/errors.js";
import type { ModelSource, ModelVersion } from "./engine.js";
import { type CarriedError, landError } from "./engine-messages.js";
import { startThread } from "./worker-engine-thread.js";

export interface ModelCheckOptions {
  /** Default 10 s, and 1 s for every MiB of the file. */
  timeMs?: number;
  /** Most memory, in MiB: of the thread's old generation, and twice that of what this process grows by meanwhile. Default 512, and 4 times the file. */
  memoryMb?: number;
  /** Another program than `model-check-worker`. */
  program?: URL;
}

export type ModelCheckReply = { kind: "ready" } | { kind: "facts"; facts: ModelVersion } | { kind: "error"; error: CarriedError };

const MIB = 1_048_576;
/** Starting a thread on a busy machine. */
const START_MS = 60_000;
const LOOK_MS = 25;

/**
 * Facts of a model, if its file can be opened and streamed.
 *
 * @throws OST_MODEL_FILE if it is malformed, or needs more time or memory than there is for it; OST_CAUSAL if it looks ahead; OST_RANGE if its
 * weights cannot be made small.
 */
export function checkModel(source: ModelSource, options: ModelCheckOptions = {}): Promise<ModelVersion> {
  const size = "bytes" in source ? source.bytes.length / MIB : 0;
  const { timeMs = 10_000 + 1000 * size, memoryMb = Math.ceil(512 + 4 * size), program = "model-check-worker" } = options;
  const worker = startThread(program, {
    name: "ostinato-model-check",
    workerData: null,
    resourceLimits: { maxOldGenerationSizeMb: memoryMb },
  });
  return new Promise<ModelVersion>((resolve, reject) => {
    // Arrays of numbers lie outside the generations that the thread's limit counts.
    const rss = process.memoryUsage.rss();
    const watch = setInterval(() => {
      const grown = (process.memoryUsage.rss() - rss) / MIB;
      if (grown > 2 * memoryMb) finish(() => reject(tooMuch("memory", `${memoryMb} MiB`)));
    }, LOOK_MS);
    let limit = setTimeout(() => finish(() => reject(notChecked(`no start within ${START_MS / 1000} s`))), START_MS);
    const finish = (settle: () => void) => {
      clearInterval(watch);
      clearTimeout(limit);
      worker.removeAllListeners("exit");
      void worker.terminate().then(settle, settle);
    };
    worker.on("message", (reply: ModelCheckReply) => {
      if (reply.kind === "facts") finish(() => resolve(reply.facts));
      else if (reply.kind === "error") finish(() => reject(landed(reply.error)));
      else {
        clearTimeout(limit);
        limit = setTimeout(() => finish(() => reject(tooMuch("time", `${(timeMs / 1000).toFixed(1)} s`))), timeMs);
        worker.postMessage(source);
      }
    });
    worker.on("error", (error: Error & { code?: string }) => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") finish(() => reject(tooMuch("memory", `${memoryMb} MiB`)));
      else finish(() => reject(notChecked(error.message, error)));
    });
    worker.on("exit", (code) => finish(() => reject(notChecked(`exit code ${code}`))));
  });
}

/** What is thrown on the way and is not ours comes of a file that nobody thought of. */
function landed(error: CarriedError): OstinatoError {
  const known = landError(error, "model file");
  if (error.code !== null) return known;
  return new OstinatoError(
    "OST_MODEL_FILE",
    { what: "the file cannot be opened", got: error.message, repair: "train and save the model again" },
    { cause: known.cause },
  );
}

function tooMuch(what: "time" | "memory", limit: string): OstinatoError {
  return new OstinatoError("OST_MODEL_FILE", {
    what: `opening the file takes too much ${what}`,
    expected: `at most ${limit}`,
    repair: "train and save the model again; if it is sound, try again when the machine is less busy",
  });
}

function notChecked(got: string, cause?: Error): OstinatoError {
  return new OstinatoError("OST_MODEL_FILE", { what: "the thread that opens the file ended", got }, { cause });
}
