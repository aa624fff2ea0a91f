import { describe, expect, it } from "vitest";
import { OneHot } from "./one-hot.js";

const named = (name: string, ...codes: string[]) => ({ name, size: codes.length, nameOf: (code: number) => codes[code] });
const push = (transform: OneHot, ...values: number[]) => [
  ...transform.push({ time: 5, values: Float64Array.from(values) })[0].values,
];

describe("OneHot", () => {
  it("takes the columns of codes out and puts a column per code behind all others", () => {
    const transform = new OneHot(
      ["load", "event", "host", "time.delta"],
      [named("event", "?", "up", "down"), named("host", "?", "a")],
    );
    expect(transform.outputs).toEqual(["load", "time.delta", "event=?", "event=up", "event=down", "host=?", "host=a"]);
    expect(push(transform, 0.5, 2, 1, 9)).toEqual([0.5, 9, 0, 0, 1, 0, 1]);
    expect(push(transform, 0.5, 1, 0, 9)).toEqual([0.5, 9, 0, 1, 0, 1, 0]);
  });

  it("takes a code outside its range for 0", () => {
    const transform = new OneHot(["event"], [named("event", "?", "up")]);
    for (const code of [2, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) expect(push(transform, code)).toEqual([1, 0]);
  });

  it("keeps names apart where two codes are called the same", () => {
    const transform = new OneHot(["event"], [named("event", "?", "up", "up", "up#2")]);
    expect(transform.outputs).toEqual(["event=?", "event=up", "event=up#2", "event=up#2#3"]);
    expect(OneHot.fromJSON(transform.toJSON(), ["event"]).outputs).toEqual(transform.outputs);
  });

  it("refuses what is not there, twice there, or too large", () => {
    expect(() => new OneHot(["a"], [named("b", "?")])).toThrow(/OST_COLUMN/);
    expect(() => new OneHot(["a"], [named("a", "?"), named("a", "?")])).toThrow(/OST_COLUMN/);
    expect(() => new OneHot(["a"], [{ name: "a", size: 5000, nameOf: String }])).toThrow(/OST_RANGE/);
    expect(() => new OneHot(["a"], [{ name: "a", size: 0, nameOf: String }])).toThrow(/OST_RANGE/);
  });
});
