/** @file The engine's side of the border between threads: what comes is asked of the engine at once, and answered when the engine answers. */
import type { MessagePort } from "node:worker_threads";
import type { Engine } from "./engine.js";
import { carryError, type EngineReply, type EngineRequest, packOutcomes, unpackOperations } from "./engine-messages.js";

/**
 * Opens an engine and speaks for it. Steps are answered in the order in which they came. An engine that rejects steps is gone, and the thread
 * with it: whoever asked begins another.
 *
 * @param open `tellFault` carries faults of the program to the other side, where they are logged.
 */
export async function serveEngine(
  port: MessagePort,
  open: (tellFault: (error: unknown, where: string) => void) => Promise<Engine>,
): Promise<void> {
  const send = (reply: EngineReply, moved: ArrayBuffer[] = []) => port.postMessage(reply, moved);
  const fail = (error: unknown) => {
    send({ kind: "failed", error: carryError(error) });
    port.close();
  };
  let engine: Engine;
  try {
    engine = await open((error, where) => send({ kind: "fault", error: carryError(error), where }));
  } catch (error) {
    fail(error);
    return;
  }
  let before: Promise<void> = Promise.resolve();
  const execute = async ({ id, operations }: Extract<EngineRequest, { kind: "execute" }>, earlier: Promise<void>) => {
    const outcomes = packOutcomes(await engine.execute(unpackOperations(operations)));
    await earlier;
    send({ kind: "outcomes", id, outcomes }, [outcomes.numbers.buffer as ArrayBuffer]);
  };
  const call = async ({ id, name, arguments: given }: Extract<EngineRequest, { kind: "call" }>) => {
    try {
      const value = await (engine[name] as (...given: readonly unknown[]) => Promise<unknown>).apply(engine, [...given]);
      send({ kind: "value", id, value });
    } catch (error) {
      send({ kind: "error", id, error: carryError(error) });
    }
  };
  port.on("message", (request: EngineRequest) => {
    if (request.kind === "call") void call(request);
    else (before = execute(request, before)).catch(fail);
  });
  send({ kind: "ready" });
}
