/**
 * @file Records the host telemetry data set: samples this machine while it goes through labelled loads in random order.
 *
 *     npx tsx data/host-telemetry/record-dataset.ts --runs 12 --minutes 4 --rate 4 --seed 11 --out data/host-telemetry/host-telemetry.csv
 *
 * Needs Linux with gcc, gzip and xz. Every load is a process group of its own (`workload.mjs`), so that the sampler's event loop is
 * not the load. Rows are written as they arrive, to `<out>.partial`, which is renamed when the last run is over. `segments.csv`
 * beside it lists what was started when. The first 8 of 12 runs are the train part, the next 2 validation, the last 2 test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, closeSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { telemetry, telemetryCsvHeader, telemetryCsvRow } from "../../src/data/telemetry.js";

const WORKLOADS = ["idle", "compile", "compress", "diskWrite", "spawn", "network", "memory"] as const;
type Workload = (typeof WORKLOADS)[number];

const { values: flags } = parseArgs({
  options: {
    runs: { type: "string", default: "12" },
    minutes: { type: "string", default: "4" },
    rate: { type: "string", default: "4" },
    seed: { type: "string", default: "11" },
    out: { type: "string" },
  },
});
if (!flags.out) throw new Error("record-dataset needs --out FILE.csv");
const out = flags.out;
const [runs, minutes, rate] = [Number(flags.runs), Number(flags.minutes), Number(flags.rate)];

let state = Number(flags.seed) >>> 0;
/** Uniform in [low, high): splitmix32, so that a seed gives one plan of loads. */
function uniform(low: number, high: number): number {
  state = (state + 0x9e3779b9) >>> 0;
  let z = state;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return low + (high - low) * (((z ^ (z >>> 15)) >>> 0) / 2 ** 32);
}

interface Segment {
  workload: Workload;
  seconds: number;
  /** 0.1 .. 1; what it scales is the load's own business. 0 for idle. */
  intensity: number;
  seed: number;
}

/** Five idle seconds, then shuffled rounds of all loads, 8 to 40 s each, never the same twice in a row, until the run is full. */
function planRun(totalSeconds: number): Segment[] {
  const plan: Segment[] = [{ workload: "idle", seconds: 5, intensity: 0, seed: 0 }];
  let planned = 5;
  let round: Workload[] = [];
  while (planned < totalSeconds) {
    if (round.length === 0) {
      round = [...WORKLOADS];
      for (let index = round.length - 1; index > 0; index--) {
        const other = Math.floor(uniform(0, index + 1));
        [round[index], round[other]] = [round[other], round[index]];
      }
      if (round[0] === plan[plan.length - 1].workload) round.push(round.shift() as Workload);
    }
    const workload = round.shift() as Workload;
    const seconds = Math.round(uniform(8, 40) * 10) / 10;
    const intensity = workload === "idle" ? 0 : Math.round(uniform(0.1, 1) * 1000) / 1000;
    plan.push({ workload, seconds, intensity, seed: Math.floor(uniform(1, 2 ** 31)) });
    planned += seconds;
  }
  return plan;
}

/** 32 MB that compress partly: lines of random words, and random bytes for a third of the blocks. */
function writeMixedFile(path: string): void {
  const words = Array.from({ length: 4000 }, () => Math.floor(uniform(0, 36 ** 7)).toString(36).slice(0, Math.floor(uniform(2, 9))));
  const descriptor = openSync(path, "w");
  for (let block = 0; block < 128; block++) {
    const bytes = Buffer.alloc(1 << 18);
    if (block % 3 === 0) {
      for (let index = 0; index < bytes.length; index += 4) bytes.writeUInt32LE(Math.floor(uniform(0, 2 ** 32)), index);
    } else {
      let text = "";
      while (text.length < bytes.length) text += `${words[Math.floor(uniform(0, 4000))]} `;
      bytes.write(text, "latin1");
    }
    writeSync(descriptor, bytes);
  }
  closeSync(descriptor);
}

const script = join(dirname(fileURLToPath(import.meta.url)), "workload.mjs");
const scratch = mkdtempSync(join(tmpdir(), "host-telemetry-"));
let active: { child: ChildProcess; folder: string } | null = null;

function startLoad({ workload, intensity, seed }: Segment): void {
  if (workload === "idle") return;
  const folder = mkdtempSync(join(scratch, "load-"));
  const args = [script, workload, String(intensity), String(seed), folder];
  active = { child: spawn(process.execPath, args, { detached: true, stdio: ["pipe", "ignore", "inherit"] }), folder };
}

/** Ends the group of the running load and removes its files once it is gone. */
async function stopLoad(): Promise<void> {
  if (!active) return;
  const { child, folder } = active;
  active = null;
  const gone = child.exitCode !== null || child.signalCode !== null ? null : new Promise((resolve) => child.once("exit", resolve));
  try {
    process.kill(-(child.pid as number), "SIGKILL");
  } catch {
    // The group has ended by itself.
  }
  await gone;
  // A killed compiler may still be closing its output, and a removal that meets a new file has to be repeated.
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    void stopLoad().finally(() => {
      rmSync(scratch, { recursive: true, force: true });
      process.exit(1);
    });
  });
}

mkdirSync(dirname(out), { recursive: true });
const partial = `${out}.partial`;
const segments = join(dirname(out), "segments.csv");
writeFileSync(partial, `${telemetryCsvHeader().replace("time,", "time,run,part,segment,workload,")}\n`);
writeFileSync(segments, "run,time,workload,seconds,intensity\n");
writeMixedFile(join(scratch, "mixed.bin"));
await sleep(5000);

for (let number = 1; number <= runs; number++) {
  const run = `r${String(number).padStart(2, "0")}`;
  const part = number <= Math.round((runs * 8) / 12) ? "train" : number <= Math.round((runs * 10) / 12) ? "validation" : "test";
  const ended = new AbortController();
  let workload: Workload = "idle";
  let segmentNumber = 0;

  const drive = (async () => {
    for (const segment of planRun(minutes * 60)) {
      await stopLoad();
      if (ended.signal.aborted) return;
      appendFileSync(segments, `${run},${new Date().toISOString()},${segment.workload},${segment.seconds},${segment.intensity}\n`);
      workload = segment.workload;
      segmentNumber++;
      startLoad(segment);
      await sleep(segment.seconds * 1000, undefined, { signal: ended.signal }).catch(() => {});
    }
  })();

  for await (const record of telemetry({ intervalMs: 1000 / rate, seconds: minutes * 60 })) {
    const row = telemetryCsvRow(record);
    appendFileSync(partial, `${row.replace(",", `,${run},${part},${run}-${String(segmentNumber).padStart(2, "0")},${workload},`)}\n`);
  }
  ended.abort();
  await drive;
  await stopLoad();
  console.log(`${new Date().toISOString()} ${run} done`);
  if (number < runs) await sleep(5000);
}

rmSync(scratch, { recursive: true, force: true });
renameSync(partial, out);
