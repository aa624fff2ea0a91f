import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import { ProbeModel, probeReference } from "./index.js";

const values = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 20 });

function said(probe: ProbeModel, list: readonly number[]): number[][] {
  let state = probe.initialState();
  return list.map((value) => {
    const [result] = probe.advance([{ row: probe.readValues([value]), state }]);
    if (result instanceof OstinatoError) throw result;
    state = result.state;
    return [...result.predictions[0].values];
  });
}

describe("the probe", () => {
  it("says what the equations say in whole numbers of any size", () => {
    fc.assert(
      fc.property(values, (list) => {
        expect(said(new ProbeModel(), list)).toEqual(probeReference(list));
      }),
    );
    expect(probeReference([0, -0])).toEqual(probeReference([0, 0]));
  });

  it("never agrees again with a stream that lost, doubled or moved a record", () => {
    const list = Array.from({ length: 40 }, (_, i) => i % 3);
    const right = new Map(probeReference(list).map(([high, low], i) => [`${high} ${low}`, i]));
    for (const wrong of [list.slice(1), [list[0], ...list], [...list.slice(0, 5), list[6], list[5], ...list.slice(7)]]) {
      const from = wrong.findIndex((value, i) => value !== list[i]);
      for (const [high, low] of probeReference(wrong).slice(from)) expect(right.has(`${high} ${low}`)).toBe(false);
    }
  });

  it("gives by push, with names, what it gives by advance", () => {
    const probe = new ProbeModel();
    const { predictions, state } = probe.push({ value: 2.5 }, probe.initialState());
    const [[high, low]] = probeReference([2.5]);
    expect(predictions).toEqual([{ time: null, forecast: { hash: [high, low] } }]);
    expect(state.steps).toBe(1);
  });

  it("goes on from a snapshot, which belongs to its name and owner", () => {
    const probe = new ProbeModel();
    const [first, second] = [3, 4];
    const { state } = probe.push({ value: first }, probe.initialState());
    const snapshot = probe.snapshot(state, "a");
    const { predictions } = probe.push({ value: second }, probe.restore(snapshot, "a"));
    expect(predictions[0].forecast?.hash).toEqual(probeReference([first, second])[1]);
    expect(() => probe.restore(snapshot, "b")).toThrow(/OST_SNAPSHOT/);
    expect(() => new ProbeModel("other").restore(snapshot, "a")).toThrow(/OST_SNAPSHOT/);
  });

  it("refuses what is no number, each row for itself", () => {
    const probe = new ProbeModel();
    const state = probe.initialState();
    expect(() => probe.push({}, state)).toThrow(/OST_RECORD/);
    expect(() => probe.push({ value: null }, state)).toThrow(/OST_MISSING/);
    expect(() => probe.push({ value: "x" }, state)).toThrow(/OST_VALUE/);
    expect(() => probe.readValues([Number.POSITIVE_INFINITY])).toThrow(/OST_RECORD/);
    const rows = [Number.NaN, 5].map((value) => probe.readValues([value]));
    const [refused, taken] = probe.advance(rows.map((row) => ({ row, state })));
    expect(refused).toBeInstanceOf(OstinatoError);
    expect(taken).toMatchObject({ predictions: [{ values: Float64Array.from(probeReference([5])[0]) }] });
  });
});
