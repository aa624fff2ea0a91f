/**
 * @file Our contender: one process, one engine. `OSTINATO_ENGINE`, `OSTINATO_ISA` and `OSTINATO_THREADS` choose it; what it says of itself is
 * what really runs. Besides the workloads it takes "peak SECONDS" and "read:BYTES SECONDS", which measure the limits.
 */
import { readFileSync } from "node:fs";
import { defaultEngine } from "ostinato/kernels";
import { type Bandwidth, type Peak, peakProbe, readProbe } from "./limit.js";
import { type Turn, takeTurns, timeSteps, warmUp } from "./turn.js";
import { WORKLOADS, type Workload } from "./workloads.js";

/** A turn of ours also says what a step computes and moves. */
export type OwnTurn = Turn & Pick<Workload, "flops" | "bytes">;

const kernels = defaultEngine();
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const about = {
  name: "ostinato",
  version,
  engine: kernels.name,
  isa: kernels.isa,
  detail: kernels.detail,
  threads: kernels.threads,
};
const workloads = new Map<string, Workload>();
const probes = new Map<string, (seconds: number) => Peak | Bandwidth>();

await takeTurns(about, async (name, seconds): Promise<OwnTurn | Peak | Bandwidth> => {
  if (name === "peak" || name.startsWith("read:")) {
    let probe = probes.get(name);
    if (!probe) {
      probe = name === "peak" ? peakProbe(kernels) : readProbe(Number(name.slice("read:".length)));
      probes.set(name, probe);
    }
    return probe(seconds);
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
  return { ...timeSteps(step, seconds, { single: entry.streaming }), flops, bytes };
});
