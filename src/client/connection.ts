/**
 * @file One connection to a server that outlives its sockets: when one breaks the next is opened, and every session on it goes on.
 *
 * The connection counts credits, numbers requests, gathers frames of one turn into one message, and hands answers to the session they are for.
 */
import { FRAME, FrameReader, FrameWriter, type RefusalFacts } from "../protocol/frames.js";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import { isPassing, RefusedError, refuse } from "./refusal.js";
import { openSocket, type Socket } from "./socket.js";

/** What a connection knows of a session on it. */
export interface Channel {
  /** A frame for it. @returns whether it was the last answer to a request. */
  receive(frame: FrameReader): boolean;
  /** The socket is gone: nothing that was sent on it is answered any more. */
  lost(): void;
  /** There is a new socket. */
  found(): void;
  /** There are credits again. */
  pump(): void;
  /** There will be no further socket. */
  over(error: RefusedError): void;
}

export interface ConnectionOptions {
  url: string;
  token: string | null;
  backoff?: BackoffOptions;
  /** Without an answer, or anything else, for so long the socket is given up and the next one opened. Default 30,000 ms. */
  silenceMs?: number;
  /** Without a server for so long everything waiting fails. Default 300,000 ms; for the first socket `firstMs`, default 15,000. */
  giveUpMs?: number;
  firstMs?: number;
  onState?(state: ConnectionState): void;
}

export type ConnectionState = "connecting" | "open" | "closed";

const nextTurn: (work: () => void) => void =
  typeof setImmediate === "function" ? (work) => void setImmediate(work) : queueMicrotask;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #channels = new Map<number, Channel>();
  readonly #starved = new Set<Channel>();
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #ready: { promise: Promise<void>; resolve: () => void; reject: (error: RefusedError) => void };
  #socket: Socket | null = null;
  /** Grows with every socket, so that words of an old one are not taken for those of the present one. */
  #epoch = 0;
  #window = 0;
  #unanswered = 0;
  #request = 0;
  #stream = 0;
  #flushing = false;
  #state: ConnectionState = "connecting";
  #attempt = 0;
  #downSince = now();
  #heardAt = now();
  #everOpen = false;
  #refusal: RefusedError | null = null;
  #end: RefusedError | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #watch: ReturnType<typeof setInterval>;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    let [resolve, reject] = [() => {}, (_: RefusedError) => {}];
    const promise = new Promise<void>((...settle) => {
      [resolve, reject] = settle;
    });
    promise.catch(() => {});
    this.#ready = { promise, resolve, reject };
    this.#watch = setInterval(() => this.#listen(), Math.max(50, this.silenceMs / 4));
    (this.#watch as { unref?: () => void }).unref?.();
    this.#connect();
  }

  /** Resolves when the server first said how much it takes; rejects when it takes nothing. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get silenceMs(): number {
    return this.#options.silenceMs ?? 30_000;
  }

  get backoff(): BackoffOptions {
    return this.#options.backoff ?? {};
  }

  /** The writer, while there is a socket to write for. What is written leaves at the end of this turn. */
  get writer(): FrameWriter {
    if (!this.#flushing) {
      this.#flushing = true;
      nextTurn(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
    return this.#writer;
  }

  /** @returns the number of a new stream. */
  add(channel: Channel): number {
    if (this.#end) throw this.#end;
    this.#stream++;
    this.#channels.set(this.#stream, channel);
    return this.#stream;
  }

  remove(stream: number): void {
    const channel = this.#channels.get(stream);
    if (channel) this.#starved.delete(channel);
    this.#channels.delete(stream);
  }

  /** @returns the number of a request, or 0 where none may be sent now: `pump` is called when one may. */
  take(channel: Channel): number {
    if (this.#state !== "open") return 0;
    if (this.#unanswered >= this.#window) {
      this.#starved.add(channel);
      return 0;
    }
    this.#unanswered++;
    this.#request = (this.#request % 0xffffffff) + 1;
    return this.#request;
  }

  close(): void {
    this.#finish(refuse("OST_DEADLINE", "the connection was closed here", { applied: "unknown" }));
  }

  #connect(): void {
    const epoch = ++this.#epoch;
    this.#heardAt = now();
    this.#setState("connecting");
    const current = () => epoch === this.#epoch && this.#end === null;
    const events = {
      open: () => {},
      message: (bytes: Uint8Array) => {
        if (current()) this.#receive(bytes);
      },
      close: (code: number, reason: string, refused: RefusedError | null) => {
        if (current()) this.#lost(code, reason, refused);
      },
    };
    openSocket(this.#options.url, { token: this.#options.token, events }).then(
      (socket) => {
        if (current()) this.#socket = socket;
        else socket.drop();
      },
      () => {
        if (current()) this.#lost(1006, "no socket could be made", null);
      },
    );
  }

  #receive(bytes: Uint8Array): void {
    this.#heardAt = now();
    const reader = this.#reader;
    const epoch = this.#epoch;
    reader.begin(bytes);
    while (this.#epoch === epoch && this.#end === null && reader.next()) this.#frame();
    if (reader.fault !== null) this.#drop();
    else this.#feed();
  }

  #frame(): void {
    const { type, stream, count } = this.#reader;
    if (type === FRAME.CREDIT) {
      this.#window = count;
      if (this.#state !== "open") this.#opened();
      return;
    }
    if (type === FRAME.ERR && stream === 0) {
      const facts = this.#reader.json() as RefusalFacts | undefined;
      if (facts) this.#refusal = new RefusedError(facts);
      return;
    }
    if (this.#channels.get(stream)?.receive(this.#reader)) this.#unanswered = Math.max(0, this.#unanswered - 1);
  }

  /** Lets those send who had no credits. */
  #feed(): void {
    for (const channel of this.#starved) {
      if (this.#unanswered >= this.#window) return;
      this.#starved.delete(channel);
      channel.pump();
    }
  }

  #opened(): void {
    this.#attempt = 0;
    this.#everOpen = true;
    this.#unanswered = 0;
    this.#setState("open");
    this.#ready.resolve();
    for (const channel of [...this.#channels.values()]) channel.found();
  }

  #lost(code: number, reason: string, refused: RefusedError | null): void {
    this.#socket = null;
    this.#writer.take();
    this.#starved.clear();
    if (this.#state === "open") {
      this.#downSince = now();
      for (const channel of [...this.#channels.values()]) channel.lost();
    }
    this.#setState("connecting");
    const fatal = code === 1002 || code === 1003 || code === 1007 || code === 1008;
    if (refused && !isPassing(refused)) {
      this.#finish(refused);
      return;
    }
    if (fatal) {
      const closed = refuse("OST_REQUEST", `the server closed the socket: ${reason || code}`, { applied: "unknown" });
      this.#finish(this.#refusal ?? closed);
      return;
    }
    const { giveUpMs = 300_000, firstMs = 15_000, backoff } = this.#options;
    const waitMs = backoffMs(this.#attempt++, backoff, refused?.retryAfterMs ?? 0);
    if (now() + waitMs - this.#downSince > (this.#everOpen ? giveUpMs : firstMs)) {
      const what = `no server answers${reason ? `: ${reason}` : ""}`;
      const repair = "check the address, and that the server runs";
      this.#finish(refused ?? refuse("OST_DEADLINE", what, { applied: "unknown", repair }));
      return;
    }
    this.#retry = setTimeout(() => this.#connect(), waitMs);
  }

  /** A socket on which answers are due and nothing comes is half open. */
  #listen(): void {
    if (this.#state === "open" && this.#unanswered === 0) this.#heardAt = now();
    else if (now() - this.#heardAt > this.silenceMs) this.#drop();
  }

  #drop(): void {
    this.#socket?.drop();
  }

  #flush(): void {
    if (this.#writer.byteLength === 0) return;
    const message = this.#writer.take();
    if (this.#state === "open") this.#socket?.send(message);
  }

  #finish(error: RefusedError): void {
    if (this.#end) return;
    this.#flush();
    this.#end = error;
    this.#epoch++;
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    this.#socket?.close(1000, "");
    this.#socket = null;
    this.#setState("closed");
    this.#ready.reject(error);
    for (const channel of [...this.#channels.values()]) channel.over(error);
    this.#channels.clear();
  }

  #setState(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState?.(state);
  }
}

function now(): number {
  return performance.now();
}
