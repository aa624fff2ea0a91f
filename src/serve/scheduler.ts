/**
 * @file Who computes when: one mailbox per session, micro-batches across sessions, fairness between tenants, and a bound on every queue.
 *
 * - Operations of one session run in the order of their arrival, at most one at a time; sessions never wait for each other but for the engine.
 * - Work-conserving: whenever fewer than `depth` batches are under way, whatever is ready makes the next one. Nothing is delayed to fill it;
 *   what arrives in one turn of the event loop shares a batch.
 * - A numbered step whose number leaves a gap (the engine says so) waits a moment for the numbers before it; see `mailbox.ts`.
 * - Every operation is answered exactly once, and never by a rejection. What the scheduler refuses was not begun, so nothing was applied;
 *   of a batch whose engine broke nobody knows.
 */
import type { ErrorDetail } from "../core/errors.js";
import { OstinatoError } from "../core/errors.js";
import { Mailbox, Waiting } from "./mailbox.js";
import type { Operation, Outcome } from "./operation.js";
import { refusal, refusalFacts } from "./scheduler-refusal.js";
import { Share, Shares } from "./scheduler-shares.js";
import { Wheel } from "./scheduler-wheel.js";

export interface SchedulerOptions {
  /** Runs a batch; no key twice in one, and no key in two at once. */
  execute(operations: readonly Operation[]): Promise<Outcome[]>;
  /** Operations of a batch at most. Default 1024. */
  maxBatch?: number;
  /** A batch is full when its operations cost so many records: nobody waits for more than that. Default 4096. */
  maxBatchCost?: number;
  /** Batches under way at once at most: one computing, one waiting at the door. Default 2. */
  depth?: number;
  /** Operations waiting for one session at most, those held for a gap included. Default 32. */
  maxWaitingPerSession?: number;
  /** Bytes of operations waiting for one tenant, and in all. Defaults 16 MiB and 64 MiB. */
  maxTenantBytes?: number;
  maxBytes?: number;
  /** Shares of the engine by tenant, 0.1 .. 100; default 1 each, and for what is no positive number. */
  weight?(tenant: string): number;
  /** An operation whose number leaves a gap waits so long for those before it. Default 1000 ms. */
  gapHoldMs?: number;
  /** A clock in ms that never goes back. */
  now?: () => number;
  onBatch?(size: number): void;
  /** An operation waits for the numbers before it; one that waited had its turn. */
  onReordered?(): void;
}

export interface Ticket {
  tenant: string;
  /** What it keeps waiting, for the bounds, which add `OPERATION_BYTES` for the operation itself. */
  bytes: number;
  /** Records, the cost that shares are counted in. */
  cost: number;
  /** Creates are shed before steps: at half of a full queue already. */
  sheddable?: boolean;
  /** Not begun by then: OST_DEADLINE. On the scheduler's clock. */
  deadline?: number;
  signal?: AbortSignal;
}

export interface SchedulerStatus {
  /** Operations not begun yet, held ones included. */
  waiting: number;
  /** Of operations not answered yet. */
  bytes: number;
  /** Steps that wait for the numbers before them. */
  held: number;
  /** Operations in the batches under way. */
  running: number;
  /** Waiting time of the one that waits longest; 0 when none does. */
  oldestMs: number;
  /** Sessions and tenants with anything waiting or running: nothing else is remembered. */
  sessions: number;
  tenants: number;
}

/** What an operation takes by itself: its object, its promise, its place in a mailbox. */
export const OPERATION_BYTES = 256;

const MIN_WEIGHT = 0.1;
const MAX_WEIGHT = 100;

const MAX_TIMER_MS = 2 ** 31 - 1;

const NOTHING_APPLIED = "nothing of it was applied";

export class Scheduler {
  readonly #execute: SchedulerOptions["execute"];
  readonly #maxBatch: number;
  readonly #maxBatchCost: number;
  readonly #depth: number;
  readonly #maxWaiting: number;
  readonly #maxTenantBytes: number;
  readonly #maxBytes: number;
  readonly #weight: (tenant: string) => number;
  readonly #gapHoldMs: number;
  readonly #now: () => number;
  readonly #onBatch: ((size: number) => void) | undefined;
  readonly #onReordered: (() => void) | undefined;
  readonly #refused: ReturnType<typeof refusals>;

  readonly #mailboxes = new Map<string, Mailbox>();
  readonly #tenants = new Map<string, Share<Mailbox>>();
  readonly #shares = new Shares<Mailbox>();
  readonly #wheel: Wheel<Waiting>;
  readonly #signals = new Map<AbortSignal, SignalWatch>();
  readonly #batches = new Set<readonly Waiting[]>();
  #bytes = 0;
  #arrivals = 0;
  #scheduled = false;
  #draining = false;
  #closed = false;
  #onIdle: (() => void)[] = [];

  /** @throws OST_RANGE for an option outside its range. */
  constructor(options: SchedulerOptions) {
    this.#execute = options.execute;
    this.#maxBatch = whole("maxBatch", options.maxBatch ?? 1024);
    this.#maxBatchCost = whole("maxBatchCost", options.maxBatchCost ?? 4096);
    this.#depth = whole("depth", options.depth ?? 2);
    this.#maxWaiting = whole("maxWaitingPerSession", options.maxWaitingPerSession ?? 32);
    this.#maxTenantBytes = whole("maxTenantBytes", options.maxTenantBytes ?? 16 * 2 ** 20);
    this.#maxBytes = whole("maxBytes", options.maxBytes ?? 64 * 2 ** 20);
    this.#weight = options.weight ?? (() => 1);
    this.#gapHoldMs = within("gapHoldMs", options.gapHoldMs ?? 1000, 0, 3_600_000);
    this.#now = options.now ?? (() => performance.now());
    this.#onBatch = options.onBatch;
    this.#onReordered = options.onReordered;
    this.#refused = refusals(this.#maxWaiting, this.#maxTenantBytes, this.#maxBytes);
    this.#wheel = new Wheel(this.#now, (entry) => this.#expire(entry));
  }

  /**
   * Queues an operation and answers when it was executed, or refused: OST_RATE where its session or its tenant has too much waiting,
   * OST_CAPACITY where all have or the scheduler is draining, OST_DEADLINE where it was not begun before its deadline or before its
   * signal was aborted. Never rejects. Tickets of one key name one tenant.
   */
  submit(operation: Operation, ticket: Ticket): Promise<Outcome> {
    const bytes = ticket.bytes + OPERATION_BYTES;
    const present = this.#mailboxes.get(operation.key);
    const share = present?.share ?? this.#tenants.get(ticket.tenant);
    const error = this.#whyNot(ticket, bytes, share) ?? this.#makeRoom(operation, present);
    if (error !== null) return Promise.resolve(refusal(error));

    const mailbox = present ?? this.#open(operation.key, ticket.tenant, share);
    const promise = new Promise<Outcome>(captureResolve);
    const now = this.#now();
    const deadline = ticket.deadline ?? Number.POSITIVE_INFINITY;
    const entry = new Waiting(
      mailbox,
      operation,
      bytes,
      // No longer than a batch, so that every turn comes.
      Math.min(ticket.cost > 1 ? ticket.cost : 1, this.#maxBatchCost),
      deadline,
      ticket.signal,
      this.#arrivals++,
      now,
      capturedResolve,
    );
    this.#bytes += bytes;
    mailbox.share.bytes += bytes;
    mailbox.share.operations++;
    mailbox.queue.push(entry);
    if (deadline !== Number.POSITIVE_INFINITY) this.#remind(entry, deadline);
    if (entry.signal !== undefined) this.#watch(entry, entry.signal);
    if (mailbox.turn?.state !== "waiting" || mailbox.held.length > 0) this.#settle(mailbox);
    return promise;
  }

  status(): SchedulerStatus {
    const now = this.#now();
    let [waiting, held, running, oldest] = [0, 0, 0, now];
    for (const mailbox of this.#mailboxes.values()) {
      waiting += mailbox.waiting;
      held += mailbox.held.length;
      if (mailbox.running !== null) running++;
      oldest = Math.min(oldest, mailbox.oldest());
    }
    const [sessions, tenants] = [this.#mailboxes.size, this.#tenants.size];
    return { waiting, bytes: this.#bytes, held, running, oldestMs: now - oldest, sessions, tenants };
  }

  /**
   * Takes nothing new (OST_CAPACITY), lets what waits run, and answers held steps as gaps as soon as nothing else of their session waits.
   * Resolves when all is answered, or after `timeoutMs` when what has not begun was refused; batches under way then may still come back.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    for (const mailbox of [...this.#mailboxes.values()]) if (mailbox.running === null) this.#settle(mailbox);
    if (this.#mailboxes.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.min(timeoutMs, MAX_TIMER_MS));
    });
    await Promise.race([new Promise<void>((resolve) => this.#onIdle.push(resolve)), late]);
    clearTimeout(timer);
    this.#refuseWaiting();
  }

  /** Refuses what waits, and answers what is under way as unknown: its outcomes are not waited for. */
  close(): void {
    this.#draining = true;
    this.#closed = true;
    this.#refuseWaiting();
    for (const entry of [...this.#batches].flat()) {
      this.#finish(entry, this.#broken(entry.operation));
      this.#settle(entry.mailbox);
    }
    this.#wheel.close();
  }

  /** Why a ticket is refused whatever its session has waiting. */
  #whyNot(ticket: Ticket, bytes: number, share: Share<Mailbox> | undefined) {
    const refused = this.#refused;
    if (this.#draining) return refused.draining;
    const part = ticket.sheddable ? 0.5 : 1;
    if (this.#bytes + bytes > this.#maxBytes * part) return ticket.sheddable ? refused.halfFull : refused.full;
    if ((share?.bytes ?? 0) + bytes > this.#maxTenantBytes * part)
      return ticket.sheddable ? refused.tenantHalfFull : refused.tenantFull;
    if (ticket.signal?.aborted) return refused.aborted;
    if (ticket.deadline !== undefined && ticket.deadline <= this.#now()) return refused.late;
    return null;
  }

  /** A full mailbox refuses, unless a held step of a greater number can give way: else those held would keep out what they wait for. */
  #makeRoom(operation: Operation, mailbox: Mailbox | undefined) {
    if (mailbox === undefined || mailbox.waiting < this.#maxWaiting) return null;
    const last = mailbox.held.at(-1);
    const seq = operation.kind === "step" ? operation.seq : undefined;
    if (last === undefined || seq === undefined || seq >= (last.number as number)) return this.#refused.sessionFull;
    this.#dismiss(last, this.#gap(mailbox, last));
    return null;
  }

  #open(key: string, tenant: string, known: Share<Mailbox> | undefined): Mailbox {
    let share = known;
    if (share === undefined) {
      share = new Share(tenant, weightFrom(this.#weight(tenant)));
      this.#tenants.set(tenant, share);
    }
    const mailbox = new Mailbox(key, share);
    this.#mailboxes.set(key, mailbox);
    return mailbox;
  }

  /** Brings a mailbox to where it belongs after any change: among the ready, out of them, or out of memory. */
  #settle(mailbox: Mailbox): void {
    if (mailbox.running !== null) return;
    let turn = mailbox.choose();
    while (turn === null && this.#draining && mailbox.held.length > 0) {
      this.#dismiss(mailbox.held[0], this.#gap(mailbox, mailbox.held[0]));
      turn = mailbox.choose();
    }
    for (const entry of mailbox.held) if (entry.heldUntil === null) this.#remindOfGap(entry);
    const ready = mailbox.turn !== null;
    mailbox.turn = turn;
    if (turn !== null) {
      if (!ready) this.#shares.add(mailbox);
      this.#kick();
      return;
    }
    if (ready) this.#shares.remove(mailbox);
    if (mailbox.idle) this.#forget(mailbox);
  }

  #forget(mailbox: Mailbox): void {
    if (this.#mailboxes.get(mailbox.key) !== mailbox) return;
    this.#mailboxes.delete(mailbox.key);
    if (mailbox.share.operations === 0) this.#tenants.delete(mailbox.share.tenant);
    if (this.#mailboxes.size > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** After the sockets of this turn of the event loop were read. */
  #kick(): void {
    if (this.#scheduled || this.#batches.size >= this.#depth || this.#shares.size === 0) return;
    this.#scheduled = true;
    setImmediate(this.#launch);
  }

  readonly #launch = (): void => {
    this.#scheduled = false;
    while (this.#batches.size < this.#depth && this.#shares.size > 0) {
      const batch = this.#take();
      if (batch.length > 0) void this.#run(batch);
    }
  };

  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const now = this.#now();
    let cost = 0;
    while (batch.length < this.#maxBatch && cost < this.#maxBatchCost) {
      const mailbox = this.#shares.take();
      if (mailbox === null) break;
      const entry = mailbox.turn as Waiting;
      mailbox.turn = null;
      if (entry.deadline <= now) {
        this.#dismiss(entry, refusal(this.#refused.late));
        this.#settle(mailbox);
        continue;
      }
      mailbox.begin(entry);
      this.#unwatch(entry);
      batch.push(entry);
      cost += entry.cost;
    }
    return batch;
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    this.#batches.add(batch);
    let outcomes: readonly Outcome[] = [];
    try {
      this.#onBatch?.(batch.length);
      outcomes = await this.#execute(batch.map(({ operation }) => operation));
    } catch {
      // Who broke tells its own observer; here it is enough that nobody knows what came of the batch.
    }
    this.#batches.delete(batch);
    if (this.#closed) return;
    for (let i = 0; i < batch.length; i++) this.#complete(batch[i], outcomes[i]);
    // With another batch under way the engine has work: answers may leave and new requests come in first.
    if (this.#batches.size === 0) this.#launch();
    else this.#kick();
  }

  #complete(entry: Waiting, outcome: Outcome | undefined): void {
    const { mailbox } = entry;
    const given = outcome ?? this.#broken(entry.operation);
    mailbox.session = given.session ?? mailbox.session;
    if (this.#leavesGap(entry, given)) {
      mailbox.expected = given.expectedSeq as number;
      if (this.#mayHold(entry)) {
        mailbox.running = null;
        if (given.lifecycle.length > 0) mailbox.untold = [...mailbox.untold, ...given.lifecycle];
        mailbox.hold(entry);
        this.#remindOfGap(entry);
        if (entry.signal !== undefined) this.#watch(entry, entry.signal);
        this.#settle(mailbox);
        return;
      }
    } else {
      if (mailbox.held.length > 0) mailbox.expected = numberAfter(entry, given);
      if (entry.heldUntil !== null) this.#onReordered?.();
    }
    this.#finish(entry, given);
    this.#settle(mailbox);
  }

  #leavesGap(entry: Waiting, { error, expectedSeq }: Outcome): boolean {
    return error?.code === "OST_GAP" && expectedSeq !== null && entry.number !== null && expectedSeq < entry.number;
  }

  /** Whether it may wait for the numbers before it. In a full mailbox the greatest number gives way. */
  #mayHold(entry: Waiting): boolean {
    const now = this.#now();
    if (this.#draining || entry.signal?.aborted || entry.deadline <= now) return false;
    if (entry.heldUntil === null ? this.#gapHoldMs === 0 : entry.heldUntil <= now) return false;
    const { mailbox } = entry;
    if (mailbox.waiting < this.#maxWaiting) return true;
    const last = mailbox.held.at(-1);
    if (last === undefined || (last.number as number) <= (entry.number as number)) return false;
    this.#dismiss(last, this.#gap(mailbox, last));
    return true;
  }

  #remindOfGap(entry: Waiting): void {
    entry.heldUntil ??= this.#now() + this.#gapHoldMs;
    this.#remind(entry, Math.min(entry.heldUntil, entry.deadline));
  }

  #remind(entry: Waiting, due: number): void {
    this.#wheel.remove(entry);
    entry.due = due;
    this.#wheel.add(entry);
  }

  /** Its time is over: for a held step the wait for numbers, else the deadline. */
  #expire(entry: Waiting): void {
    if (entry.state === "held" && entry.deadline > this.#now()) this.#giveUp(entry);
    else this.#withdraw(entry, refusal(this.#refused.late));
  }

  #giveUp(entry: Waiting): void {
    this.#withdraw(entry, this.#gap(entry.mailbox, entry));
  }

  /** Answers an operation that has not begun. */
  #withdraw(entry: Waiting, outcome: Outcome): void {
    if (entry.state !== "waiting" && entry.state !== "held") return;
    this.#dismiss(entry, outcome);
    this.#settle(entry.mailbox);
  }

  #dismiss(entry: Waiting, outcome: Outcome): void {
    entry.mailbox.leave(entry);
    this.#finish(entry, outcome);
  }

  /** The one place where operations are answered. */
  #finish(entry: Waiting, outcome: Outcome): void {
    const { mailbox } = entry;
    entry.state = "answered";
    this.#unwatch(entry);
    if (mailbox.running === entry) mailbox.running = null;
    this.#bytes -= entry.bytes;
    mailbox.share.bytes -= entry.bytes;
    mailbox.share.operations--;
    if (mailbox.untold.length > 0) {
      outcome = { ...outcome, lifecycle: [...mailbox.untold, ...outcome.lifecycle] };
      mailbox.untold = [];
    }
    entry.resolve(outcome);
  }

  #watch(entry: Waiting, signal: AbortSignal): void {
    let watch = this.#signals.get(signal);
    if (watch === undefined) {
      const entries = new Set<Waiting>();
      const onAbort = () => {
        for (const each of [...entries]) this.#withdraw(each, refusal(this.#refused.aborted));
      };
      watch = { entries, onAbort };
      this.#signals.set(signal, watch);
      signal.addEventListener("abort", onAbort);
    }
    watch.entries.add(entry);
  }

  /** Stops the clock and the signal: they cannot touch what has begun. */
  #unwatch(entry: Waiting): void {
    this.#wheel.remove(entry);
    const { signal } = entry;
    if (signal === undefined) return;
    const watch = this.#signals.get(signal);
    if (watch === undefined) return;
    watch.entries.delete(entry);
    if (watch.entries.size > 0) return;
    signal.removeEventListener("abort", watch.onAbort);
    this.#signals.delete(signal);
  }

  #refuseWaiting(): void {
    for (const mailbox of [...this.#mailboxes.values()]) {
      for (const entry of [...mailbox.held]) this.#dismiss(entry, refusal(this.#refused.draining));
      for (let entry = mailbox.queue.first; entry !== null; entry = mailbox.queue.first)
        this.#dismiss(entry, refusal(this.#refused.draining));
      this.#settle(mailbox);
    }
  }

  #gap({ session, expected }: Mailbox, { operation, number }: Waiting): Outcome {
    const known = Number.isFinite(expected) ? { expectedSeq: expected } : {};
    return refusal(
      refusalFacts("OST_GAP", {
        what: `numbers before this step's are missing; ${NOTHING_APPLIED}`,
        expected: "expectedSeq" in known ? `number ${expected} next` : "every number before it",
        got: `number ${number}`,
        where: operation.kind,
        repair: "send the missing steps again, then this one",
      }),
      { session, ...known },
    );
  }

  #broken({ kind }: Operation): Outcome {
    return refusal(this.#refused.broken, { applied: READS.has(kind) ? "no" : "unknown" });
  }
}

interface SignalWatch {
  entries: Set<Waiting>;
  onAbort: () => void;
}

const READS: ReadonlySet<Operation["kind"]> = new Set(["get", "answers", "snapshot"]);

/** The executor of every promise: one function for all instead of a closure for each. */
let capturedResolve: (outcome: Outcome) => void;
function captureResolve(resolve: (outcome: Outcome) => void): void {
  capturedResolve = resolve;
}

/**
 * The session's next number after an outcome. Only a plain step that met its session tells it; after anything else, an end, a failure or
 * another incarnation, those held ask the engine anew.
 */
function numberAfter({ number, operation }: Waiting, { session, error }: Outcome): number {
  const plain = number !== null && operation.kind === "step" && !operation.end;
  return plain && session !== null && error?.code !== "OST_STALE" ? session.seq + 1 : Number.POSITIVE_INFINITY;
}

function refusals(maxWaiting: number, maxTenantBytes: number, maxBytes: number) {
  const facts = (code: "OST_RATE" | "OST_CAPACITY" | "OST_DEADLINE", detail: ErrorDetail) => refusalFacts(code, detail);
  const later = `${NOTHING_APPLIED}; wait for answers, then send it again`;
  return {
    draining: facts("OST_CAPACITY", {
      what: "the server is shutting down",
      repair: `${NOTHING_APPLIED}; send it again in a moment`,
    }),
    full: facts("OST_CAPACITY", { what: "too much is waiting", expected: `at most ${maxBytes} bytes in all`, repair: later }),
    halfFull: facts("OST_CAPACITY", {
      what: "too much is waiting for a new session",
      expected: `at most half of ${maxBytes} bytes in all`,
      repair: later,
    }),
    tenantFull: facts("OST_RATE", {
      what: "too much of this tenant is waiting",
      expected: `at most ${maxTenantBytes} bytes`,
      repair: later,
    }),
    tenantHalfFull: facts("OST_RATE", {
      what: "too much of this tenant is waiting for a new session",
      expected: `at most half of ${maxTenantBytes} bytes`,
      repair: later,
    }),
    sessionFull: facts("OST_RATE", {
      what: "too many operations of this session are waiting",
      expected: `at most ${maxWaiting}`,
      repair: later,
    }),
    late: facts("OST_DEADLINE", {
      what: "the deadline passed before it was begun",
      repair: `${NOTHING_APPLIED}; allow more time`,
    }),
    aborted: facts("OST_DEADLINE", { what: "the sender went away before it was begun", repair: NOTHING_APPLIED }),
    broken: facts("OST_CAPACITY", {
      what: "the engine stopped while it worked on this",
      repair: "whether it was applied is not known: send it again with the same number, or ask for the session's",
    }),
  };
}

function weightFrom(weight: number): number {
  return weight > 0 ? Math.min(MAX_WEIGHT, Math.max(MIN_WEIGHT, weight)) : 1;
}

function within(name: string, value: number, low: number, high: number): number {
  if (value >= low && value <= high) return value;
  throw new OstinatoError("OST_RANGE", {
    what: "an option of the scheduler outside its range",
    expected: `${low} to ${high}`,
    got: String(value),
    where: name,
  });
}

function whole(name: string, value: number): number {
  return Number.isInteger(value)
    ? within(name, value, 1, Number.MAX_SAFE_INTEGER)
    : within(name, Number.NaN, 1, Number.MAX_SAFE_INTEGER);
}
