/**
 * @file Load over WebSocket: sockets with many sessions each, one unanswered step per session.
 *
 * It writes and reads the frames of WebSocket by itself, many in one write: a whole client library on the same two cores would be measured
 * more than the server. One message holds one frame of `ostinato.v1`, made and read by its own codec.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { FRAME, FrameReader, FrameWriter, SUBPROTOCOL } from "../../src/protocol/frames.js";
import { LoadClock } from "./load-clock.js";
import type { LoadJob, LoadResult } from "./load-job.js";
import { LOAD_FEATURES } from "./load-model.js";

/** Masked with zeros, which leaves the payload as it is. */
const MASK_BYTES = 4;
const [BINARY, PING, PONG] = [0x82, 0x89, 0x8a];
const [SEQ_AT, REQUEST_AT] = [16, 8];

/** A message of a client. */
function message(payload: Uint8Array, type = BINARY): Buffer {
  const { length } = payload;
  const head = length < 126 ? 2 : 4;
  const bytes = Buffer.alloc(head + MASK_BYTES + length);
  bytes[0] = type;
  bytes[1] = 0x80 | (length < 126 ? length : 126);
  if (length >= 126) bytes.writeUInt16BE(length, 2);
  bytes.set(payload, head + MASK_BYTES);
  return bytes;
}

class LoadSocket {
  readonly #socket: Socket;
  readonly #clock: LoadClock;
  readonly #job: LoadJob;
  readonly #reader = new FrameReader();
  /** By stream: its STEP as a message, whose numbers are put in before it is sent; its last number; when it was sent. */
  readonly #steps: Buffer[] = [];
  readonly #seqs: Float64Array;
  readonly #sentAt: Float64Array;
  /** Streams that wait for their turn, a ring. */
  readonly #idle: Int32Array;
  #first = 0;
  #waiting: number;
  #rest: Buffer = Buffer.alloc(0);
  #upgraded = false;
  #opened = 0;
  #out: Buffer[] = [];
  readonly #frameAt: number;
  #resolve!: () => void;
  #reject!: (error: Error) => void;
  readonly ready = new Promise<void>((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  constructor(job: LoadJob, clock: LoadClock, number: number, sessions: number) {
    this.#job = job;
    this.#clock = clock;
    this.#seqs = new Float64Array(sessions);
    this.#sentAt = new Float64Array(sessions);
    this.#idle = Int32Array.from({ length: sessions }, (_, i) => i);
    this.#waiting = sessions;
    const writer = new FrameWriter();
    const shape = { columns: LOAD_FEATURES, timed: false, count: job.records };
    for (let stream = 0; stream < sessions; stream++) {
      const rows = Float64Array.from({ length: job.records * LOAD_FEATURES }, (_, i) => Math.sin(number + stream * 7 + i));
      writer.rows({ stream, request: 0, seq: 1 }, rows, shape);
      this.#steps.push(message(writer.take()));
    }
    this.#frameAt = this.#steps[0][1] === 0x80 + 126 ? 4 + MASK_BYTES : 2 + MASK_BYTES;
    const [host, port] = job.address.split(":");
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on("error", (error) => this.#fail(error.message));
    this.#socket.on("close", () => {
      if (!this.#clock.over) this.#fail("a socket was closed");
    });
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
    const lines = [
      "GET /v1/stream HTTP/1.1",
      `Host: ${job.address}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
      "Authorization: Bearer load",
    ];
    this.#socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    if (job.echo) return;
    for (let stream = 0; stream < sessions; stream++) {
      writer.json(FRAME.OPEN, { stream, request: stream }, { model: "load", id: `${number}-${stream}`, mode: "restart" });
      this.#out.push(message(writer.take()));
    }
  }

  #fail(what: string): void {
    this.#clock.failed(what);
    this.#reject(new Error(what));
  }

  begin(): void {
    for (let i = 0; i < this.#job.inFlight; i++) this.#step(performance.now());
    this.#flush();
  }

  end(): void {
    this.#socket.destroy();
  }

  #step(now: number): void {
    if (this.#waiting === 0) return;
    const stream = this.#idle[this.#first];
    this.#first = (this.#first + 1) % this.#idle.length;
    this.#waiting--;
    const step = this.#steps[stream];
    const seq = this.#seqs[stream] + 1;
    this.#seqs[stream] += this.#job.records;
    step.writeUInt32LE(seq, this.#frameAt + SEQ_AT);
    step.writeUInt32LE(seq, this.#frameAt + REQUEST_AT);
    this.#sentAt[stream] = now;
    this.#out.push(step);
  }

  #flush(): void {
    if (this.#out.length === 0) return;
    this.#socket.write(this.#out.length === 1 ? Buffer.from(this.#out[0]) : Buffer.concat(this.#out));
    this.#out.length = 0;
  }

  #read(bytes: Buffer): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes;
    if (!this.#upgraded) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#rest = data;
        return;
      }
      if (!data.subarray(0, 12).toString().endsWith("101")) {
        this.#fail(data.toString("utf8", 0, 300));
        return;
      }
      this.#upgraded = true;
      data = data.subarray(end + 4);
      if (this.#job.echo) this.#resolve();
      else this.#flush();
    }
    const now = performance.now();
    let at = 0;
    while (data.length - at >= 2) {
      let length = data[at + 1];
      let from = at + 2;
      if (length === 126) {
        if (data.length - at < 4) break;
        length = data.readUInt16BE(at + 2);
        from = at + 4;
      } else if (length === 127) {
        if (data.length - at < 10) break;
        length = data.readUInt32BE(at + 6);
        from = at + 10;
      }
      if (data.length - from < length) break;
      if (data[at] === BINARY) this.#message(data.subarray(from, from + length), now);
      else if (data[at] === PING) this.#out.push(message(data.subarray(from, from + length), PONG));
      else this.#clock.failed(`a frame ${data[at]}: ${data.toString("latin1", from, from + length)}`);
      at = from + length;
    }
    this.#rest = at === data.length ? EMPTY : Buffer.from(data.subarray(at));
    this.#flush();
  }

  #message(payload: Buffer, now: number): void {
    const reader = this.#reader;
    reader.begin(payload);
    while (reader.next()) {
      const { type, stream } = reader;
      if (type === FRAME.OUT || type === FRAME.STEP) {
        if (reader.count !== this.#job.records || reader.seq !== this.#seqs[stream] - this.#job.records + 1)
          this.#clock.failed("an answer to another step");
        this.#clock.answered(now - this.#sentAt[stream]);
        this.#idle[(this.#first + this.#waiting++) % this.#idle.length] = stream;
        if (!this.#clock.over) this.#step(now);
      } else if (type === FRAME.OPENED) {
        const { seq } = reader;
        this.#seqs[stream] = seq;
        if (++this.#opened === this.#seqs.length) this.#resolve();
      } else if (type === FRAME.ERR) {
        this.#fail(JSON.stringify(reader.json()));
      }
    }
    if (reader.fault !== null) this.#clock.failed(reader.fault);
  }
}

const EMPTY = Buffer.alloc(0);

export async function loadWebSocket(job: LoadJob): Promise<LoadResult> {
  const clock = new LoadClock();
  const each = Math.ceil(job.sessions / job.connections);
  const sockets: LoadSocket[] = [];
  for (let i = 0; i < job.connections; i++) {
    sockets.push(new LoadSocket(job, clock, i, each));
    if (i % 16 === 15) await Promise.all(sockets.map(({ ready }) => ready));
  }
  await Promise.all(sockets.map(({ ready }) => ready));
  const result = clock.run(job);
  for (const socket of sockets) socket.begin();
  const measured = await result;
  for (const socket of sockets) socket.end();
  return measured;
}
