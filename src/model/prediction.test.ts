import { describe, expect, it } from "vitest";
import { classValues, describePrediction, forecastValues, outputSizeOf } from "./prediction.js";

describe("a prediction", () => {
  const tag = { task: "tag" as const, classes: ["a", "b", "c"], targets: [], horizon: 0 };
  const forecast = { task: "forecast" as const, classes: [], targets: ["x", "y"], horizon: 3 };

  it("of classes names the first of the likeliest", () => {
    const values = Float64Array.of(0.2, 0.4, 0.4);
    expect(describePrediction(tag, { time: Number.NaN, values })).toEqual({
      time: null,
      label: "b",
      confidence: 0.4,
      probabilities: { a: 0.2, b: 0.4, c: 0.4 },
    });
    expect(outputSizeOf(tag)).toBe(3);
  });

  it("of logits far apart or vast is finite and sums to one", () => {
    for (const logits of [
      [1e30, 1, -1e30],
      [-1e38, -1e38, -1e38],
      [3, 4, 5],
    ]) {
      const values = classValues(Float32Array.from(logits), 3);
      expect(values.reduce((a, b) => a + b)).toBeCloseTo(1, 15);
    }
  });

  it("of targets lists each target's horizon, in its own unit", () => {
    const scaler = { invert: (value: number, column: number) => value * (column === 0 ? 10 : 100) };
    const values = forecastValues([1, 2, 3, 4, 5, 6], { horizon: 3, targets: 2 }, scaler);
    expect(describePrediction(forecast, { time: 5, values })).toEqual({
      time: 5,
      forecast: { x: [10, 30, 50], y: [200, 400, 600] },
    });
    expect(outputSizeOf(forecast)).toBe(6);
  });
});
