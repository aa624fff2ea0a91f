/**
 * @file All schedules of two sessions with four operations each, through a scheduler with two batches under way and an engine with room for
 * one or two sessions in memory: every order of arrivals, and between any two of them the loop of events turns or not, and the batches
 * under way are answered or not.
 */
import type { Beginning, Operation, Outcome } from "../../src/serve/operation.js";
import { Scheduler } from "../../src/serve/scheduler.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { sessionKey } from "../../src/serve/session-key.js";
import { MemoryStore } from "../../src/serve/store-memory.js";
import { probeAlone, sameBits } from "./reference.js";

export interface SchedulesReport {
  schedules: number;
  operations: number;
  wrongs: string[];
}

type Kind = "start" | "step" | "reset" | "end";
/** What happens between two arrivals. */
type Between = "nothing" | "turn" | "answers";

const SESSIONS = ["a", "b"];
const KEYS = SESSIONS.map((id) => sessionKey({ tenant: "t", model: "m", id: { text: id } }));
const PROGRAMS: readonly Kind[][] = [
  ["start", "step", "step", "end"],
  ["start", "step", "reset", "step"],
  ["start", "end", "start", "step"],
  ["start", "step", "start", "step"],
];

const PLAIN: readonly Between[] = ["nothing", "answers"];

/**
 * Whole: all pairs of programs, and for one of them answers held back between arrivals too. Quick: that pair, nothing held back, room for one
 * session.
 */
export async function enumerateSchedules({ quick }: { quick: boolean }): Promise<SchedulesReport> {
  const report: SchedulesReport = { schedules: 0, operations: 0, wrongs: [] };
  const main = [PROGRAMS[1], PROGRAMS[2]];
  for (const maxResident of quick ? [1] : [1, 2]) {
    const bench = await Bench.open(maxResident);
    if (quick) await enumerate(bench, main, PLAIN, report);
    else {
      await enumerate(bench, main, ["nothing", "turn", "answers"], report);
      for (const first of PROGRAMS) for (const second of PROGRAMS) await enumerate(bench, [first, second], PLAIN, report);
    }
    await bench.close();
  }
  return report;
}

async function enumerate(
  bench: Bench,
  programs: readonly (readonly Kind[])[],
  betweens: readonly Between[],
  report: SchedulesReport,
): Promise<void> {
  const gaps = programs[0].length + programs[1].length - 1;
  for (const order of merges(programs[0].length, programs[1].length)) {
    for (let code = 0; code < betweens.length ** gaps; code++) {
      const between = Array.from({ length: gaps }, (_, i) => betweens[Math.floor(code / betweens.length ** i) % betweens.length]);
      const wrong = await bench.run(programs, order, between);
      report.schedules++;
      report.operations += order.length;
      if (wrong !== null && report.wrongs.length < 5)
        report.wrongs.push(`${wrong}; ${programs.join(" | ")}; order ${order.join("")}; ${between.join(" ")}`);
    }
  }
}

/** Every way to merge two sequences: 0 and 1 in an order. */
function merges(first: number, second: number): number[][] {
  if (first + second === 0) return [[]];
  return [
    ...(first > 0 ? merges(first - 1, second).map((rest) => [0, ...rest]) : []),
    ...(second > 0 ? merges(first, second - 1).map((rest) => [1, ...rest]) : []),
  ];
}

/** An engine that serves all runs, whose sessions begin afresh in each. */
class Bench {
  readonly #engine: SessionEngine;
  readonly #beginning: Beginning;
  #value = 0;

  private constructor(engine: SessionEngine, version: string) {
    this.#engine = engine;
    const limits = { tenant: 10, total: 10 };
    this.#beginning = { version, durability: "durable", ttlMs: null, attributes: {}, creator: "c", onLive: "restart", limits };
  }

  static async open(maxResident: number): Promise<Bench> {
    const engine = await SessionEngine.open({ store: new MemoryStore(), maxResident });
    const { version } = await engine.load({ probe: true });
    return new Bench(engine, version);
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  /** @returns what is wrong; null if nothing is. */
  async run(
    programs: readonly (readonly Kind[])[],
    order: readonly number[],
    between: readonly Between[],
  ): Promise<string | null> {
    // Batches are answered when they are let; the engine itself runs one after another, as it does behind a server.
    let held: (() => void)[] = [];
    const scheduler = new Scheduler({
      depth: 2,
      execute: (operations) =>
        this.#engine.execute(operations).then((outcomes) => new Promise((resolve) => held.push(() => resolve(outcomes)))),
    });
    const answers: Promise<Outcome>[][] = [[], []];
    const values: number[][] = [[], []];
    const next = [0, 0];
    for (const [i, session] of order.entries()) {
      const value = ++this.#value;
      values[session].push(value);
      const operation = this.#operation(programs[session][next[session]++], KEYS[session], value);
      answers[session].push(scheduler.submit(operation, { tenant: "t", bytes: 1, cost: 1 }));
      if (i === order.length - 1 || between[i] === "nothing") continue;
      await turn();
      if (between[i] === "turn") continue;
      for (const answer of held.splice(0)) answer();
      await turn();
    }
    const all = Promise.all(answers.map((own) => Promise.all(own)));
    let isOver = false;
    void all.then(() => {
      isOver = true;
    });
    for (let turns = 0; !isOver; turns++) {
      if (turns > 1000) return "no answer";
      await turn();
      for (const answer of held.splice(0)) answer();
      await null;
    }
    const outcomes = await all;
    held = [];
    scheduler.close();
    const live = KEYS.filter((_, session) => programs[session].at(-1) !== "end");
    await this.#engine.execute(live.map((key) => ({ kind: "end", key })));
    for (const session of [0, 1]) {
      const wrong = compare(programs[session], values[session], outcomes[session]);
      if (wrong !== null) return `session ${SESSIONS[session]}: ${wrong}`;
    }
    return null;
  }

  #operation(kind: Kind, key: string, value: number): Operation {
    if (kind === "reset") return { kind, key, reason: "client" };
    if (kind === "end") return { kind, key };
    const input = { rows: Float64Array.of(value), count: 1 };
    return { kind: "step", key, input, ...(kind === "start" ? { begin: this.#beginning } : {}) };
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A program's answers against what one session alone must give: it ran in its own order, whatever the other did. */
function compare(program: readonly Kind[], values: readonly number[], outcomes: readonly Outcome[]): string | null {
  let life: number[] = [];
  let seq = 0;
  for (const [i, kind] of program.entries()) {
    const { applied, error, predictions, session } = outcomes[i];
    if (applied !== "yes" || error) return `${kind} ${i}: applied ${applied}, ${error?.code ?? "no error"}`;
    if (kind === "start" || kind === "reset") life = [];
    if (kind === "start") seq = 0;
    if (kind === "reset" || kind === "end") {
      if (session?.seq !== seq) return `${kind} ${i}: seq ${session?.seq}, not ${seq}`;
      continue;
    }
    life.push(values[i]);
    seq++;
    const right = probeAlone(life.map((value) => Float64Array.of(value)));
    if (!sameBits(predictions?.values ?? [], right[right.length - 1])) return `${kind} ${i}: another answer than alone`;
    if (session?.seq !== seq || session.steps !== life.length) return `${kind} ${i}: seq ${session?.seq}, not ${seq}`;
  }
  return null;
}
