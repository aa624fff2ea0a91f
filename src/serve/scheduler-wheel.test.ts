import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Due, Wheel } from "./scheduler-wheel.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("Wheel", () => {
  it("calls every item back once, never early, at most two ticks late, and none that left", async () => {
    const items = fc.array(fc.record({ after: fc.integer({ min: 0, max: 20_000 }), leaves: fc.boolean() }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(items, fc.nat(4000), async (wanted, pause) => {
        const called: { due: number; late: number }[] = [];
        const wheel = new Wheel<Due>(
          () => performance.now(),
          ({ due }) => called.push({ due, late: performance.now() - due }),
        );
        await vi.advanceTimersByTimeAsync(pause);
        const added = wanted.map(({ after, leaves }) => ({ item: { due: performance.now() + after, slot: -1 }, leaves }));
        for (const { item } of added) wheel.add(item);
        for (const { item, leaves } of added) if (leaves) wheel.remove(item);
        await vi.advanceTimersByTimeAsync(20_100);
        const stayed = added.filter(({ leaves }) => !leaves).map(({ item }) => item.due);
        expect(called.map(({ due }) => due).sort()).toEqual(stayed.sort());
        expect(called.every(({ late }) => late >= 0 && late <= 20)).toBe(true);
        expect([wheel.size, vi.getTimerCount()]).toEqual([0, 0]);
      }),
      { numRuns: 40 },
    );
  });

  it("finds everything due after a clock that leapt by hours", async () => {
    let now = 0;
    const called: number[] = [];
    const wheel = new Wheel<Due>(
      () => now,
      ({ due }) => called.push(due),
    );
    for (const due of [5, 3000, 60_000, 8_000_000]) wheel.add({ due, slot: -1 });
    now = 7_200_000;
    await vi.advanceTimersByTimeAsync(20);
    expect(called.sort((a, b) => a - b)).toEqual([5, 3000, 60_000]);
    wheel.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
