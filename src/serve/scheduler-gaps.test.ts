/** @file Steps whose numbers come out of order: held, put in order, answered exactly once. */
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ScriptedEngine, step, ticket } from "../../test/support/scripted-engine.js";
import type { LifecycleChange, Operation, Outcome } from "./operation.js";
import { Scheduler, type SchedulerOptions } from "./scheduler.js";
import { refusal, refusalFacts } from "./scheduler-refusal.js";

const codeOf = (outcome: Outcome) => outcome.error?.code ?? outcome.applied;

function harness(options: Partial<SchedulerOptions> = {}) {
  const engine = new ScriptedEngine((batch) => batch.finish());
  engine.open("a");
  let reordered = 0;
  const scheduler = new Scheduler({ execute: engine.execute, onReordered: () => reordered++, ...options });
  const answered: string[] = [];
  const submit = (operation: Operation, name: string, more = {}) => {
    const answer = scheduler.submit(operation, ticket(more));
    void answer.then((outcome) => answered.push(`${name} ${codeOf(outcome)}`));
    return answer;
  };
  return { engine, scheduler, submit, answered, reordered: () => reordered };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 80; i++) await setImmediate();
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a step that leaves a gap", () => {
  it("waits for the numbers before it and then has its turn", async () => {
    const { submit, engine, answered, scheduler, reordered } = harness();
    for (const seq of [4, 2, 3]) submit(step("a", { seq }), String(seq));
    await settle();
    expect(answered).toEqual([]);
    expect(scheduler.status()).toMatchObject({ held: 3, waiting: 3, running: 0 });
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(answered).toEqual(["1 yes", "2 yes", "3 yes", "4 yes"]);
    expect(engine.applied.get("a")).toEqual([1, 2, 3, 4]);
    expect(reordered()).toBe(3);
    expect(scheduler.status()).toMatchObject({ held: 0, bytes: 0, sessions: 0 });
  });

  it("counts the records of steps of several", async () => {
    const { submit, engine, answered } = harness();
    const many = (seq: number, count: number) => step("a", { seq, input: { rows: new Float64Array(count), count } });
    submit(many(6, 2), "6");
    submit(many(1, 5), "1");
    await settle();
    expect(answered).toEqual(["1 yes", "6 yes"]);
    expect(engine.applied.get("a")).toEqual([1, 6]);
  });

  it("gives up after its time with the number to go on from, and nothing applied", async () => {
    const { submit, engine, scheduler } = harness({ gapHoldMs: 500 });
    const [five, three] = [submit(step("a", { seq: 5 }), "5"), submit(step("a", { seq: 3 }), "3")];
    await settle();
    await vi.advanceTimersByTimeAsync(450);
    expect(scheduler.status().held).toBe(2);
    submit(step("a", { seq: 1 }), "1");
    await settle();
    await vi.advanceTimersByTimeAsync(80);
    for (const outcome of [await five, await three]) {
      expect(outcome).toMatchObject({ applied: "no", count: 0, expectedSeq: 2, session: { seq: 1 }, error: { code: "OST_GAP" } });
    }
    expect(engine.applied.get("a")).toEqual([1]);
    expect(scheduler.status()).toMatchObject({ sessions: 0, bytes: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is answered at once where nothing is held", async () => {
    const { submit } = harness({ gapHoldMs: 0 });
    expect(await submit(step("a", { seq: 5 }), "5")).toMatchObject({ expectedSeq: 1, error: { code: "OST_GAP" } });
  });

  it("asks the engine once for a first early step, and not for those that follow it", async () => {
    const { submit, engine } = harness();
    submit(step("a", { seq: 9 }), "9");
    await settle();
    expect(engine.sizes).toEqual([1]);
    for (const seq of [8, 7, 6]) submit(step("a", { seq }), String(seq));
    await settle();
    expect(engine.sizes).toEqual([1]);
  });

  it("is answered beside its duplicates", async () => {
    const { submit, engine, answered } = harness();
    for (const name of ["2", "2 again", "3", "2 once more"]) submit(step("a", { seq: Number(name[0]) }), name);
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(answered).toEqual(["1 yes", "2 yes", "2 again yes", "2 once more yes", "3 yes"]);
    expect(engine.applied.get("a")).toEqual([1, 2, 3]);
  });

  it("does not keep back other sessions", async () => {
    const { submit, engine, answered } = harness();
    engine.open("b");
    submit(step("a", { seq: 2 }), "early");
    submit(step("b"), "other");
    await settle();
    expect(answered).toEqual(["other yes"]);
  });

  it("leaves at once when its sender goes away, and when its deadline passes", async () => {
    const { submit, engine, answered, scheduler } = harness();
    const controller = new AbortController();
    submit(step("a", { seq: 3 }), "3", { signal: controller.signal });
    submit(step("a", { seq: 2 }), "2", { deadline: performance.now() + 100 });
    submit({ key: "a", kind: "get" }, "get");
    await settle();
    controller.abort();
    await settle();
    expect(answered).toEqual(["3 OST_DEADLINE"]);
    await vi.advanceTimersByTimeAsync(150);
    await settle();
    expect(answered).toEqual(["3 OST_DEADLINE", "2 OST_DEADLINE", "get yes"]);
    expect(engine.applied.get("a")).toEqual(["get"]);
    expect(scheduler.status().sessions).toBe(0);
  });
});

describe("what has no number", () => {
  it("waits for the steps that were held before it, and those for what fills their gap", async () => {
    const { submit, engine, answered } = harness();
    submit(step("a", { seq: 3 }), "3");
    submit({ key: "a", kind: "end" }, "end");
    await settle();
    expect(answered).toEqual([]);
    submit(step("a", { seq: 2 }), "2");
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(answered).toEqual(["1 yes", "2 yes", "3 yes", "end yes"]);
    expect(engine.applied.get("a")).toEqual([1, 2, 3, "end"]);
  });

  it("runs when those before it gave up", async () => {
    const { submit, answered } = harness({ gapHoldMs: 100 });
    submit(step("a", { seq: 3 }), "3");
    submit({ key: "a", kind: "reset", reason: "client" }, "reset");
    submit(step("a"), "next");
    await settle();
    await vi.advanceTimersByTimeAsync(150);
    await settle();
    expect(answered).toEqual(["3 OST_GAP", "reset yes", "next yes"]);
  });

  it("keeps back greater numbers that arrived after it", async () => {
    const { submit, engine } = harness();
    submit(step("a", { seq: 2 }), "2");
    submit({ key: "a", kind: "reset", reason: "client" }, "reset");
    submit(step("a", { seq: 3 }), "3");
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(engine.applied.get("a")).toEqual([1, 2, "reset", 3]);
  });

  it("lets a duplicate of a held step pass, and waits for it too", async () => {
    const { submit, answered } = harness();
    submit(step("a", { seq: 2 }), "2");
    submit({ key: "a", kind: "end" }, "end");
    submit(step("a", { seq: 2 }), "2 again");
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(answered).toEqual(["1 yes", "2 yes", "2 again yes", "end yes"]);
  });

  it("makes those held ask anew: after the end there is no gap to wait for", async () => {
    const { submit, answered } = harness();
    submit(step("a", { seq: 2 }), "2");
    submit({ key: "a", kind: "end" }, "end");
    submit(step("a", { seq: 9 }), "9");
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(answered).toEqual(["1 yes", "2 yes", "end yes", "9 OST_SESSION"]);
  });

  it("makes those of an older incarnation stale", async () => {
    const { submit, engine, answered } = harness();
    const incarnation = engine.sessions.get("a")?.incarnation;
    submit(step("a", { seq: 5, incarnation }), "5");
    await settle();
    submit(step("a", { begin: beginning, seq: 1 }), "start");
    await settle();
    await vi.advanceTimersByTimeAsync(2000);
    await settle();
    expect(answered).toEqual(["5 OST_GAP", "start yes"]);
  });
});

const beginning = {
  version: "v",
  durability: "none",
  ttlMs: null,
  attributes: {},
  creator: "",
  onLive: "restart",
  limits: { tenant: 9, total: 9 },
} as const;

describe("a full mailbox", () => {
  it("lets the greatest number give way to a smaller one, and refuses a greater one", async () => {
    const { submit, answered, scheduler } = harness({ maxWaitingPerSession: 3 });
    for (const seq of [4, 3, 5]) submit(step("a", { seq }), String(seq));
    await settle();
    submit(step("a", { seq: 6 }), "6");
    submit({ key: "a", kind: "get" }, "get");
    await settle();
    expect(answered).toEqual(["6 OST_RATE", "get OST_RATE"]);
    submit(step("a", { seq: 1 }), "1");
    await settle();
    submit(step("a", { seq: 2 }), "2");
    await settle();
    expect(answered.slice(2).sort()).toEqual(["1 yes", "2 yes", "3 yes", "4 yes", "5 OST_GAP"]);
    expect(scheduler.status()).toMatchObject({ sessions: 0, bytes: 0 });
  });

  it("works with room for one", async () => {
    const { submit, answered, scheduler } = harness({ maxWaitingPerSession: 1 });
    submit(step("a", { seq: 3 }), "3");
    await settle();
    submit(step("a", { seq: 1 }), "1");
    await settle();
    expect(answered).toEqual(["3 OST_GAP", "1 yes"]);
    expect(scheduler.status()).toMatchObject({ sessions: 0, tenants: 0, bytes: 0 });
  });
});

it("tells a change of a session's life once, even if its step has to wait, and before later ones", async () => {
  const change = (kind: LifecycleChange["kind"]) => ({ kind }) as LifecycleChange;
  let turns = 0;
  const scheduler = new Scheduler({
    execute: async (operations) =>
      operations.map(() => {
        const gap = refusal(refusalFacts("OST_GAP", { what: "gap" }), { expectedSeq: 1, lifecycle: [change("woken")] });
        return turns++ === 0 ? gap : { ...refusal(gap.error as never), error: null, lifecycle: [change("reset")] };
      }),
  });
  const early = scheduler.submit(step("a", { seq: 2 }), ticket());
  await settle();
  const first = await scheduler.submit(step("a", { seq: 1 }), ticket());
  expect(first.lifecycle.map(({ kind }) => kind)).toEqual(["woken", "reset"]);
  expect((await early).lifecycle.map(({ kind }) => kind)).toEqual(["reset"]);
});

describe("any order with duplicates and resends", () => {
  it("ends with every number applied once and in order, and every request answered", { timeout: 120_000 }, async () => {
    const arrivals = fc.integer({ min: 1, max: 24 }).chain((n) =>
      fc.record({
        n: fc.constant(n),
        // A permutation of all numbers with some of them sent again, anywhere.
        order: fc
          .array(fc.integer({ min: 1, max: n }), { maxLength: 8 })
          .chain((extra) =>
            fc.shuffledSubarray([...Array.from({ length: n }, (_, i) => i + 1), ...extra], { minLength: n + extra.length }),
          ),
        pauses: fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }),
        dropped: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(arrivals, async ({ n, order, pauses, dropped }) => {
        const { scheduler, engine } = harness();
        const outcomes: Promise<Outcome>[] = [];
        const acknowledged = new Set<number>();
        const send = async (seq: number, pause: number) => {
          const outcome = scheduler.submit(step("a", { seq }), ticket());
          outcomes.push(outcome);
          void outcome.then(({ applied }) => {
            if (applied === "yes") acknowledged.add(seq);
          });
          for (let i = 0; i < pause; i++) await setImmediate();
        };
        for (const [i, seq] of order.entries()) if (!dropped[i % dropped.length]) await send(seq, pauses[i % pauses.length]);
        // The client sends again what was not acknowledged, until all is; held steps give up meanwhile.
        for (let round = 0; acknowledged.size < n; round++) {
          expect(round).toBeLessThan(3);
          for (let seq = 1; seq <= n; seq++) if (!acknowledged.has(seq)) await send(seq, pauses[seq % pauses.length]);
          await vi.advanceTimersByTimeAsync(1100);
          await settle();
        }
        const codes = (await Promise.all(outcomes)).map(codeOf);
        expect(codes.every((code) => code === "yes" || code === "OST_GAP" || code === "OST_RATE")).toBe(true);
        expect(engine.doubled).toEqual([]);
        expect(engine.applied.get("a")).toEqual(Array.from({ length: n }, (_, i) => i + 1));
        expect(scheduler.status()).toMatchObject({ bytes: 0, sessions: 0, tenants: 0, waiting: 0 });
      }),
      { numRuns: 300 },
    );
  });

  it("answers every operation exactly once, whatever comes in between", {
    timeout: 120_000,
  }, async () => {
    const action = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ do: fc.constant("step" as const), seq: fc.integer({ min: 1, max: 8 }), key: fc.nat(1) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constantFrom("reset" as const, "get" as const, "free" as const), key: fc.nat(1) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("end" as const, "begin" as const), key: fc.nat(1) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(30) }) },
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constantFrom("finish" as const, "fail" as const), which: fc.nat(1) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 700 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { maxLength: 40 }),
        fc.integer({ min: 1, max: 6 }),
        async (actions, maxWaitingPerSession) => {
          const engine = new ScriptedEngine();
          for (const key of ["0", "1"]) engine.open(key);
          const scheduler = new Scheduler({ execute: engine.execute, maxWaitingPerSession });
          const answers: number[] = [];
          const aborts: AbortController[] = [];
          const submit = (operation: Operation) => {
            const controller = new AbortController();
            const index = aborts.push(controller) - 1;
            answers.push(0);
            const deadline = index % 5 === 0 ? performance.now() + 600 : undefined;
            void scheduler.submit(operation, ticket({ signal: controller.signal, deadline })).then(() => answers[index]++);
          };
          for (const each of actions) {
            const key = "key" in each ? String(each.key) : "";
            if (each.do === "step") submit(step(key, { seq: each.seq }));
            else if (each.do === "free") submit(step(key));
            else if (each.do === "begin") submit(step(key, { begin: beginning }));
            else if (each.do === "reset") submit({ key, kind: "reset", reason: "client" });
            else if (each.do === "get" || each.do === "end") submit({ key, kind: each.do });
            else if (each.do === "wait") await vi.advanceTimersByTimeAsync(each.ms);
            else if (each.do === "abort") aborts[each.which]?.abort();
            else if (each.do === "finish") engine.batches[each.which]?.finish();
            else if (each.do === "fail") engine.batches[each.which]?.fail();
            await setImmediate();
          }
          for (let i = 0; scheduler.status().sessions > 0; i++) {
            expect(i).toBeLessThan(400);
            engine.batches[0]?.finish();
            await vi.advanceTimersByTimeAsync(i % 10 === 9 ? 1000 : 0);
            await setImmediate();
          }
          await settle();
          expect(answers.every((count) => count === 1)).toBe(true);
          expect(engine.doubled).toEqual([]);
          expect(scheduler.status()).toEqual({ waiting: 0, running: 0, held: 0, bytes: 0, oldestMs: 0, sessions: 0, tenants: 0 });
          await vi.advanceTimersByTimeAsync(20);
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });
});
