/**
 * @file `ostinato loadtest`: bounded load on a running server, made up or as it was recorded, and what became of it.
 *
 * Without a rate every session has one request under way. With a rate, or recorded arrivals, requests begin when they are due whether or not
 * those before them were answered, and a latency counts from when its request was due: a server that stalls is not spared the requests it
 * kept away (G. Tene, How NOT to measure latency, 2013, on coordinated omission). Requests of one session still go one after another.
 */
import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { OstinatoError } from "../core/errors.js";
import { errorFacts } from "../protocol/codes.js";
import { isLoopback } from "../serve/loopback.js";
import { type Arrival, readArrivals } from "./arrival.js";
import { takeInterrupts } from "./interrupt.js";
import { type LoadProtocol, type LoadTarget, openLoadTarget } from "./load-target.js";
import { Terminal, type TerminalOptions } from "./terminal.js";

export interface LoadtestCommandOptions extends TerminalOptions {
  model: string;
  /** Default 100. */
  sessions?: number;
  /** Requests a second; default as many as are answered. */
  rate?: number;
  /** Default 10; of a replay at most so long. */
  seconds?: number;
  /** Records of a request; default 1. */
  steps?: number;
  protocol?: LoadProtocol;
  /** File of recorded arrivals. */
  replay?: string;
  /** Replays so many times faster; default 1. */
  speed?: number;
  allowRemote?: boolean;
  /** API key or token. */
  key?: string;
  seed?: number;
}

export const MOST_SESSIONS = 100_000;
export const MOST_SECONDS = 3600;
const MOST_REQUEST_STEPS = 256;
/** Requests that may be due and unanswered: beyond, the server is hopelessly behind, and what is due is counted as not sent. */
const MOST_WAITING = 100_000;
const OPENS_AT_ONCE = 64;
/** Latencies kept one by one; beyond, every new one takes the place of a random earlier one. */
const MOST_KEPT = 1_000_000;
/** Upper edges of the lengths of requests that are told apart. */
const LENGTHS = [1, 4, 16, 64, MOST_REQUEST_STEPS] as const;

export interface LatencyFacts {
  /** Records of a request, from and to. */
  steps: [from: number, to: number];
  requests: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

export interface LoadReport {
  url: string;
  model: string;
  protocol: LoadProtocol;
  sessions: number;
  seconds: number;
  requests: number;
  steps: number;
  stepsPerSecond: number;
  latency: LatencyFacts[];
  /** Requests refused, by code. */
  errors: Record<string, number>;
  /** Requests that were due and not sent, because too many were unanswered. */
  notSent: number;
  /** Client and server ran on the same cores: neither had them all. */
  sharedCores: number | null;
}

export async function loadtestCommand(address: string, options: LoadtestCommandOptions): Promise<0 | 1> {
  const terminal = new Terminal(options);
  const interrupt = takeInterrupts();
  try {
    const report = await runLoadtest(address, options, {
      signal: interrupt.signal,
      onProgress: (text) => terminal.status(text),
    });
    terminal.clear();
    if (options.json) terminal.json({ ...report });
    for (const line of inWords(report)) terminal.print(line);
    return Object.keys(report.errors).length > 0 || report.notSent > 0 ? 1 : 0;
  } finally {
    interrupt.release();
  }
}

/**
 * Runs it, ends its sessions, and reports.
 *
 * @throws OST_USAGE for a URL that is none, or of another machine without `allowRemote`; what the server refuses sessions with; and what
 *         `readArrivals` throws.
 */
export async function runLoadtest(
  address: string,
  options: LoadtestCommandOptions,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (text: string) => void } = {},
): Promise<LoadReport> {
  const { model, rate, steps = 1, protocol = "websocket", replay, speed = 1, key, seed = 1 } = options;
  const url = checkUrl(address, options.allowRemote ?? false);
  const recording = replay === undefined ? null : await readArrivals(replay);
  const sessions = bounded("--sessions", recording?.sessions ?? options.sessions ?? 100, MOST_SESSIONS);
  const seconds = bounded("--seconds", options.seconds ?? 10, MOST_SECONDS);
  const requestSteps = bounded("--steps", steps, MOST_REQUEST_STEPS);
  const target = await openLoadTarget({ url, model, protocol, sessions, key, seed });
  const run = new Run(target, sessions);
  const progress = setInterval(() => onProgress?.(`${run.steps} steps, ${run.waiting} requests unanswered`), 250);
  try {
    await openSessions(target, sessions);
    const start = performance.now();
    const until = start + seconds * 1000;
    if (recording) await run.arrivals(scheduled(recording.arrivals, { start, speed, until }), signal);
    else if (rate !== undefined) await run.arrivals(evenly(rate, { start, until, sessions, steps: requestSteps }), signal);
    else await run.closed(until, requestSteps, signal);
    const elapsed = (performance.now() - start) / 1000;
    return {
      url: url.href,
      model,
      protocol,
      sessions,
      seconds: elapsed,
      requests: run.requests,
      steps: run.steps,
      stepsPerSecond: run.steps / elapsed,
      latency: run.latency(),
      errors: Object.fromEntries([...run.errors].sort(([a], [b]) => (a < b ? -1 : 1))),
      notSent: run.notSent,
      sharedCores: isLoopback(url.hostname) ? availableParallelism() : null,
    };
  } finally {
    clearInterval(progress);
    await target.close().catch(() => {});
  }
}

/** A request that is due, on the clock of `performance.now`. */
type Due = Arrival;

class Run {
  requests = 0;
  steps = 0;
  waiting = 0;
  notSent = 0;
  readonly errors = new Map<string, number>();
  readonly #target: LoadTarget;
  /** The end of what each session has under way. */
  readonly #tails: Promise<void>[];
  readonly #latencies = LENGTHS.map(() => ({ kept: [] as number[], seen: 0, max: 0 }));

  constructor(target: LoadTarget, sessions: number) {
    this.#target = target;
    this.#tails = new Array<Promise<void>>(sessions).fill(Promise.resolve());
  }

  /** Every session asks again as soon as it was answered. */
  async closed(until: number, steps: number, signal?: AbortSignal): Promise<void> {
    const turn = async (_: unknown, session: number) => {
      while (performance.now() < until && !signal?.aborted) {
        const refused = await this.#ask({ at: performance.now(), session, steps });
        if (refused) await pause(REFUSED_PAUSE_MS);
      }
    };
    await Promise.all(this.#tails.map(turn));
  }

  /** Every request begins when it is due. */
  async arrivals(due: Iterable<Due>, signal?: AbortSignal): Promise<void> {
    for (const one of due) {
      const early = one.at - performance.now();
      if (early > 1) await pause(early, undefined, { signal }).catch(() => {});
      if (signal?.aborted) break;
      if (this.waiting >= MOST_WAITING) {
        this.notSent++;
        continue;
      }
      this.waiting++;
      this.#tails[one.session] = this.#tails[one.session].then(async () => {
        for (let left = one.steps; left > 0; left -= MOST_REQUEST_STEPS)
          await this.#ask({ ...one, steps: Math.min(left, MOST_REQUEST_STEPS) });
        this.waiting--;
      });
    }
    await Promise.all(this.#tails);
  }

  latency(): LatencyFacts[] {
    return this.#latencies.flatMap(({ kept, seen, max }, i) => {
      if (seen === 0) return [];
      const sorted = Float64Array.from(kept).sort();
      const at = (p: number) => sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)];
      const from = i === 0 ? 1 : LENGTHS[i - 1] + 1;
      return [{ steps: [from, LENGTHS[i]] as [number, number], requests: seen, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: max }];
    });
  }

  /** @returns whether it was refused. */
  async #ask({ at, session, steps }: Due): Promise<boolean> {
    this.requests++;
    try {
      await this.#target.step(session, steps);
    } catch (error) {
      const { code } = errorFacts(error);
      this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
      return true;
    }
    this.steps += steps;
    this.#note(performance.now() - at, steps);
    return false;
  }

  #note(ms: number, steps: number): void {
    const all = this.#latencies[LENGTHS.findIndex((most) => steps <= most)];
    all.max = Math.max(all.max, ms);
    all.seen++;
    if (all.kept.length < MOST_KEPT) all.kept.push(ms);
    else {
      // Reservoir sampling (Vitter 1985): all are kept with the same probability.
      const place = Math.floor(Math.random() * all.seen);
      if (place < MOST_KEPT) all.kept[place] = ms;
    }
  }
}

const REFUSED_PAUSE_MS = 50;

async function openSessions(target: LoadTarget, sessions: number): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < sessions) await target.open(next++);
  };
  await Promise.all(Array.from({ length: OPENS_AT_ONCE }, one));
}

function* scheduled(
  arrivals: readonly Arrival[],
  { start, speed, until }: { start: number; speed: number; until: number },
): Generator<Due> {
  for (const arrival of arrivals) {
    const at = start + arrival.at / speed;
    if (at > until) return;
    yield { ...arrival, at };
  }
}

/** Evenly spaced, the sessions in turn. */
function* evenly(
  rate: number,
  { start, until, sessions, steps }: { start: number; until: number; sessions: number; steps: number },
): Generator<Due> {
  for (let i = 0; ; i++) {
    const at = start + (i * 1000) / rate;
    if (at >= until) return;
    yield { at, session: i % sessions, steps };
  }
}

function checkUrl(address: string, allowRemote: boolean): URL {
  let url: URL;
  try {
    url = new URL(address.includes("://") ? address : `http://${address}`);
  } catch {
    throw new OstinatoError("OST_USAGE", { what: "no URL", expected: "http://127.0.0.1:8787", got: address.slice(0, 200) });
  }
  if (allowRemote || isLoopback(url.hostname)) return url;
  throw new OstinatoError("OST_USAGE", {
    what: "load on another machine",
    expected: "a loopback address",
    got: url.hostname,
    repair: "add --allow-remote if that server is yours to load",
  });
}

function bounded(flag: string, value: number, most: number): number {
  if (value > 0 && value <= most) return value;
  throw new OstinatoError("OST_USAGE", {
    what: "too much load, or none",
    expected: `${flag} of at most ${most}`,
    got: String(value),
  });
}

function inWords(report: LoadReport): string[] {
  const { sessions, seconds, requests, stepsPerSecond, protocol, latency, errors, notSent, sharedCores } = report;
  const number = (value: number) => Math.round(value).toLocaleString("en");
  const lines = [
    `  ${number(stepsPerSecond)} steps/s: ${number(requests)} requests of ${number(sessions)} sessions in ${seconds.toFixed(1)} s over ${protocol}`,
    "",
    "  steps of a request    requests     p50 ms     p99 ms     max ms",
  ];
  for (const { steps, requests: count, p50Ms, p99Ms, maxMs } of latency) {
    const length = steps[0] === steps[1] ? String(steps[0]) : steps.join(" to ");
    const cells = [number(count).padStart(10), ...[p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(2).padStart(10))];
    lines.push(`  ${length.padEnd(20)}${cells.join(" ")}`);
  }
  lines.push("");
  for (const [code, count] of Object.entries(errors)) lines.push(`  refused with ${code}: ${number(count)}`);
  if (notSent > 0) lines.push(`  due and not sent, for too many were unanswered: ${number(notSent)}`);
  if (sharedCores !== null)
    lines.push(`  Client and server shared the ${sharedCores} cores of this machine: alone the server does more.`);
  return lines;
}
