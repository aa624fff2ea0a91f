import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { CALENDAR_PARTS, Calendar } from "../calendar.js";
import { OneHot } from "../one-hot.js";
import type { Row } from "../record.js";
import { runTransform, type Transform } from "../transform.js";
import { Position } from "./position.js";
import { RunningCount } from "./running-count.js";
import { TimeDelta } from "./time-delta.js";

const INPUTS = ["load", "event", "host"];

interface Kind {
  name: string;
  make: () => Transform;
  read: (json: Record<string, unknown>, inputs: readonly string[]) => Transform;
  /** JSON of a stranger, each in one thing not what toJSON writes. */
  malformed: Record<string, unknown>[];
}

const KINDS: Kind[] = [
  {
    name: "TimeDelta",
    make: () => new TimeDelta(INPUTS, { bins: 5, firstEdge: 0.25 }),
    read: TimeDelta.fromJSON,
    malformed: [
      { bins: 1 },
      { bins: 2.5 },
      { bins: 1e9 },
      { bins: "5" },
      { firstEdge: 0 },
      { firstEdge: -1 },
      { firstEdge: null },
    ],
  },
  { name: "Position", make: () => new Position(INPUTS), read: Position.fromJSON, malformed: [] },
  {
    name: "RunningCount",
    make: () =>
      new RunningCount(INPUTS, {
        codes: [
          { column: "event", size: 4, seen: [{ code: 3, name: "halt" }] },
          { column: "host", size: 2 },
        ],
        numbers: ["load"],
      }),
    read: RunningCount.fromJSON,
    malformed: [
      { codes: {} },
      { codes: [{ column: "event", size: 1e12, seen: [] }] },
      {
        codes: [
          { column: "event", size: 60_000, seen: [] },
          { column: "host", size: 60_000, seen: [] },
        ],
      },
      { codes: [{ column: "nowhere", size: 4, seen: [] }] },
      { codes: [{ column: "event", size: 4, seen: [{ code: 4, name: "x" }] }] },
      { codes: [{ column: "event", size: 4, seen: [{ code: 1 }] }] },
      {
        codes: [
          { column: "event", size: 4, seen: [] },
          { column: "event", size: 4, seen: [] },
        ],
      },
      { numbers: ["nowhere"] },
      { numbers: 3 },
    ],
  },
  {
    name: "Calendar",
    make: () => new Calendar(INPUTS, { parts: CALENDAR_PARTS, zone: "Europe/Berlin" }),
    read: Calendar.fromJSON,
    malformed: [
      { parts: [] },
      { parts: ["hourOfDay", "hourOfDay"] },
      { parts: ["century"] },
      { zone: "Mars/Olympus" },
      { zone: 3 },
      { zone: "x".repeat(1e6) },
    ],
  },
  {
    name: "OneHot",
    make: () =>
      new OneHot(INPUTS, [
        { name: "event", size: 4, nameOf: (code) => ["?", "start", "stop", "halt"][code] },
        { name: "host", size: 2, nameOf: (code) => String(code) },
      ]),
    read: OneHot.fromJSON,
    malformed: [
      { columns: null },
      { columns: [{ name: "nowhere", codes: ["?"] }] },
      { columns: [{ name: "event", codes: [] }] },
      { columns: [{ name: "event", codes: new Array(5000).fill("x") }] },
      { columns: [{ name: "event", codes: [1] }] },
      {
        columns: [
          { name: "event", codes: ["?"] },
          { name: "event", codes: ["?"] },
        ],
      },
    ],
  },
];

/** Rows with rising times (some equal to a day's jump, some NaN), values that may be missing, and codes that may lie outside. */
const rowsArbitrary = fc
  .array(
    fc.record({
      gapMs: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 2 ** 31 }), fc.constant(Number.NaN)),
      load: fc.oneof(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.constant(0), fc.constant(Number.NaN)),
      event: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 3 }) }, fc.constantFrom(-1, 4, 1.5, Number.NaN)),
      host: fc.integer({ min: 0, max: 1 }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((cells) => {
    let time = 1_700_000_000_123;
    return cells.map(({ gapMs, load, event, host }): Row => {
      if (!Number.isNaN(gapMs)) time += gapMs;
      return { time: Number.isNaN(gapMs) ? Number.NaN : time, values: Float64Array.of(load, event, host) };
    });
  });

const copy = ({ time, values }: Row): Row => ({ time, values: values.slice() });

function stepwise(transform: Transform, rows: readonly Row[], again?: () => Transform): number[] {
  let current = transform;
  const at = 3;
  let state = new Float64Array(transform.stateSize + 5).fill(77);
  current.initialize(state, at);
  const out: number[] = [];
  for (const row of rows) {
    for (const made of current.push(copy(row), state, at)) out.push(made.time, ...made.values);
    if (again) {
      state = new Float64Array(new Uint8Array(state.buffer.slice(0)).buffer);
      current = again();
    }
  }
  expect([...state.subarray(0, at), ...state.subarray(at + transform.stateSize)]).toEqual([77, 77, 77, 77, 77]);
  return out;
}

describe.each(KINDS)("$name", ({ make, read, malformed }) => {
  it("gives the same bits for a whole series, row by row, and restored from a copied state and JSON after each row", () => {
    fc.assert(
      fc.property(rowsArbitrary, (rows) => {
        const transform = make();
        const whole = runTransform(
          transform,
          {
            count: rows.length,
            width: INPUTS.length,
            time: Float64Array.from(rows, ({ time }) => time),
            values: Float64Array.from(rows.flatMap(({ values }) => [...values])),
          },
          null,
        );
        const flat = rows.flatMap((_, i) => [
          whole.time[i],
          ...whole.values.subarray(i * transform.outputs.length, (i + 1) * transform.outputs.length),
        ]);
        expect(whole.count).toBe(rows.length);
        expect(stepwise(transform, rows)).toEqual(flat);
        const again = () => read(JSON.parse(JSON.stringify(transform.toJSON())) as Record<string, unknown>, INPUTS);
        expect(stepwise(again(), rows, again)).toEqual(flat);
      }),
    );
  });

  it("puts out one finite value per name behind what it does not touch, and looks at no later row", () => {
    fc.assert(
      fc.property(rowsArbitrary, fc.nat(), (rows, seed) => {
        const transform = make();
        const before = 1 + (seed % rows.length);
        const width = 1 + transform.outputs.length;
        const changed = rows.map((row, i) => (i < before ? row : { time: row.time, values: row.values.map(() => 1) }));
        const out = stepwise(transform, rows);
        expect(out).toHaveLength(rows.length * width);
        expect(stepwise(transform, changed).slice(0, before * width)).toEqual(out.slice(0, before * width));
        const kept = INPUTS.filter((name) => transform.outputs.includes(name));
        rows.forEach(({ values }, i) => {
          const made = out.slice(i * width + 1, (i + 1) * width);
          expect(made.slice(0, kept.length)).toEqual(kept.map((name) => values[INPUTS.indexOf(name)]));
          expect(made.slice(kept.length).every(Number.isFinite)).toBe(true);
        });
        expect(transform.lookAhead).toBe(0);
      }),
    );
  });

  it("writes JSON that reads as the same JSON and the same columns", () => {
    const json = JSON.parse(JSON.stringify(make().toJSON())) as Record<string, unknown>;
    expect(read(json, INPUTS).toJSON()).toEqual(json);
    expect(read(json, INPUTS).outputs).toEqual(make().outputs);
    expect(new Set(make().outputs).size).toBe(make().outputs.length);
  });

  it("refuses malformed JSON with a code", () => {
    for (const change of malformed) {
      const json = { ...(JSON.parse(JSON.stringify(make().toJSON())) as Record<string, unknown>), ...change };
      expect(() => read(json, INPUTS), JSON.stringify(change).slice(0, 80)).toThrow(/OST_MODEL_FILE/);
    }
  });

  it("refuses a name that is taken", () => {
    const added = make().outputs.at(-1)!;
    try {
      read(make().toJSON(), [...INPUTS, added]);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(OstinatoError);
      expect((error as OstinatoError).code).toBe("OST_COLUMN");
    }
  });
});
