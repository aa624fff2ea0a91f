import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { prepareOnDisk } from "../data/disk/prepare-on-disk.js";
import { workerPrefetcher } from "../data/prefetch-node.js";
import { readChunks, readTable } from "../data/read/index.js";
import { readSafetensors } from "../model/index.js";
import { parseConfig } from "./config.js";
import { dataOptions, runExperiment } from "./experiment.js";

const folder = mkdtempSync(join(tmpdir(), "ostinato-tasks-disk-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const weights = (file: Uint8Array) =>
  [...readSafetensors(file).tensors].map(([name, { data }]) => [name, Buffer.from(data).toString("hex")]);

it("a model trained from columns on disk is the one trained from memory, with its baselines, bit for bit", async () => {
  const rng = seed(2);
  const path = join(folder, "plant.csv");
  const rows = Array.from({ length: 600 }, (_, i) =>
    [
      1_700_000_000 + 60 * Math.floor(i / 3),
      `m${i % 3}`,
      (Math.sin(i / 20) + 0.1 * rng.normal()).toFixed(4),
      i % 7 === 0 ? "" : i % 11,
    ].join(),
  );
  writeFileSync(path, ["time,machine,load,heat", ...rows].join("\n"));
  const config = parseConfig({
    task: "forecast",
    data: {
      source: path,
      time: "time",
      entity: "machine",
      features: ["load", "heat"],
      target: "load",
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2, gap: 2 },
      missing: { policy: "forwardFill", flag: true },
    },
    window: { length: 12, horizon: 2 },
    model: { hiddenSize: 5 },
    train: { epochs: 2, seed: 3 },
    evaluation: { rivals: false, resamples: 100 },
  });
  const reading = { text: ["machine"] };
  const memory = await runExperiment(config, await readTable(path, reading));
  const prepared = await prepareOnDisk(() => readChunks(path, { ...reading, chunkRows: 50 }), dataOptions(config), {
    folder: join(folder, "prepared"),
    fingerprint: "a",
    bufferBytes: 4000,
  });
  const disk = await runExperiment(config, prepared, { prefetcher: workerPrefetcher });
  if (!memory || !disk) throw new Error("stopped");
  expect(weights(disk.file)).toEqual(weights(memory.file));
  expect(disk.metrics).toEqual(memory.metrics);
  expect([...disk.rivalFiles].map(([name, file]) => [name, weights(file)])).toEqual(
    [...memory.rivalFiles].map(([name, file]) => [name, weights(file)]),
  );
});
