import { describe, expect, it } from "vitest";
import { runTransform } from "../transform.js";
import { TimeDelta } from "./time-delta.js";

const run = (transform: TimeDelta, seconds: number[]) => {
  const time = Float64Array.from(seconds, (second) => second * 1000);
  const { values } = runTransform(
    transform,
    { count: seconds.length, width: 1, time, values: new Float64Array(seconds.length) },
    null,
  );
  const width = transform.outputs.length;
  return seconds.map((_, i) => [...values.subarray(i * width + 1, (i + 1) * width)]);
};

describe("TimeDelta", () => {
  it("is log(1 + seconds), 0 in the first row", () => {
    const transform = new TimeDelta(["a"]);
    expect(transform.outputs).toEqual(["a", "time.delta"]);
    expect(run(transform, [100, 100.5, 103, 103])).toEqual([[0], [Math.log1p(0.5)], [Math.log1p(2.5)], [0]]);
  });

  it("bins by doubling edges, lower edge included, and the first row nowhere", () => {
    const transform = new TimeDelta(["a"], { bins: 4 });
    expect(transform.outputs).toEqual(["a", "time.delta", ...[0, 1, 2, 3].map((k) => `time.delta.bin${k}`)]);
    const bins = run(transform, [0, 0.999, 1.999, 3.998, 5.998, 9.998, 1e6]).map(([, ...one]) => one.indexOf(1));
    // No bin; 0.999 in [0, 1); 1 and 1.999 in [1, 2); 2 in [2, 4); 4 and more in the last.
    expect(bins).toEqual([-1, 0, 1, 1, 2, 3, 3]);
  });

  it("begins its bins at firstEdge", () => {
    const bins = run(new TimeDelta(["a"], { bins: 3, firstEdge: 0.001 }), [0, 0.0005, 0.0015, 0.0035]);
    expect(bins.map(([, ...one]) => one.indexOf(1))).toEqual([-1, 0, 1, 2]);
  });

  it("takes the longest gap a time can have", () => {
    const [, [delta, ...bins]] = run(new TimeDelta(["a"], { bins: 64 }), [-8.64e12, 8.64e12]);
    expect(delta).toBeCloseTo(Math.log(1.728e13), 9);
    expect(bins.filter((one) => one === 1)).toHaveLength(1);
  });

  it("passes over a row without a time, and takes a time that goes back for no time", () => {
    expect(run(new TimeDelta(["a"]), [10, Number.NaN, 13, 12, 14])).toEqual([[0], [0], [Math.log1p(3)], [0], [Math.log1p(2)]]);
    expect(run(new TimeDelta(["a"], { bins: 2 }), [Number.NaN, 13])).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });

  it.each([{ bins: 1 }, { bins: -1 }, { bins: 65 }, { bins: 2.5 }, { firstEdge: 0 }, { firstEdge: Number.NaN }])(
    "refuses %j",
    (options) => {
      expect(() => new TimeDelta(["a"], options)).toThrow(/OST_RANGE/);
    },
  );
});
