import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import { checkLimits, type LimitConfiguration, TenantLimits, TokenBucket } from "./limits.js";

function harness(limits: LimitConfiguration, maxTenants?: number) {
  const clock = { now: 1_000 };
  return { clock, limits: new TenantLimits({ limits, maxTenants, now: () => clock.now }) };
}

describe("TenantLimits", () => {
  it("limits nothing but live sessions unless told to", () => {
    const { limits } = harness({});
    expect(limits.take("acme", { steps: 1e15, creates: 1e15, bytes: 1e15 })).toBeNull();
    expect(limits.liveSessions("acme")).toBe(100_000);
    expect(limits.weight("acme")).toBe(1);
    expect(limits.remembered).toBe(0);
  });

  it("gives a burst, then the rate, and says when to come again", () => {
    const { limits, clock } = harness({ all: { stepsPerSecond: 100, burstSeconds: 2 } });
    expect(limits.take("acme", { steps: 200 })).toBeNull();
    expect(limits.take("acme", { steps: 50 })).toEqual({ retryAfterMs: 500, what: "steps", limit: 100 });
    clock.now += 499;
    expect(limits.take("acme", { steps: 50 })).toEqual({ retryAfterMs: 1, what: "steps", limit: 100 });
    clock.now += 1;
    expect(limits.take("acme", { steps: 50 })).toBeNull();
    expect(limits.take("other", { steps: 200 })).toBeNull();
  });

  it("takes all of a demand or nothing of it, and names what takes longest", () => {
    const { limits } = harness({ all: { stepsPerSecond: 10, createsPerSecond: 1, bytesPerSecond: 1000 } });
    expect(limits.take("acme", { creates: 1 })).toBeNull();
    for (let i = 0; i < 20; i++) {
      expect(limits.take("acme", { steps: 10, creates: 1, bytes: 1000 })).toEqual({
        retryAfterMs: 1000,
        what: "creates",
        limit: 1,
      });
    }
    expect(limits.take("acme", { steps: 10, bytes: 1000 })).toBeNull();
  });

  it("does not refuse what uses nothing of an exhausted rate", () => {
    const { limits } = harness({ all: { stepsPerSecond: 1, bytesPerSecond: 10 } });
    expect(limits.take("acme", { steps: 100 })).toBeNull();
    expect(limits.take("acme", { steps: 1 })?.what).toBe("steps");
    expect(limits.take("acme", { bytes: 5 })).toBeNull();
    expect(limits.take("acme", {})).toBeNull();
  });

  it("lets a request larger than a bucket pass a full one, and holds the rate by its debt", () => {
    const { limits, clock } = harness({ all: { stepsPerSecond: 10 } });
    expect(limits.take("acme", { steps: 50 })).toBeNull();
    expect(limits.take("acme", { steps: 1 })).toEqual({ retryAfterMs: 4100, what: "steps", limit: 10 });
    expect(limits.take("acme", { steps: 50 })).toEqual({ retryAfterMs: 5000, what: "steps", limit: 10 });
    clock.now += 5000;
    expect(limits.take("acme", { steps: 50 })).toBeNull();
  });

  it("takes a tenant's own numbers before those of all", () => {
    const { limits } = harness({
      all: { stepsPerSecond: 1, liveSessions: 5 },
      tenants: { acme: { stepsPerSecond: 1000, weight: 3 }, hasOwnProperty: { liveSessions: 0 } },
    });
    expect(limits.take("acme", { steps: 1000 })).toBeNull();
    expect(limits.take("other", { steps: 1 })).toBeNull();
    expect(limits.take("other", { steps: 1 })).not.toBeNull();
    expect([limits.liveSessions("acme"), limits.liveSessions("other"), limits.liveSessions("hasOwnProperty")]).toEqual([5, 5, 0]);
    expect([limits.weight("acme"), limits.weight("toString")]).toEqual([3, 1]);
  });

  it("remembers no more tenants than it may, and forgets idle ones on the way", () => {
    const { limits, clock } = harness({ all: { stepsPerSecond: 1 } }, 100);
    for (let i = 0; i < 1000; i++) {
      limits.take(`t${i}`, { steps: 1 });
      expect(limits.remembered).toBeLessThanOrEqual(100);
    }
    expect(limits.take("t999", { steps: 1 })).not.toBeNull();
    clock.now += 10_000;
    for (let i = 0; i < 100; i++) limits.take(`new ${i}`, { steps: 1 });
    expect(limits.remembered).toBe(100);
    clock.now += 10_000;
    for (let i = 0; i < 90; i++) {
      limits.take(`one ${i % 3}`, { steps: 1 });
      clock.now += 10_000;
    }
    expect(limits.remembered).toBeLessThanOrEqual(97);
  });

  it("never lets more through than burst and rate permit, whatever is asked when", () => {
    const asked = fc.array(fc.record({ pause: fc.nat(3000), steps: fc.integer({ min: 1, max: 20 }) }), { maxLength: 100 });
    fc.assert(
      fc.property(asked, fc.integer({ min: 1, max: 50 }), (requests, rate) => {
        const { limits, clock } = harness({ all: { stepsPerSecond: rate, burstSeconds: 20 } });
        const start = clock.now;
        let taken = 0;
        for (const { pause, steps } of requests) {
          clock.now += pause;
          const excess = limits.take("acme", { steps });
          if (excess === null) taken += steps;
          expect(taken).toBeLessThanOrEqual(rate * 20 + (rate * (clock.now - start)) / 1000 + 20 + 1e-6);
          if (excess === null) continue;
          // What it says of the time is true: not before, and then indeed.
          clock.now += excess.retryAfterMs;
          expect(limits.take("acme", { steps })).toBeNull();
          taken += steps;
        }
      }),
    );
  });
});

describe("TokenBucket", () => {
  it("does not fill by a clock that stands or goes back", () => {
    const bucket = new TokenBucket(10, 10, 1000);
    bucket.take(10, 1000);
    expect(bucket.wait(1, 1000)).toBe(100);
    expect(bucket.wait(1, 500)).toBe(100);
    expect(bucket.wait(1, 1050)).toBe(50);
    expect([bucket.isFull(1999), bucket.isFull(2000)]).toEqual([false, true]);
  });
});

describe("checkLimits", () => {
  it("takes what is right as it is", () => {
    const limits = { all: { stepsPerSecond: 0.5 }, tenants: { acme: { liveSessions: 10, burstSeconds: 5 } } };
    expect(checkLimits(limits)).toEqual(limits);
    expect(checkLimits({})).toEqual({ all: {}, tenants: {} });
  });

  it.each([
    [[], "limits"],
    [null, "limits"],
    [{ every: {} }, "limits.every"],
    [{ all: 5 }, "limits.all"],
    [{ all: { stepPerSecond: 5 } }, "limits.all.stepPerSecond"],
    [{ all: { toString: 5 } }, "limits.all.toString"],
    [{ all: { stepsPerSecond: 0 } }, "limits.all.stepsPerSecond"],
    [{ all: { stepsPerSecond: "5" } }, "limits.all.stepsPerSecond"],
    [{ all: { bytesPerSecond: Number.NaN } }, "limits.all.bytesPerSecond"],
    [{ all: { weight: 1000 } }, "limits.all.weight"],
    [{ tenants: [] }, "limits.tenants"],
    [{ tenants: { acme: { liveSessions: 1.5 } } }, "limits.tenants.acme.liveSessions"],
    [{ tenants: { acme: { createsPerSecond: Number.POSITIVE_INFINITY } } }, "limits.tenants.acme.createsPerSecond"],
  ])("refuses %j and says where", (value, where) => {
    const check = () => checkLimits(value);
    expect(check).toThrow(OstinatoError);
    expect(check).toThrow(expect.objectContaining({ code: "OST_CONFIG", detail: expect.objectContaining({ where }) }));
  });
});
