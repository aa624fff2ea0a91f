import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundaryColumns, boundaryTexts } from "./boundary.js";
import { Sessionizer, type SessionizerOptions, sessionize, sessionKey } from "./sessionizer.js";

const ids = (options: SessionizerOptions, rows: [key: string, time: number][]) => {
  const sessionizer = new Sessionizer(options);
  return rows.map(([key, time]) => sessionizer.push(key, time).session);
};

/** Events of a few keys, some made to look like sessions' names; times mostly rise. */
const eventsArbitrary = fc.array(
  fc.tuple(
    fc.constantFrom("a", "b", "a#0", "a#1", "#", ""),
    fc.integer({ min: 0, max: 300 }),
    fc.constantFrom("", "x", "y", "LOGIN"),
    fc.constantFrom("", "1", "2"),
  ),
  { maxLength: 60 },
);
const optionsArbitrary = fc.record({
  idleMs: fc.option(fc.integer({ min: 0, max: 50 })),
  maxSteps: fc.option(fc.integer({ min: 1, max: 4 })),
  maxKeys: fc.integer({ min: 1, max: 6 }),
  marker: fc.constantFrom(null, { column: "event", value: "LOGIN" }),
  changed: fc.constantFrom([], ["device"], ["device", "event"]),
});

/** The cells that rules read of an event and a device. */
const textsOf = (options: SessionizerOptions, event: string, device: string) => boundaryTexts(options, { event, device });

describe("Sessionizer", () => {
  it("cuts by key, by idle gap, and by steps", () => {
    expect(
      ids({}, [
        ["a", 0],
        ["b", 1],
        ["a", 1e9],
      ]),
    ).toEqual(["a#0", "b#0", "a#0"]);
    expect(
      ids({ idleMs: 10 }, [
        ["a", 0],
        ["b", 5],
        ["a", 10],
        ["a", 21],
        ["b", 15],
      ]),
    ).toEqual(["a#0", "b#0", "a#0", "a#1", "b#0"]);
    expect(
      ids({ maxSteps: 2 }, [
        ["a", 0],
        ["a", 0],
        ["b", 0],
        ["a", 0],
      ]),
    ).toEqual(["a#0", "a#0", "b#0", "a#1"]);
  });

  it("counts the gap from the latest time, so that a straggler ends nothing", () => {
    expect(
      ids({ idleMs: 30 }, [
        ["a", 100],
        ["a", 50],
        ["a", 120],
        ["a", 151],
      ]),
    ).toEqual(["a#0", "a#0", "a#0", "a#1"]);
  });

  it("forgets the key that was silent longest, says so, and never uses a name twice", () => {
    const sessionizer = new Sessionizer({ maxKeys: 2 });
    const pushed = ["a", "b", "a", "c", "b", "a"].map((key) => sessionizer.push(key, 0).session);
    // c drives b out, b (as b#1) drives a out, a (as a#1) drives c out.
    expect(pushed).toEqual(["a#0", "b#0", "a#0", "c#0", "b#1", "a#1"]);
    expect(sessionizer.forgotten).toBe(3);
  });

  it("names each session once, starts each once, and keeps its memory, for any keys and options", () => {
    fc.assert(
      fc.property(eventsArbitrary, optionsArbitrary, (events, options) => {
        const sessionizer = new Sessionizer(options);
        const keyOf = new Map<string, string>();
        const steps = new Map<string, number>();
        for (const [key, time, event, device] of events) {
          const { session, starts } = sessionizer.push(key, time, textsOf(options, event, device));
          expect(starts).toBe(!keyOf.has(session));
          expect(keyOf.get(session) ?? key).toBe(key);
          expect(session.slice(0, session.lastIndexOf("#"))).toBe(key);
          keyOf.set(session, key);
          steps.set(session, (steps.get(session) ?? 0) + 1);
          expect(steps.get(session)).toBeLessThanOrEqual(options.maxSteps ?? Number.POSITIVE_INFINITY);
        }
        expect(sessionizer.toJSON().open.length).toBeLessThanOrEqual(options.maxKeys);
      }),
    );
  });

  it("goes on from its JSON as if it had not stopped", () => {
    fc.assert(
      fc.property(eventsArbitrary, optionsArbitrary, (events, options) => {
        let restored = new Sessionizer(options);
        const sessionizer = new Sessionizer(options);
        for (const [key, time, ...cells] of events) {
          const texts = textsOf(options, ...cells);
          expect(restored.push(key, time, texts)).toEqual(sessionizer.push(key, time, texts));
          restored = Sessionizer.fromJSON(JSON.parse(JSON.stringify(restored)));
        }
        expect(restored.toJSON()).toEqual(sessionizer.toJSON());
      }),
    );
  });

  it("does without times where no gap ends a session", () => {
    expect(
      ids({}, [
        ["a", Number.NaN],
        ["a", Number.NaN],
      ]),
    ).toEqual(["a#0", "a#0"]);
    expect(Sessionizer.fromJSON(JSON.parse(JSON.stringify(new Sessionizer()))).toJSON().open).toEqual([]);
    expect(() => new Sessionizer({ idleMs: 5 }).push("a", Number.NaN)).toThrow(/OST_RECORD/);
  });

  it("refuses options and JSON out of range", () => {
    for (const options of [
      { idleMs: -1 },
      { idleMs: Number.NaN },
      { maxSteps: 0 },
      { maxSteps: 1.5 },
      { maxKeys: 0 },
      { maxKeys: 1e9 },
      { marker: { column: "event", value: "" } },
      { marker: { column: "event", value: "NA" } },
      { marker: { column: "", value: "x" } },
      { changed: ["a", "a"] },
      { changed: [""] },
    ]) {
      expect(() => new Sessionizer(options), JSON.stringify(options)).toThrow(/OST_RANGE/);
    }
    const sessionizer = new Sessionizer();
    sessionizer.push("a", 0);
    const json = sessionizer.toJSON();
    const [open] = json.open;
    const broken = [
      null,
      { ...json, idleMs: "1" },
      { ...json, maxKeys: 0 },
      { ...json, open: [open, open] },
      { ...json, maxKeys: 1, open: [open, { ...open, key: "b" }] },
      { ...json, open: [{ ...open, number: -1 }] },
      { ...json, open: [{ ...open, key: 3 }] },
      { ...json, firstNumber: null },
      { ...json, marker: { column: "event", value: 3 } },
      { ...json, marker: [] },
      { ...json, changed: "event" },
      { ...json, open: [{ ...open, texts: [1] }] },
    ];
    const { marker: _, changed: __, ...old } = json;
    expect(Sessionizer.fromJSON({ ...old, open: [{ key: "a", number: 0, steps: 1, time: 0 }] }).toJSON()).toEqual(json);
    for (const one of broken) expect(() => Sessionizer.fromJSON(one), JSON.stringify(one)).toThrow(/OST_MODEL_FILE/);
  });
});

describe("sessionKey", () => {
  it("differs for different cells", () => {
    const cell = fc.string({ unit: fc.constantFrom("a", "|", "\\", "#") });
    fc.assert(
      fc.property(fc.tuple(cell, cell), fc.tuple(cell, cell), (a, b) => {
        expect(sessionKey(a) === sessionKey(b)).toBe(a[0] === b[0] && a[1] === b[1]);
      }),
      { numRuns: 2000 },
    );
    expect(sessionKey(["a|b"])).toBe("a|b");
  });
});

describe("sessionize", () => {
  it("gives a table's rows the sessions a stream gives them", () => {
    fc.assert(
      fc.property(eventsArbitrary, optionsArbitrary, (events, options) => {
        const named = events.map(([key, ...rest]) => [key || "x", ...rest] as const);
        const stream = new Sessionizer(options);
        const pushed = named.map(([key, time, ...cells]) => stream.push(key, time, textsOf(options, ...cells)));
        const columns = { event: named.map(([, , event]) => event), device: named.map(([, , , device]) => device) };
        const { session, starts, sessions, forgotten } = sessionize(
          {
            rows: named.length,
            keys: [named.map(([key]) => key)],
            time: named.map(([, time]) => time),
            cells: boundaryColumns(options).map((column) => columns[column as "event"]),
          },
          options,
        );
        expect(session).toEqual(pushed.map((row) => row.session));
        expect([...starts]).toEqual(pushed.map((row) => (row.starts ? 1 : 0)));
        expect(sessions).toBe(new Set(session).size);
        expect(forgotten).toBe(stream.forgotten);
      }),
    );
  });

  it("joins several key columns, and does without any", () => {
    const keys = [
      ["u", "u", "v"],
      ["x", "y", "x"],
    ];
    expect(sessionize({ rows: 3, keys, time: null }, {}).session).toEqual(["u|x#0", "u|y#0", "v|x#0"]);
    expect(sessionize({ rows: 3, keys: [], time: [0, 1, 9] }, { idleMs: 5 }).session).toEqual(["all#0", "all#0", "all#1"]);
  });

  it("names the row that lacks something", () => {
    const where = (i: number) => `log.csv row ${i + 1}`;
    expect(() => sessionize({ rows: 2, keys: [["a", ""]], time: null }, {}, where)).toThrow(/OST_MISSING {2}log.csv row 2/);
    const noTime = () => sessionize({ rows: 2, keys: [["a", "a"]], time: [1, Number.NaN] }, { idleMs: 1 }, where);
    expect(noTime).toThrow(/OST_RECORD {2}log.csv row 2/);
    expect(() => sessionize({ rows: 1, keys: [["a"]], time: null }, { idleMs: 1 })).toThrow(/OST_CONFIG/);
    expect(() => sessionize({ rows: 1, keys: [["a"]], time: null }, { changed: ["device"] })).toThrow(/OST_CONFIG.*device/s);
  });
});
