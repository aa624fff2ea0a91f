/** @file The WebSocket spoiled at both its levels: frames of RFC 6455, and within them messages of ostinato.v1. */
import { connect, type Socket } from "node:net";
import { DTYPE, FRAME, FrameWriter } from "../../src/protocol/frames.js";
import type { EndpointReport } from "./hostile-http.js";
import { badText, caseRandom, EDGES, mutateBytes, mutateJson, pick, type Random } from "./mutation.js";

const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10];
const LIMIT_MS = 1000;
const SOCKETS = 16;

export function handshake(tenant: string, extra: readonly string[] = []): Buffer {
  const lines = [
    "GET /v1/stream HTTP/1.1",
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: ostinato.v1",
    `Authorization: Bearer ${tenant}`,
    ...extra,
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** A frame from a client, masked with zeros, which change nothing. @param length what it claims, if other than the truth. */
export function socketFrame(
  opcode: number,
  payload: Uint8Array,
  {
    last = true,
    reserved = 0,
    masked = true,
    length = BigInt(payload.length),
  }: { last?: boolean; reserved?: number; masked?: boolean; length?: bigint } = {},
): Buffer {
  const first = (last ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  const key = Buffer.alloc(masked ? 4 : 0);
  if (length < 126n) return Buffer.concat([Buffer.of(first, mask | Number(length)), key, payload]);
  const size = Buffer.alloc(length < 65_536n ? 2 : 8);
  if (size.length === 2) size.writeUInt16BE(Number(length));
  else size.writeBigUInt64BE(length);
  return Buffer.concat([Buffer.of(first, mask | (size.length === 2 ? 126 : 127)), size, key, payload]);
}

/** Some frames of ostinato.v1 as a client sends them. */
function message(rng: Random): Uint8Array {
  const writer = new FrameWriter();
  for (let i = 1 + rng.integer(4); i > 0; i--) {
    const stream = rng.integer(4);
    const head = {
      stream,
      request: rng.integer(1000),
      seq: rng.integer(4) ? 0 : pick(rng, [1, 2, 3, 2 ** 53 - 1]),
      incarnation: rng.integer(6) ? 0 : rng.integer(100),
      flags: rng.integer(8) ? 0 : rng.integer(256),
    };
    const id = rng.integer(4) ? `pool-${rng.integer(24)}` : rng.integer(2) ? badText(rng) : { number: String(pick(rng, EDGES)) };
    const open = JSON.parse(
      JSON.stringify({
        model: rng.integer(8) ? "probe" : badText(rng),
        id,
        mode: pick(rng, ["create", "attach", "createOrAttach", "restart"]),
        news: rng.integer(2) === 1,
        onDisconnect: "stay",
      }),
    );
    switch (rng.integer(9)) {
      case 0:
      case 1:
        writer.json(FRAME.OPEN, head, open);
        break;
      case 2:
        writer.json(FRAME.RESUME, head, open);
        break;
      case 3:
        writer.empty(FRAME.RESET, head);
        break;
      case 4:
        writer.empty(FRAME.END, head);
        break;
      case 5:
        writer.empty(FRAME.CLOSE, head);
        break;
      case 6:
        writer.json(FRAME.STEP, head, [{ value: pick(rng, [1, null, "x"]) }], 1);
        break;
      default: {
        const count = 1 + rng.integer(3);
        writer.rows(
          head,
          Float64Array.from({ length: count }, () => pick(rng, [...EDGES, Number.NaN, Number.POSITIVE_INFINITY])),
          { columns: 1, timed: false, dtype: rng.integer(2) ? DTYPE.F64 : DTYPE.F32, count },
        );
      }
    }
  }
  return writer.take();
}

/** One case: mostly a spoiled message in a sound frame, now and then a frame that is none. */
function spoiled(rng: Random): Buffer {
  const honest = message(rng);
  if (rng.integer(8) > 0) {
    const kind = rng.integer(8);
    if (kind < 3) return socketFrame(BINARY, honest);
    if (kind === 3) {
      // A JSON payload spoiled, and its length said truly.
      const writer = new FrameWriter();
      writer.json(FRAME.OPEN, { stream: rng.integer(4), request: 1 }, { model: "probe", id: "pool-1" });
      const head = Buffer.from(writer.take().slice(0, 32));
      const text = Buffer.from(
        mutateJson(rng, '{"model":"probe","id":"pool-1","mode":"create","attributes":{"device_class":"a"},"ttlSeconds":5}'),
      );
      head.writeUInt32LE(text.length, 28);
      return socketFrame(BINARY, Buffer.concat([head, text]).subarray(0, 1_000_000));
    }
    return socketFrame(BINARY, mutateBytes(rng, honest));
  }
  const some = mutateBytes(rng, honest);
  switch (rng.integer(7)) {
    case 0:
      return socketFrame(rng.integer(16), some.subarray(0, 200));
    case 1:
      return socketFrame(BINARY, some, { reserved: rng.integer(8) });
    case 2:
      return socketFrame(BINARY, some, { masked: false });
    case 3:
      return socketFrame(BINARY, some, { length: pick(rng, [2n ** 63n, 2n ** 64n - 1n, 2n ** 32n, 1n << 30n]) });
    case 4:
      return Buffer.concat([socketFrame(BINARY, some, { last: false }), socketFrame(rng.integer(2) ? 0 : BINARY, some)]);
    case 5:
      return socketFrame(TEXT, some);
    default:
      return Buffer.from(mutateBytes(rng, socketFrame(pick(rng, [CLOSE, PING, PONG, BINARY]), some.subarray(0, 125))));
  }
}

/** Attacks the socket. Behind each case goes a ping: the server answers it, or ends the socket, within a second. */
export async function attackWebSocket({
  port,
  cases,
  seed,
  tenant,
}: {
  port: number;
  cases: number;
  seed: number;
  tenant: string;
}): Promise<EndpointReport> {
  const statuses = new Map<number, number>();
  const wrongs: string[] = [];
  const start = performance.now();
  let [next, judged, slowestMs] = [0, 0, 0];
  const wrong = (text: string) => {
    if (wrongs.length < 5) wrongs.push(text);
  };
  const count = (code: number) => statuses.set(code, (statuses.get(code) ?? 0) + 1);
  const one = async () => {
    let socket: HostileSocket | null = null;
    while (next < cases) {
      const index = next++;
      socket ??= await HostileSocket.open(port, tenant);
      const before = performance.now();
      const end = await socket.exchange(spoiled(caseRandom(seed, index)));
      const ms = performance.now() - before;
      slowestMs = Math.max(slowestMs, ms);
      judged++;
      if (end === "late") wrong(`case ${index}: neither a pong nor an end within ${LIMIT_MS} ms`);
      if (end === "pong") count(0);
      else {
        count(end === "late" ? -1 : end);
        if (end === 1011) wrong(`case ${index}: closed by a fault of the server`);
        socket.destroy();
        socket = null;
      }
    }
    socket?.destroy();
  };
  await Promise.all(Array.from({ length: SOCKETS }, one));
  return {
    endpoint: "WebSocket /v1/stream",
    cases: judged,
    seconds: (performance.now() - start) / 1000,
    statuses,
    slowestMs,
    wrongs,
  };
}

class HostileSocket {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: ((how: "pong" | number) => void) | null = null;
  #ended = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#read();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#ended = true;
      this.#wake?.(1006);
    });
  }

  static open(port: number, tenant: string): Promise<HostileSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.setNoDelay(true);
      let head = Buffer.alloc(0);
      const hear = (chunk: Buffer) => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", hear);
        if (!head.toString("latin1", 0, 12).includes("101"))
          return reject(new Error(`no handshake: ${head.toString("latin1", 0, 200)}`));
        const opened = new HostileSocket(socket);
        if (head.length > end + 4) socket.emit("data", head.subarray(end + 4));
        resolve(opened);
      };
      socket.on("data", hear);
      socket.once("error", reject);
      socket.write(handshake(tenant));
    });
  }

  /** @returns "pong", the code it was closed with, or "late". */
  exchange(bytes: Buffer): Promise<"pong" | "late" | number> {
    return new Promise((resolve) => {
      if (this.#ended) return resolve(1006);
      const late = setTimeout(() => done("late"), LIMIT_MS);
      const done = (how: "pong" | "late" | number) => {
        clearTimeout(late);
        this.#wake = null;
        resolve(how);
      };
      this.#wake = done;
      // A frame that claims to be longer than it is would take the ping for a part of itself: the end of our side ends that.
      const header = bytes[1] & 0x7f;
      const claims =
        header < 126
          ? BigInt(header)
          : header === 126
            ? BigInt(bytes.length >= 4 ? bytes.readUInt16BE(2) : 0)
            : bytes.length >= 10
              ? bytes.readBigUInt64BE(2)
              : 2n ** 63n;
      const whole = bytes.length >= 2 && claims <= BigInt(bytes.length);
      this.#socket.write(Buffer.concat([bytes, socketFrame(PING, new Uint8Array(0))]));
      if (!whole) this.#socket.end();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(): void {
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length < 2) return;
      const short = bytes[1] & 0x7f;
      const from = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length < from) return;
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
      if (bytes.length < from + length) return;
      const opcode = bytes[0] & 15;
      const payload = bytes.subarray(from, from + length);
      this.#bytes = bytes.subarray(from + length);
      if (opcode === PONG) this.#wake?.("pong");
      if (opcode === CLOSE) this.#wake?.(payload.length >= 2 ? payload.readUInt16BE(0) : 1005);
    }
  }
}
