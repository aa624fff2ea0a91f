import { describe, expect, it } from "vitest";
import { describePredictions } from "../client/prediction.js";
import type { Batch } from "../core/batch.js";
import type { NamingFacts } from "../protocol/frames.js";
import { calibratedPredictor, decidedClass, forecastInterval } from "./calibrated.js";
import type { ModelHeader } from "./file.js";
import { describePrediction } from "./prediction.js";
import type { Predictor } from "./predictor.js";

const batch = {} as Batch;
const LOGITS = Float32Array.of(2, -1, 0.5, 0.25, -3, 4);
const raw: Predictor = { name: "raw", distributional: true, predict: () => LOGITS.slice() };

describe("a calibrated predictor", () => {
  it("is the predictor itself where nothing changes its numbers", () => {
    expect(calibratedPredictor(raw, { targetKind: "class" })).toBe(raw);
    const conformal = { coverage: 0.9, halfWidth: [[1]] };
    expect(calibratedPredictor(raw, { targetKind: "values" }, { conformal })).toBe(raw);
    expect(calibratedPredictor(raw, { targetKind: "tokens" }, { temperature: 2 })).toBe(raw);
  });

  it("divides logits by its temperature and keeps its facts and its labels decided together", () => {
    const seen: Float32Array[] = [];
    const together: Predictor = {
      ...raw,
      labels: (_, prediction) => {
        seen.push(prediction);
        return Int32Array.of(1, 1, 0);
      },
    };
    const made = calibratedPredictor(together, { targetKind: "tags" }, { temperature: 4 });
    const prediction = made.predict(batch);
    expect([...prediction]).toEqual([...LOGITS].map((logit) => logit / 4));
    expect([...(made.labels?.(batch, prediction) ?? [])]).toEqual([1, 1, 0]);
    expect(seen).toEqual([prediction]);
    expect([made.name, made.distributional]).toEqual(["raw", true]);
    expect(calibratedPredictor(raw, { targetKind: "tags" }, { temperature: 4 }).labels).toBeUndefined();
  });

  it("decides the second of two classes above its threshold, after the temperature", () => {
    const share = 1 / (1 + Math.exp((0.5 - 0.25) / 2));
    const labelled = (threshold: number) => {
      const made = calibratedPredictor(raw, { targetKind: "class" }, { temperature: 2, threshold });
      return [...(made.labels?.(batch, made.predict(batch)) ?? [])];
    };
    expect(labelled(share - 1e-6)).toEqual([0, 1, 1]);
    expect(labelled(share + 1e-6)).toEqual([0, 0, 1]);
    expect(labelled(1)).toEqual([0, 0, 0]);
    expect(labelled(0)).toEqual([1, 1, 1]);
  });
});

describe("a decision", () => {
  it("is the first of the likeliest classes, or by the threshold where there are two", () => {
    expect(decidedClass([0.2, 0.4, 0.4], undefined)).toBe(1);
    expect(decidedClass([0.5, 0.5], undefined)).toBe(0);
    expect(decidedClass([0.6, 0.4], 0.3)).toBe(1);
    expect(decidedClass([0.6, 0.4], 0.4)).toBe(0);
  });
});

describe("a calibrated prediction", () => {
  it("is named alike by the model and by a client", () => {
    const facts = { task: "classify", classes: ["no", "yes"], targets: [], horizon: 0, threshold: 0.2, outputSize: 2 } as const;
    const values = Float64Array.of(0.7, 0.3);
    const { time: _, ...named } = describePrediction(facts, { time: Number.NaN, values });
    expect(named).toEqual({ label: "yes", confidence: 0.3, probabilities: { no: 0.7, yes: 0.3 } });
    expect(byClient(facts, values)).toMatchObject(named);
  });

  it("has the ends of its intervals in original units, alike from the model and from a client", () => {
    const header = {
      spec: { targets: ["a", "b"] },
      calibration: {
        n: 9,
        source: "x",
        conformal: {
          coverage: 0.8,
          halfWidth: [
            [1, 2],
            [3, 4],
          ],
        },
      },
    } as unknown as ModelHeader;
    const interval = forecastInterval(header, { invert: (scaled, column) => [10, 100][column] * scaled - 5 });
    expect(interval).toEqual({
      coverage: 0.8,
      halfWidth: [
        [10, 30],
        [200, 400],
      ],
    });
    const facts = { task: "forecast", classes: [], targets: ["a", "b"], horizon: 2, interval, outputSize: 4 } as const;
    const values = Float64Array.of(1, 2, 3, 4);
    const { time: _, ...named } = describePrediction(facts, { time: Number.NaN, values });
    expect(named.interval).toEqual({
      coverage: 0.8,
      lower: { a: [-9, -28], b: [-197, -396] },
      upper: { a: [11, 32], b: [203, 404] },
    });
    expect(byClient(facts, values)).toMatchObject(named);
    expect(forecastInterval({ ...header, calibration: undefined }, { invert: (value) => value })).toBeUndefined();
  });
});

function byClient(facts: Partial<NamingFacts> & { outputSize: number }, values: Float64Array) {
  const numbers = { count: 1, outputSize: facts.outputSize, seq: [1], time: [Number.NaN], values };
  return describePredictions(facts as NamingFacts, numbers as never)[0];
}
