import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ScriptedEngine, step, ticket } from "../../test/support/scripted-engine.js";
import { OstinatoError } from "../core/errors.js";
import type { Outcome } from "./operation.js";
import { OPERATION_BYTES, Scheduler, type SchedulerOptions } from "./scheduler.js";

const begin = {
  version: "v",
  durability: "none",
  ttlMs: null,
  attributes: {},
  creator: "",
  onLive: "restart",
  limits: { tenant: 9, total: 9 },
} as const;
/** Sessions a, b, c live from the start, so that steps need no create. */
function harness(options: Partial<SchedulerOptions> = {}, onBatch?: ConstructorParameters<typeof ScriptedEngine>[0]) {
  const engine = new ScriptedEngine(onBatch);
  for (const key of ["a", "b", "c"]) engine.open(key);
  const scheduler = new Scheduler({ execute: engine.execute, ...options });
  return { engine, scheduler };
}

/** Lets everything happen that needs no clock: what was scheduled before this turn of the event loop and by it. */
async function turn(): Promise<void> {
  for (let i = 0; i < 2; i++) await setImmediate();
}

const atOnce = (batch: { finish(): void }) => batch.finish();
const codeOf = (outcome: Outcome) => outcome.error?.code ?? outcome.applied;

afterEach(() => {
  vi.useRealTimers();
});

describe("Scheduler", () => {
  it("shares one batch between sessions that arrive in one turn of the event loop, one operation each", async () => {
    const { engine, scheduler } = harness();
    const answers = ["a", "b", "a", "c", "a"].map((key) => scheduler.submit(step(key), ticket()));
    expect(engine.batches).toHaveLength(0);
    await turn();
    expect(engine.batches.map(({ operations }) => operations.map(({ key }) => key))).toEqual([["a", "b", "c"]]);
    expect(scheduler.status()).toMatchObject({ waiting: 2, running: 3, held: 0, sessions: 3, tenants: 1 });
    while (engine.batches.length > 0) {
      engine.batches[0].finish();
      await turn();
    }
    expect((await Promise.all(answers)).map(({ session }) => session?.seq)).toEqual([1, 1, 2, 1, 3]);
    expect(scheduler.status()).toEqual({ waiting: 0, running: 0, held: 0, bytes: 0, oldestMs: 0, sessions: 0, tenants: 0 });
  });

  it("keeps at most `depth` batches of at most `maxBatch` operations under way, and is never idle while something is ready", async () => {
    const { engine, scheduler } = harness({ depth: 2, maxBatch: 3 });
    const answers = Array.from({ length: 10 }, (_, i) => {
      engine.open(`k${i}`);
      return scheduler.submit(step(`k${i}`), ticket());
    });
    await turn();
    expect(engine.batches.map(({ operations }) => operations.length)).toEqual([3, 3]);
    engine.batches[1].finish();
    await turn();
    expect(engine.batches.map(({ operations }) => operations.length)).toEqual([3, 3]);
    engine.batches[0].finish();
    await turn();
    expect(engine.batches.map(({ operations }) => operations.length)).toEqual([3, 1]);
    for (const batch of [...engine.batches]) batch.finish();
    await Promise.all(answers);
    expect(engine.sizes).toEqual([3, 3, 3, 1]);
  });

  it("closes a batch when its records are enough", async () => {
    const { engine, scheduler } = harness({ maxBatchCost: 20 });
    for (const key of ["a", "b", "c"]) void scheduler.submit(step(key), ticket({ cost: 16 }));
    await turn();
    expect(engine.batches.map(({ operations }) => operations.length)).toEqual([2, 1]);
    for (const batch of [...engine.batches]) batch.finish();
  });

  it("runs a batch that it can take at once after the last one ended, without waiting for another turn", async () => {
    const { engine, scheduler } = harness({ depth: 1 });
    void scheduler.submit(step("a"), ticket());
    const second = scheduler.submit(step("a"), ticket());
    await turn();
    engine.batches[0].finish();
    await Promise.resolve();
    await Promise.resolve();
    expect(engine.batches).toHaveLength(1);
    engine.batches[0].finish();
    expect((await second).session?.seq).toBe(2);
  });

  it("tells the sizes of batches, and survives an observer that throws", async () => {
    const sizes: number[] = [];
    const { scheduler } = harness(
      {
        onBatch: (size) => {
          sizes.push(size);
          if (sizes.length === 1) throw new Error("observer");
        },
      },
      atOnce,
    );
    const outcomes = await Promise.all([scheduler.submit(step("a"), ticket()), scheduler.submit(step("b"), ticket())]);
    expect(outcomes.map(codeOf)).toEqual(["OST_CAPACITY", "OST_CAPACITY"]);
    expect(codeOf(await scheduler.submit(step("a"), ticket()))).toBe("yes");
    expect(sizes).toEqual([2, 1]);
  });

  it("refuses options outside their range", () => {
    const execute = async () => [];
    const refused: Partial<SchedulerOptions>[] = [
      { maxBatch: 0 },
      { depth: 1.5 },
      { maxWaitingPerSession: -1 },
      { maxBytes: Number.NaN },
      { gapHoldMs: -1 },
    ];
    for (const options of refused) {
      expect(() => new Scheduler({ execute, ...options })).toThrow(OstinatoError);
      expect(() => new Scheduler({ execute, ...options })).toThrow(Object.keys(options)[0]);
    }
  });

  it("remembers nothing of sessions that have nothing to do", { timeout: 120_000 }, async () => {
    const outcome = {} as Outcome;
    const scheduler = new Scheduler({ execute: async (operations) => operations.map(() => outcome) });
    let answered = 0;
    for (let i = 0; i < 1_000_000; i++) {
      void scheduler.submit(step(`s${i}`), ticket({ tenant: `t${i % 1000}` })).then(() => answered++);
      if (i % 10_000 === 9_999) await turn();
    }
    await turn();
    expect(answered).toBe(1_000_000);
    expect(scheduler.status()).toEqual({ waiting: 0, running: 0, held: 0, bytes: 0, oldestMs: 0, sessions: 0, tenants: 0 });
  });
});

describe("bounds", () => {
  it("refuses more than the session's limit, as the tenant's fault", async () => {
    const { engine, scheduler } = harness({ maxWaitingPerSession: 2 });
    const answers = [1, 2].map(() => scheduler.submit(step("a"), ticket()));
    const refused = await scheduler.submit(step("a"), ticket());
    expect(refused).toMatchObject({ applied: "no", count: 0, session: null, error: { code: "OST_RATE", expected: "at most 2" } });
    expect(refused.error?.repair).toContain("nothing of it was applied");
    await turn();
    answers.push(scheduler.submit(step("a"), ticket()));
    while (engine.batches.length > 0) {
      engine.batches[0].finish();
      await turn();
    }
    expect((await Promise.all(answers)).map(codeOf)).toEqual(["yes", "yes", "yes"]);
  });

  it("bounds the bytes of a tenant with OST_RATE, and those of all with OST_CAPACITY, until they are answered", async () => {
    const { engine, scheduler } = harness({ maxTenantBytes: 3 * (100 + OPERATION_BYTES), maxBytes: 5 * (100 + OPERATION_BYTES) });
    const of = (tenant: string, n: number) =>
      Array.from({ length: n }, () => scheduler.submit(step("abc"[["x", "y", "z"].indexOf(tenant)]), ticket({ tenant })));
    const kept = [...of("x", 3)];
    expect(codeOf(await of("x", 1)[0])).toBe("OST_RATE");
    kept.push(...of("y", 2));
    expect(codeOf(await of("z", 1)[0])).toBe("OST_CAPACITY");
    await turn();
    expect(codeOf(await of("z", 1)[0])).toBe("OST_CAPACITY");
    engine.batches[0].finish();
    await turn();
    kept.push(...of("z", 1));
    while (engine.batches.length > 0) {
      engine.batches[0].finish();
      await turn();
    }
    expect((await Promise.all(kept)).map(codeOf)).toEqual(Array(6).fill("yes"));
    expect(scheduler.status().bytes).toBe(0);
  });

  it("gives a tenant room again for every answer, while others of it still wait", async () => {
    const { engine, scheduler } = harness({ maxTenantBytes: 2 * (100 + OPERATION_BYTES) });
    const answers = [scheduler.submit(step("a"), ticket()), scheduler.submit(step("a"), ticket())];
    expect(codeOf(await scheduler.submit(step("b"), ticket()))).toBe("OST_RATE");
    for (let i = 0; i < 5; i++) {
      await turn();
      engine.batches[0].finish();
      await turn();
      answers.push(scheduler.submit(step("a"), ticket()));
      expect(scheduler.status()).toMatchObject({ bytes: 2 * (100 + OPERATION_BYTES), tenants: 1 });
    }
    while (engine.batches.length > 0) {
      engine.batches[0].finish();
      await turn();
    }
    expect((await Promise.all(answers)).map(codeOf)).toEqual(Array(7).fill("yes"));
  });

  it("sheds creates from half full on", async () => {
    const bytes = 100 + OPERATION_BYTES;
    const create = (scheduler: Scheduler, key: string, tenant = "acme") =>
      scheduler.submit({ key, kind: "create", begin }, ticket({ tenant, sheddable: true }));
    const total = harness({ maxBytes: 4 * bytes }, undefined);
    void total.scheduler.submit(step("a"), ticket());
    void create(total.scheduler, "x");
    expect(codeOf(await create(total.scheduler, "y"))).toBe("OST_CAPACITY");
    void total.scheduler.submit(step("b"), ticket());
    const tenant = harness({ maxTenantBytes: 4 * bytes });
    void tenant.scheduler.submit(step("a"), ticket());
    void create(tenant.scheduler, "x");
    expect(codeOf(await create(tenant.scheduler, "y"))).toBe("OST_RATE");
    const other = create(tenant.scheduler, "z", "other");
    await turn();
    for (const batch of [...tenant.engine.batches]) batch.finish();
    expect(codeOf(await other)).toBe("yes");
    total.scheduler.close();
  });
});

describe("deadlines and aborts", () => {
  it("refuses what was not begun by its deadline, exactly once and in time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { engine, scheduler } = harness({ depth: 1 });
    const first = scheduler.submit(step("a"), ticket());
    await turn();
    const late = scheduler.submit(step("b"), ticket({ deadline: performance.now() + 50 }));
    const patient = scheduler.submit(step("b"), ticket({ deadline: performance.now() + 60_000 }));
    let answeredAt = Number.NaN;
    void late.then(() => {
      answeredAt = performance.now();
    });
    const start = performance.now();
    await vi.advanceTimersByTimeAsync(200);
    expect(answeredAt - start).toBeGreaterThanOrEqual(50);
    expect(answeredAt - start).toBeLessThanOrEqual(70);
    expect(await late).toMatchObject({ applied: "no", error: { code: "OST_DEADLINE" } });
    engine.batches[0].finish();
    await turn();
    engine.batches[0].finish();
    expect((await Promise.all([first, patient])).map(codeOf)).toEqual(["yes", "yes"]);
    expect(engine.applied.get("b")).toEqual([1]);
    expect(scheduler.status().bytes).toBe(0);
  });

  it("looks at the clock once more before it begins an operation, and before it takes one in", async () => {
    let now = 0;
    const { engine, scheduler } = harness({ now: () => now });
    const late = scheduler.submit(step("a"), ticket({ deadline: 5 }));
    const next = scheduler.submit(step("a"), ticket({ deadline: 50 }));
    now = 5;
    await turn();
    expect(codeOf(await late)).toBe("OST_DEADLINE");
    expect(codeOf(await scheduler.submit(step("a"), ticket({ deadline: 5 })))).toBe("OST_DEADLINE");
    await turn();
    now = 100;
    engine.batches[0].finish();
    expect(codeOf(await next)).toBe("yes");
  });

  it("honours an abort at every point before the operation is begun, and none after", async () => {
    for (const point of ["before", "queued", "behind another", "in a batch", "answered"]) {
      const { engine, scheduler } = harness();
      const controller = new AbortController();
      const others = point === "behind another" ? [scheduler.submit(step("a"), ticket())] : [];
      if (point === "before") controller.abort();
      const answer = scheduler.submit(step("a"), ticket({ signal: controller.signal }));
      const after = scheduler.submit(step("a"), ticket());
      if (point === "queued" || point === "behind another") {
        if (point === "behind another") await turn();
        controller.abort();
        expect(scheduler.status().bytes).toBe((1 + others.length) * (100 + OPERATION_BYTES));
      }
      await turn();
      if (point === "in a batch") controller.abort();
      while (engine.batches.length > 0) {
        engine.batches[0].finish();
        await turn();
      }
      controller.abort();
      const begun = point === "in a batch" || point === "answered";
      expect([point, codeOf(await answer)]).toEqual([point, begun ? "yes" : "OST_DEADLINE"]);
      expect(codeOf(await after)).toBe("yes");
      expect(engine.applied.get("a")).toHaveLength((begun ? 2 : 1) + others.length);
      expect(scheduler.status()).toMatchObject({ bytes: 0, sessions: 0, waiting: 0 });
    }
  });

  it("listens once to a signal that many operations share, and lets it go afterwards", async () => {
    const { scheduler } = harness({}, atOnce);
    const { signal } = new AbortController();
    const [added, removed] = [vi.spyOn(signal, "addEventListener"), vi.spyOn(signal, "removeEventListener")];
    await Promise.all(Array.from({ length: 20 }, () => scheduler.submit(step("a"), ticket({ signal }))));
    expect(added).toHaveBeenCalledTimes(1);
    expect(removed).toHaveBeenCalledTimes(1);
  });
});

describe("an engine that breaks", () => {
  it("answers its batch as unknown, reads as not applied, and goes on", async () => {
    const { engine, scheduler } = harness();
    const answers = [
      scheduler.submit(step("a"), ticket()),
      scheduler.submit({ key: "b", kind: "get" }, ticket()),
      scheduler.submit(step("a"), ticket()),
    ];
    await turn();
    engine.batches[0].fail();
    expect((await Promise.all(answers.slice(0, 2))).map(({ applied, error }) => [applied, error?.code])).toEqual([
      ["unknown", "OST_CAPACITY"],
      ["no", "OST_CAPACITY"],
    ]);
    await turn();
    engine.batches[0].finish();
    expect(codeOf(await answers[2])).toBe("yes");
  });

  it("answers everything when the engine throws at once, or gives too few outcomes", async () => {
    const broken = new Scheduler({
      execute: () => {
        throw new Error("gone");
      },
    });
    expect(await broken.submit(step("a"), ticket())).toMatchObject({ applied: "unknown" });
    const short = new Scheduler({ execute: async () => [] });
    expect(await short.submit(step("a"), ticket())).toMatchObject({ applied: "unknown" });
  });
});

describe("the end", () => {
  it("drains: takes nothing new, runs what waits, and waits for it", async () => {
    const { engine, scheduler } = harness();
    const answers = [scheduler.submit(step("a"), ticket()), scheduler.submit(step("a"), ticket())];
    await turn();
    let drained = false;
    const draining = scheduler.drain(10_000).then(() => {
      drained = true;
    });
    const refused = await scheduler.submit(step("b"), ticket());
    expect(refused).toMatchObject({ applied: "no", error: { code: "OST_CAPACITY", what: "the server is shutting down" } });
    engine.batches[0].finish();
    await turn();
    expect(drained).toBe(false);
    engine.batches[0].finish();
    await draining;
    expect((await Promise.all(answers)).map(codeOf)).toEqual(["yes", "yes"]);
    await scheduler.drain(10_000);
  });

  it("answers held steps when it drains, but lets those that came in turn run first", async () => {
    const { engine, scheduler } = harness({ depth: 1 });
    const three = scheduler.submit(step("a", { seq: 3 }), ticket());
    const far = scheduler.submit(step("a", { seq: 9 }), ticket());
    await turn();
    engine.batches[0].finish();
    await turn();
    expect(scheduler.status().held).toBe(2);
    const other = scheduler.submit(step("b"), ticket());
    await turn();
    const rest = [1, 2].map((seq) => scheduler.submit(step("a", { seq }), ticket()));
    const draining = scheduler.drain(10_000);
    while (engine.batches.length > 0) {
      engine.batches[0].finish();
      await turn();
    }
    await draining;
    expect((await Promise.all([...rest, three, other])).map(codeOf)).toEqual(["yes", "yes", "yes", "yes"]);
    expect(await far).toMatchObject({ applied: "no", expectedSeq: 4, error: { code: "OST_GAP" } });
  });

  it("stops waiting after the time given: what has not begun is refused, and what is under way still comes back", async () => {
    const { engine, scheduler } = harness();
    const [first, second] = [scheduler.submit(step("a"), ticket()), scheduler.submit(step("a"), ticket())];
    await turn();
    await scheduler.drain(20);
    expect(await second).toMatchObject({ applied: "no", error: { code: "OST_CAPACITY" } });
    engine.batches[0].finish();
    expect(codeOf(await first)).toBe("yes");
    expect(scheduler.status().sessions).toBe(0);
  });

  it("closes: everything is answered at once, and what comes back later changes nothing", async () => {
    const { engine, scheduler } = harness();
    const [first, second] = [scheduler.submit(step("a"), ticket()), scheduler.submit(step("a"), ticket())];
    await turn();
    const draining = scheduler.drain(60_000);
    scheduler.close();
    await draining;
    expect(await first).toMatchObject({ applied: "unknown", error: { code: "OST_CAPACITY" } });
    expect(await second).toMatchObject({ applied: "no", error: { code: "OST_CAPACITY" } });
    engine.batches[0].finish();
    await turn();
    expect(scheduler.status()).toEqual({ waiting: 0, running: 0, held: 0, bytes: 0, oldestMs: 0, sessions: 0, tenants: 0 });
    expect(codeOf(await scheduler.submit(step("a"), ticket()))).toBe("OST_CAPACITY");
  });
});
