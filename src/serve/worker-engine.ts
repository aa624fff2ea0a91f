/**
 * @file An engine in a thread of its own, which may die at any instant: another one begins where it was.
 *
 * The store is the truth. Whatever was under way when the thread died is asked again, with the numbers it was asked with before: an operation
 * whose commit came before the death is answered from the store, and every other one is executed now. Nothing is applied twice.
 *
 * What was under way at a death is suspect. Suspects run alone, one request at a time; one that was there at three deaths is cut into its
 * operations; an operation that kills the thread alone is given up.
 */

import { randomInt } from "node:crypto";
import { OstinatoError } from "../core/errors.js";
import type { StepCounts } from "../monitor/index.js";
import { errorFacts } from "../protocol/codes.js";
import type { Engine, EngineStatus, ModelSource, ModelVersion, SwapPolicy } from "./engine.js";
import { type CallName, type EngineReply, landError, packOperations, unpackOutcomes } from "./engine-messages.js";
import type { Applied, Operation, Outcome, Predictions, StepInput } from "./operation.js";
import type { SessionEngineOptions } from "./session-engine.js";
import type { LmdbStoreOptions } from "./store-lmdb.js";
import { EngineLife } from "./worker-engine-life.js";

/** A store in memory is lost with its thread. */
export type StoreChoice = ({ kind: "lmdb" } & LmdbStoreOptions) | { kind: "memory" };

/** Options of the engine: nothing but plain data crosses threads. */
export type EngineTuning = Omit<SessionEngineOptions, "store" | "now" | "onFault">;

/** What the thread is started with. */
export interface EngineWorkerData {
  store: StoreChoice;
  engine: EngineTuning;
  programData?: unknown;
}

export interface WorkerEngineOptions extends EngineTuning {
  store: StoreChoice;
  /** Threads that one call of a kernel uses. Default what OSTINATO_THREADS says, else 1. */
  threads?: number;
  /** A thread that owes an answer and gives none for so long is ended, and another one begun. Default 30 s. */
  hangMs?: number;
  /** Most of the thread's old generation, in MiB. Default what V8 takes. */
  memoryMb?: number;
  /** Told why a thread ended, and of faults of the program in it. */
  onFault?(error: unknown, where: string): void;
  /** Another program than `engine-worker`, and what it finds in its `workerData.programData`. */
  program?: URL;
  programData?: unknown;
}

interface Task {
  work:
    | { kind: "execute"; operations: readonly Operation[]; firstId: number }
    | { kind: "call"; name: CallName; given: readonly unknown[] };
  /** Deaths that it was under way at. */
  deaths: number;
  resolve(value: unknown): void;
  reject(error: OstinatoError): void;
  /** Takes the place of being cut or given up. */
  giveUp?(): void;
}

/** Deaths that a request may be under way at. */
const MOST_DEATHS = 3;
/** Failed starts in a row after which nobody is kept waiting for the next one. */
const MOST_STARTS = 5;
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [50, 2000];
/** A thread that lived so long died for a new reason. */
const HEALTHY_MS = 60_000;
const MIB = 1_048_576;
const YOUNG_MB = 128;

export class WorkerEngine implements Engine {
  readonly #options: WorkerEngineOptions;
  readonly #models = new Map<string, ModelSource>();
  readonly #routes = new Map<string, { version: string; policy: SwapPolicy }>();
  /** Asked and not sent, in order; suspects first. */
  readonly #waiting: Task[] = [];
  readonly #sent = new Map<number, Task>();
  /** Of the first operation of the next request: a number of this life of the process, then a counter. */
  #nextOperation = randomInt(1, 2 ** 21) * 2 ** 32;
  #nextRequest = 1;
  #life: EngineLife | null = null;
  /** Deaths without a healthy life between. */
  #deaths = 0;
  #bornAt = 0;
  /** Nobody is kept waiting: many starts in a row failed. */
  #down = false;
  #closed = false;

  private constructor(options: WorkerEngineOptions) {
    this.#options = options;
  }

  /** @throws OST_STORE and what else an engine cannot be opened for. */
  static async start(options: WorkerEngineOptions): Promise<WorkerEngine> {
    const engine = new WorkerEngine(options);
    engine.#life = await engine.#begin();
    return engine;
  }

  execute(operations: readonly Operation[]): Promise<Outcome[]> {
    const firstId = this.#nextOperation + 1;
    this.#nextOperation += operations.length;
    return this.#ask({ kind: "execute", operations, firstId }) as Promise<Outcome[]>;
  }

  /** As the engine's, and @throws OST_RANGE for an object of this process. */
  async load(source: ModelSource): Promise<ModelVersion> {
    if ("model" in source) {
      throw new OstinatoError("OST_RANGE", {
        what: "an object cannot go to another thread",
        expected: "the bytes of a model file, or the probe",
        where: "model",
        repair: "save the model and load its file, or use an engine in this thread",
      });
    }
    const facts = (await this.#call("load", source)) as ModelVersion;
    this.#models.set(facts.version, source);
    return facts;
  }

  async unload(version: string): Promise<void> {
    await this.#call("unload", version);
    this.#models.delete(version);
  }

  async route(model: string, route: { version: string; policy: SwapPolicy }): Promise<void> {
    await this.#call("route", model, route);
    this.#routes.set(model, route);
  }

  list(options: { prefix: string; after?: string; limit: number }): Promise<string[]> {
    return this.#call("list", options) as Promise<string[]>;
  }

  status(): Promise<EngineStatus> {
    return this.#call("status") as Promise<EngineStatus>;
  }

  async healthy(): Promise<boolean> {
    return this.#life !== null && ((await this.#call("healthy")) as boolean);
  }

  replay(version: string, input: StepInput): Promise<Predictions> {
    return this.#call("replay", version, input) as Promise<Predictions>;
  }

  statistics(): Promise<Record<string, StepCounts>> {
    return this.#call("statistics") as Promise<Record<string, StepCounts>>;
  }

  tend(): Promise<Outcome[]> {
    return this.#call("tend") as Promise<Outcome[]>;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#call("close");
    } finally {
      this.#closed = true;
      for (const task of this.#waiting.splice(0)) task.reject(gone());
      await this.#life?.end();
      this.#life = null;
    }
  }

  #call(name: CallName, ...given: readonly unknown[]): Promise<unknown> {
    return this.#ask({ kind: "call", name, given });
  }

  #ask(work: Task["work"]): Promise<unknown> {
    if (this.#closed) return Promise.reject(gone());
    return new Promise((resolve, reject) => {
      const task = { work, deaths: 0, resolve, reject };
      if (this.#down) {
        refuse(task);
        return;
      }
      this.#waiting.push(task);
      this.#send();
    });
  }

  /** Sends what may be sent: a suspect only when nothing else is under way, and nothing beside it. */
  #send(): void {
    while (this.#life && this.#waiting.length > 0) {
      const alone = this.#waiting[0].deaths > 0 || [...this.#sent.values()].some(({ deaths }) => deaths > 0);
      if (alone && this.#sent.size > 0) return;
      const task = this.#waiting.shift() as Task;
      const id = this.#nextRequest++;
      this.#sent.set(id, task);
      const { work } = task;
      if (work.kind === "execute") {
        const operations = packOperations(work.operations, { firstId: work.firstId, retried: task.deaths > 0 });
        this.#life.send({ kind: "execute", id, operations }, { moved: [operations.numbers.buffer as ArrayBuffer] });
      } else {
        const patienceMs = work.name === "load" ? patienceFor(work.given[0] as ModelSource) : 0;
        this.#life.send({ kind: "call", id, name: work.name, arguments: work.given }, { patienceMs });
      }
    }
  }

  #take(reply: Exclude<EngineReply, { kind: "ready" | "failed" }>): void {
    if (reply.kind === "fault") {
      this.#tell(landError(reply.error, reply.where), reply.where);
      return;
    }
    const task = this.#sent.get(reply.id) as Task;
    this.#sent.delete(reply.id);
    if (reply.kind === "outcomes") task.resolve(unpackOutcomes(reply.outcomes));
    else if (reply.kind === "value") task.resolve(reply.value);
    else task.reject(landError(reply.error, "engine"));
    this.#send();
  }

  /** A life that is ready, with every model and every route that there was. */
  async #begin(): Promise<EngineLife> {
    const {
      store,
      threads,
      hangMs = 30_000,
      memoryMb,
      onFault: _,
      program = "engine-worker",
      programData,
      ...engine
    } = this.#options;
    let reloaded = false;
    const life = new EngineLife({
      program,
      workerData: { store, engine, programData } satisfies EngineWorkerData,
      env: threads === undefined ? process.env : { ...process.env, OSTINATO_THREADS: String(threads) },
      resourceLimits: {
        // Thousands of steps are under way at once: in a small young generation each would be copied before it dies.
        maxYoungGenerationSizeMb: YOUNG_MB,
        ...(memoryMb === undefined ? {} : { maxOldGenerationSizeMb: memoryMb }),
      },
      hangMs,
      onReply: (reply) => this.#take(reply),
      onEnd: (reason) => {
        if (reloaded) this.#mourn(reason);
      },
    });
    await life.ready;
    // One that is refused now hinders no other: its sessions are told that it is not loaded.
    const tell = (error: unknown) => this.#tell(error, "a model that was loaded before");
    for (const source of this.#models.values()) await life.call("load", [source], patienceFor(source)).catch(tell);
    for (const [model, route] of this.#routes) await life.call("route", [model, route]).catch(tell);
    if (life.over) throw life.over;
    reloaded = true;
    this.#bornAt = performance.now();
    return life;
  }

  /** The thread died: sorts what was under way, and begins another. */
  #mourn(reason: OstinatoError): void {
    this.#life = null;
    this.#tell(reason, "engine");
    if (performance.now() - this.#bornAt > HEALTHY_MS) this.#deaths = 0;
    this.#deaths++;
    const suspects = [...this.#sent.values()];
    this.#sent.clear();
    this.#waiting.unshift(...suspects.flatMap((task) => this.#suspect(task, reason)));
    void this.#revive();
  }

  /** What is asked again of a task that was under way at a death. */
  #suspect(task: Task, reason: OstinatoError): Task[] {
    task.deaths++;
    if (task.deaths < MOST_DEATHS) return [task];
    if (task.giveUp) {
      task.giveUp();
      return [];
    }
    const { work } = task;
    if (work.kind === "call") {
      task.reject(reason);
      return [];
    }
    const { operations, firstId } = work;
    if (operations.length > 1) return cut(task, operations, firstId);
    return [autopsy(task, operations[0], firstId)];
  }

  async #revive(): Promise<void> {
    for (let failures = 0; !this.#closed; ) {
      await pause(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#deaths - 1 + failures)));
      try {
        const life = await this.#begin();
        if (this.#closed) return await life.end();
        this.#life = life;
        this.#down = false;
        return this.#send();
      } catch (error) {
        this.#tell(error, "engine start");
        if (++failures < MOST_STARTS) continue;
        this.#down = true;
        for (const task of this.#waiting.splice(0)) refuse(task);
      }
    }
  }

  #tell(error: unknown, where: string): void {
    try {
      this.#options.onFault?.(error, where);
    } catch {}
  }
}

/** A large model may take its time. */
function patienceFor(source: ModelSource): number {
  return "bytes" in source ? (1000 * source.bytes.length) / MIB : 0;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One task per operation; the whole is answered when all of them are. Each dies of its own death only. */
function cut(whole: Task, operations: readonly Operation[], firstId: number): Task[] {
  const outcomes = new Array<Outcome>(operations.length);
  let left = operations.length;
  return operations.map((operation, i) => ({
    work: { kind: "execute", operations: [operation], firstId: firstId + i },
    deaths: MOST_DEATHS - 1,
    resolve: (given) => {
      outcomes[i] = (given as Outcome[])[0];
      if (--left === 0) whole.resolve(outcomes);
    },
    reject: whole.reject,
  }));
}

/** Asks of an operation that is given up whether it was applied before it killed. */
function autopsy(task: Task, operation: Operation, operationId: number): Task {
  const question: Operation = { kind: "get", key: operation.key };
  return {
    work: { kind: "execute", operations: [question], firstId: operationId },
    deaths: MOST_DEATHS - 1,
    resolve: (given) => task.resolve([verdict(operation, (given as Outcome[])[0])]),
    reject: task.reject,
    giveUp: () => task.resolve([lost("unknown", deadly())]),
  };
}

/** A `get` that names an operation is answered as `repeated`, with the stored answer, if that operation was the last to change the session. */
function verdict(operation: Operation, found: Outcome): Outcome {
  if (found.repeated) return { ...found, repeated: false };
  return { ...lost(wasApplied(operation, found), deadly()), session: found.session };
}

function wasApplied(operation: Operation, { session, error }: Outcome): Applied {
  const absent = error?.code === "OST_SESSION";
  switch (operation.kind) {
    case "get":
    case "answers":
    case "snapshot":
    case "hibernate":
      return "no";
    case "end":
    case "expire":
      return session ? "no" : "unknown";
    case "step":
      if (operation.end) return session ? "no" : "unknown";
      if (absent) return "no";
      return session && operation.seq !== undefined ? (session.seq >= operation.seq ? "yes" : "no") : "unknown";
    default:
      return absent ? "no" : "unknown";
  }
}

/** Answers a task that nobody can execute at present. */
function refuse({ work, deaths, resolve, reject, giveUp }: Task): void {
  const error = new OstinatoError("OST_CAPACITY", {
    what: "the engine cannot be started",
    where: "engine",
    repair: "see the server's log; it is tried again",
  });
  if (giveUp) giveUp();
  else if (work.kind === "call") reject(error);
  else resolve(work.operations.map(() => lost(deaths > 0 ? "unknown" : "no", error)));
}

function lost(applied: Applied, error: OstinatoError): Outcome {
  return {
    applied,
    count: 0,
    session: null,
    predictions: null,
    repeated: false,
    error: { ...errorFacts(error), index: 0 },
    expectedSeq: null,
    lifecycle: [],
    snapshot: null,
    view: null,
    computeMs: 0,
    commitMs: 0,
  };
}

function deadly(): OstinatoError {
  return new OstinatoError("OST_INTERNAL", {
    what: "a fault of the server: it cannot execute this operation",
    repair: "see the server's log; get the session before going on",
  });
}

function gone(): OstinatoError {
  return new OstinatoError("OST_CAPACITY", { what: "the engine is closed", where: "engine" });
}
