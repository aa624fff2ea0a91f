import fc from "fast-check";
import { expect, it } from "vitest";
import { orderStatistics } from "./order-statistic.js";

it("the value of every rank is that of the sorted column", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true }), { minLength: 1, maxLength: 40 }), fc.nat(), (values, pick) => {
      const column = values.map((value) => value + 0);
      const sorted = Float64Array.from(column).sort();
      const ranks = [0, column.length - 1, pick % column.length];
      const [found] = orderStatistics(
        (visit) => {
          for (const value of column) visit(0, value);
        },
        [ranks],
      );
      expect(found).toEqual(ranks.map((rank) => sorted[rank]));
    }),
  );
});

it("columns do not mix", () => {
  const columns = [
    [3, -1, 2],
    [10, 30, 20],
  ];
  const scan = (visit: (column: number, value: number) => void) => {
    for (const [c, values] of columns.entries()) for (const value of values) visit(c, value);
  };
  expect(orderStatistics(scan, [[1], [0, 2]])).toEqual([[2], [10, 30]]);
});
