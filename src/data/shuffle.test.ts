import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ExampleOrder } from "./shuffle.js";

const sizes = fc.record({
  count: fc.integer({ min: 1, max: 700 }),
  buffer: fc.integer({ min: 1, max: 300 }),
  size: fc.integer({ min: 1, max: 50 }),
  start: fc.integer(),
});

describe("the order of an epoch", () => {
  it("holds each example once, and is the same for the same seed", () => {
    fc.assert(
      fc.property(sizes, ({ count, buffer, size, start }) => {
        const pass = () => {
          const order = new ExampleOrder(count, { rng: seed(start), buffer });
          const seen: number[] = [];
          while (order.left > 0) seen.push(...order.next(size));
          return seen;
        };
        const seen = pass();
        expect(pass()).toEqual(seen);
        expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      }),
    );
  });

  it("can be entered anywhere", () => {
    fc.assert(
      fc.property(sizes, fc.nat({ max: 800 }), ({ count, buffer, size, start }, skipped) => {
        const whole = [...new ExampleOrder(count, { rng: seed(start), buffer }).next(count)];
        const order = new ExampleOrder(count, { rng: seed(start), buffer });
        order.skip(skipped);
        const rest: number[] = [];
        while (order.left > 0) rest.push(...order.next(size));
        expect(rest).toEqual(whole.slice(skipped));
      }),
    );
  });

  it("is a plain shuffle up to the buffer's size, and leaves the generator as that does", () => {
    const [rng, plain] = [seed(5), seed(5)];
    const order = new ExampleOrder(100, { rng, buffer: 100 });
    expect([...order.next(100)]).toEqual(plain.shuffle(Array.from({ length: 100 }, (_, i) => i)));
    expect(rng.state).toEqual(plain.state);
    expect([...new ExampleOrder(5).next(9)]).toEqual([0, 1, 2, 3, 4]);
  });

  it("beyond the buffer brings every example to every place about as often, within a few", () => {
    const [count, buffer, rounds] = [256, 64, 4000];
    const sums = new Float64Array(count);
    for (let round = 0; round < rounds; round++)
      new ExampleOrder(count, { rng: seed(round), buffer }).next(count).forEach((example, place) => {
        sums[example] += place;
      });
    const expected = (count - 1) / 2;
    const deviation = Math.sqrt((count * count - 1) / 12 / rounds);
    for (const sum of sums) expect(Math.abs(sum / rounds - expected)).toBeLessThan(5 * deviation);
  });

  it("keeps the examples of a block within one pool", () => {
    const buffer = 640;
    const order = [...new ExampleOrder(6400, { rng: seed(1), buffer }).next(6400)];
    const poolOf = new Map<number, number>();
    order.forEach((example, place) => {
      const block = Math.floor(example / 10);
      const pool = Math.floor(place / buffer);
      expect(poolOf.get(block) ?? pool).toBe(pool);
      poolOf.set(block, pool);
    });
  });

  it("refuses a buffer of no size, and more examples than it can number", () => {
    for (const buffer of [0, 1.5, Number.NaN]) expect(() => new ExampleOrder(3, { rng: seed(0), buffer })).toThrow(/OST_RANGE/);
    expect(() => new ExampleOrder(2 ** 31)).toThrow(/OST_RANGE/);
  });
});
