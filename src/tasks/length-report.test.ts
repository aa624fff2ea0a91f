import { expect, it } from "vitest";
import type { Batch } from "../core/batch.js";
import { tableFromRecords } from "../data/index.js";
import { parseConfig } from "./config.js";
import { prepareExperiment } from "./experiment.js";
import { lengthReport } from "./length-report.js";

it("goes by the labels that a predictor decides itself, where it decides any", () => {
  const config = parseConfig({
    task: "tag",
    data: { source: "x", features: ["v"], target: "k", split: { by: "time", train: 0.4, validation: 0.2, test: 0.4 } },
    window: { length: 4 },
  });
  const rows = Array.from({ length: 200 }, (_, i) => ({ v: i % 3 === 0 ? 1 : 0, k: i % 3 === 0 ? "on" : "off" }));
  const { prepared, spec } = prepareExperiment(config, tableFromRecords(rows));
  // Logits that are always wrong, and labels that are always right.
  const predict = ({ classes = new Int32Array(0) }: Batch) =>
    Float32Array.from({ length: 2 * classes.length }, (_, i) => (i % 2 === classes[i >> 1] ? 0 : 1));
  const labels = ({ classes = new Int32Array(0) }: Batch) => classes;
  const found = (predictor: object) => lengthReport(config, prepared, spec, { name: "p", predict, ...predictor })?.rows[0].value;
  expect(found({})).toBe(0);
  expect(found({ labels })).toBe(1);
});
