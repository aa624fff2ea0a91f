/** @file What a Node program does with the package: train 20 steps, write one file, open it again, stream; then the bits of the probe. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromRecords } from "ostinato/data";
import { openSession } from "ostinato/model";
import { loadModel, writeAtomically } from "ostinato/node";
import { parseConfig, runExperiment } from "ostinato/tasks";
import { probe } from "./probe.js";

const records = Array.from({ length: 400 }, (_, i) => ({
  time: i * 60,
  v: Math.sin(i / 5),
  label: i % 20 < 10 ? "low" : "high",
}));
const config = parseConfig({
  task: "tag",
  data: {
    source: "records",
    time: "time",
    features: ["v"],
    target: "label",
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
  },
  mode: "streaming",
  window: { length: 20 },
  model: { hiddenSize: 8 },
  train: { maxSteps: 20, epochs: 50, batchSize: 4 },
  evaluation: { rivals: false, resamples: 100 },
});
const result = await runExperiment(config, tableFromRecords(records));
if (!result) throw new Error("the experiment was stopped");
const path = join(mkdtempSync(join(tmpdir(), "ostinato-consumer-")), "model.safetensors");
await writeAtomically(path, result.file);
const session = openSession(await loadModel(path), { owner: "device" });
const labels = records.slice(0, 10).flatMap(({ time, v }) => session.push({ time, v }).map(({ label }) => label));
console.log(JSON.stringify({ steps: result.training.steps, labels, path, probe: probe() }));
