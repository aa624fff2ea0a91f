/** @file A socket of `ostinato.v1` that sends every frame when it is told to, retries nothing, and gives every answer to who asked. */
import { WebSocket } from "ws";
import {
  DTYPE,
  FLAG,
  FRAME,
  FrameReader,
  FrameWriter,
  type OpenedFacts,
  type OpenRequest,
  type RefusalFacts,
  SUBPROTOCOL,
} from "../../src/protocol/frames.js";

export interface FrameAnswer {
  opened: OpenedFacts | null;
  /** Records applied, the number of the first, and the numbers of their predictions. */
  count: number;
  seq: number;
  values: Float64Array;
  repeated: boolean;
  refused: RefusalFacts | null;
}

interface Pending {
  resolve(answer: FrameAnswer): void;
  reject(error: Error): void;
  partial: FrameAnswer | null;
}

export class FrameClient {
  readonly #socket: WebSocket;
  readonly #writer = new FrameWriter();
  readonly #pending = new Map<number, Pending>();
  #request = 0;
  #flushing = false;
  #closed: Error | null = null;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    const reader = new FrameReader();
    socket.on("message", (bytes: Buffer) => {
      reader.begin(bytes);
      while (reader.next()) this.#hear(reader);
    });
    socket.on("error", () => {});
    socket.on("close", (code, reason) => {
      this.#closed = new Error(`the socket closed: ${code} ${reason.toString()}`);
      for (const { reject } of this.#pending.values()) reject(this.#closed);
      this.#pending.clear();
    });
  }

  /** @param address host and port. */
  static open(address: string, key: string): Promise<FrameClient> {
    const headers = { authorization: `Bearer ${key}` };
    const socket = new WebSocket(`ws://${address}/v1/stream`, [SUBPROTOCOL], { headers, perMessageDeflate: false });
    return new Promise((resolve, reject) => {
      const client = new FrameClient(socket);
      socket.once("open", () => resolve(client));
      socket.once("close", () => reject(new Error("the socket did not open")));
    });
  }

  attach(stream: number, open: OpenRequest): Promise<FrameAnswer> {
    return this.#ask((request) => this.#writer.json(FRAME.OPEN, { stream, request }, { output: "f64", ...open }));
  }

  step(stream: number, seq: number, values: ArrayLike<number>): Promise<FrameAnswer> {
    const count = values.length;
    return this.#ask((request) =>
      this.#writer.rows({ stream, request, seq }, values, { columns: 1, timed: false, dtype: DTYPE.F64, count }),
    );
  }

  close(): void {
    this.#socket.terminate();
  }

  #ask(write: (request: number) => void): Promise<FrameAnswer> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    const request = ++this.#request;
    const answer = new Promise<FrameAnswer>((resolve, reject) => this.#pending.set(request, { resolve, reject, partial: null }));
    write(request);
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => {
        this.#flushing = false;
        this.#socket.send(this.#writer.take());
      });
    }
    return answer;
  }

  #hear(reader: FrameReader): void {
    const pending = this.#pending.get(reader.request);
    if (pending === undefined) return;
    const { seq, count, flags } = reader;
    const none = { opened: null, count: 0, seq, values: new Float64Array(0), repeated: false, refused: null };
    let answer: FrameAnswer = none;
    if (reader.type === FRAME.OPENED) answer = { ...none, opened: reader.json() as OpenedFacts };
    else if (reader.type === FRAME.ERR) answer = { ...none, ...pending.partial, refused: reader.json() as RefusalFacts };
    else if (reader.type === FRAME.OUT) {
      const values = Float64Array.from(reader.output()?.values ?? []);
      answer = { ...none, count, values, repeated: (flags & FLAG.REPEATED) !== 0 };
      if ((flags & FLAG.PARTIAL) !== 0) {
        pending.partial = answer;
        return;
      }
    } else if (reader.type !== FRAME.DONE) return;
    this.#answer(reader.request, pending, answer);
  }

  #answer(request: number, { resolve }: Pending, answer: FrameAnswer): void {
    this.#pending.delete(request);
    resolve(answer);
  }
}
