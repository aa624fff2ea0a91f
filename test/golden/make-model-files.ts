/**
 * @file Makes the small model files that every later version must still open, and what they predict.
 *
 *     npx tsx --conditions=ostinato-source test/golden/make-model-files.ts
 *
 * Run it once per format version, and keep the files of the versions before.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { seed } from "../../src/core/rng.js";
import { tableFromRecords } from "../../src/data/index.js";
import { FORMAT_VERSION, openModel, openSession } from "../../src/model/index.js";
import { type ExperimentConfigInput, parseConfig, runExperiment } from "../../src/tasks/index.js";
import { syntheticRecords } from "../synthetic.js";

const folder = new URL("./model-files/", import.meta.url);
const common = {
  source: "synthetic",
  time: "time",
  entity: "run",
  features: ["a", "b"],
  split: { by: "entity" as const, train: 0.5, validation: 0.17, test: 0.33 },
};
const MODELS: Record<string, ExperimentConfigInput> = {
  "tag-gru-carried": {
    task: "tag",
    data: {
      ...common,
      target: "kind",
      missing: { policy: "forwardFill", flag: true, sinceSeen: true },
      difference: ["a"],
      log: ["b"],
    },
    mode: "streaming",
    window: { length: 16 },
    model: { cell: "gru", hiddenSize: 5 },
    train: { epochs: 2 },
  },
  "forecast-lstm-windowed": {
    task: "forecast",
    data: { ...common, target: ["a"], missing: "forwardFill", resample: { everyMs: 3000 } },
    window: { length: 6, horizon: 2, normalize: "meanStd" },
    model: { cell: "lstm", hiddenSize: 4, numLayers: 2 },
    train: { epochs: 2 },
  },
};

await mkdir(folder, { recursive: true });
const records = syntheticRecords(seed(11), { series: 6, length: 60 });
const pushed = records.filter(({ run }) => run === "s1").slice(0, 40);
for (const [name, input] of Object.entries(MODELS)) {
  const result = await runExperiment(
    parseConfig({ ...input, evaluation: { resamples: 100 } }),
    tableFromRecords(records as never, { text: ["run", "kind"] }),
  );
  if (!result) throw new Error("aborted");
  const files = { [name]: result.file };
  for (const [rival, file] of result.rivalFiles)
    if (/^(ridge|logistic|MLP)/.test(rival)) files[`${name}-${rival.replace(/\W+/g, "-").toLowerCase()}`] = file;
  for (const [stem, file] of Object.entries(files)) {
    const session = openSession(await openModel(file), { owner: "golden" });
    const predictions = pushed.map((record) => session.push(record));
    const base = `v${FORMAT_VERSION}-${stem.replace(/-$/, "")}`;
    await writeFile(new URL(`${base}.safetensors`, folder), file);
    await writeFile(new URL(`${base}.json`, folder), `${JSON.stringify({ records: pushed, predictions })}\n`);
    console.log(base, file.length);
  }
}
