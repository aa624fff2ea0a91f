import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { tableFromRecords } from "../data/index.js";
import { maseScale } from "../evaluate/index.js";
import { parseConfig } from "./config.js";
import { prepareExperiment } from "./experiment.js";
import { trainingScales } from "./scoring.js";

describe("the scale of MASE", () => {
  it("is that of the whole training column, though it is read in pieces", () => {
    const rng = seed(4);
    const records = Array.from({ length: 45_000 }, (_, i) => ({ v: rng.normal() + Math.sin(i / 9), w: rng.normal() * i }));
    const table = tableFromRecords(records);
    for (const period of [1, 24, 16_384, 30_000]) {
      const config = parseConfig({
        task: "forecast",
        data: { source: "records", features: ["v", "w"], target: ["w", "v"], split: { by: "time", rows: [40_000, 2000, 2000] } },
        window: { length: 8, horizon: 2 },
        evaluation: { period },
      });
      const { prepared } = prepareExperiment(config, table);
      const values = prepared.series[0].values as Float32Array;
      const column = (k: number) => Float32Array.from({ length: 40_000 }, (_, i) => values[2 * i + k]);
      expect(trainingScales(config, prepared)).toEqual([0, 1].map((k) => maseScale([column(k)], { period })));
    }
  });
});
