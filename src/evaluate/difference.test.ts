import { expect, it } from "vitest";
import { metricDifferences } from "./difference.js";
import type { Score } from "./score.js";

const score = (metrics: object) => ({ kind: "forecast", metrics, units: {} }) as unknown as Score;

it("two scores differ by every metric that both have, value minus reference", () => {
  const differences = metricDifferences(
    score({ mae: 3, mse: 2, mase: 1, byHorizon: [] }),
    score({ mse: 1.5, mae: 3.25, rmse: 4 }),
  );
  expect(differences).toEqual([
    { metric: "mse", value: 2, reference: 1.5, difference: 0.5 },
    { metric: "mae", value: 3, reference: 3.25, difference: -0.25 },
  ]);
});
