import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ScriptedBatch, ScriptedEngine, step, ticket } from "../../test/support/scripted-engine.js";
import type { Operation } from "./operation.js";
import { Scheduler } from "./scheduler.js";

const KINDS = ["step", "end", "reset", "get", "snapshot", "hibernate", "step and end"] as const;

function operationOf(key: string, kind: (typeof KINDS)[number]): Operation {
  if (kind === "step") return step(key);
  if (kind === "step and end") return step(key, { end: true });
  return kind === "reset" ? { key, kind, reason: "client" } : { key, kind };
}

describe("operations without numbers", () => {
  it("of one session run in the order of their arrival, whatever they are, one at a time; END never passes what waits", async () => {
    const arrivals = fc.array(
      fc.record({ key: fc.constantFrom("a", "b"), kind: fc.constantFrom(...KINDS), turns: fc.boolean() }),
      {
        minLength: 2,
        maxLength: 24,
      },
    );
    await fc.assert(
      fc.asyncProperty(arrivals, fc.integer({ min: 1, max: 3 }), async (sent, depth) => {
        const begun: Operation[] = [];
        const waiting: ScriptedBatch[] = [];
        const engine = new ScriptedEngine((batch) => {
          begun.push(...batch.operations);
          waiting.push(batch);
        });
        const scheduler = new Scheduler({ execute: engine.execute, depth });
        const asked: Operation[] = [];
        const answers: Promise<unknown>[] = [];
        for (const { key, kind, turns } of sent) {
          const operation = operationOf(key, kind);
          asked.push(operation);
          answers.push(scheduler.submit(operation, ticket()));
          if (turns) await setImmediate();
        }
        while (begun.length < sent.length || waiting.length > 0) {
          waiting.shift()?.finish();
          await setImmediate();
        }
        await Promise.all(answers);
        for (const key of ["a", "b"]) {
          const own = (operations: readonly Operation[]) => operations.filter((operation) => operation.key === key);
          expect(own(begun).map((operation) => asked.indexOf(operation))).toEqual(
            own(asked).map((operation) => asked.indexOf(operation)),
          );
        }
        expect(engine.doubled).toEqual([]);
        expect(scheduler.status()).toMatchObject({ waiting: 0, running: 0, bytes: 0, sessions: 0, tenants: 0 });
      }),
      { numRuns: 200 },
    );
  });
});
