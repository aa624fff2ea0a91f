import { describe, expect, it } from "vitest";
import { loadModelFile } from "../../test/proof/load-model.js";
import type { Engine } from "./engine.js";
import { observeAll } from "./observer.js";
import type { Operation, Outcome } from "./operation.js";
import { Scheduler } from "./scheduler.js";
import { Sentinel } from "./sentinel.js";
import { SessionEngine } from "./session-engine.js";
import { MemoryStore } from "./store-memory.js";

type Execute = Engine["execute"];

/** So many rounds of a sentinel over an engine that somebody stands before. */
async function rounds(count: number, spoil: (execute: Execute) => Execute = (execute) => execute) {
  const engine = await SessionEngine.open({ store: new MemoryStore() });
  const facts = await engine.load({ bytes: loadModelFile(3) });
  const execute = spoil((operations) => engine.execute(operations));
  const scheduler = new Scheduler({ execute });
  const told = { ok: 0, mismatch: [] as string[] };
  const observer = observeAll([
    {
      probe(result, detail) {
        if (result === "ok") told.ok++;
        else told.mismatch.push(detail as string);
      },
    },
  ]);
  const registry = { list: () => [{ name: "load", current: facts, others: [] }] };
  const sentinel = new Sentinel({ scheduler, engine, registry, observer, durability: "durable", seed: 5 });
  for (let i = 0; i < count && sentinel.green; i++) await sentinel.round();
  const { sessions } = await engine.status();
  await engine.close();
  return { ...told, green: sentinel.green, sessions };
}

/** Changes the outcomes of some operations. */
const changing =
  (change: (operation: Operation, outcome: Outcome) => Outcome) =>
  (execute: Execute): Execute =>
  async (operations) =>
    (await execute(operations)).map((outcome, i) => change(operations[i], outcome));

describe("the leak sentinel", () => {
  it("sees nothing where nothing is wrong, does all that befalls sessions, and is not counted among them", async () => {
    const seen = new Map<string, number>();
    const noting = changing((operation, outcome) => {
      const begins = operation.kind === "step" && operation.begin !== undefined;
      const restarted = outcome.lifecycle.some(({ reason }) => reason === "start_conflict");
      const name = restarted ? "start on a live session" : begins ? "start" : outcome.repeated ? "again" : operation.kind;
      const key = outcome.error ? `${name} ${outcome.error.code}` : name;
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return outcome;
    });
    const { ok, mismatch, green, sessions } = await rounds(150, noting);
    expect(mismatch).toEqual([]);
    expect(green).toBe(true);
    expect(ok).toBeGreaterThan(800);
    expect(sessions.total).toBe(0);
    const wanted = [
      "start on a live session",
      "start",
      "again",
      "step",
      "hibernate",
      "reset",
      "end",
      "snapshot",
      "restore OST_SNAPSHOT",
    ];
    expect([...seen.keys()]).toEqual(expect.arrayContaining(wanted));
  });

  it("takes for no mismatch what a broken store or a dying engine leaves open", async () => {
    const error = { code: "OST_STORE" as const, message: "", what: "the disk fails", index: 0 };
    const unsure = changing((operation, outcome) =>
      operation.kind === "reset" || operation.kind === "end" ? { ...outcome, applied: "unknown", error } : outcome,
    );
    expect(await rounds(150, unsure)).toMatchObject({ green: true, mismatch: [] });
  });

  it("takes for no mismatch that a full disk refuses what it asks, a beginning among it", async () => {
    const error = { code: "OST_STORE" as const, message: "", what: "the disk is full", index: 0 };
    let asked = 0;
    const refusing = (execute: Execute): Execute => {
      return async (operations) => {
        const isFull = Math.floor(asked++ / 20) % 2 === 1;
        const taken = operations.filter(({ kind }) => !isFull || kind === "get" || kind === "snapshot");
        const outcomes = taken.length === 0 ? [] : await execute(taken);
        const refused = { applied: "no", count: 0, session: null, predictions: null, repeated: false, error } as const;
        const rest = { expectedSeq: null, lifecycle: [], snapshot: null, view: null, computeMs: 0, commitMs: 0 };
        return operations.map((operation) => outcomes[taken.indexOf(operation)] ?? { ...refused, ...rest });
      };
    };
    expect(await rounds(300, refusing)).toMatchObject({ green: true, mismatch: [] });
  });

  it.each([
    [
      "answers that change places",
      5,
      (execute: Execute): Execute =>
        async (operations) =>
          (await execute(operations)).reverse(),
    ],
    [
      "a step that is lost",
      40,
      (execute: Execute): Execute =>
        async (operations) => {
          const outcomes = await execute(operations);
          const at = operations.findIndex(({ kind }, i) => kind === "step" && outcomes[i].session?.seq === 7);
          if (at >= 0) await execute([{ kind: "reset", key: operations[at].key, reason: "operator" }]);
          return outcomes;
        },
    ],
    [
      "a foreign snapshot that is accepted",
      150,
      changing((operation, outcome) => (operation.kind === "restore" ? { ...outcome, applied: "yes", error: null } : outcome)),
    ],
    ["a step applied twice", 150, changing((_, outcome) => ({ ...outcome, repeated: false }))],
  ] as const)("sees %s", async (_, most, spoil) => {
    const { green, mismatch } = await rounds(most, spoil);
    expect(green).toBe(false);
    expect(mismatch.length).toBeGreaterThan(0);
  });
});
