import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseNumber } from "../cell.js";
import {
  boundaryColumns,
  boundaryOf,
  boundaryText,
  boundaryTexts,
  checkedRules,
  laterTexts,
  type SessionRules,
} from "./boundary.js";

/** Reasons for each record of one key, as a stream that begins afresh gives them. */
function reasons(rules: SessionRules, records: readonly Record<string, unknown>[]): string[] {
  let [steps, last, lastTexts]: [number, number, readonly string[]] = [0, 0, []];
  return records.map((record) => {
    const texts = boundaryTexts(rules, record);
    const reason = boundaryOf(rules, { steps, sinceMs: (record.time as number) - last, texts, lastTexts });
    if (reason) [steps, lastTexts] = [0, []];
    steps++;
    last = record.time as number;
    lastTexts = laterTexts(rules, { texts, lastTexts });
    return reason ?? (steps === 1 ? "first" : "-");
  });
}

describe("boundaryOf", () => {
  it("names the first rule that ends a session", () => {
    const rules = checkedRules({ idleMs: 10, maxSteps: 3, marker: { column: "event", value: "LOGIN" }, changed: ["device"] });
    const records = [
      { time: 0, event: "LOGIN", device: "a" },
      { time: 10, event: "view", device: "a" },
      { time: 21, event: "LOGIN", device: "b" },
      { time: 22, event: "LOGIN", device: "c" },
      { time: 23, event: "view", device: "d" },
      { time: 24, event: "view", device: "d" },
      { time: 25, event: "view", device: "d" },
      { time: 26, event: "view", device: "d" },
    ];
    expect(reasons(rules, records)).toEqual(["first", "-", "time_gap", "marker", "changed_column", "-", "-", "length"]);
  });

  it("takes a missing cell for no news, and forgets with the session", () => {
    const rules = checkedRules({ maxSteps: 4, changed: ["device"] });
    const devices = [null, "a", "NA", "a", "b", "", "b", " a ", null, "a"];
    expect(
      reasons(
        rules,
        devices.map((device, time) => ({ time, device })),
      ),
    ).toEqual([...["first", "-", "-", "-", "changed_column", "-", "-", "changed_column", "-", "-"]]);
    expect(
      reasons(checkedRules({ maxSteps: 1, changed: ["device"] }), [
        { time: 0, device: "a" },
        { time: 1, device: "b" },
      ]),
    ).toEqual(["first", "changed_column"]);
  });

  it("finds the marker among the changed columns, and does without times", () => {
    const rules = checkedRules({ idleMs: 5, marker: { column: "b", value: "1.0" }, changed: ["a", "b"] });
    expect(boundaryColumns(rules)).toEqual(["a", "b"]);
    const row = { steps: 1, sinceMs: Number.NaN, lastTexts: ["x", "2"] };
    expect(boundaryOf(rules, { ...row, texts: boundaryTexts(rules, { a: "x", b: 1 }) })).toBe("marker");
    expect(boundaryOf(rules, { ...row, texts: boundaryTexts(rules, { a: "x", b: 2 }) })).toBeNull();
    expect(boundaryOf(rules, { ...row, steps: 0, texts: boundaryTexts(rules, { a: "y", b: 1 }) })).toBeNull();
  });

  it("wants its columns in every record", () => {
    expect(() => boundaryTexts({ changed: ["device"] }, { time: 1 })).toThrow(/OST_RECORD.*"device"/);
    expect(() => boundaryTexts({ changed: ["device"] }, { device: 2 ** 53 })).toThrow(/OST_RECORD.*"device"/);
    expect(boundaryTexts({ idleMs: 5 }, {})).toEqual([]);
  });
});

describe("boundaryText", () => {
  it("is the same for a number however it is written, and for a text with blanks around it", () => {
    expect(["1", "1.0", " 01", "+1", "1e0", 1].map((cell) => boundaryText(cell))).toEqual(new Array(6).fill("1"));
    expect(["-0", 0, -0, "0.0"].map((cell) => boundaryText(cell))).toEqual(new Array(4).fill("0"));
    expect([true, " on ", "LOGIN"].map((cell) => boundaryText(cell))).toEqual(["true", "on", "LOGIN"]);
    expect([null, undefined, Number.NaN, "", " ", "NA", "null", "NaN"].map((cell) => boundaryText(cell))).toEqual(
      new Array(8).fill(""),
    );
    fc.assert(
      fc.property(fc.double({ min: -1e15, max: 1e15, noNaN: true }), (value) => {
        const text = boundaryText(value);
        expect(parseNumber(text)).toBe(value + 0);
        expect(boundaryText(String(value))).toBe(text);
        expect(boundaryText(text)).toBe(text);
      }),
    );
  });

  it("never makes one of two ids that a float would merge", () => {
    const ids = ["9007199254740992", "9007199254740993"];
    expect(ids.map((id) => boundaryText(id))).toEqual(ids);
    for (const wrong of [2 ** 53, Number.POSITIVE_INFINITY, {}, []]) expect(() => boundaryText(wrong)).toThrow(/OST_RECORD/);
  });
});
