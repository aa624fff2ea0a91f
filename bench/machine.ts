/** @file What the numbers were measured on, by class, so that results of different machines are never mixed up. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";

export interface Machine {
  /** For file names: processor, widest vectors, number of cores. */
  class: string;
  processor: string;
  vectors: string;
  cores: number;
  memoryGiB: number;
  node: string;
}

export function machine(): Machine {
  const processor = (cpus()[0]?.model ?? process.arch).trim();
  const cores = cpus().length;
  const vectors = widestVectors();
  const short = processor
    .replace(/\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*$/gi, " ")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return {
    class: `${short}-${vectors}-${cores}core`,
    processor,
    vectors,
    cores,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
  };
}

/** A sentence if others seem to be using the machine, which no pinning keeps out of caches and memory; null if it is quiet. */
export function disturbance(): string | null {
  const [lastMinute] = loadavg();
  return lastMinute > 0.5
    ? `the machine was busy in the last minute (load ${lastMinute.toFixed(1)}): trust the ratios, not the times`
    : null;
}

function widestVectors(): string {
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1].split(" ") ?? [];
    const widest = ["avx512f", "avx2", "sse2"].find((flag) => flags.includes(flag));
    if (widest) return widest.replace("512f", "512");
  } catch {
    // No such file outside Linux: the architecture has to do.
  }
  return process.arch;
}
