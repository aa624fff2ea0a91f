/**
 * @file Every schedule of two sessions with four operations each through two slots: all orders of arrivals, of the ends of batches and of
 * turns of the event loop, enumerated one by one.
 */
import { afterEach, describe, expect, it, vi } from "vitest";
import { ScriptedEngine, step, ticket } from "../../test/support/scripted-engine.js";
import type { Operation } from "./operation.js";
import { Scheduler } from "./scheduler.js";

const KEYS = ["a", "b"];
const begin = {
  version: "v",
  durability: "none",
  ttlMs: null,
  attributes: {},
  creator: "",
  onLive: "refuse",
  limits: { tenant: 9, total: 9 },
} as const;

function operationsOf(key: string, length: number): Operation[] {
  const life: Operation[] = [{ key, kind: "create", begin }, step(key, { seq: 1 }), step(key, { seq: 2 }), { key, kind: "end" }];
  return length === 4 ? life : [life[0], life[1], life[3]];
}

interface Rules {
  /** Operations of a session: 3 or 4. */
  length: number;
  maxBatch: number;
  /** The event loop turns after every event; else when it is chosen to. */
  eager: boolean;
}

/** One run of the scheduler, made of events that are chosen one after another. */
class Run {
  readonly #loop: (() => void)[] = [];
  readonly #engine = new ScriptedEngine();
  readonly #scheduler: Scheduler;
  readonly #pending: Operation[][];
  readonly #wanted: string[];
  readonly #arrived = KEYS.map(() => 0);
  readonly #answered: string[][] = KEYS.map(() => []);
  /** Sessions that have something to run, in the order in which they came to have it. */
  #ready: number[] = [];

  constructor(readonly rules: Rules) {
    vi.stubGlobal("setImmediate", (callback: () => void) => this.#loop.push(callback));
    this.#scheduler = new Scheduler({ execute: this.#engine.execute, maxBatch: rules.maxBatch, depth: 2 });
    this.#pending = KEYS.map((key) => operationsOf(key, rules.length));
    this.#wanted = this.#pending[0].map(nameOf);
  }

  /** What can happen next. */
  events(): (() => void)[] {
    const arrivals = KEYS.flatMap((_, session) => (this.#pending[session].length > 0 ? [() => this.#arrive(session)] : []));
    const ends = this.#engine.batches.map((batch) => () => batch.finish());
    return [...arrivals, ...ends, ...(!this.rules.eager && this.#loop.length > 0 ? [this.#turn] : [])];
  }

  async happen(event: () => void): Promise<void> {
    event();
    for (let i = 0; i < 3; i++) await null;
    if (this.rules.eager) this.#turn();
    const open = [...KEYS.keys()].filter((session) => this.#hasReady(session));
    this.#ready = [
      ...this.#ready.filter((session) => open.includes(session)),
      ...open.filter((session) => !this.#ready.includes(session)),
    ];
  }

  /** Two runs in one state go on alike: what arrived and was answered, the batches under way, who is ready before whom, and the loop. */
  state(): string {
    const batches = this.#engine.batches.map(({ operations }) => operations.map(({ key }) => key).join(""));
    return JSON.stringify([this.#arrived, this.#answered.map(({ length }) => length), batches, this.#ready, this.#loop.length]);
  }

  /** Whether all so far is right: answers and effects are a beginning of what was asked, in its order, and nothing ran beside itself. */
  isRight(): boolean {
    const inOrder = KEYS.every((key, session) => {
      const applied = this.#engine.applied.get(key) ?? [];
      const answered = this.#answered[session];
      return (
        answered.every((name, i) => name === `${this.#wanted[i]} yes`) &&
        applied.every((name, i) => String(name) === this.#wanted[i]) &&
        applied.length === answered.length
      );
    });
    return inOrder && this.#engine.doubled.length === 0 && this.#engine.batches.length <= 2;
  }

  /** Whether everything was answered and nothing is left. */
  isDone(): boolean {
    const { sessions, bytes, waiting } = this.#scheduler.status();
    return this.#answered.every(({ length }) => length === this.rules.length) && sessions + bytes + waiting === 0;
  }

  #arrive(session: number): void {
    const operation = this.#pending[session].shift() as Operation;
    this.#arrived[session]++;
    void this.#scheduler
      .submit(operation, ticket())
      .then(({ applied }) => this.#answered[session].push(`${nameOf(operation)} ${applied}`));
  }

  #hasReady(session: number): boolean {
    const running = this.#engine.batches.some(({ operations }) => operations.some(({ key }) => key === KEYS[session]));
    return !running && this.#arrived[session] > this.#answered[session].length;
  }

  readonly #turn = (): void => {
    for (const callback of this.#loop.splice(0)) callback();
  };
}

function nameOf(operation: Operation): string {
  return operation.kind === "step" ? String(operation.seq) : operation.kind;
}

interface Explored {
  schedules: number;
  /** Events, as places among what could happen, that led to something wrong. */
  faults: number[][];
}

/** Goes through every state once, by every event that can happen in it, and counts the schedules that lead through them. */
async function explore(rules: Rules): Promise<Explored> {
  const faults: number[][] = [];
  const schedulesFrom = new Map<string, number>();
  const visit = async (path: number[]): Promise<number> => {
    const run = new Run(rules);
    for (const place of path) await run.happen(run.events()[place]);
    if (!run.isRight()) faults.push(path);
    const state = run.state();
    const known = schedulesFrom.get(state);
    if (known !== undefined) return known;
    const { length } = run.events();
    let schedules = length === 0 ? 1 : 0;
    if (length === 0 && !run.isDone()) faults.push(path);
    for (let place = 0; place < length; place++) schedules += await visit([...path, place]);
    schedulesFrom.set(state, schedules);
    return schedules;
  };
  return { schedules: await visit([]), faults };
}

/** Goes through every schedule by itself, and trusts no notion of a state. */
async function exploreEach(rules: Rules): Promise<Explored> {
  const faults: number[][] = [];
  const path: { taken: number; of: number }[] = [];
  let schedules = 0;
  do {
    const run = new Run(rules);
    let right = true;
    for (let depth = 0; ; depth++) {
      const events = run.events();
      if (events.length === 0) break;
      if (depth === path.length) path.push({ taken: 0, of: events.length });
      await run.happen(events[path[depth].taken]);
      right &&= run.isRight();
    }
    schedules++;
    if (!right || !run.isDone()) faults.push(path.map(({ taken }) => taken));
    while (path.length > 0 && path[path.length - 1].taken === path[path.length - 1].of - 1) path.pop();
    if (path.length > 0) path[path.length - 1].taken++;
  } while (path.length > 0);
  return { schedules, faults };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("all schedules of two sessions through two slots", { timeout: 600_000 }, () => {
  it("keep the order of each session and answer everything once, with four operations each", async () => {
    const found: Record<string, number> = {};
    for (const maxBatch of [1, 2]) {
      for (const eager of [true, false]) {
        const { faults, schedules } = await explore({ length: 4, maxBatch, eager });
        expect(faults).toEqual([]);
        found[`batches of ${maxBatch}, ${eager ? "eager" : "lazy"} loop`] = schedules;
      }
    }
    // With an eager loop no session waits for the other: 14 orders of four arrivals and four ends each, interleaved in C(16, 8) ways.
    expect(found).toEqual({
      "batches of 1, eager loop": 14 * 14 * 12_870,
      "batches of 1, lazy loop": 1_435_715_968,
      "batches of 2, eager loop": 14 * 14 * 12_870,
      "batches of 2, lazy loop": 335_791_416,
    });
  });

  it("are as many one by one as by their states, with three operations each", async () => {
    const rules = { length: 3, maxBatch: 2, eager: true };
    const each = await exploreEach(rules);
    expect(each).toEqual({ schedules: 23_100, faults: [] });
    expect(await explore(rules)).toMatchObject(each);
  });
});
