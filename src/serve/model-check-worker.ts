/** @file The thread in which a model file that nobody has opened yet is opened. Started by `checkModel`. */
import { parentPort } from "node:worker_threads";
import type { ModelSource } from "./engine.js";
import { carryError } from "./engine-messages.js";
import type { ModelCheckReply } from "./model-check.js";
import { openVersion } from "./model-version.js";

const send = (reply: ModelCheckReply) => parentPort?.postMessage(reply);

parentPort?.once("message", async (source: ModelSource) => {
  try {
    const { facts } = await openVersion(source, { tryBatches: true });
    send({ kind: "facts", facts });
  } catch (error) {
    send({ kind: "error", error: carryError(error) });
  }
});
send({ kind: "ready" });
