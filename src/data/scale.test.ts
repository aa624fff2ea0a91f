import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SCALES, Scale, Scaler } from "./scale.js";

describe("a scaler", () => {
  it("has the statistics of its kind", () => {
    const statistics = (kind: (typeof SCALES)[number]) => {
      const { offset, scale } = Scaler.fit([[1, 2, 3, 10, Number.NaN]], kind);
      return [offset[0], scale[0]];
    };
    expect(statistics("standard")).toEqual([4, Math.sqrt(12.5)]);
    expect(statistics("robust")).toEqual([2.5, 4.75 - 1.75]);
    expect(statistics("minMax")).toEqual([1, 9]);
    expect(statistics("none")).toEqual([0, 1]);
  });

  it("has scale 1 for a constant column, and offset 0 for one without values", () => {
    for (const kind of SCALES) {
      const { offset, scale } = Scaler.fit([[0.1, 0.1, 0.1], [], [Number.NaN]], kind);
      expect([offset, scale]).toEqual([
        [kind === "none" ? 0 : 0.1, 0, 0],
        [1, 1, 1],
      ]);
    }
  });

  it("takes a spread of rounding errors for none", () => {
    for (const kind of SCALES)
      expect(
        Scaler.fit(
          [
            [20, 20 + 1e-13, 20],
            [1e-160, 2e-160],
          ],
          kind,
        ).scale,
      ).toEqual([1, 1]);
  });

  it("falls back to the standard deviation where most values are equal", () => {
    const { offset, scale } = Scaler.fit([[0, 0, 0, 0, 0, 0, 0, 8]], "robust");
    expect([offset[0], scale[0]]).toEqual([0, Math.sqrt(7)]);
  });

  it("is undone by its inverse", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 }),
        fc.constantFrom(...SCALES),
        (values, kind) => {
          const scaler = Scaler.fit([values], kind);
          for (const value of values) {
            const back = scaler.invert(scaler.apply(value, 0), 0);
            expect(Math.abs(back - value)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(scaler.offset[0]), Math.abs(value)));
          }
        },
      ),
    );
  });

  it("of standard kind gives mean 0 and population variance 1", () => {
    const values = Array.from({ length: 100 }, (_, i) => Math.sin(i) * 7 + 3);
    const scaler = Scaler.fit([values]);
    const scaled = values.map((value) => scaler.apply(value, 0));
    expect(scaled.reduce((sum, value) => sum + value, 0) / 100).toBeCloseTo(0, 12);
    expect(scaled.reduce((sum, value) => sum + value * value, 0) / 100).toBeCloseTo(1, 12);
  });
});

it("an entity that never showed two values of a column is scaled as all are", () => {
  const rows = (entity: string, values: number[]) => ({
    entity,
    count: values.length,
    width: 1,
    time: Float64Array.from(values, (_, i) => i),
    values: Float64Array.from(values, (value) => (Number.isNaN(value) ? 0 : value)),
    observed: Uint8Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1)),
    first: true,
  });
  const training = {
    features: 1,
    blocks: () => [rows("silent", [Number.NaN, Number.NaN]), rows("still", [7, 7]), rows("lively", [1000, 1010, 1020])],
  };
  const scale = Scale.fit(training, ["p"], "standard", { perEntity: true });
  const of = (entity: string) => scale.push({ time: 0, values: Float64Array.of(1010), entity })[0].values[0];
  expect(of("silent")).toBe(of("unknown"));
  expect(of("still")).toBe(of("unknown"));
  expect(of("lively")).toBe(0);
});
