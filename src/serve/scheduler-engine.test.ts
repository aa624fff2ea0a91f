/** @file The scheduler before the engine that it is made for: whatever the order of arrival, every prediction is that of a clean run. */
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ticket } from "../../test/support/scripted-engine.js";
import type { Beginning, Operation, Outcome } from "./operation.js";
import { Scheduler } from "./scheduler.js";
import { SessionEngine } from "./session-engine.js";
import { MemoryStore } from "./store-memory.js";

const KEYS = ["acme\nprobe\nsa", "acme\nprobe\nsb"];

const stepOf = (key: string, seq: number): Operation => ({
  key,
  kind: "step",
  seq,
  input: { records: [{ value: key.length * 1000 + key.charCodeAt(key.length - 1) * 100 + seq }] },
});

async function open() {
  const engine = await SessionEngine.open({ store: new MemoryStore() });
  const { version } = await engine.load({ probe: true });
  await engine.route("probe", { version, policy: "pin" });
  const scheduler = new Scheduler({ execute: (operations) => engine.execute(operations), gapHoldMs: 20 });
  const begin: Beginning = {
    version,
    durability: "durable",
    ttlMs: null,
    attributes: {},
    creator: "",
    onLive: "refuse",
    limits: { tenant: 10, total: 10 },
  };
  for (const key of KEYS) {
    const { error } = await scheduler.submit({ key, kind: "create", begin }, ticket({ sheddable: true }));
    expect(error).toBeNull();
  }
  return { engine, scheduler };
}

const hashOf = ({ predictions }: Outcome) => [...(predictions?.values ?? [])].join();

/** Predictions of each session by number, every step sent once and in order. */
async function cleanRun(n: number): Promise<string[][]> {
  const { engine, scheduler } = await open();
  const hashes: string[][] = [];
  for (const key of KEYS) {
    const row: string[] = [];
    for (let seq = 1; seq <= n; seq++) row.push(hashOf(await scheduler.submit(stepOf(key, seq), ticket())));
    hashes.push(row);
  }
  await engine.close();
  return hashes;
}

describe("Scheduler and SessionEngine", () => {
  it("gives the predictions of a clean run for any order of arrival, with duplicates, losses and resends", {
    timeout: 300_000,
  }, async () => {
    const n = 16;
    const clean = await cleanRun(n);
    expect(new Set(clean.flat()).size).toBe(2 * n);
    const once = KEYS.flatMap((_, session) => Array.from({ length: n }, (_, i) => ({ session, seq: i + 1 })));
    const arrivals = fc
      .array(fc.record({ session: fc.nat(1), seq: fc.integer({ min: 1, max: n }) }), { maxLength: 10 })
      .chain((extra) => fc.shuffledSubarray([...once, ...extra], { minLength: once.length + extra.length - 4 }));
    await fc.assert(
      fc.asyncProperty(arrivals, fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }), async (order, pauses) => {
        const { engine, scheduler } = await open();
        const got: string[][] = KEYS.map(() => []);
        const applied = KEYS.map(() => new Map<number, number>());
        const send = async ({ session, seq }: { session: number; seq: number }) => {
          const outcome = await scheduler.submit(stepOf(KEYS[session], seq), ticket());
          if (outcome.error !== null) {
            expect(outcome).toMatchObject({ applied: "no", error: { code: "OST_GAP" } });
            return;
          }
          expect(outcome.applied).toBe("yes");
          expect(hashOf(outcome)).toBe(clean[session][seq - 1]);
          got[session][seq - 1] = hashOf(outcome);
          if (!outcome.repeated) applied[session].set(seq, (applied[session].get(seq) ?? 0) + 1);
        };
        const sent: Promise<void>[] = [];
        for (const [i, each] of order.entries()) {
          sent.push(send(each));
          for (let pause = pauses[i % pauses.length]; pause > 0; pause--) await setImmediate();
        }
        await Promise.all(sent);
        for (const each of once) if (got[each.session][each.seq - 1] === undefined) await send(each);
        expect(got).toEqual(clean);
        for (const counts of applied) expect([...counts.values()]).toEqual(Array(n).fill(1));
        expect(scheduler.status()).toMatchObject({ sessions: 0, tenants: 0, bytes: 0 });
        await engine.close();
      }),
      { numRuns: 60 },
    );
  });
});
