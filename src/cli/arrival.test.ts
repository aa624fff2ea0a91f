import { describe, expect, it } from "vitest";
import { parseArrivals } from "./arrival.js";

describe("recorded arrivals", () => {
  const expected = {
    sessions: 2,
    arrivals: [
      { at: 0, session: 1, steps: 1 },
      { at: 500, session: 0, steps: 3 },
      { at: 2000, session: 1, steps: 2 },
    ],
  };

  it("are read from CSV and NDJSON alike, put in order, and begin at 0", () => {
    const csv = "session,time,steps\na,10.5,3\nb,10,\n\nb,12,2\n";
    expect(parseArrivals(csv, "x")).toEqual(expected);
    const lines = [
      { time: 10.5, session: "a", steps: 3 },
      { time: "1970-01-01T00:00:10Z", session: "b" },
      { time: 12, session: "b", steps: 2 },
    ];
    expect(parseArrivals(lines.map((line) => JSON.stringify(line)).join("\n"), "x")).toEqual(expected);
  });

  it.each([
    ["", "OST_COLUMN"],
    ["time,session\n", "OST_FILE"],
    ["when,session\n1,a", "OST_COLUMN"],
    ["time,session\nsoon,a", "OST_VALUE.*line 2"],
    ["time,session\n1,", "OST_VALUE.*line 2.*session"],
    ["time,session,steps\n1,a,0", "OST_VALUE.*line 2.*steps"],
    ['{"time": 1, "session": "a"}\n{', "OST_FORMAT.*line 2"],
  ])("of %j are refused", (text, error) => {
    expect(() => parseArrivals(text, "x")).toThrow(new RegExp(error, "s"));
  });
});
