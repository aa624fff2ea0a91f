/**
 * @file What waits for one session, and which of it is next.
 *
 * Operations run in the order of their arrival, one at a time. A numbered step that came before its turn is held: it lets steps of lower
 * numbers pass and keeps back everything without a number that arrived after it. Held steps run in the order of their numbers, those of one
 * number in the order of their arrival.
 */
import type { LifecycleChange, Operation, Outcome, SessionStatus } from "./operation.js";
import { type InLine, Line } from "./scheduler-line.js";
import type { Share, Sharing } from "./scheduler-shares.js";

/** One operation from its arrival to its answer. */
export class Waiting implements InLine<Waiting> {
  previous: Waiting | null = null;
  next: Waiting | null = null;
  state: "waiting" | "held" | "running" | "answered" = "waiting";
  /** Its place among the unnumbered: it arrived before those of a greater one. */
  order: number;
  due = Number.POSITIVE_INFINITY;
  slot = -1;
  /** End of the wait for the numbers before it; null while it never had to wait for them. */
  heldUntil: number | null = null;

  constructor(
    readonly mailbox: Mailbox,
    readonly operation: Operation,
    readonly bytes: number,
    readonly cost: number,
    readonly deadline: number,
    readonly signal: AbortSignal | undefined,
    readonly arrival: number,
    readonly since: number,
    readonly resolve: (outcome: Outcome) => void,
  ) {
    this.order = arrival;
  }

  /** The number by which it may wait for others; null for what only its arrival orders. A step that begins a session begins its numbers. */
  get number(): number | null {
    const { operation } = this;
    return operation.kind === "step" && operation.begin === undefined ? (operation.seq ?? null) : null;
  }
}

const NONE: readonly LifecycleChange[] = [];

/** Exists only while something of its session waits or runs. */
export class Mailbox implements Sharing<Mailbox> {
  previous: Mailbox | null = null;
  next: Mailbox | null = null;
  running: Waiting | null = null;
  /** What runs next, while the session stands ready among its tenant's. */
  turn: Waiting | null = null;
  /** By number, then by arrival. */
  readonly held: Waiting[] = [];
  readonly queue = new Line<Waiting>();
  /** Next number of the session, as far as an outcome told; known while steps are held. Infinity: every held step has to ask anew. */
  expected = Number.POSITIVE_INFINITY;
  /** As the last outcome had it. */
  session: SessionStatus | null = null;
  /** Changes that no answer told yet: of steps that turned out to have to wait. */
  untold: readonly LifecycleChange[] = NONE;

  constructor(
    readonly key: string,
    readonly share: Share<Mailbox>,
  ) {}

  get cost(): number {
    return (this.turn as Waiting).cost;
  }

  /** Operations that wait, held ones included, the running one not. */
  get waiting(): number {
    return this.queue.size + this.held.length;
  }

  get idle(): boolean {
    return this.running === null && this.queue.size === 0 && this.held.length === 0;
  }

  /** The operation that may run now, if none is running: null if all wait for numbers that did not come. */
  choose(): Waiting | null {
    if (this.held.length === 0) return this.queue.first;
    this.#setAside();
    const [ready] = this.held;
    const arrived = this.#firstUnblocked();
    if (arrived !== null && arrived.number === null) return arrived;
    return (ready.number as number) <= this.expected ? ready : arrived;
  }

  /** Takes what was chosen out of those that wait. */
  begin(entry: Waiting): void {
    this.leave(entry);
    entry.state = "running";
    this.running = entry;
  }

  /** Takes an operation out of those that wait. */
  leave(entry: Waiting): void {
    if (entry.state === "held") this.held.splice(this.held.indexOf(entry), 1);
    else this.queue.remove(entry);
  }

  /** Puts a numbered step, which stands in no line, among the held. */
  hold(entry: Waiting): void {
    const number = entry.number as number;
    let at = this.held.length;
    while (at > 0 && comesBefore(entry, this.held[at - 1])) at--;
    this.held.splice(at, 0, entry);
    entry.state = "held";
    // What waits for a later number waits for this one too.
    for (const other of this.held) if ((other.number as number) >= number && other.order < entry.order) entry.order = other.order;
  }

  /** Since when the longest waiting one waits. */
  oldest(): number {
    return this.held.reduce((oldest, { since }) => Math.min(oldest, since), this.queue.first?.since ?? Number.POSITIVE_INFINITY);
  }

  /** Steps known to be early join the held without asking the engine, unless they address another incarnation than those do. */
  #setAside(): void {
    for (let entry = this.queue.first; entry !== null; ) {
      const { next } = entry;
      const number = entry.number;
      if (number !== null && number > this.expected && entry.operation.incarnation === this.held[0].operation.incarnation) {
        this.queue.remove(entry);
        this.hold(entry);
      }
      entry = next;
    }
  }

  /** The first arrived operation that waits for none of the held, or that a held one waits for. */
  #firstUnblocked(): Waiting | null {
    let barrier: Waiting | null = null;
    for (let entry = this.queue.first; entry !== null; entry = entry.next) {
      const { number, order } = entry;
      if (number === null) {
        if (barrier === null && this.held.every((held) => held.order > order)) return entry;
        barrier ??= entry;
      } else if (barrier === null || this.#isAwaited(number, barrier.order)) return entry;
    }
    return null;
  }

  /** Whether a held step that arrived before `order` has this number or waits for it. */
  #isAwaited(number: number, order: number): boolean {
    return this.held.some((held) => held.order < order && (held.number as number) >= number);
  }
}

function comesBefore(a: Waiting, b: Waiting): boolean {
  const [first, second] = [a.number as number, b.number as number];
  return first < second || (first === second && a.arrival < b.arrival);
}
