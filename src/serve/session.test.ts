import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAULT, hashOf, ProbeModel } from "../../test/support/probe-model.js";
import { OstinatoError } from "../core/errors.js";
import type { RawRecord } from "../model/stream.js";
import type { SessionEvent, StepAnswer } from "../protocol/event.js";
import { ownerOf } from "./owner.js";
import { SessionStore, type SessionStoreOptions } from "./session.js";

const probe = new ProbeModel();
const alice = ownerOf("alice-key");
const bob = ownerOf("bob-key");

function store(options: Partial<SessionStoreOptions> = {}): SessionStore {
  return new SessionStore({ models: new Map([["probe", probe]]), ...options });
}

const records = (...values: number[]) => values.map((value) => ({ value }));
const hashes = (answer: StepAnswer) => answer.predictions.map(hashOf);

async function code(run: () => unknown): Promise<string> {
  try {
    await run();
    return "none";
  } catch (error) {
    return error instanceof OstinatoError ? error.code : `not ours: ${error}`;
  }
}

describe("ownership", () => {
  it("wants a key of visible ASCII characters", async () => {
    for (const key of [undefined, "", "with space", "umlaut-ü", "line\nbreak", "k".repeat(513)])
      expect(await code(() => ownerOf(key))).toBe("OST_OWNER");
    expect(ownerOf("k".repeat(512))).toMatch(/^[0-9a-f]{64}$/);
  });

  it("a session of another owner answers exactly as an absent one, for every operation", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    const snapshot = (await sessions.snapshot(alice, "pump")).bytes;
    const operations: ((owner: string) => unknown)[] = [
      (owner) => sessions.step(owner, "pump", { records: records(1) }),
      (owner) => sessions.reset(owner, "pump"),
      (owner) => sessions.restore(owner, "pump", snapshot),
      (owner) => sessions.snapshot(owner, "pump"),
      (owner) => sessions.end(owner, "pump"),
      (owner) => sessions.get(owner, "pump"),
      (owner) => sessions.subscribe(owner, "pump", () => {}),
    ];
    const absent = store();
    for (const operation of operations) {
      expect(await code(() => operation(bob))).toBe("OST_SESSION");
    }
    const foreign = await sessions.reset(bob, "pump").catch((error) => error.message);
    expect(foreign).toBe(await absent.reset(bob, "pump").catch((error) => error.message));
    expect(sessions.get(alice, "pump")).toMatchObject({ steps: 0, resets: 0 });
  });

  it("two owners may use the same id without meeting", async () => {
    const sessions = store();
    for (const owner of [alice, bob]) sessions.create(owner, { model: "probe", id: "pump" });
    await sessions.step(alice, "pump", { records: records(1, 2, 3) });
    const answer = await sessions.step(bob, "pump", { records: records(9) });
    expect(hashes(answer)).toEqual(probe.alone([9]));
    expect(sessions.get(alice, "pump").steps).toBe(3);
  });

  it("a snapshot of another owner or another model is refused", async () => {
    const other = new ProbeModel("other");
    const sessions = store({
      models: new Map([
        ["probe", probe],
        ["other", other],
      ]),
    });
    sessions.create(alice, { model: "probe", id: "pump" });
    const { bytes } = await sessions.snapshot(alice, "pump");
    expect(await code(() => sessions.create(bob, { model: "probe", id: "pump", snapshot: bytes }))).toBe("OST_SNAPSHOT");
    expect(await code(() => sessions.create(alice, { model: "other", id: "pump2", snapshot: bytes }))).toBe("OST_SNAPSHOT");
    expect(sessions.count()).toBe(1);
  });
});

describe("a step", () => {
  it("sent one at a time, in one request, or cut anywhere gives the same bits", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.double({ noNaN: true }).filter((value) => value !== FAULT),
          { minLength: 1, maxLength: 30 },
        ),
        fc.nat(29),
        async (values, cut) => {
          const sessions = store();
          sessions.create(alice, { model: "probe", id: "whole" });
          sessions.create(alice, { model: "probe", id: "parts" });
          const whole = await sessions.step(alice, "whole", { records: records(...values) });
          expect(hashes(whole)).toEqual(probe.alone(values));
          const parts: [number, number][] = [];
          for (const part of [values.slice(0, cut), values.slice(cut)].filter((each) => each.length > 0)) {
            parts.push(...hashes(await sessions.step(alice, "parts", { records: records(...part) })));
          }
          expect(parts).toEqual(hashes(whole));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("that is refused or fails leaves the state as it was, bit for bit", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    await sessions.step(alice, "pump", { records: records(1, 2) });
    const before = (await sessions.snapshot(alice, "pump")).bytes;
    const refused: RawRecord[] = [{}, { value: null }, { value: "text" }, { other: 1 }];
    for (const record of refused) {
      expect(await code(() => sessions.step(alice, "pump", { records: [record] }))).toMatch(/OST_(RECORD|MISSING|VALUE)/);
    }
    await expect(sessions.step(alice, "pump", { records: records(FAULT) })).rejects.toThrow(TypeError);
    expect((await sessions.snapshot(alice, "pump")).bytes).toEqual(before);
    expect(hashes(await sessions.step(alice, "pump", { records: records(3) }))).toEqual(probe.alone([1, 2, 3]).slice(2));
  });

  it("refused amid others says how many were applied, and the rest were not", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    const answer = await sessions.step(alice, "pump", { records: [...records(1, 2), { value: "text" }, ...records(4)] });
    expect(answer).toMatchObject({ applied: 2, seq: 2, steps: 2, error: { code: "OST_VALUE", index: 2 } });
    expect(answer.error).not.toHaveProperty("applied");
    expect(hashes(answer)).toEqual(probe.alone([1, 2]));
    expect(hashes(await sessions.step(alice, "pump", { records: records(3) }))).toEqual(probe.alone([1, 2, 3]).slice(2));
  });

  it("of a session that is absent, ended or expired is an error, never a fresh state", async () => {
    let now = 0;
    const sessions = store({ ttlMs: 1000, now: () => now });
    expect(await code(() => sessions.step(alice, "pump", { records: records(1) }))).toBe("OST_SESSION");
    sessions.create(alice, { model: "probe", id: "pump" });
    now = 999;
    await sessions.step(alice, "pump", { records: records(1) });
    now = 1998;
    await sessions.step(alice, "pump", { records: records(2) });
    now = 2998;
    await expect(sessions.step(alice, "pump", { records: records(3) })).rejects.toThrow(/expired.*no use for 1 s/);
    expect(sessions.count()).toBe(0);
    sessions.create(alice, { model: "probe", id: "pump" });
    await sessions.end(alice, "pump");
    await expect(sessions.step(alice, "pump", { records: records(3) })).rejects.toThrow(/was ended/);
    sessions.close();
  });
});

describe("order", () => {
  it("concurrent requests to one session are applied one after another, in the order of their arrival", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    const values = Array.from({ length: 30 }, (_, i) => i);
    const answers = await Promise.all(
      values.map((value) => sessions.step(alice, "pump", { records: records(value, value + 0.5) })),
    );
    expect(answers.flatMap(hashes)).toEqual(probe.alone(values.flatMap((value) => [value, value + 0.5])));
  });

  it("reset, restore, snapshot and end take their turn among the steps", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    const [first, early, reset, second, late, end, missing] = await Promise.allSettled([
      sessions.step(alice, "pump", { records: records(1, 2) }),
      sessions.snapshot(alice, "pump"),
      sessions.reset(alice, "pump"),
      sessions.step(alice, "pump", { records: records(3) }),
      sessions.snapshot(alice, "pump"),
      sessions.end(alice, "pump"),
      sessions.step(alice, "pump", { records: records(4) }),
    ]);
    expect(first).toMatchObject({ value: { steps: 2, seq: 2 } });
    expect(early).toMatchObject({ value: { facts: { steps: 2 } } });
    expect(reset).toMatchObject({ value: { steps: 0, seq: 2, resets: 1 } });
    expect(second.status === "fulfilled" && hashes(second.value)).toEqual(probe.alone([3]));
    expect(late).toMatchObject({ value: { facts: { steps: 1, seq: 3 } } });
    expect(end.status).toBe("fulfilled");
    expect(missing).toMatchObject({ status: "rejected", reason: { code: "OST_SESSION" } });
  });

  it("a long request lets other sessions through, and still nothing of its own session gets in between", async () => {
    class Slow extends ProbeModel {
      override push(...args: Parameters<ProbeModel["push"]>) {
        const end = performance.now() + 11;
        while (performance.now() < end);
        return super.push(...args);
      }
    }
    const sessions = store({ models: new Map([["probe", new Slow()]]) });
    for (const id of ["long", "other"]) sessions.create(alice, { model: "probe", id });
    const order: string[] = [];
    const [first, second] = await Promise.all([
      sessions.step(alice, "long", { records: records(1, 2, 3, 4, 5) }).finally(() => order.push("long")),
      sessions.step(alice, "long", { records: records(6) }).finally(() => order.push("next")),
      sessions.step(alice, "other", { records: records(7) }).finally(() => order.push("other")),
    ]);
    expect(order).toEqual(["other", "long", "next"]);
    expect([...hashes(first), ...hashes(second)]).toEqual(probe.alone([1, 2, 3, 4, 5, 6]));
  });

  it("too many requests waiting for one session are refused, and the waiting ones still answer", async () => {
    const sessions = store({ maxWaiting: 4 });
    sessions.create(alice, { model: "probe", id: "pump" });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => sessions.step(alice, "pump", { records: records(i) })),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([...Array(5).fill("fulfilled"), ...Array(3).fill("rejected")]);
    expect(outcomes[7]).toMatchObject({ reason: { code: "OST_CAPACITY" } });
    expect(sessions.get(alice, "pump").steps).toBe(5);
  });
});

describe("seq", () => {
  it("a repeated request gets the stored answer and is not applied again", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    const first = await sessions.step(alice, "pump", { records: records(1, 2), seq: 1 });
    const again = await sessions.step(alice, "pump", { records: records(1, 2), seq: 1 });
    expect(again).toEqual({ ...first, repeated: true });
    expect(sessions.get(alice, "pump").steps).toBe(2);
    expect(hashes(await sessions.step(alice, "pump", { records: records(3), seq: 3 }))).toEqual(probe.alone([1, 2, 3]).slice(2));
  });

  it("a repeated request that was refused midway gets the same answer again", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    const request = { records: [{ value: 1 }, { value: "text" }], seq: 1 };
    const first = await sessions.step(alice, "pump", request);
    expect(first).toMatchObject({ applied: 1, seq: 1, error: { code: "OST_VALUE" } });
    expect(await sessions.step(alice, "pump", request)).toEqual({ ...first, repeated: true });
    expect(sessions.get(alice, "pump").steps).toBe(1);
  });

  it("a refused first record may be repaired and sent under the same number", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    expect(await code(() => sessions.step(alice, "pump", { records: [{ value: "text" }], seq: 1 }))).toBe("OST_VALUE");
    expect(await sessions.step(alice, "pump", { records: records(1), seq: 1 })).toMatchObject({ seq: 1, applied: 1 });
  });

  it("a gap, a stale number and other records under a known number are errors that apply nothing", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    await sessions.step(alice, "pump", { records: records(1), seq: 1 });
    await sessions.step(alice, "pump", { records: records(2), seq: 2 });
    for (const [seq, says] of [
      [4, /missing/],
      [1, /stale/],
      [0, /stale/],
      [2, /other records/],
    ] as const) {
      await expect(sessions.step(alice, "pump", { records: records(9), seq })).rejects.toThrow(says);
    }
    expect(sessions.get(alice, "pump")).toMatchObject({ steps: 2, seq: 2 });
  });

  it("a step of the time before a reset is stale after it", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    await sessions.step(alice, "pump", { records: records(1), seq: 1 });
    await sessions.reset(alice, "pump");
    expect(await code(() => sessions.step(alice, "pump", { records: records(1), seq: 1 }))).toBe("OST_SEQUENCE");
    expect(hashes(await sessions.step(alice, "pump", { records: records(5), seq: 2 }))).toEqual(probe.alone([5]));
  });
});

describe("isolation", () => {
  it("sessions interleaved with steps, faults, resets and restores equal isolated ones, bit for bit", async () => {
    const operation = fc.record({
      owner: fc.constantFrom(alice, bob),
      id: fc.constantFrom("a", "b", "c"),
      act: fc.oneof(
        {
          weight: 8,
          arbitrary: fc
            .array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 5 })
            .map((values) => ({ step: values })),
        },
        { weight: 1, arbitrary: fc.constant("refuse" as const) },
        { weight: 1, arbitrary: fc.constant("fault" as const) },
        { weight: 1, arbitrary: fc.constant("reset" as const) },
        { weight: 1, arbitrary: fc.constant("keep" as const) },
        { weight: 1, arbitrary: fc.constant("restore" as const) },
        { weight: 1, arbitrary: fc.constant("end" as const) },
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 80 }), async (operations) => {
        const sessions = store();
        const prefixes = new Map<string, number[]>();
        const kept = new Map<string, { bytes: Uint8Array; prefix: number[] }>();
        for (const { owner, id, act } of operations) {
          const key = owner + id;
          const prefix = prefixes.get(key);
          if (prefix === undefined) {
            expect(await code(() => sessions.step(owner, id, { records: records(1) }))).toBe("OST_SESSION");
            sessions.create(owner, { model: "probe", id });
            prefixes.set(key, []);
          } else if (act === "reset") {
            await sessions.reset(owner, id);
            prefixes.set(key, []);
          } else if (act === "keep") {
            kept.set(key, { bytes: (await sessions.snapshot(owner, id)).bytes, prefix: [...prefix] });
          } else if (act === "restore") {
            const snapshot = kept.get(key);
            if (!snapshot) continue;
            await sessions.restore(owner, id, snapshot.bytes);
            prefixes.set(key, [...snapshot.prefix]);
          } else if (act === "end") {
            await sessions.end(owner, id);
            prefixes.delete(key);
          } else if (act === "refuse" || act === "fault") {
            const value = act === "fault" ? FAULT : "text";
            await expect(sessions.step(owner, id, { records: [{ value }] })).rejects.toThrow();
          } else {
            const answer = await sessions.step(owner, id, { records: records(...act.step) });
            prefix.push(...act.step);
            expect(hashes(answer)).toEqual(probe.alone(prefix).slice(-act.step.length));
            expect(answer.steps).toBe(prefix.length);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it("a restored session equals one that never stopped, bit for bit", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "never-stopped" });
    sessions.create(alice, { model: "probe", id: "stopped" });
    for (const id of ["never-stopped", "stopped"]) await sessions.step(alice, id, { records: records(1, 2, 3) });
    const { bytes } = await sessions.snapshot(alice, "stopped");
    await sessions.end(alice, "stopped");
    const another = store();
    const facts = another.create(alice, { model: "probe", id: "stopped", snapshot: bytes });
    expect(facts).toMatchObject({ steps: 3, seq: 0 });
    expect(hashes(await another.step(alice, "stopped", { records: records(4, 5) }))).toEqual(
      hashes(await sessions.step(alice, "never-stopped", { records: records(4, 5) })),
    );
  });

  it("a snapshot with any byte changed is refused and the state stays", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "pump" });
    await sessions.step(alice, "pump", { records: records(1) });
    const { bytes } = await sessions.snapshot(alice, "pump");
    for (let at = 0; at < bytes.length; at += 7) {
      const damaged = bytes.slice();
      damaged[at] ^= 1;
      expect(await code(() => sessions.restore(alice, "pump", damaged))).toBe("OST_SNAPSHOT");
    }
    expect(hashes(await sessions.step(alice, "pump", { records: records(2) }))).toEqual(probe.alone([1, 2]).slice(1));
  });
});

describe("limits", () => {
  it("a full store refuses a further session and evicts none", async () => {
    const sessions = store({ maxSessions: 3 });
    for (const id of ["a", "b", "c"]) sessions.create(alice, { model: "probe", id });
    expect(await code(() => sessions.create(bob, { model: "probe" }))).toBe("OST_CAPACITY");
    expect(sessions.count()).toBe(3);
    await sessions.end(alice, "b");
    expect(sessions.create(bob, { model: "probe" }).session).toMatch(/^[\w-]{22}$/);
  });

  it("a live id is refused, and so is an unknown model", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "a" });
    expect(await code(() => sessions.create(alice, { model: "probe", id: "a" }))).toBe("OST_EXISTS");
    expect(await code(() => sessions.create(alice, { model: "nosuch" }))).toBe("OST_MODEL");
    expect(await code(() => sessions.create(alice, { model: "__proto__" }))).toBe("OST_MODEL");
  });

  it("an id is 1 to 256 bytes of UTF-8 without control characters", async () => {
    const sessions = store();
    for (const id of ["", "é".repeat(129), "line\nbreak", "\ud800", ".", "..", "nul\0"]) {
      expect(await code(() => sessions.create(alice, { model: "probe", id }))).toBe("OST_REQUEST");
    }
    for (const id of ["é".repeat(128), "a/b?c#d%e f", "1706549649780891136", "1706549649780891200", "__proto__"]) {
      expect(sessions.create(alice, { model: "probe", id }).session).toBe(id);
    }
    expect(sessions.count()).toBe(5);
  });

  it("a request holds 1 to maxRecords records", async () => {
    const sessions = store({ maxRecords: 2 });
    sessions.create(alice, { model: "probe", id: "a" });
    for (const list of [[], records(1, 2, 3)])
      expect(await code(() => sessions.step(alice, "a", { records: list }))).toBe("OST_REQUEST");
    expect(sessions.get(alice, "a").steps).toBe(0);
  });

  it("an idle session expires, a used or busy one does not, and asking for facts is no use", async () => {
    let now = 0;
    const kinds: string[] = [];
    const sessions = store({ ttlMs: 100, now: () => now, observer: { lifecycle: (kind) => kinds.push(kind) } });
    for (const id of ["idle", "used", "busy"]) sessions.create(alice, { model: "probe", id });
    now = 60;
    await sessions.step(alice, "used", { records: records(1) });
    sessions.get(alice, "idle");
    now = 120;
    const busy = sessions.step(alice, "used", { records: records(2) });
    expect(sessions.expire()).toBe(2);
    await busy;
    expect(sessions.count()).toBe(1);
    const long = sessions.step(alice, "used", { records: records(3) });
    now = 1000;
    expect(sessions.expire()).toBe(0);
    expect(await long).toMatchObject({ steps: 3 });
    now = 100_000;
    const waiting = code(() => sessions.step(alice, "used", { records: records(4) }));
    expect(await waiting).toBe("OST_SESSION");
    expect(kinds).toEqual(["created", "created", "created", "expired", "expired", "expired"]);
    sessions.close();
  });
});

describe("events", () => {
  it("a reader sees every change after its commit, in order, and nothing of other sessions", async () => {
    const sessions = store();
    for (const id of ["a", "b"]) sessions.create(alice, { model: "probe", id });
    const events: SessionEvent[] = [];
    const { opened } = sessions.subscribe(alice, "a", (event) => events.push(event));
    expect(opened).toMatchObject({ kind: "open", seq: 0, steps: 0 });
    await sessions.step(alice, "a", { records: records(1, 2) });
    await sessions.step(alice, "b", { records: records(7) });
    await sessions.reset(alice, "a");
    await expect(sessions.step(alice, "a", { records: [{}] })).rejects.toThrow();
    await sessions.end(alice, "a");
    expect(events.map(({ kind, seq, steps }) => [kind, seq, steps])).toEqual([
      ["step", 1, 1],
      ["step", 2, 2],
      ["reset", 2, 0],
      ["ended", 2, 0],
    ]);
    expect(events[1]).toMatchObject({ record: { value: 2 }, predictions: [{ seq: 2 }] });
    const [step] = events;
    expect(step.kind === "step" && hashOf(step.predictions[0])).toEqual(probe.alone([1])[0]);
    expect(step.kind === "step" && step.view.length).toBe(4);
  });

  it("a reader that throws is dropped and disturbs nobody", async () => {
    const sessions = store();
    sessions.create(alice, { model: "probe", id: "a" });
    let calls = 0;
    sessions.subscribe(alice, "a", () => {
      calls++;
      throw new Error("reader");
    });
    const good: number[] = [];
    sessions.subscribe(alice, "a", (event) => good.push(event.seq));
    const answer = await sessions.step(alice, "a", { records: records(1, 2) });
    expect(hashes(answer)).toEqual(probe.alone([1, 2]));
    expect([calls, good]).toEqual([1, [1, 2]]);
  });

  it("readers are bounded, and a stopped one makes room", async () => {
    const sessions = store({ maxReaders: 1 });
    sessions.create(alice, { model: "probe", id: "a" });
    const { stop } = sessions.subscribe(alice, "a", () => {});
    expect(await code(() => sessions.subscribe(alice, "a", () => {}))).toBe("OST_CAPACITY");
    stop();
    expect(await code(() => sessions.subscribe(alice, "a", () => {}))).toBe("none");
  });
});
