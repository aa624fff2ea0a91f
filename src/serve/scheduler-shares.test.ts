/** @file Tenants beside each other, in a time that is counted: one record takes the engine one millisecond, a batch two more. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { step, ticket } from "../../test/support/scripted-engine.js";
import type { Operation, Outcome } from "./operation.js";
import { Scheduler, type SchedulerOptions } from "./scheduler.js";
import { type Share, Shares, type Sharing, Share as TenantShare } from "./scheduler-shares.js";

interface Load {
  sessions: number;
  /** Operations that each session keeps asking at once. */
  inFlight: number;
  /** Records of an operation. */
  cost: number;
}

interface Served {
  records: number;
  /** ms from the arrival to the answer. */
  latencies: number[];
}

/** Lets tenants ask as fast as they are answered, for some ms of a clock that only the engine moves. */
async function simulate(loads: Record<string, Load>, durationMs: number, options: Partial<SchedulerOptions> = {}) {
  const loop: (() => void)[] = [];
  vi.stubGlobal("setImmediate", (callback: () => void) => loop.push(callback));
  let now = 0;
  const served = Object.fromEntries(Object.keys(loads).map((tenant) => [tenant, { records: 0, latencies: [] } as Served]));
  const queue: { operations: readonly Operation[]; resolve(outcomes: Outcome[]): void }[] = [];
  const scheduler = new Scheduler({
    execute: (operations) => new Promise((resolve) => queue.push({ operations, resolve })),
    now: () => now,
    ...options,
  });
  const costs = new Map<string, number>();
  for (const [tenant, { sessions, inFlight, cost }] of Object.entries(loads)) {
    for (let i = 0; i < sessions * inFlight; i++) {
      const key = `${tenant} ${i % sessions}`;
      costs.set(key, cost);
      const ask = (): void => {
        const asked = now;
        void scheduler.submit(step(key), ticket({ tenant, cost, bytes: 0 })).then(() => {
          if (now >= durationMs) return;
          served[tenant].records += cost;
          served[tenant].latencies.push(now - asked);
          ask();
        });
      };
      ask();
    }
  }
  while (loop.length + queue.length > 0) {
    for (const callback of loop.splice(0)) callback();
    const batch = queue.shift();
    if (batch === undefined) continue;
    now += 2 + batch.operations.reduce((sum, { key }) => sum + (costs.get(key) as number), 0);
    batch.resolve(batch.operations.map(() => ({ error: null, session: null, lifecycle: [] }) as unknown as Outcome));
    for (let i = 0; i < 10; i++) await null;
  }
  return served;
}

/** Jain's index of fairness: 1 when all get the same, 1/n when one gets everything. Jain, Chiu & Hawe 1984. */
function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  return sum ** 2 / (shares.length * shares.reduce((total, share) => total + share ** 2, 0));
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];
}

const small = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`small ${i}`, { sessions: 10, inFlight: 4, cost: 1 }]));
const greedy = { sessions: 200, inFlight: 4, cost: 1 };

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("a tenant that asks for twenty times as much as nine others", () => {
  it("gets no more than they do where there is not enough for all", async () => {
    const served = await simulate({ greedy, ...small }, 20_000, { maxBatch: 16 });
    expect(jain(Object.values(served).map(({ records }) => records))).toBeGreaterThanOrEqual(0.95);
  });

  it("gets no more by asking in long operations", async () => {
    const served = await simulate({ greedy: { ...greedy, cost: 16 }, ...small }, 20_000, { maxBatch: 16, maxBatchCost: 32 });
    expect(jain(Object.values(served).map(({ records }) => records))).toBeGreaterThanOrEqual(0.95);
  });

  it("gets all that the others leave", async () => {
    const served = await simulate({ greedy, idle: { sessions: 1, inFlight: 1, cost: 1 } }, 5_000, { maxBatch: 16 });
    expect(served.greedy.records).toBeGreaterThan(0.85 * (5_000 * (16 / 18)));
  });

  it("at most doubles the time that the others wait, where their own sessions fill the batches", async () => {
    const options = { maxBatch: 32 };
    const [alone, beside] = [await simulate(small, 10_000, options), await simulate({ greedy, ...small }, 10_000, options)];
    for (const tenant of Object.keys(small)) {
      expect(quantile(beside[tenant].latencies, 0.99)).toBeLessThanOrEqual(2 * quantile(alone[tenant].latencies, 0.99));
    }
  });

  it("starves them where turns are not taken: the simulation can fail", async () => {
    const loads = { greedy, ...small };
    const merged = { all: { sessions: 290, inFlight: 4, cost: 1 } };
    const { all } = await simulate(merged, 20_000, { maxBatch: 16 });
    const total = all.records;
    const unfair = Object.values(loads).map(({ sessions }) => (total * sessions) / 290);
    expect(jain(unfair)).toBeLessThan(0.3);
  });
});

it("gives shares by weight", async () => {
  const load = { sessions: 50, inFlight: 2, cost: 1 };
  const weights: Record<string, number> = { half: 0.5, one: 1, three: 3 };
  const served = await simulate({ half: load, one: load, three: load }, 20_000, {
    maxBatch: 16,
    weight: (tenant) => weights[tenant],
  });
  expect(served.three.records / served.one.records).toBeCloseTo(3, 0);
  expect(served.one.records / served.half.records).toBeCloseTo(2, 0);
});

it("goes on with weights that are none", async () => {
  const load = { sessions: 4, inFlight: 1, cost: 16 };
  const weights: Record<string, number> = { nothing: Number.NaN, negative: -1, zero: 0 };
  const served = await simulate({ nothing: load, negative: load, zero: load }, 2_000, {
    maxBatch: 2,
    weight: (tenant) => weights[tenant],
  });
  for (const { records } of Object.values(served)) expect(records).toBeGreaterThan(0);
});

describe("Shares", () => {
  class Member implements Sharing<Member> {
    previous: Member | null = null;
    next: Member | null = null;
    constructor(
      readonly name: string,
      readonly share: Share<Member>,
      readonly cost = 1,
    ) {}
  }

  it("serves members of one tenant in the order of their coming, and lets any of them leave", () => {
    const shares = new Shares<Member>();
    const share = new TenantShare<Member>("t", 1);
    const members = ["a", "b", "c", "d"].map((name) => new Member(name, share));
    for (const member of members) shares.add(member);
    shares.remove(members[1]);
    shares.remove(members[3]);
    expect([shares.take()?.name, shares.take()?.name, shares.take(), shares.size]).toEqual(["a", "c", null, 0]);
  });

  it("keeps no credit of a tenant with nothing to do, and charges nobody who is alone", () => {
    const shares = new Shares<Member>();
    const [one, other] = [new TenantShare<Member>("one", 1), new TenantShare<Member>("other", 1)];
    for (let i = 0; i < 100; i++) shares.add(new Member(`one ${i}`, one, 16));
    for (let i = 0; i < 50; i++) shares.take();
    expect(one.credit).toBe(0);
    for (let i = 0; i < 4; i++) shares.add(new Member(`other ${i}`, other, 16));
    const names = Array.from({ length: 6 }, () => shares.take()?.share.tenant);
    expect(names.filter((name) => name === "other")).toHaveLength(3);
    while (shares.take() !== null);
    expect([one.credit, other.credit]).toEqual([0, 0]);
    const rich = new TenantShare<Member>("rich", 3);
    shares.add(new Member("rich", rich));
    shares.add(new Member("one", one));
    expect(shares.take()?.name).toBe("rich");
    expect([rich.credit, rich.begun]).toEqual([0, false]);
  });
});
