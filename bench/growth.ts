/**
 * @file How the cost of a training step grows with its sizes, through the public interface: one axis at a time around a middle.
 *
 *     tsx --conditions=ostinato-source bench/growth.ts [--json] [--plot [file]] [--out [file]]
 *
 * Whole passes over the grid are repeated, and the median pass counts, so that a machine that drifts bends no curve.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { defaultEngine } from "ostinato/kernels";
import { type Panel, plot } from "./growth-plot.js";
import { machine } from "./machine.js";
import { median } from "./statistic.js";
import { byteSize, duration, significant, table } from "./table.js";
import { type RecurrentShape, training } from "./workloads.js";

interface Point {
  axis: Axis;
  value: number;
  /** Milliseconds per step. */
  ms: number;
  gflops: number;
  /** The most memory of the engine in use at once, parameters and optimizer included. */
  bytes: number;
}

type Axis = "hiddenSize" | "batch" | "time" | "numLayers";

const MIDDLE = { cell: "lstm", batch: 16, time: 100, inputSize: 32, hiddenSize: 128, numLayers: 1 } as const;
const GRID: Record<Axis, readonly number[]> = {
  hiddenSize: [16, 32, 64, 128, 256, 512, 1024],
  batch: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  time: [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000],
  numLayers: [1, 2, 3, 4],
};
const TITLES: Record<Axis, string> = { hiddenSize: "hidden size H", batch: "batch B", time: "steps T", numLayers: "layers" };
const PASSES = 3;
/** Of one point in one pass. */
const WARM_UP_MS = 300;
const SECONDS = 0.4;

const root = fileURLToPath(new URL("..", import.meta.url));
const options = new Command("growth")
  .description("Times a training step of an LSTM as H, B, T and the number of layers grow.")
  .option("--json", "one object per point on standard output, instead of a table")
  .option("--plot [file]", "draw the curves (default docs/images/growth.svg)")
  .option("--out [file]", "keep the points (default bench/results/DATE-MACHINE-growth.json)")
  .parse()
  .opts<{ json?: boolean; plot?: string | true; out?: string | true }>();

const { name, isa, threads, memory } = defaultEngine();
const times = new Map<string, number[]>();
const points = new Map<string, Omit<Point, "ms" | "gflops"> & { flops: number }>();
for (let pass = 0; pass < PASSES; pass++) {
  for (const [axis, values] of Object.entries(GRID) as [Axis, readonly number[]][]) {
    process.stderr.write(`pass ${pass + 1} of ${PASSES}: ${TITLES[axis]}\n`);
    for (const value of values) {
      const key = `${axis} ${value}`;
      const { ms, flops, bytes } = measure({ ...MIDDLE, [axis]: value });
      points.set(key, { axis, value, flops, bytes });
      times.set(key, [...(times.get(key) ?? []), ms]);
      // A turn of the event loop lets the collector give back what the point held.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
const measured: Point[] = [...points].map(([key, { axis, value, flops, bytes }]) => {
  const ms = median(times.get(key) as number[]);
  return { axis, value, ms, gflops: flops / ms / 1e6, bytes };
});

const host = machine();
const engine = `${name} ${isa}`;
if (options.json) {
  for (const point of measured) console.log(JSON.stringify({ engine, threads, ...point }));
} else {
  const cells = measured.map(({ axis, value, ms, gflops, bytes }) => [
    TITLES[axis],
    String(value),
    duration(ms),
    significant(gflops),
    byteSize(bytes),
  ]);
  const { batch, time, inputSize, hiddenSize } = MIDDLE;
  console.log(
    `\nTraining step of an LSTM ${inputSize}->${hiddenSize}, B ${batch}, T ${time}, one size changed at a time; ${engine}:\n`,
  );
  console.log(table(["size", "", "time per step", "GFLOP/s", "memory"], cells));
}
if (options.plot) {
  const file = typeof options.plot === "string" ? options.plot : join(root, "docs/images/growth.svg");
  const panels: Panel[] = (Object.keys(GRID) as Axis[]).map((axis) => ({
    title: TITLES[axis],
    points: measured.filter((point) => point.axis === axis).map(({ value, ms }) => ({ x: value, y: ms })),
    middle: MIDDLE[axis],
    proportional: flopsRatio(axis),
  }));
  keep(
    file,
    plot(panels, { caption: `LSTM training step, ${engine}, ${host.processor}, ${threads} thread${threads === 1 ? "" : "s"}` }),
  );
}
if (options.out) {
  const date = new Date().toISOString().slice(0, 10);
  const file = typeof options.out === "string" ? options.out : join(root, "bench/results", `${date}-${host.class}-growth.json`);
  keep(file, `${JSON.stringify({ date, machine: host, engine, threads, middle: MIDDLE, points: measured }, null, 1)}\n`);
}

/** One point in one pass. Everything happens between two turns of the event loop, so that no finalizer moves the count of bytes. */
function measure(shape: RecurrentShape): { ms: number; flops: number; bytes: number } {
  const before = memory.bytesInUse;
  memory.resetPeak();
  const { step, flops } = training(shape);
  const start = performance.now();
  do step();
  while (performance.now() - start < WARM_UP_MS);
  const samples: number[] = [];
  for (let elapsed = 0; samples.length < 3 || elapsed < SECONDS * 1000; ) {
    const from = performance.now();
    step();
    samples.push(performance.now() - from);
    elapsed += samples[samples.length - 1];
  }
  return { ms: median(samples), flops, bytes: memory.peakBytesInUse - before };
}

/** The work at a value of the axis over the work in the middle. */
function flopsRatio(axis: Axis): (value: number) => number {
  const { inputSize: I, hiddenSize: H } = MIDDLE;
  if (axis === "hiddenSize") return (h) => ((I + h) * h) / ((I + H) * H);
  if (axis === "numLayers") return (layers) => (I + H + (layers - 1) * 2 * H) / (I + H);
  return (value) => value / MIDDLE[axis];
}

function keep(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  process.stderr.write(`kept in ${file}\n`);
}
