/**
 * @file One WebSocket of the subprotocol `ostinato.v1`: its streams, its credits, and the frames that go back.
 *
 * Everything that a client can make grow is bounded: streams, unanswered steps, bytes of answers it does not read. Answers of one turn of
 * the event loop, which after a micro-batch are many, leave as one message.
 */
import type { WebSocket } from "ws";
import { OstinatoError } from "../core/errors.js";
import { errorFacts } from "../protocol/codes.js";
import {
  type Applied,
  DTYPE,
  FLAG,
  FRAME,
  FrameReader,
  FrameWriter,
  type NamingFacts,
  type NewsFacts,
  type OpenedFacts,
  type OpenRequest,
  type RefusalFacts,
  readOpen,
  type SessionStanding,
  type WireId,
} from "../protocol/frames.js";
import type { ModelVersion } from "./engine.js";
import type { Observer } from "./observer.js";
import type { LifecycleChange, SessionStatus } from "./operation.js";
import type { Principal } from "./principal.js";
import { numberId, type SessionId, textId } from "./session-key.js";
import {
  type CreateOptions,
  type Request,
  type SessionReference,
  type Sessions,
  type StepOptions,
  type StepResult,
  versionOf,
} from "./sessions.js";

export interface ConnectionLimits {
  /** Requests of one socket that may be unanswered: STEP, OPEN, RESUME, RESET, END. */
  credits: number;
  /** STEPs of one stream that may be unanswered. */
  streamCredits: number;
  /** Sessions on one socket. */
  maxStreams: number;
  /** Records of one STEP. */
  maxRecords: number;
  /** Bytes of answers waiting to be read, above which a reader is slow; how long it may be. */
  maxBufferedBytes: number;
  slowMs: number;
}

/** One session on this socket. */
interface Stream {
  readonly number: number;
  readonly at: SessionReference;
  readonly endOnDisconnect: boolean;
  readonly dtype: number;
  /** Facts of the session's version; of the present one until the session is open. */
  columns: number;
  timed: boolean;
  version: string;
  unanswered: number;
  /** Steps that came before the session was open, in order; null once it is. */
  waiting: (() => void)[] | null;
  stopNews: (() => void) | null;
  closed: boolean;
}

/** A message is sent once it holds so much, even within a turn. */
const FLUSH_BYTES = 256 * 1024;
/** A client that sends so many times its credits does not count them. */
const ABUSE = 4;

export class WebSocketConnection {
  readonly #socket: WebSocket;
  readonly #sessions: Sessions;
  readonly #observer: Required<Observer>;
  readonly #limits: ConnectionLimits;
  readonly #abort = new AbortController();
  readonly #request: Request;
  readonly #streams = new Map<number, Stream>();
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  #flushing = false;
  #paused = false;
  #unanswered = 0;
  /** Frames refused since the last message came. */
  #refusals = 0;
  #slowSince: number | null = null;
  #ended = false;
  #draining = false;
  #idle: (() => void) | null = null;
  #heard = true;

  constructor(
    socket: WebSocket,
    {
      principal,
      sessions,
      observer,
      limits,
    }: { principal: Principal; sessions: Sessions; observer: Required<Observer>; limits: ConnectionLimits },
  ) {
    this.#socket = socket;
    this.#sessions = sessions;
    this.#observer = observer;
    this.#limits = limits;
    this.#request = { principal, protocol: "websocket", signal: this.#abort.signal };
    socket.binaryType = "nodebuffer";
    socket.on("message", (data: Buffer, binary: boolean) => this.#receive(data, binary));
    socket.on("pong", () => {
      this.#heard = true;
    });
    socket.on("error", () => {});
    socket.on("close", () => this.#end());
    this.#writer.empty(FRAME.CREDIT, { stream: 0, request: 0 }, limits.credits);
    this.#soon();
  }

  /** A pong, or anything else, was heard since the last ping; or nothing could be, because nothing is read for now. */
  get alive(): boolean {
    return this.#heard || this.#paused;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Called now and then. Closes the socket of one who has not read its answers for too long. */
  watch(now: number): void {
    const { maxBufferedBytes, slowMs } = this.#limits;
    if (this.#socket.bufferedAmount <= maxBufferedBytes) {
      this.#slowSince = null;
      this.#resume();
    } else if (this.#slowSince === null) {
      this.#slowSince = now;
    } else if (now - this.#slowSince >= slowMs) {
      this.#observer.slowConsumer("websocket");
      this.close(1013, "answers are not read");
    }
  }

  /** Ends the connection of one whose credential has ended. */
  recheck(check: (principal: Principal) => void): void {
    if (this.#ended) return;
    try {
      check(this.#request.principal);
    } catch (error) {
      this.#writer.json(FRAME.ERR, { stream: 0, request: 0 }, refusal(error));
      this.close(1008, "the credential has ended");
    }
  }

  ping(): void {
    this.#heard = false;
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  /** Ends a socket whose other side is gone, or has been replaced by a newer one of the same client. */
  terminate(): void {
    this.#end();
    this.#socket.terminate();
  }

  /** Takes no more steps; resolves when the ones it has are answered and the close frame is on its way. */
  async drain(reason: string): Promise<void> {
    this.#draining = true;
    if (this.#unanswered > 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.close(1012, reason);
  }

  /** Sends what was gathered and a close frame. One who does not read it is cut off soon after. */
  close(code: number, reason: string): void {
    if (this.#ended) return;
    this.#flush();
    this.#end();
    this.#socket.close(code, reason);
    setTimeout(() => this.#socket.terminate(), 2_000).unref();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#abort.abort();
    this.#idle?.();
    for (const stream of this.#streams.values()) {
      stream.closed = true;
      stream.stopNews?.();
      // A server that restarts leaves every session as it is.
      if (!stream.endOnDisconnect || this.#draining) continue;
      const request: Request = { principal: this.#request.principal, protocol: "websocket" };
      this.#sessions.end(request, stream.at).catch((error) => {
        if (!(error instanceof OstinatoError)) this.#observer.fault(error, "websocket");
      });
    }
    this.#streams.clear();
  }

  #receive(data: Buffer, binary: boolean): void {
    if (this.#ended) return;
    this.#heard = true;
    if (!binary) {
      this.#malformed(1003, "a text message");
      return;
    }
    try {
      const reader = this.#reader;
      this.#refusals = 0;
      reader.begin(data);
      while (reader.next()) {
        this.#frame();
        if (this.#ended) return;
      }
      if (reader.fault !== null) this.#malformed(1002, reader.fault);
    } catch (error) {
      this.#observer.fault(error, "websocket");
      this.close(1011, "a fault of the server");
    }
  }

  #malformed(code: number, what: string): void {
    this.#sessions.refused("OST_REQUEST", "websocket");
    const { error } = refusal(request(what, "frames of ostinato.v1"));
    this.#writer.json(FRAME.ERR, { stream: 0, request: 0 }, { error, applied: "no" } satisfies RefusalFacts);
    this.close(code, what.slice(0, 120));
  }

  #frame(): void {
    const { type, stream: number, request: id } = this.#reader;
    switch (type) {
      case FRAME.STEP:
        this.#step();
        return;
      case FRAME.OPEN:
      case FRAME.RESUME:
        this.#open(type === FRAME.RESUME);
        return;
      case FRAME.RESET:
      case FRAME.END: {
        const stream = this.#streams.get(number);
        if (!stream || stream.waiting) {
          this.#refuse(number, id, noStream(number));
          return;
        }
        if (!this.#take()) return;
        const options = { incarnation: this.#reader.incarnation || undefined };
        const work = type === FRAME.RESET ? "reset" : "end";
        this.#sessions[work](this.#request, stream.at, options).then(
          (status) => {
            this.#give();
            if (work === "end") this.#leave(stream);
            this.#done(number, id, status);
          },
          (error) => {
            this.#give();
            this.#refuse(number, id, error);
          },
        );
        return;
      }
      case FRAME.CLOSE: {
        const stream = this.#streams.get(number);
        if (!stream) {
          this.#refuse(number, id, noStream(number));
          return;
        }
        this.#leave(stream);
        this.#writer.json(FRAME.DONE, { stream: number, request: id }, null);
        this.#soon();
        return;
      }
      default:
        this.#malformed(1002, "a frame that only a server sends");
    }
  }

  #open(resume: boolean): void {
    const { stream: number, request: id, seq: after } = this.#reader;
    const json = this.#reader.json();
    if (json === undefined) {
      this.#malformed(1007, "an OPEN that is no JSON");
      return;
    }
    const open = readOpen(json);
    if (typeof open === "string") {
      this.#refuse(number, id, request("an OPEN that does not fit", open));
      return;
    }
    if (this.#draining) {
      this.#refuse(number, id, new OstinatoError("OST_CAPACITY", { what: "the server is shutting down" }));
      return;
    }
    if (this.#streams.has(number)) {
      this.#refuse(number, id, request("a stream that is open already", "another stream number"));
      return;
    }
    if (this.#streams.size >= this.#limits.maxStreams) {
      const what = `more than ${this.#limits.maxStreams} sessions on one socket`;
      this.#refuse(number, id, new OstinatoError("OST_CAPACITY", { what, repair: "close streams, or open another socket" }));
      return;
    }
    let stream: Stream;
    try {
      const { current } = this.#sessions.model(open.model);
      const at = { model: open.model, id: open.id === undefined ? { text: "" } : sessionId(open.id) };
      stream = {
        number,
        at,
        endOnDisconnect: open.onDisconnect === "end",
        dtype: open.output === "f64" ? DTYPE.F64 : DTYPE.F32,
        columns: current.columns.length,
        timed: current.time !== null,
        version: current.version,
        unanswered: 0,
        waiting: [],
        stopNews: null,
        closed: false,
      };
    } catch (error) {
      this.#refuse(number, id, error);
      return;
    }
    if (!this.#take()) return;
    this.#streams.set(number, stream);
    this.#attach(stream, open, { id, after: resume ? after : null }).catch((error) => {
      this.#give();
      const waiting = stream.waiting ?? [];
      stream.waiting = null;
      stream.closed = true;
      if (this.#streams.get(number) === stream) this.#streams.delete(number);
      this.#refuse(number, id, error);
      for (const step of waiting) step();
    });
  }

  async #attach(stream: Stream, open: OpenRequest, { id, after }: { id: number; after: number | null }): Promise<void> {
    const { at, number } = stream;
    let status = await this.#enter(stream, open);
    const answers = after === null ? null : await this.#sessions.answers(this.#request, at, after);
    if (answers) status = answers.session;
    if (open.news) {
      stream.stopNews = await this.#sessions.subscribe(this.#request, at, (news) => {
        if (news.kind === "lifecycle") this.#news(stream, news.change);
      });
    }
    if (this.#ended || stream.closed) {
      stream.stopNews?.();
      return;
    }
    this.#give();
    const facts: OpenedFacts = {
      id: wireId(at.id),
      session: standing(status),
      model: naming(this.#follow(stream, status.version)),
      credits: this.#limits.streamCredits,
      maxRecords: this.#limits.maxRecords,
    };
    this.#writer.json(FRAME.OPENED, { stream: number, request: id, seq: status.seq, incarnation: status.incarnation }, facts);
    if (answers && after !== null) {
      const { predictions } = answers;
      const head = { stream: number, request: id, seq: after + 1, incarnation: status.incarnation };
      const flags = FLAG.REPEATED | (answers.complete ? 0 : FLAG.PARTIAL);
      this.#writer.output({ ...head, flags }, Math.max(0, status.seq - after), predictions, stream.dtype);
    }
    this.#soon();
    const waiting = stream.waiting ?? [];
    stream.waiting = null;
    for (const step of waiting) step();
  }

  /** Creates the session, or finds it. */
  async #enter(
    stream: Stream,
    { id, mode = "createOrAttach", durability, ttlSeconds, attributes }: OpenRequest,
  ): Promise<SessionStatus> {
    const { at } = stream;
    const create = async (onLive: CreateOptions["onLive"]) => {
      const options: CreateOptions = { durability, ttlSeconds, attributes, onLive };
      const made = await this.#sessions.create(this.#request, at.model, id === undefined ? options : { ...options, id: at.id });
      at.id = made.id;
      return made.session;
    };
    const find = async () => (await this.#sessions.get(this.#request, at)).session;
    if (mode === "create" || mode === "restart") return create(mode === "restart" ? "restart" : "refuse");
    if (mode === "attach") {
      if (id === undefined) throw request("an OPEN that attaches to nothing", "an id");
      return find();
    }
    if (id === undefined) return create("refuse");
    try {
      return await find();
    } catch (error) {
      // Only a session that never was, or whose end is known, is made: a lost one is an error.
      if (!isRefusal(error, "OST_SESSION")) throw error;
    }
    try {
      return await create("refuse");
    } catch (error) {
      if (!isRefusal(error, "OST_EXISTS")) throw error;
      return find();
    }
  }

  #step(): void {
    const { stream: number, request: id, seq, incarnation, count, flags, dtype } = this.#reader;
    const stream = this.#streams.get(number);
    if (stream === undefined) {
      this.#refuse(number, id, noStream(number));
      return;
    }
    if (this.#draining) {
      this.#refuse(number, id, new OstinatoError("OST_CAPACITY", { what: "the server is shutting down" }));
      return;
    }
    if (count === 0 || count > this.#limits.maxRecords) {
      this.#refuse(number, id, request(`a STEP of ${count} records`, `1 .. ${this.#limits.maxRecords} records`));
      return;
    }
    let options: StepOptions;
    if (dtype === DTYPE.JSON) {
      const records = this.#reader.records();
      if (!records) {
        this.#refuse(number, id, request("a STEP that does not fit", "a JSON list of `count` flat records"));
        return;
      }
      options = { input: { records } };
    } else {
      const rows = this.#reader.rows(stream.columns, stream.timed);
      if (!rows) {
        const expected = `${count} rows of ${stream.columns} numbers${stream.timed ? ", the time first and always of 8 bytes" : ""}`;
        this.#refuse(number, id, request("a STEP that does not fit", expected));
        return;
      }
      options = { input: { rows, count } };
    }
    if (seq !== 0) options.seq = seq;
    if (incarnation !== 0) options.incarnation = incarnation;
    if (flags & FLAG.LAST) options.end = true;
    if (!this.#take(stream)) return;
    if (stream.waiting) stream.waiting.push(() => this.#run(stream, id, options));
    else this.#run(stream, id, options);
  }

  #run(stream: Stream, id: number, options: StepOptions): void {
    if (stream.closed) {
      this.#give(stream);
      this.#refuse(stream.number, id, noStream(stream.number));
      return;
    }
    this.#sessions.step(this.#request, stream.at, options).then(
      (result) => {
        this.#give(stream);
        this.#answer(stream, id, options.seq ?? result.session.seq - result.count + 1, result);
      },
      (error) => {
        this.#give(stream);
        this.#refuse(stream.number, id, error);
      },
    );
  }

  /** Counts a request. @returns false where the client has long used up what it may leave unanswered, and is cut off. */
  #take(stream?: Stream): boolean {
    const { credits, streamCredits } = this.#limits;
    if (this.#unanswered >= credits * ABUSE || (stream && stream.unanswered >= streamCredits * ABUSE)) {
      this.#sessions.refused("OST_RATE", "websocket");
      this.close(1013, "more requests than credits");
      return false;
    }
    if (stream) stream.unanswered++;
    if (++this.#unanswered >= credits) this.#pause();
    return true;
  }

  #give(stream?: Stream): void {
    if (stream) stream.unanswered--;
    this.#unanswered--;
    this.#resume();
    if (this.#unanswered === 0) this.#idle?.();
  }

  #answer(
    stream: Stream,
    id: number,
    seq: number,
    { session, count, predictions, repeated, error, lifecycle }: StepResult,
  ): void {
    if (this.#ended) return;
    const { number } = stream;
    let flags = repeated ? FLAG.REPEATED : 0;
    if (error) flags |= FLAG.PARTIAL;
    for (const change of lifecycle) {
      if (change.kind === "reset" && change.reason !== "client") flags |= FLAG.BOUNDARY;
      if (!stream.stopNews) this.#news(stream, change);
      if (change.kind === "ended") this.#leave(stream);
    }
    const { version, incarnation } = session;
    if (version !== stream.version) {
      // Somebody else's request took the session there, and this stream did not ask for news.
      const change = {
        kind: "version_changed",
        reason: null,
        incarnation: { from: incarnation, to: incarnation },
        seq: session.seq,
      } as const;
      this.#news(stream, { ...change, version });
    }
    const head = { stream: number, request: id, flags, incarnation, seq };
    this.#writer.output(head, count, predictions, stream.dtype);
    if (error) {
      const { index, ...facts } = error;
      this.#writer.json(FRAME.ERR, { stream: number, request: id }, {
        error: facts,
        applied: "yes",
        index,
      } satisfies RefusalFacts);
    }
    this.#soon();
  }

  #news(
    stream: Stream,
    { kind, reason, incarnation, seq, version }: Pick<LifecycleChange, "kind" | "reason" | "incarnation" | "seq" | "version">,
  ): void {
    if (this.#ended || kind === "hibernated" || kind === "woken") return;
    const facts: NewsFacts = { kind, reason, incarnation, seq, version };
    if (version !== stream.version) facts.model = naming(this.#follow(stream, version));
    this.#writer.json(FRAME.NEWS, { stream: stream.number, request: 0, incarnation: incarnation.to, seq }, facts);
    this.#soon();
  }

  /** Reads the stream's rows by another version from now on. */
  #follow(stream: Stream, version: string): ModelVersion {
    const model = versionOf(this.#sessions.model(stream.at.model), version);
    stream.columns = model.columns.length;
    stream.timed = model.time !== null;
    stream.version = version;
    return model;
  }

  #done(number: number, id: number, status: SessionStatus): void {
    if (this.#ended) return;
    this.#writer.json(
      FRAME.DONE,
      { stream: number, request: id, incarnation: status.incarnation, seq: status.seq },
      standing(status),
    );
    this.#soon();
  }

  #refuse(number: number, id: number, error: unknown): void {
    if (this.#ended) return;
    if (!(error instanceof OstinatoError)) this.#observer.fault(error, "websocket");
    this.#writer.json(FRAME.ERR, { stream: number, request: id }, refusal(error));
    // A refusal is longer than the frame it answers.
    if (++this.#refusals > this.#limits.credits) this.close(1008, "too many refused frames in a message");
    else this.#soon();
  }

  #leave(stream: Stream): void {
    stream.closed = true;
    stream.stopNews?.();
    if (this.#streams.get(stream.number) === stream) this.#streams.delete(stream.number);
  }

  /** Sends at the end of this turn of the event loop. */
  #soon(): void {
    if (this.#writer.byteLength >= FLUSH_BYTES) {
      this.#flush();
      return;
    }
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#writer.byteLength === 0 || this.#ended) return;
    this.#socket.send(this.#writer.take(), { binary: true, compress: false, fin: true });
    if (this.#socket.bufferedAmount > this.#limits.maxBufferedBytes) this.#pause();
  }

  /** Reads nothing more until answers have left: what a client may leave unread is bounded by what it may leave unanswered. */
  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    const { credits, maxBufferedBytes } = this.#limits;
    if (!this.#paused || this.#unanswered > credits >> 1 || this.#socket.bufferedAmount > maxBufferedBytes) return;
    this.#paused = false;
    this.#socket.resume();
  }
}

/** Answers are stored by request, and one of several records may reach over the number. */
function sessionId(id: WireId): SessionId {
  return typeof id === "string" ? textId(id) : numberId(id.number);
}

function wireId(id: SessionId): WireId {
  return "text" in id ? id.text : { number: id.number };
}

function standing({ version, incarnation, seq, steps, resets, createdAt, status, durability }: SessionStatus): SessionStanding {
  return { version, incarnation, seq, steps, resets, createdAt, status, durability };
}

function naming(model: ModelVersion): NamingFacts {
  const { version, task, columns, time, textColumns, classes, targets, horizon, threshold, interval, outputSize } = model;
  const calibration = { ...(threshold !== undefined && { threshold }), ...(interval && { interval }) };
  return { version, task, columns, time, textColumns, classes, targets, horizon, ...calibration, outputSize };
}

function noStream(number: number): OstinatoError {
  return request(`no stream ${number} on this socket`, "an OPEN before anything else");
}

function request(what: string, expected: string): OstinatoError {
  return new OstinatoError("OST_REQUEST", { what, expected, where: "frame" });
}

function isRefusal(error: unknown, code: string): boolean {
  return error instanceof OstinatoError && error.code === code;
}

/** What an error says beside its facts, where whoever threw it knew. */
interface Knowledge {
  applied?: Applied;
  expectedSeq?: number | null;
  retryAfterMs?: number;
}

function refusal(error: unknown): RefusalFacts {
  const { applied, expectedSeq, retryAfterMs } = (typeof error === "object" && error !== null ? error : {}) as Knowledge;
  return {
    error: errorFacts(error),
    applied: applied ?? (error instanceof OstinatoError && error.code !== "OST_INTERNAL" ? "no" : "unknown"),
    ...(typeof expectedSeq === "number" ? { expectedSeq } : {}),
    ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
  };
}
