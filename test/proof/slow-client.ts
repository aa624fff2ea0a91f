/** @file A thousand connections that send a byte now and then, and five hundred clients that never read: what the honest feel of it. */
import { connect, type Socket } from "node:net";
import { seed } from "../../src/core/rng.js";
import { DTYPE, FRAME, FrameWriter, SUBPROTOCOL } from "../../src/protocol/frames.js";
import { HttpCaller } from "./carrier.js";
import { FrameClient } from "./frame-client.js";
import type { RowOptions, RowResult } from "./row.js";
import { Served } from "./served.js";

const READ_SESSIONS = 32;
const MEMORY_GOAL = 64 * 2 ** 20;
const KEY = "honest";

export async function slowClients(program: string, options: RowOptions): Promise<RowResult[]> {
  const [slow, sockets, readers] = options.quick ? [300, 100, 100] : [1000, 250, 250];
  const served = await Served.start({ program, server: { sentinel: false, sessions: { maxReaders: 16 } } });
  const address = served.addresses.http;
  const port = Number(address.split(":").at(-1));
  const caller = new HttpCaller(address, KEY);
  const honest = await FrameClient.open(address, KEY);
  await Promise.all(
    Array.from({ length: READ_SESSIONS }, (_, i) =>
      honest.attach(i + 1, { model: "probe", id: `read-${i}`, mode: "createOrAttach" }),
    ),
  );
  const load = new HonestLoad(honest, seed(options.seed + 95).uniform);
  const milliseconds = options.quick ? 1000 : 5000;
  await load.run(milliseconds);
  const before = median([await load.run(milliseconds), await load.run(milliseconds), await load.run(milliseconds)]);
  const residentBefore = served.resident();

  const open: Socket[] = [];
  const drip: Socket[] = [];
  for (let i = 0; i < slow; i++) {
    const socket = tcp(port, open);
    drip.push(socket);
    if (i % 3 === 0) socket.write("POST /v1/models/probe/sessions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    else if (i % 3 === 1)
      socket.write(
        `POST /v1/models/probe/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer slow\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`,
      );
    else
      socket.write(
        `POST /v1/models/probe/sessions/read-0/steps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer slow\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`,
      );
  }
  const dripping = setInterval(() => {
    for (const socket of drip) if (socket.writable) socket.write(" ");
  }, 1000);
  for (let i = 0; i < readers; i++) {
    const socket = tcp(port, open);
    socket.pause();
    socket.write(
      `GET /v1/models/probe/sessions/read-${i % READ_SESSIONS}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${KEY}\r\n\r\n`,
    );
  }
  for (let i = 0; i < sockets; i++) neverReads(tcp(port, open), i);
  const during: number[] = [];
  let peak = 0;
  for (let i = 0; i < 5; i++) {
    during.push(await load.run(milliseconds));
    peak = Math.max(peak, served.resident());
  }
  clearInterval(dripping);
  const ready = (await caller.call("GET", "/readyz")).status;
  for (const socket of open) socket.destroy();
  honest.close();
  caller.close();
  const alive = !served.isOver;
  await served.end();
  const grown = peak - residentBefore;
  const p99 = median(during);
  options.log(`slow: honest p99 ${before.toFixed(2)} ms, then ${during.map((value) => value.toFixed(2)).join(", ")}`);
  return [
    {
      row: "faults: slow connections and clients that never read",
      goal: "honest p99 at most doubled, memory + <= 64 MiB",
      measured: `${slow} slow, ${sockets} sockets and ${readers} event readers that never read: p99 ${before.toFixed(2)} ms, then ${p99.toFixed(2)} ms; + ${(grown / 2 ** 20).toFixed(0)} MiB; ${load.failed} honest steps failed of ${load.count}`,
      pass: alive && ready === 200 && load.failed === 0 && p99 <= 2 * before && grown <= MEMORY_GOAL,
    },
  ];
}

/** Steps at a steady pace over sessions that others watch. */
class HonestLoad {
  count = 0;
  failed = 0;

  constructor(
    readonly client: FrameClient,
    readonly draw: () => number,
  ) {}

  /** @returns the 99th percentile of their latencies, ms. */
  async run(milliseconds: number): Promise<number> {
    const latencies: number[] = [];
    const until = performance.now() + milliseconds;
    while (performance.now() < until) {
      await Promise.all(
        Array.from({ length: 4 }, async (_, i) => {
          const start = performance.now();
          this.count++;
          const { refused } = await this.client.step(1 + ((this.count + i) % READ_SESSIONS), 0, [this.count]);
          if (refused) this.failed++;
          latencies.push(performance.now() - start);
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    latencies.sort((a, b) => a - b);
    return latencies[Math.floor(latencies.length * 0.99)];
  }
}

function tcp(port: number, open: Socket[]): Socket {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  open.push(socket);
  return socket;
}

/** A WebSocket that steps a session of its own as fast as it is let, and takes no answer. */
function neverReads(socket: Socket, number: number): void {
  socket.pause();
  socket.write(
    `GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\nAuthorization: Bearer slow\r\n\r\n`,
  );
  const writer = new FrameWriter();
  writer.json(FRAME.OPEN, { stream: 1, request: 1 }, { model: "probe", id: `slow-${number}`, output: "f64" });
  socket.write(message(writer.take()));
  const rows = Float64Array.from({ length: 64 }, (_, i) => i);
  for (let request = 2; request < 400; request++) {
    writer.rows({ stream: 1, request, seq: 0 }, rows, { columns: 1, timed: false, dtype: DTYPE.F64, count: rows.length });
  }
  socket.write(message(writer.take()));
}

/** A binary message as a client sends it, under a mask of zeros. */
function message(payload: Uint8Array): Buffer {
  const header = Buffer.alloc(14);
  header[0] = 0x82;
  header[1] = 0x80 | 127;
  header.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([header, payload]);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
