/** @file Timing a step, in Node or in a page. */
import type { Turn } from "./turn.js";

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

/**
 * Steps one after another for so long; `single` times each, or as many at a time as take `sampleMs`, where the clock is too coarse for one. The
 * median is then over such groups, and there is no 99th percentile.
 */
export function timeSteps(step: () => void, seconds: number, { single = false, sampleMs = 0 } = {}): Turn {
  const end = seconds * 1000;
  const group = single && sampleMs > 0 ? timeSteps(step, sampleMs / 1000).steps : 1;
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
  let taken = 0;
  while (elapsed < end && taken < MAX_SAMPLES) {
    const before = performance.now();
    for (let i = 0; i < group; i++) step();
    const after = performance.now();
    samples[taken++] = (after - before) / group;
    elapsed = after - start;
  }
  steps = taken * group;
  const { p50, p99 } = quantiles(samples.subarray(0, taken));
  return { ms: elapsed / steps, steps, p50, ...(group === 1 ? { p99 } : {}) };
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
