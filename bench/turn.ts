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
  /** What our engine runs in where that is not Node. */
  runtime?: string;
}

/** What a turn took, in milliseconds per step. */
export interface Turn {
  ms: number;
  steps: number;
  /** Of the single steps, where the workload is a stream; of a clock too coarse for them, the median alone, of groups of steps. */
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
