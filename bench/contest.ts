/** @file One workload: all contenders in turns, round after round, and what came of it. */
import { Contestant, type Launch } from "./contestant.js";
import type { Bandwidth, Peak } from "./limit.js";
import type { OwnTurn } from "./own-turn.js";
import { median, quantile } from "./statistic.js";
import type { Turn } from "./turn.js";
import { WORKLOADS } from "./workloads.js";

/** One engine on one workload. Times in milliseconds; shares as fractions; medians over the rounds. */
export interface Row {
  workload: string;
  engine: string;
  isa: string;
  threads: number;
  /** What the engine runs in where that is not Node. */
  runtime?: string;
  ms: number;
  /** Streaming only, where single steps can be timed: 99th percentile of the single steps. */
  p99?: number;
  gflops: number;
  peakShare: number;
  bandwidthShare: number;
  /** Time over that of the same work by the kernels alone. */
  overRaw?: number;
  /**
   * `ratio`: their time over ours, above 1 where we are faster; between `low` and `high` lie the middle half of the rounds. Our engine in a
   * browser stands here too, against our engines in Node.
   */
  peers: Record<string, { ms: number; ratio: number; low: number; high: number; variant?: string }>;
}

export interface PeerLaunch extends Launch {
  /** What it is sent for each of our workloads. */
  workloads: Readonly<Record<string, string>>;
}

export interface ContestOptions {
  own: readonly Launch[];
  peers: readonly PeerLaunch[];
  rounds: number;
  /** Told of each round. */
  note(text: string): void;
  /** Told of a contender that cannot take part. */
  miss(text: string): void;
}

/** A contender in its lane. */
interface Runner {
  contestant: Contestant;
  asked: string;
  isOurs: boolean;
  flops: number;
  bytes: number;
  turns: Turn[];
  raws: Turn[];
  peaks: Peak[];
  reads: Bandwidth[];
}

const PEAK_SECONDS = 0.05;
const READ_SECONDS = 0.03;
/** Threads of a pool may spin for a moment after their work. */
const PAUSE_MS = 30;

/** The workload that peers run against one of ours, or null. */
export function peerWorkload(name: string): string | null {
  const { peer = name } = WORKLOADS[name];
  return peer;
}

/** All rounds of one workload, in processes of their own, so that no workload finds the memory or the compiled code of another. */
export async function contest(name: string, { own, peers, rounds, note, miss }: ContestOptions): Promise<Row[]> {
  const { raw } = WORKLOADS[name];
  const theirs = peerWorkload(name);
  const entries = [
    ...own.map((launch) => ({ launch, asked: name, isOurs: true })),
    ...peers
      .filter(({ workloads }) => theirs !== null && theirs in workloads)
      .map((launch) => ({ launch, asked: launch.workloads[theirs as string], isOurs: false })),
  ];
  const lose = (contender: string, error: unknown) =>
    miss(`${contender} on ${name}: ${error instanceof Error ? error.message : String(error)}`);
  const field: Runner[] = [];
  try {
    for (const { launch, asked, isOurs } of entries) {
      let contestant: Contestant | undefined;
      try {
        contestant = await Contestant.start(launch);
        // Builds and warms up, outside the rounds.
        const { flops, bytes } = await contestant.turn<OwnTurn>(asked, 0.01);
        if (isOurs && raw) await contestant.turn(raw, 0.01);
        field.push({ contestant, asked, isOurs, flops, bytes, turns: [], raws: [], peaks: [], reads: [] });
      } catch (error) {
        lose(launch.name, error);
        await contestant?.stop();
      }
    }
    if (!field.some(({ isOurs }) => isOurs)) return [];
    for (let round = 0; round < rounds; round++) {
      note(`${name}, round ${round + 1} of ${rounds}`);
      // Every other round runs backward, so that a steady drift favours nobody.
      for (const runner of round % 2 === 0 ? [...field] : [...field].reverse()) {
        try {
          await takeTurn(runner, name);
        } catch (error) {
          lose(runner.contestant.launch.name, error);
          field.splice(field.indexOf(runner), 1);
          await runner.contestant.stop();
        }
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  } finally {
    await Promise.all(field.map(({ contestant }) => contestant.stop()));
  }
  const others = field.filter(({ isOurs, contestant }) => !isOurs || contestant.about.runtime);
  return field
    .filter(({ isOurs }) => isOurs)
    .map((runner) => {
      const { runtime } = runner.contestant.about;
      return rowOf(name, runner, runtime ? others.filter(({ isOurs }) => !isOurs) : others);
    });
}

async function takeTurn({ contestant, asked, isOurs, bytes, turns, raws, peaks, reads }: Runner, name: string): Promise<void> {
  const { seconds, raw } = WORKLOADS[name];
  const turn = await contestant.turn<Turn>(asked, seconds);
  if (isOurs) {
    if (raw) raws.push(await contestant.turn<Turn>(raw, seconds));
    peaks.push(await contestant.turn<Peak>("peak", PEAK_SECONDS));
    reads.push(await contestant.turn<Bandwidth>(`read:${bytes}`, READ_SECONDS));
  }
  turns.push(turn);
}

function rowOf(name: string, { contestant, flops, bytes, turns, raws, peaks, reads }: Runner, others: readonly Runner[]): Row {
  const { engine = contestant.launch.name, isa, threads, runtime } = contestant.about;
  const times = turns.map(timeOf);
  const ms = median(times);
  const row: Row = {
    workload: name,
    engine,
    isa,
    threads,
    ...(runtime === undefined ? {} : { runtime }),
    ms,
    gflops: flops / ms / 1e6,
    peakShare: median(times.map((time, i) => flops / time / 1e6 / peaks[i].gflops)),
    bandwidthShare: median(times.map((time, i) => bytes / time / 1e6 / reads[i].gbps)),
    peers: Object.fromEntries(others.map((other) => [other.contestant.launch.name, against(other.turns, times)])),
  };
  if (turns.every(({ p99 }) => p99 !== undefined)) row.p99 = median(turns.map(({ p99 }) => p99 as number));
  if (raws.length > 0) row.overRaw = median(times.map((time, i) => time / timeOf(raws[i])));
  return row;
}

function against(turns: readonly Turn[], ours: readonly number[]): Row["peers"][string] {
  const times = turns.map(timeOf);
  const ratios = times.map((time, i) => time / ours[i]);
  const { variant } = turns[0];
  return {
    ms: median(times),
    ratio: median(ratios),
    low: quantile(ratios, 0.25),
    high: quantile(ratios, 0.75),
    ...(variant === undefined ? {} : { variant }),
  };
}

/** What counts of a turn: the median of single steps, or of groups of them, where they were timed, else the mean. */
function timeOf({ ms, p50 }: Turn): number {
  return p50 ?? ms;
}
