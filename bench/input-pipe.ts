/**
 * @file Larger-than-memory data through the input pipe of training: generated telemetry is read, prepared on disk and put into batches by the
 * code that `ostinato train` uses, in a process of its own whose peak memory is reported.
 *
 *     npm run bench:input-pipe -- [--gb 5] [--folder DIR] [--json]
 *
 * The file is made once and kept if --folder names a place; otherwise all of it is removed.
 */
import { spawnSync } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { seed } from "../src/core/rng.js";
import { prepareOnDisk } from "../src/data/disk/prepare-on-disk.js";
import { workerPrefetcher } from "../src/data/prefetch-node.js";
import { readChunks } from "../src/data/read/index.js";
import { parseConfig } from "../src/tasks/config.js";
import { dataOptions } from "../src/tasks/experiment.js";
import { trainingRecipe } from "../src/tasks/fit-network.js";

const FEATURES = ["load", "heat", "current", "pressure", "speed", "torque", "flow", "vibration"];
const MACHINES = 500;

const { values } = parseArgs({
  options: {
    gb: { type: "string", default: "5" },
    folder: { type: "string" },
    json: { type: "boolean" },
    measure: { type: "string" },
  },
});

/** Rows of all machines in the order of their times, until the file is large enough. */
async function generate(path: string, bytes: number): Promise<void> {
  const rng = seed(5);
  const out = createWriteStream(path);
  const level = Float64Array.from({ length: MACHINES * FEATURES.length }, () => rng.normal() * 10);
  let written = 0;
  const write = async (text: string) => {
    written += Buffer.byteLength(text);
    if (!out.write(text)) await new Promise<void>((resume) => out.once("drain", () => resume()));
  };
  await write(`time,machine,${FEATURES.join(",")}\n`);
  for (let at = 1_700_000_000_000; written < bytes; at += 1000) {
    let text = "";
    for (let m = 0; m < MACHINES; m++) {
      text += `${at},machine-${m}`;
      for (let c = 0; c < FEATURES.length; c++) {
        level[m * FEATURES.length + c] += rng.uniform() - 0.5;
        text += `,${level[m * FEATURES.length + c].toFixed(3)}`;
      }
      text += "\n";
    }
    await write(text);
  }
  await new Promise<void>((resume) => out.end(() => resume()));
}

async function measure(folder: string): Promise<void> {
  const path = join(folder, "telemetry.csv");
  const config = parseConfig({
    task: "forecast",
    data: {
      source: path,
      time: "time",
      entity: "machine",
      features: FEATURES,
      target: "load",
      split: { by: "time", train: 0.8, validation: 0.1, test: 0.1, gap: 8 },
      missing: { policy: "forwardFill", flag: true },
    },
    window: { length: 64, horizon: 8, stride: 64 },
    train: { batchSize: 64, prefetch: "on" },
  });
  let last = performance.now();
  const seconds: Record<string, number> = {};
  const lap = (name: string) => {
    const now = performance.now();
    seconds[name] = (seconds[name] ?? 0) + (now - last) / 1000;
    last = now;
  };
  const prepared = await prepareOnDisk(
    () => readChunks(path, { text: ["machine"], only: ["time", "machine", ...FEATURES], numeric: FEATURES }),
    dataOptions(config),
    { folder: join(folder, "prepared"), fingerprint: `${statSync(path).size}`, onProgress: ({ stage }) => lap(stage) },
  );
  lap("write");
  let batches = 0;
  let steps = 0;
  const prefetched = workerPrefetcher(trainingRecipe(config, prepared));
  for await (const batch of prefetched.batches(seed(1))) {
    batches++;
    for (const length of batch.lengths) steps += length;
  }
  await prefetched.close();
  lap("epoch");
  const rows = prepared.series.reduce((sum, { length }) => sum + length, 0);
  const peakMiB = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(
    `${JSON.stringify({ bytes: statSync(path).size, rows, series: prepared.series.length, batches, steps, seconds, peakMiB })}\n`,
  );
}

async function run(): Promise<number> {
  const folder = values.folder ?? mkdtempSync(join(tmpdir(), "ostinato-input-pipe-"));
  const path = join(folder, "telemetry.csv");
  const bytes = Number(values.gb) * 1e9;
  try {
    if (!existsSync(path) || statSync(path).size < bytes) await generate(path, bytes);
    const child = spawnSync(
      process.execPath,
      [
        ...process.execArgv,
        "--conditions=ostinato-source",
        "--import",
        "tsx",
        fileURLToPath(import.meta.url),
        "--measure",
        folder,
      ],
      { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" },
    );
    if (child.status !== 0) return child.status ?? 1;
    const result = JSON.parse(child.stdout);
    if (values.json) process.stdout.write(child.stdout);
    else {
      const took = Object.entries(result.seconds as Record<string, number>).map(([name, s]) => `${name} ${s.toFixed(0)} s`);
      process.stdout.write(
        `${(result.bytes / 1e9).toFixed(2)} GB, ${result.rows} rows of ${result.series} series: ${took.join(", ")}; ` +
          `${result.batches} batches of ${result.steps} steps; peak resident ${result.peakMiB.toFixed(0)} MiB\n`,
      );
    }
    return result.peakMiB < 1024 ? 0 : 1;
  } finally {
    if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

if (values.measure !== undefined) await measure(values.measure);
else process.exitCode = await run();
