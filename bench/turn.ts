/**
 * @file The protocol of a contender: a process that prints one JSON line about itself, and then, for every line "WORKLOAD SECONDS" it is sent,
 * works that long and prints a JSON line of what it took. It computes only in its turn, so that contenders can share a core.
 */
import { createInterface } from "node:readline";

/** The first line. */
export interface About {
  name: string;
  version: string;
  /** What it runs on, as the contender itself says. */
  isa: string;
  threads: number;
  /** Ours only, as is `detail`. */
  engine?: string;
  detail?: string;
}

/** What a turn took, in milliseconds per step. */
export interface Turn {
  ms: number;
  steps: number;
  /** Of the single steps, where the workload is a stream. */
  p50?: number;
  p99?: number;
  /** Of several ways the contender has to do the work, the one it found fastest. */
  variant?: string;
}

/** A line that could not be answered with a turn. */
export interface Refusal {
  error: string;
}

/** Answers every line of standard input until it ends. */
export async function takeTurns<T extends object>(
  about: About,
  answer: (workload: string, seconds: number) => T | Promise<T>,
): Promise<void> {
  const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
  say(about);
  for await (const line of createInterface({ input: process.stdin })) {
    const [workload, seconds] = line.split(" ");
    try {
      say(await answer(workload, Number(seconds)));
    } catch (error) {
      say({ error: error instanceof Error ? error.message : String(error) } satisfies Refusal);
    }
  }
}

const WARM_UP_MS = 2_000;
const LONGEST_WARM_UP_MS = 4_000;
const MAX_SAMPLES = 1 << 18;

/** Runs a new workload until caches and compilers have settled (V8's work beside it, on the same core): at least twice, unless a step takes seconds. */
export async function warmUp(step: () => unknown): Promise<void> {
  const start = performance.now();
  for (let steps = 1; ; steps++) {
    await step();
    const elapsed = performance.now() - start;
    if (elapsed > LONGEST_WARM_UP_MS || (steps > 1 && elapsed > WARM_UP_MS)) return;
  }
}

/** Steps one after another for so long; `single` times each. */
export function timeSteps(step: () => void, seconds: number, { single = false } = {}): Turn {
  const end = seconds * 1000;
  const start = performance.now();
  let [steps, elapsed] = [0, 0];
  if (!single) {
    while (elapsed < end) {
      step();
      steps++;
      elapsed = performance.now() - start;
    }
    return { ms: elapsed / steps, steps };
  }
  const samples = new Float64Array(MAX_SAMPLES);
  while (elapsed < end && steps < MAX_SAMPLES) {
    const before = performance.now();
    step();
    const after = performance.now();
    samples[steps++] = after - before;
    elapsed = after - start;
  }
  return { ms: elapsed / steps, ...quantiles(samples.subarray(0, steps)) };
}

/** The same for steps that return a promise. */
export async function timeAsyncSteps(step: () => Promise<unknown>, seconds: number, { single = false } = {}): Promise<Turn> {
  const samples: number[] = [];
  const start = performance.now();
  let elapsed = 0;
  while (elapsed < seconds * 1000) {
    const before = performance.now();
    await step();
    const after = performance.now();
    samples.push(after - before);
    elapsed = after - start;
  }
  const ms = elapsed / samples.length;
  return single ? { ms, ...quantiles(Float64Array.from(samples)) } : { ms, steps: samples.length };
}

function quantiles(samples: Float64Array): { steps: number; p50: number; p99: number } {
  samples.sort();
  const at = (share: number) => samples[Math.min(samples.length - 1, Math.floor(samples.length * share))];
  return { steps: samples.length, p50: at(0.5), p99: at(0.99) };
}
