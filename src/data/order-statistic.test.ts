import fc from "fast-check";
import { expect, it } from "vitest";
import { orderStatistics } from "./order-statistic.js";

it("the value of every rank is that of the sorted column, sorted in memory or searched, alone or among others", () => {
  const columns = fc.array(fc.array(fc.double({ noNaN: true }), { maxLength: 30 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(columns, fc.nat(), fc.constantFrom(0, 5, 40, 1000), (lists, pick, sortedAtOnce) => {
      const scan = (visit: (column: number, value: number) => void) => {
        for (const [c, values] of lists.entries()) for (const value of values) visit(c, value);
      };
      const counts = lists.map(({ length }) => length);
      const ranks = counts.map((n) => (n === 0 ? [] : [0, n - 1, pick % n]));
      const sorted = lists.map((values) => Float64Array.from(values, (value) => value + 0).sort());
      expect(orderStatistics(scan, counts, ranks, { sortedAtOnce })).toEqual(
        ranks.map((list, c) => list.map((rank) => sorted[c][rank])),
      );
    }),
  );
});
