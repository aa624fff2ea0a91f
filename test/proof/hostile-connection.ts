/** @file A connection that says what it is told, byte for byte, and reads the answers of HTTP/1.1 by hand, many of them under way at once. */
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  status: number;
  head: string;
  body: Buffer;
  ms: number;
}

interface Asked {
  at: number;
  resolve(answer: RawAnswer | null): void;
}

const BLANK = Buffer.from("\r\n\r\n");
const LINE = Buffer.from("\r\n");

/** Requests that are well framed, whatever else they are. */
export class HostileConnection {
  readonly #port: number;
  #socket: Socket | null = null;
  #bytes: Buffer = Buffer.alloc(0);
  #asked: Asked[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  /** Age of the oldest unanswered request, ms. */
  oldest(now: number): number {
    return this.#asked.length === 0 ? 0 : now - this.#asked[0].at;
  }

  /** Resolves with null if the connection ended without an answer to it. */
  ask(request: Buffer): Promise<RawAnswer | null> {
    return new Promise((resolve) => {
      this.#asked.push({ at: performance.now(), resolve });
      this.#open().write(request);
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#lost();
  }

  #open(): Socket {
    if (this.#socket !== null) return this.#socket;
    const socket = connect(this.#port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      if (socket !== this.#socket) return;
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      while (this.#asked.length > 0 && this.#take());
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (socket === this.#socket) this.#lost();
    });
    this.#socket = socket;
    return socket;
  }

  #lost(): void {
    const lost = this.#asked;
    this.#asked = [];
    this.#socket = null;
    this.#bytes = Buffer.alloc(0);
    for (const { resolve } of lost) resolve(null);
  }

  /** Takes one whole answer from what has come. */
  #take(): boolean {
    const bytes = this.#bytes;
    const end = bytes.indexOf(BLANK);
    if (end < 0) return false;
    const head = bytes.toString("latin1", 0, end);
    const status = Number(head.slice(9, 12));
    const from = end + 4;
    if (status === 100) {
      this.#bytes = bytes.subarray(from);
      return this.#bytes.length > 0;
    }
    if (/\r\ncontent-type: text\/event-stream/i.test(head)) {
      // It has no end: its head says enough, and the connection is used up.
      const { at, resolve } = this.#asked.shift() as Asked;
      const socket = this.#socket;
      this.#lost();
      socket?.destroy();
      resolve({ status, head, body: Buffer.alloc(0), ms: performance.now() - at });
      return false;
    }
    let body: Buffer;
    let next: number;
    const length = /\r\ncontent-length: (\d+)/i.exec(head);
    if (length) {
      next = from + Number(length[1]);
      if (bytes.length < next) return false;
      body = bytes.subarray(from, next);
    } else if (/\r\ntransfer-encoding: chunked/i.test(head)) {
      const chunks: Buffer[] = [];
      for (let at = from; ; ) {
        const eol = bytes.indexOf(LINE, at);
        if (eol < 0) return false;
        const size = Number.parseInt(bytes.toString("latin1", at, eol), 16);
        next = eol + 2 + size + 2;
        if (bytes.length < next) return false;
        if (size === 0) break;
        chunks.push(bytes.subarray(eol + 2, eol + 2 + size));
        at = next;
      }
      body = Buffer.concat(chunks);
    } else {
      body = Buffer.alloc(0);
      next = from;
    }
    this.#bytes = bytes.subarray(next);
    const { at, resolve } = this.#asked.shift() as Asked;
    if (/\r\nconnection: close/i.test(head)) {
      const socket = this.#socket;
      this.#lost();
      socket?.destroy();
    }
    resolve({ status, head, body: Buffer.from(body), ms: performance.now() - at });
    return true;
  }
}

export interface RawConversation {
  /** Every status line that came back. */
  statuses: number[];
  text: string;
  ms: number;
  /** The server ended it, within the time it had. */
  closed: boolean;
}

/** Sends bytes, of whatever kind, ends its side, and hears what comes until the server ends the other. */
export function converse(port: number, bytes: Uint8Array, { halfClose = true, limitMs = 3000 } = {}): Promise<RawConversation> {
  return new Promise((resolve) => {
    const start = performance.now();
    const chunks: Buffer[] = [];
    let size = 0;
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const done = (closed: boolean) => {
      clearTimeout(late);
      socket.destroy();
      const text = Buffer.concat(chunks).toString("latin1");
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
      resolve({ statuses, text, ms: performance.now() - start, closed });
    };
    const late = setTimeout(() => done(false), limitMs);
    socket.on("data", (chunk) => {
      if (size < 65_536) chunks.push(chunk);
      size += chunk.length;
    });
    socket.on("error", () => {});
    socket.on("end", () => done(true));
    socket.on("close", () => done(true));
    if (halfClose) socket.end(bytes);
    else socket.write(bytes);
  });
}

/** A whole request, its length said truly. */
export function rawRequest(
  method: string,
  path: string,
  { headers = [], body }: { headers?: readonly (readonly [string, string])[]; body?: Uint8Array } = {},
): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, "Host: 127.0.0.1", ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return body === undefined ? head : Buffer.concat([head, body]);
}
