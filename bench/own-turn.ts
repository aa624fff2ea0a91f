/** @file The turns of our engines, in Node or in a page. */
import type { Kernels } from "ostinato/kernels";
import { type Peak, peakProbe } from "./limit.js";
import { timeSteps, warmUp } from "./step.js";
import type { About, Turn } from "./turn.js";
import { WORKLOADS, type Workload } from "./workloads.js";

/** A turn of ours also says what a step computes and moves. */
export type OwnTurn = Turn & Pick<Workload, "flops" | "bytes">;

/** What an engine says of itself: what really runs. */
export function aboutEngine({ name: engine, isa, detail, threads }: Kernels): Omit<About, "version"> {
  return { name: "ostinato", engine, isa, detail, threads };
}

/**
 * What answers the name of a workload, or "peak".
 *
 * @param options `sampleMs`: how long the clock needs to be exact. Steps of a stream are timed by so many at once; default 0, each by itself.
 */
export function ownTurns(kernels: Kernels, { sampleMs = 0 } = {}): (name: string, seconds: number) => Promise<OwnTurn | Peak> {
  const workloads = new Map<string, Workload>();
  let peak: ((seconds: number) => Peak) | undefined;
  return async (name, seconds) => {
    if (name === "peak") {
      peak ??= peakProbe(kernels);
      return peak(seconds);
    }
    const entry = WORKLOADS[name];
    if (!entry) throw new Error(`no workload "${name}"`);
    let workload = workloads.get(name);
    if (!workload) {
      workload = entry.build();
      await warmUp(workload.step);
      workloads.set(name, workload);
    }
    const { step, flops, bytes } = workload;
    return { ...timeSteps(step, seconds, { single: entry.streaming, sampleMs }), flops, bytes };
  };
}
