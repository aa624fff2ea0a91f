/** @file Load over HTTP/1.1 with JSON: connections that stay, one request unanswered on each, written and read by hand. */
import { connect, type Socket } from "node:net";
import { LoadClock } from "./load-clock.js";
import type { LoadJob, LoadResult } from "./load-job.js";
import { LOAD_FEATURES } from "./load-model.js";

class LoadConnection {
  readonly #socket: Socket;
  readonly #clock: LoadClock;
  readonly #requests: Buffer[];
  #next = 0;
  #sentAt = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(job: LoadJob, clock: LoadClock, paths: readonly string[]) {
    this.#clock = clock;
    this.#requests = paths.map((path, i) => {
      const rows = Array.from({ length: job.records }, (_, row) =>
        Array.from({ length: LOAD_FEATURES }, (_, k) => Number(Math.sin(i * 7 + row + k).toFixed(4))),
      );
      return request(job.address, "POST", path, JSON.stringify({ rows }));
    });
    const [host, port] = job.address.split(":");
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on("error", (error) => clock.failed(error.message));
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
  }

  begin(): void {
    this.#sentAt = performance.now();
    this.#socket.write(this.#requests[this.#next++ % this.#requests.length]);
  }

  end(): void {
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes;
    const end = wholeAnswer(data);
    if (end === 0) {
      this.#rest = data;
      return;
    }
    this.#rest = data.subarray(end);
    if (data[9] !== 0x32) this.#clock.failed(data.toString("utf8", 0, 400));
    else this.#clock.answered(performance.now() - this.#sentAt);
    if (!this.#clock.over) this.begin();
  }
}

function request(address: string, method: string, path: string, body: string): Buffer {
  const head = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${address}`,
    "Authorization: Bearer load",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** Where the answer ends; 0 while it is not whole. */
function wholeAnswer(data: Buffer): number {
  const head = data.indexOf("\r\n\r\n");
  if (head < 0) return 0;
  const length = /content-length: (\d+)/i.exec(data.toString("latin1", 0, head));
  const end = head + 4 + Number(length?.[1] ?? 0);
  return data.length >= end ? end : 0;
}

const CREATES_AT_ONCE = 32;

/** Begins the sessions, some at a time. */
async function createSessions(address: string, ids: readonly string[]): Promise<void> {
  const left = [...ids];
  const one = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      const answer = await fetch(`http://${address}/v1/models/load/sessions`, {
        method: "POST",
        headers: { authorization: "Bearer load", "content-type": "application/json" },
        body: JSON.stringify({ id }),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
    }
  };
  await Promise.all(Array.from({ length: CREATES_AT_ONCE }, one));
}

export async function loadHttp(job: LoadJob): Promise<LoadResult> {
  const clock = new LoadClock();
  const each = Math.ceil(job.sessions / job.connections);
  const ids = Array.from({ length: job.connections }, (_, i) => Array.from({ length: each }, (_, k) => `h${i}-${k}`));
  if (!job.echo) await createSessions(job.address, ids.flat());
  const connections = ids.map((own) => {
    const paths = own.map((id) => (job.echo ? "/echo" : `/v1/models/load/sessions/${id}/steps`));
    return new LoadConnection(job, clock, paths);
  });
  const result = clock.run(job);
  for (const connection of connections) connection.begin();
  const measured = await result;
  for (const connection of connections) connection.end();
  return measured;
}
