/**
 * @file A session as its client holds it: steps in, answers out, in order, each applied exactly once whatever becomes of the socket.
 *
 * Every step has its number before it is sent, and keeps it however often it is sent: the server applies a number once and answers it again
 * from its store. A refused step leaves its number to the next one; those sent behind it are refused for the gap, and are numbered anew only
 * when nothing of them is under way any more. A session has one writer: two that number their steps alike refuse each other.
 */
import type { SessionView, WirePrediction } from "../protocol/event.js";
import {
  DTYPE,
  FLAG,
  FRAME,
  type FrameReader,
  type NamingFacts,
  type NewsFacts,
  type OpenedFacts,
  type OpenRequest,
  type RefusalFacts,
  type SessionStanding,
  type WireId,
} from "../protocol/frames.js";
import { backoffMs } from "./backoff.js";
import type { Channel, Connection } from "./connection.js";
import { describePredictions } from "./prediction.js";
import { randomId } from "./random-id.js";
import { isPassing, RefusedError, refuse } from "./refusal.js";
import type { RestClient } from "./rest.js";
import { StepAnswer } from "./step-answer.js";
import { type SentInput, type StepInput, sentInput } from "./step-input.js";

export interface SessionOptions extends Omit<OpenRequest, "model" | "output"> {
  /** How numbers travel. f32 halves what is sent, and rounds it; times are exact either way. Default f64. */
  numbers?: "f32" | "f64";
  /** The last number whose answer is known from before: `missed` holds the stored answers after it. */
  resumeAfter?: number;
  /** Hears of resets, expiry and other changes that are no step. */
  onNews?(news: NewsFacts): void;
  /** A step that the server could not take for the moment is sent again so often. Default 8. */
  maxRetries?: number;
}

/** Where a session comes from. */
export interface SessionSource {
  connection: Connection;
  rest: RestClient;
}

interface Step {
  kind: "step";
  input: SentInput;
  last: boolean;
  /** 0 until it is first sent. */
  seq: number;
  request: number;
  /** Answered, but not for good: it is sent again. */
  again: boolean;
  tries: number;
  /** It was on its way when a socket broke, so that it may have been applied. */
  repeated: boolean;
  partial: StepAnswerFacts | null;
  resolve(answer: StepAnswer): void;
  reject(error: Error): void;
}

type StepAnswerFacts = Omit<ConstructorParameters<typeof StepAnswer>[0], "error">;

/** Sent only when all before it is answered, and nothing is sent behind it until it is. */
interface Change {
  kind: "reset" | "end";
  /** The incarnation it is meant for; 0 until it is first sent. */
  guard: number;
  request: number;
  tries: number;
  resolve(standing: SessionStanding): void;
  reject(error: Error): void;
}

const MAX_QUEUED = 65_536;

export class StreamSession implements Channel {
  readonly model: string;
  /** The stored answers after `resumeAfter`; `complete` false: some of them are gone. */
  missed: { predictions: readonly WirePrediction[]; complete: boolean } = { predictions: [], complete: true };
  readonly #connection: Connection;
  readonly #rest: RestClient;
  readonly #options: SessionOptions;
  readonly #open: OpenRequest;
  readonly #chosen: boolean;
  #stream = 0;
  #facts: OpenedFacts | null = null;
  #seq = 0;
  #incarnation = 0;
  #naming: NamingFacts | null = null;
  #state: "opening" | "open" | "lost" | "closed" = "opening";
  #openRequest = 0;
  #openSent = 0;
  #wantsMissed: boolean;
  #opened: { resolve: (session: StreamSession) => void; reject: (error: Error) => void } | null = null;
  readonly #sent: Step[] = [];
  #change: Change | null = null;
  #queue: (Step | Change)[] = [];
  #head = 0;
  #settling = false;
  /** A step was refused, so that the numbers behind it make a gap. */
  #gap = false;
  /** Why nothing more can be asked. */
  #end: RefusedError | null = null;
  /** Before what is to be sent again is sent, ms. */
  #pause = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor({ connection, rest }: SessionSource, model: string, options: SessionOptions) {
    const { numbers = "f64", resumeAfter, onNews: _, maxRetries: __, ...open } = options;
    this.model = model;
    this.#connection = connection;
    this.#rest = rest;
    this.#options = options;
    this.#chosen = open.id !== undefined;
    this.#open = { ...open, model, id: open.id ?? randomId(), output: numbers };
    if (!this.#chosen) this.#open.mode ??= "create";
    this.#wantsMissed = resumeAfter !== undefined;
    if (resumeAfter !== undefined) this.#seq = resumeAfter;
  }

  static open(source: SessionSource, model: string, options: SessionOptions): Promise<StreamSession> {
    const session = new StreamSession(source, model, options);
    return new Promise((resolve, reject) => {
      session.#opened = { resolve, reject };
      session.#stream = source.connection.add(session);
      session.#sendOpen();
    });
  }

  get id(): WireId {
    return this.#facts?.id ?? (this.#open.id as WireId);
  }

  /** Number of the last record whose answer came. */
  get seq(): number {
    return this.#seq;
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  /** Columns, classes and targets of the session's model. */
  get facts(): NamingFacts {
    return this.#naming as NamingFacts;
  }

  /** Steps that wait for their answer, or to be sent. */
  get waiting(): number {
    return this.#sent.length + this.#queue.length - this.#head;
  }

  /**
   * Applies one record or several, as one request. Requests are applied in the order of the calls, awaited or not.
   *
   * @returns the answer; its `error` says why records behind the first few were not applied
   * @throws RefusedError where none was. `applied` "unknown": the server went away before it answered.
   */
  step(input: StepInput, { last = false }: { last?: boolean } = {}): Promise<StepAnswer> {
    return new Promise((resolve, reject) => {
      const sent = sentInput(input, this.facts);
      this.#add({
        kind: "step",
        input: sent,
        last,
        seq: 0,
        request: 0,
        again: false,
        tries: 0,
        repeated: false,
        partial: null,
        resolve,
        reject,
      });
    });
  }

  /**
   * The answers to a source of steps, in order. No more is taken from the source than the server may leave unanswered.
   *
   * @throws RefusedError for the first step that was refused.
   */
  async *stream(source: AsyncIterable<StepInput> | Iterable<StepInput>): AsyncGenerator<StepAnswer, void, undefined> {
    const window = (this.#facts as OpenedFacts).credits;
    const items = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    const answers: Promise<StepAnswer>[] = [];
    let next: Promise<{ item: IteratorResult<StepInput> }> | null = null;
    let done = false;
    const take = () => Promise.resolve(items.next()).then((item) => ({ item }));
    try {
      while (!done || answers.length > 0) {
        if (!done && answers.length < window) next ??= take();
        const first = answers[0]?.then((answer) => ({ answer }));
        const event = await (next && first
          ? Promise.race([next, first])
          : ((next ?? first) as NonNullable<typeof next | typeof first>));
        if ("answer" in event) {
          answers.shift();
          yield event.answer;
        } else {
          next = null;
          if (event.item.done) done = true;
          else {
            const answer = this.step(event.item.value);
            answer.catch(() => {});
            answers.push(answer);
          }
        }
      }
    } finally {
      next?.catch(() => {});
      if (!done) await items.return?.();
    }
  }

  /** Begins the state afresh, after all steps before it. */
  reset(): Promise<SessionStanding> {
    return this.#later("reset");
  }

  /** Ends the session, after all steps before it. */
  end(): Promise<SessionStanding> {
    return this.#later("end");
  }

  /** Facts of the session and its hidden vector. */
  get(): Promise<SessionView> {
    return this.#rest.get(this.model, this.id);
  }

  /** The state behind all steps that were answered, sealed by the server, in base64. Needs the scope `state:read`. */
  async snapshot(): Promise<string> {
    return (await this.#rest.snapshot(this.model, this.id)).snapshot;
  }

  /** Puts the state back to a snapshot; numbers go on. Needs the scope `state:write`, and no step on its way. */
  async restore(snapshot: string): Promise<void> {
    const { incarnation } = await this.#rest.restore(this.model, this.id, snapshot);
    this.#incarnation = incarnation;
  }

  /** Leaves the session as it is on the server. What waits here is not sent. */
  close(): void {
    if (this.#state === "closed") return;
    if (this.#state === "open") this.#connection.writer.empty(FRAME.CLOSE, { stream: this.#stream, request: 0 });
    this.#finish(refuse("OST_SESSION", "the session was closed here", { applied: "unknown" }));
  }

  #later(kind: "reset" | "end"): Promise<SessionStanding> {
    return new Promise((resolve, reject) => this.#add({ kind, guard: 0, request: 0, tries: 0, resolve, reject }));
  }

  #add(work: Step | Change): void {
    if (this.#end) throw this.#end;
    if (this.#queue.length - this.#head >= MAX_QUEUED) {
      throw refuse("OST_CAPACITY", `${MAX_QUEUED} steps wait already`, { repair: "await answers, or use stream()" });
    }
    this.#queue.push(work);
    this.pump();
  }

  /** Sends what may be sent. */
  pump(): void {
    if (this.#state === "opening" || this.#state === "lost") {
      this.#sendOpen();
      return;
    }
    const { credits } = this.#facts as OpenedFacts;
    while (this.#state === "open" && !this.#settling && !this.#gap && this.#change === null && this.#head < this.#queue.length) {
      const work = this.#queue[this.#head];
      if (work.kind !== "step" && this.#sent.length > 0) return;
      if (work.kind === "step" && this.#sent.length >= credits) return;
      const request = this.#connection.take(this);
      if (request === 0) return;
      this.#queue[this.#head++] = undefined as never;
      if (this.#head === this.#queue.length || this.#head > 1024) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
      if (work.kind === "step") {
        const before = this.#sent.at(-1);
        work.seq = before ? before.seq + before.input.count : this.#seq + 1;
        this.#sent.push(work);
        this.#send(work, request);
      } else {
        work.guard = this.#incarnation;
        this.#change = work;
        this.#sendChange(work, request);
      }
    }
  }

  #send(step: Step, request: number): void {
    step.request = request;
    step.again = false;
    step.partial = null;
    const { input, seq, last } = step;
    const head = { stream: this.#stream, request, seq, flags: last ? FLAG.LAST : 0 };
    const { writer } = this.#connection;
    if ("records" in input) writer.json(FRAME.STEP, head, input.records, input.count);
    else {
      const { columns, time } = this.facts;
      const dtype = this.#open.output === "f32" ? DTYPE.F32 : DTYPE.F64;
      writer.rows(head, input.rows, { columns: columns.length, timed: time !== null, dtype, count: input.count });
    }
  }

  #sendChange(change: Change, request: number): void {
    change.request = request;
    const type = change.kind === "reset" ? FRAME.RESET : FRAME.END;
    this.#connection.writer.empty(type, { stream: this.#stream, request, incarnation: change.guard });
  }

  #sendOpen(): void {
    if (this.#openRequest !== 0 || this.#timer !== undefined) return;
    const request = this.#connection.take(this);
    if (request === 0) return;
    this.#openRequest = request;
    this.#openSent++;
    const head = { stream: this.#stream, request };
    const { writer } = this.#connection;
    if (this.#facts) writer.json(FRAME.OPEN, head, { ...this.#open, id: this.#facts.id, mode: "attach" } satisfies OpenRequest);
    else if (this.#wantsMissed) writer.json(FRAME.RESUME, { ...head, seq: this.#seq }, this.#open);
    else writer.json(FRAME.OPEN, head, this.#open);
  }

  receive(frame: FrameReader): boolean {
    switch (frame.type) {
      case FRAME.OUT:
        return this.#out(frame);
      case FRAME.OPENED:
        if (frame.request !== this.#openRequest) return false;
        this.#enter(frame.json() as OpenedFacts);
        return true;
      case FRAME.ERR:
        this.#refused(frame.request, new RefusedError(frame.json() as RefusalFacts));
        return true;
      case FRAME.DONE:
        if (frame.request !== this.#change?.request) return false;
        this.#changed(frame.json() as SessionStanding);
        return true;
      case FRAME.NEWS:
        this.#news(frame.json() as NewsFacts);
        return false;
      default:
        return false;
    }
  }

  #enter(facts: OpenedFacts): void {
    const known = this.#facts;
    const { session } = facts;
    this.#openRequest = 0;
    if (known && known.session.createdAt !== session.createdAt) {
      this.#finish(refuse("OST_SESSION", "the session was ended meanwhile, and another one has its id", { applied: "unknown" }));
      return;
    }
    this.#facts = facts;
    this.#naming = facts.model;
    this.#state = "open";
    const replaced = this.#incarnation !== session.incarnation;
    this.#incarnation = session.incarnation;
    if (!known) {
      if (!this.#wantsMissed) this.#seq = session.seq;
      else if (session.seq <= this.#seq) {
        this.missed = { predictions: [], complete: session.seq === this.#seq };
        this.#seq = session.seq;
        this.#wantsMissed = false;
      }
      if (!this.#wantsMissed) this.#ready();
      return;
    }
    if (session.seq < this.#seq) this.#forgot(session.seq);
    if (this.#change?.kind === "reset" && replaced) this.#changed(session);
    this.#renumber();
    this.pump();
  }

  #ready(): void {
    this.#opened?.resolve(this);
    this.#opened = null;
    this.pump();
  }

  /** The server lost steps that it had answered, as sessions of weak durability may after a crash. */
  #forgot(seq: number): void {
    const what = `the server lost the steps ${seq + 1} to ${this.#seq}`;
    this.#seq = seq;
    const lost = refuse("OST_STATE_LOST", what, {
      repair: `send the records from number ${seq + 1} on again, or choose a stronger durability`,
    });
    for (const step of this.#sent.splice(0)) step.reject(lost);
    for (const work of this.#takeQueue()) work.reject(lost);
  }

  /** Sends everything that is not answered for good again, in order, the first with the number behind the last answered one. */
  #renumber(): void {
    this.#gap = false;
    this.#settling = false;
    let seq = this.#seq + 1;
    for (const step of this.#sent) {
      step.seq = seq;
      seq += step.input.count;
      step.again = true;
    }
    this.#resend();
  }

  #resend(): void {
    for (const step of this.#sent) {
      if (!step.again) continue;
      const request = this.#connection.take(this);
      if (request === 0) {
        // Without credits none behind it may overtake it.
        this.#settling = true;
        this.#wait(0);
        return;
      }
      this.#send(step, request);
    }
    if (this.#change) {
      const request = this.#connection.take(this);
      if (request === 0) this.#wait(0);
      else this.#sendChange(this.#change, request);
    }
  }

  #wait(ms: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        if (this.#state === "opening") this.#sendOpen();
        else if (this.#state === "open") {
          this.#settling = false;
          this.#resend();
          this.pump();
        }
      },
      Math.max(5, ms),
    );
  }

  #out(frame: FrameReader): boolean {
    const numbers = frame.output();
    if (numbers === undefined) return false;
    if (this.#wantsMissed && (frame.flags & FLAG.REPEATED) !== 0 && this.#state === "open") {
      this.#wantsMissed = false;
      this.missed = { predictions: describePredictions(this.facts, numbers), complete: (frame.flags & FLAG.PARTIAL) === 0 };
      this.#seq = (this.#facts as OpenedFacts).session.seq;
      this.#ready();
      return false;
    }
    const at = this.#sent[0]?.request === frame.request ? 0 : this.#sent.findIndex(({ request }) => request === frame.request);
    if (at < 0) return false;
    const step = this.#sent[at];
    const facts: StepAnswerFacts = {
      firstSeq: frame.seq,
      count: frame.count,
      incarnation: frame.incarnation,
      repeated: (frame.flags & FLAG.REPEATED) !== 0,
      boundary: (frame.flags & FLAG.BOUNDARY) !== 0,
      numbers,
      naming: this.facts,
    };
    this.#incarnation = frame.incarnation;
    if (frame.flags & FLAG.PARTIAL) {
      step.partial = facts;
      return false;
    }
    this.#answered(at, facts, null);
    return true;
  }

  #answered(at: number, facts: StepAnswerFacts, error: RefusedError | null): void {
    const [step] = this.#sent.splice(at, 1);
    this.#seq = Math.max(this.#seq, facts.firstSeq + facts.count - 1);
    if (error) this.#gap = this.#sent.length > 0;
    step.resolve(new StepAnswer({ ...facts, error }));
    if (step.last) this.#finish(refuse("OST_SESSION", "the session was ended by its last step"));
    else this.#settle();
  }

  #refused(request: number, error: RefusedError): void {
    if (request === this.#openRequest) {
      this.#openRequest = 0;
      this.#notOpened(error);
      return;
    }
    if (this.#change?.request === request) {
      const change = this.#change;
      if (isPassing(error) && change.tries++ < this.#maxRetries) {
        this.#wait(backoffMs(change.tries, this.#connection.backoff, error.retryAfterMs ?? 0));
        return;
      }
      this.#change = null;
      change.reject(error);
      this.pump();
      return;
    }
    const at = this.#sent.findIndex((step) => step.request === request);
    if (at < 0) return;
    const step = this.#sent[at];
    if (step.partial) {
      this.#answered(at, step.partial, error);
      return;
    }
    if (
      (isPassing(error) || (error.code === "OST_GAP" && (this.#gap || at > 0))) &&
      error.applied !== "yes" &&
      step.tries < this.#maxRetries
    ) {
      if (error.code !== "OST_GAP") {
        step.tries++;
        this.#pause = Math.max(this.#pause, backoffMs(step.tries, this.#connection.backoff, error.retryAfterMs ?? 0));
      }
      step.again = true;
      this.#gap = true;
    } else if (error.code === "OST_STALE" && step.repeated) {
      this.#sent.splice(at, 1);
      this.#seq = Math.max(this.#seq, step.seq + step.input.count - 1);
      const { code, message, detail } = error;
      const what = "the step was applied before the socket broke, and its answer is no longer kept";
      step.reject(new RefusedError({ error: { ...detail, code, message, what }, applied: "yes" }));
    } else {
      this.#sent.splice(at, 1);
      if (error.expectedSeq !== null && this.#sent.length === 0) this.#seq = error.expectedSeq - 1;
      this.#gap = this.#sent.length > 0;
      step.reject(error);
      if (error.code === "OST_SESSION" || error.code === "OST_STATE_LOST") {
        this.#finish(error);
        return;
      }
    }
    this.#settle();
  }

  get #maxRetries(): number {
    return this.#options.maxRetries ?? 8;
  }

  /** When nothing is under way any more, what was not answered for good is numbered anew and sent again. */
  #settle(): void {
    if (this.#sent.length === 0 || !this.#gap) {
      this.#gap = false;
      this.pump();
      return;
    }
    if (this.#sent.some(({ again }) => !again)) return;
    this.#gap = false;
    this.#settling = true;
    let seq = this.#seq + 1;
    for (const step of this.#sent) {
      step.seq = seq;
      seq += step.input.count;
    }
    this.#wait(this.#pause);
    this.#pause = 0;
  }

  #notOpened(error: RefusedError): void {
    const retry = isPassing(error) && this.#openSent <= this.#maxRetries;
    if (retry) {
      this.#wait(backoffMs(this.#openSent, this.#connection.backoff, error.retryAfterMs ?? 0));
      return;
    }
    // The first of two OPENs made the session, and its answer was lost.
    if (error.code === "OST_EXISTS" && !this.#chosen && this.#openSent > 1) {
      this.#open.mode = "attach";
      this.#sendOpen();
      return;
    }
    if (this.#change?.kind === "end" && error.code === "OST_SESSION") this.#changed((this.#facts as OpenedFacts).session);
    const { code, message, detail } = error;
    const applied = this.#facts ? "unknown" : error.applied;
    this.#finish(new RefusedError({ error: { code, message, ...detail }, applied }));
  }

  #changed(standing: SessionStanding): void {
    const change = this.#change as Change;
    this.#change = null;
    this.#incarnation = standing.incarnation;
    change.resolve(standing);
    if (change.kind === "end") this.#finish(refuse("OST_SESSION", "the session was ended"));
    else this.pump();
  }

  #news(news: NewsFacts): void {
    this.#incarnation = news.incarnation.to;
    if (news.model) this.#naming = news.model;
    try {
      this.#options.onNews?.(news);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
    if (news.kind === "expired") this.#finish(refuse("OST_SESSION", "the session has expired"));
  }

  lost(): void {
    for (const step of this.#sent) step.repeated = true;
    this.#openRequest = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#state === "open") this.#state = "lost";
  }

  found(): void {
    this.#sendOpen();
  }

  over(error: RefusedError): void {
    this.#finish(error);
  }

  #takeQueue(): (Step | Change)[] {
    const waiting = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    return waiting;
  }

  #finish(error: RefusedError): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#end = error;
    clearTimeout(this.#timer);
    this.#connection.remove(this.#stream);
    this.#opened?.reject(error);
    this.#opened = null;
    for (const step of this.#sent.splice(0)) step.reject(error);
    this.#change?.reject(error);
    this.#change = null;
    for (const work of this.#takeQueue()) work.reject(error);
  }
}
