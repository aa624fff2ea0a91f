import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AsOf, type AsOfJoinOptions, asOfJoin } from "./as-of.js";
import { columnOf, type Table, tableFromRecords } from "./table.js";

const numbers = (table: Table, name: string) => [...columnOf(table, name).numbers!];
const trades = tableFromRecords([
  { time: 10, who: "a", price: 1 },
  { time: 5, who: "b", price: 2 },
  { time: 20, who: "a", price: 3 },
  { time: 4, who: "a", price: 4 },
  { time: 20, who: "", price: 5 },
]);
const quotes = tableFromRecords([
  { at: 20, who: "a", bid: 300, note: "late" },
  { at: 5, who: "a", bid: 100, note: "x" },
  { at: 5, who: "b", bid: 200, note: "" },
  { at: 5, who: "a", bid: 101, note: "again" },
  { at: 1, who: "", bid: 999, note: "nobody" },
]);
const join = (more: Partial<AsOfJoinOptions> = {}) =>
  asOfJoin(trades, quotes, { time: "time", rightTime: "at", by: "who", ...more });

describe("asOfJoin", () => {
  it("takes the latest right row of the key at or before the time, the last of equal ones, in the order of the left rows", () => {
    const joined = join({ age: true, prefix: "quote." });
    expect(joined.columns.map(({ name }) => name)).toEqual(["time", "who", "price", "quote.bid", "quote.note", "quote.age"]);
    expect(numbers(joined, "quote.bid")).toEqual([101, 200, 300, Number.NaN, Number.NaN]);
    expect(columnOf(joined, "quote.note").texts).toEqual(["again", "", "late", "", ""]);
    expect(numbers(joined, "quote.age")).toEqual([5, 0, 0, Number.NaN, Number.NaN]);
    expect([joined.rows, joined.source, joined.files]).toEqual([5, trades.source, trades.files]);
  });

  it("leaves out what is too old, and on request what is of the very time", () => {
    expect(numbers(join({ toleranceMs: 4999 }), "bid")).toEqual([Number.NaN, 200, 300, Number.NaN, Number.NaN]);
    expect(numbers(join({ toleranceMs: 5000 }), "bid")).toEqual([101, 200, 300, Number.NaN, Number.NaN]);
    expect(numbers(join({ allowExact: false }), "bid")).toEqual([101, Number.NaN, 101, Number.NaN, Number.NaN]);
  });

  it("gives every left row the same source without a key", () => {
    const joined = asOfJoin(trades, quotes, { time: "time", rightTime: "at", columns: ["bid"] });
    expect(numbers(joined, "bid")).toEqual([101, 101, 300, 999, 300]);
  });

  it("keeps keys apart as text", () => {
    const left = tableFromRecords(
      [
        { time: 1, id: "9007199254740993" },
        { time: 1, id: "007" },
      ],
      { text: ["id"] },
    );
    const right = tableFromRecords(
      [
        { time: 1, id: "9007199254740992", v: 1 },
        { time: 1, id: "7", v: 2 },
      ],
      { text: ["id"] },
    );
    expect(numbers(asOfJoin(left, right, { time: "time", by: "id" }), "v")).toEqual([Number.NaN, Number.NaN]);
    const lost = { ...right, columns: right.columns.map((column) => ({ ...column, texts: null })) };
    expect(() => asOfJoin(left, lost, { time: "time", by: "id" })).toThrow(/OST_VALUE.*records row 1.*lost digits/);
  });

  it("refuses names that occur twice, columns and times that are not there", () => {
    expect(() => join({ columns: ["who"] })).toThrow(/OST_COLUMN.*name of another.*"who"/);
    expect(() => join({ columns: ["bit"] })).toThrow(/OST_COLUMN.*as-of join[\s\S]*"bid"/);
    expect(() => asOfJoin(trades, quotes, { time: "time", columns: ["bid"] })).toThrow(/OST_COLUMN.*time/);
    expect(() => join({ toleranceMs: -1 })).toThrow(/OST_RANGE.*tolerance/);
    expect(() => asOfJoin(trades, tableFromRecords([{ time: null, v: 1 }]), { time: "time" })).toThrow(/OST_VALUE.*not a time/);
  });
});

const events = fc.array(
  fc.record({
    time: fc.integer({ min: 0, max: 30 }),
    who: fc.constantFrom("a", "b", "c"),
    v: fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
  }),
  { minLength: 1, maxLength: 40 },
);
const options = fc.record({
  toleranceMs: fc.option(fc.integer({ min: 0, max: 20_000 }), { nil: undefined }),
  allowExact: fc.boolean(),
});

describe("laws of as-of", () => {
  it("equals the search through all right rows, and never takes one that is later", () => {
    fc.assert(
      fc.property(events, events, options, (left, right, more) => {
        const joined = asOfJoin(tableFromRecords(left), tableFromRecords(right), {
          time: "time",
          by: "who",
          prefix: "r.",
          age: true,
          ...more,
        });
        const [values, ages] = [numbers(joined, "r.v"), numbers(joined, "r.age")];
        left.forEach(({ time, who }, i) => {
          let best = -1;
          right.forEach((other, j) => {
            const before = more.allowExact ? other.time <= time : other.time < time;
            if (other.who === who && before && (best < 0 || other.time >= right[best].time)) best = j;
          });
          const fits = best >= 0 && (time - right[best].time) * 1000 <= (more.toleranceMs ?? Number.POSITIVE_INFINITY);
          expect(values[i]).toBe(fits ? right[best].v + 0 : Number.NaN);
          expect(ages[i]).toBe(fits ? time - right[best].time : Number.NaN);
        });
      }),
    );
  });

  it("is the same, bit for bit, as a stream of updates and lookups", () => {
    fc.assert(
      fc.property(events, events, options, (left, right, more) => {
        const joined = asOfJoin(tableFromRecords(left), tableFromRecords(right), {
          time: "time",
          by: "who",
          prefix: "r.",
          ...more,
        });
        const stream = new AsOf<number>(more);
        const arrivals = [
          ...right.map(({ time, who, v }) => ({ time, act: () => stream.update(who, time * 1000, v + 0) })),
          ...left.map(({ time, who }, i) => ({
            time,
            act: () => {
              pushed[i] = stream.lookup(who, time * 1000)?.value ?? Number.NaN;
            },
          })),
        ].sort((a, b) => a.time - b.time);
        const pushed = new Float64Array(left.length);
        for (const { act } of arrivals) act();
        expect(new BigInt64Array(pushed.buffer)).toEqual(new BigInt64Array(columnOf(joined, "r.v").numbers!.slice().buffer));
      }),
    );
  });

  it("answers exactly or refuses, in whatever order updates come", () => {
    let refused = 0;
    fc.assert(
      fc.property(events, fc.integer({ min: 0, max: 30 }), options, (updates, time, more) => {
        const asOf = new AsOf<number>(more);
        for (const { time: at, who, v } of updates) asOf.update(who, at, v);
        const before = updates.filter((one) => one.who === "a" && (more.allowExact ? one.time <= time : one.time < time));
        const latest = before.reduce((best, one) => Math.max(best, one.time), -1);
        const expected = before.filter((one) => one.time === latest).at(-1);
        try {
          const found = asOf.lookup("a", time);
          expect(found?.value).toBe(expected && time - latest <= (more.toleranceMs ?? 1e9) ? expected.v : undefined);
        } catch (error) {
          expect(String(error)).toMatch(/OST_ORDER.*reaches back/);
          refused++;
        }
      }),
    );
    expect(refused).toBeGreaterThan(0);
    expect(() => new AsOf().update("a", Number.NaN, 1)).toThrow(/OST_VALUE.*not a time/);
  });
});
