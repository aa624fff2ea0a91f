/** @file Input that is too large, too deep, without end or malformed: how soon it is refused, and what memory it takes meanwhile. */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { grpcFrame, hpack, http2Frame, http2Opening, inferHeaders } from "./hostile-grpc.js";
import { HOSTILE_TENANT } from "./hostile-http.js";
import { handshake, socketFrame } from "./hostile-websocket.js";

export interface Flood {
  name: string;
  port: "http" | "grpc";
  /** Sent once. */
  begin: Buffer;
  /** Sent over and over behind it, as fast as it is taken. */
  again?: Buffer;
  /** What must come back, or the end of the connection. */
  refusal?: { test(answer: string): boolean };
  /** The answers are never read. */
  deaf?: boolean;
  /** It may be borne instead: others are answered soon all the same. */
  bearable?: boolean;
}

export interface FloodReport {
  flood: string;
  /** Until a refusal or the end of the connection came; null: neither. */
  ms: number | null;
  /** Of the server's process, above what it was before. */
  grownMib: number;
  sentMib: number;
  answer: string;
}

const MIB = 1024 * 1024;
const PAGE = 4096;
const LIMIT_MS = 4000;
const steps = (extra: string, body: Buffer | string = "") => {
  const head = `POST /v1/models/probe/sessions/pool-1/steps HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${HOSTILE_TENANT}\r\n${extra}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(body)]);
};
const sized = (type: string, body: Buffer | string, extra = "") =>
  steps(`${extra}Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}`, body);
const oip = (body: string) =>
  Buffer.concat([
    Buffer.from(
      `POST /v2/models/probe/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${HOSTILE_TENANT}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
    ),
    Buffer.from(body),
  ]);
const chunk = (bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
const socket = (...frames: Buffer[]) => Buffer.concat([handshake(HOSTILE_TENANT), ...frames]);
const ANY = /HTTP\/1\.1 4\d\d/;

export function floods(): Flood[] {
  const chunked = "Transfer-Encoding: chunked";
  const json = "Content-Type: application/json";
  const open = http2Frame(1, 4, 1, hpack(inferHeaders(HOSTILE_TENANT)));
  const streams = (make: (id: number) => Buffer, count: number) =>
    Buffer.concat(Array.from({ length: count }, (_, i) => make(2 * i + 1)));
  const bomb = gzipSync(Buffer.alloc(512 * MIB), { level: 9 });
  const h2 = (...frames: Buffer[]) => Buffer.concat([http2Opening(), ...frames]);
  const gzipHeaders = hpack([...inferHeaders(HOSTILE_TENANT), ["grpc-encoding", "gzip"]]);
  const dataFrames = (bytes: Buffer, stream: number) => {
    const frames: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 16_384)
      frames.push(http2Frame(0, at + 16_384 >= bytes.length ? 1 : 0, stream, bytes.subarray(at, at + 16_384)));
    return Buffer.concat(frames);
  };
  return [
    {
      name: "10 GiB by Content-Length, JSON",
      port: "http",
      begin: steps(`${json}\r\nContent-Length: ${10 * 2 ** 30}`),
      again: Buffer.alloc(65_536, 0x20),
      refusal: ANY,
    },
    {
      name: "10 GiB by Content-Length, OIP",
      port: "http",
      begin: Buffer.from(
        `POST /v2/models/probe/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer a\r\n${json}\r\nContent-Length: ${10 * 2 ** 30}\r\n\r\n`,
      ),
      again: Buffer.alloc(65_536, 0x20),
      refusal: ANY,
    },
    {
      name: "chunks without end, JSON",
      port: "http",
      begin: steps(`${json}\r\n${chunked}`),
      again: chunk(Buffer.alloc(65_536, 0x20)),
      refusal: ANY,
    },
    {
      name: "chunks of one byte without end, JSON",
      port: "http",
      begin: steps(`${json}\r\n${chunked}`),
      again: Buffer.concat(Array(4096).fill(chunk(Buffer.of(0x20)))),
      refusal: ANY,
      bearable: true,
    },
    {
      name: "a chunk extension without end",
      port: "http",
      begin: steps(`${json}\r\n${chunked}`, "1;a="),
      again: Buffer.alloc(65_536, 0x61),
      refusal: ANY,
    },
    {
      name: "1e6 headers",
      port: "http",
      begin: Buffer.from("GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n"),
      again: Buffer.from("a: b\r\n".repeat(1000)),
      refusal: ANY,
    },
    {
      name: "a header of 1 MiB",
      port: "http",
      begin: Buffer.from(`GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${"a".repeat(MIB)}\r\n\r\n`),
      refusal: ANY,
    },
    {
      name: "a path of 1 MiB",
      port: "http",
      begin: Buffer.from(`GET /${"a".repeat(MIB)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`),
      refusal: ANY,
    },
    {
      name: "trailers without end",
      port: "http",
      begin: steps(`${json}\r\n${chunked}`, "0\r\n"),
      again: Buffer.from("a: b\r\n".repeat(1000)),
      refusal: ANY,
    },
    { name: "JSON 1e5 deep", port: "http", begin: sized("application/json", "[".repeat(100_000)), refusal: ANY },
    { name: "JSON 1e5 deep, OIP", port: "http", begin: oip('{"a":'.repeat(100_000)), refusal: ANY },
    {
      name: "a number of 1e6 digits",
      port: "http",
      begin: sized("application/json", `{"record":{"value":${"9".repeat(1e6)}}}`),
      refusal: ANY,
    },
    {
      name: "a number of 1e6 digits, OIP",
      port: "http",
      begin: oip(`{"inputs":[{"name":"input","datatype":"FP64","shape":[1,1,1],"data":[${"9".repeat(1e6)}]}]}`),
      refusal: ANY,
    },
    {
      name: "4 MiB of 17-digit numbers, OIP",
      port: "http",
      begin: oip(
        `{"inputs":[{"name":"input","datatype":"FP64","shape":[1,1,1],"data":[${Array(230_000).fill("12345678901234567").join()}]}]}`,
      ),
      refusal: ANY,
    },
    {
      name: "8 MiB of braces' keys, JSON",
      port: "http",
      begin: sized("application/json", `{${Array.from({ length: 600_000 }, (_, i) => `"k${i}":1`).join()}}`),
      refusal: ANY,
    },
    {
      name: "__proto__",
      port: "http",
      begin: sized("application/json", '{"record":{"value":1},"__proto__":{"polluted":1}}'),
      refusal: ANY,
    },
    {
      name: "a gzip bomb as JSON",
      port: "http",
      begin: sized("application/json", bomb, "Content-Encoding: gzip\r\n"),
      refusal: ANY,
    },
    {
      name: "NDJSON without a line's end",
      port: "http",
      begin: steps(`Content-Type: application/x-ndjson\r\n${chunked}`),
      again: chunk(Buffer.alloc(65_536, 0x20)),
      refusal: /OST_REQUEST/,
    },
    {
      name: "NDJSON without a line's end, byte by byte",
      port: "http",
      begin: steps(`Content-Type: application/x-ndjson\r\n${chunked}`),
      again: Buffer.concat(Array(4096).fill(chunk(Buffer.of(0x20)))),
      refusal: /OST_REQUEST/,
      bearable: true,
    },
    {
      name: "a frame of 1 GiB",
      port: "http",
      begin: socket(socketFrame(2, Buffer.alloc(0), { length: 1n << 30n })),
      again: Buffer.alloc(65_536),
    },
    {
      name: "1e6 fragments",
      port: "http",
      begin: socket(socketFrame(2, Buffer.of(1), { last: false })),
      again: Buffer.concat(Array(4096).fill(socketFrame(0, Buffer.of(1), { last: false }))),
    },
    {
      name: "1e6 empty fragments",
      port: "http",
      begin: socket(socketFrame(2, Buffer.alloc(0), { last: false })),
      again: Buffer.concat(Array(4096).fill(socketFrame(0, Buffer.alloc(0), { last: false }))),
    },
    {
      name: "pings whose pongs nobody reads",
      port: "http",
      begin: socket(),
      again: Buffer.concat(Array(512).fill(socketFrame(9, Buffer.alloc(125)))),
      deaf: true,
      bearable: true,
    },
    {
      name: "refusals that nobody reads",
      port: "http",
      begin: socket(),
      again: Buffer.concat(
        Array(64).fill(
          socketFrame(2, Buffer.concat(Array(64).fill(Buffer.concat([Buffer.of(6, 0, 0, 0, 9), Buffer.alloc(27)])))),
        ),
      ),
      deaf: true,
      bearable: true,
    },
    {
      name: "pipelined requests whose answers nobody reads",
      port: "http",
      begin: Buffer.alloc(0),
      again: Buffer.from("GET /v1/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(256)),
      deaf: true,
      bearable: true,
    },
    {
      name: "gRPC: a message of 1 GiB by its prefix",
      port: "grpc",
      begin: h2(open, http2Frame(0, 0, 1, grpcFrame(Buffer.alloc(0), { length: 2 ** 30 }))),
      refusal: { test: answersStream },
    },
    {
      name: "gRPC: a gzip bomb",
      port: "grpc",
      begin: h2(http2Frame(1, 4, 1, gzipHeaders), dataFrames(grpcFrame(bomb, { compressed: 1 }), 1)),
      bearable: true,
    },
    {
      name: "HTTP/2: rapid reset",
      port: "grpc",
      begin: h2(
        streams(
          (id) =>
            Buffer.concat([
              http2Frame(1, 4, id, hpack(inferHeaders(HOSTILE_TENANT))),
              http2Frame(3, 0, id, Buffer.of(0, 0, 0, 8)),
            ]),
          50_000,
        ),
      ),
      bearable: true,
    },
    {
      name: "HTTP/2: continuations without end",
      port: "grpc",
      begin: h2(http2Frame(1, 0, 1, hpack(inferHeaders(HOSTILE_TENANT)))),
      again: http2Frame(9, 0, 1, hpack(Array(64).fill(["a", "b".repeat(100)]))),
    },
    {
      name: "HTTP/2: empty continuations without end",
      port: "grpc",
      begin: h2(http2Frame(1, 0, 1, hpack(inferHeaders(HOSTILE_TENANT)))),
      again: Buffer.concat(Array(1024).fill(http2Frame(9, 0, 1, Buffer.alloc(0)))),
    },
    {
      name: "HTTP/2: settings whose acknowledgements nobody reads",
      port: "grpc",
      begin: h2(),
      again: Buffer.concat(Array(1024).fill(http2Frame(4, 0, 0, Buffer.alloc(0)))),
      deaf: true,
    },
    {
      name: "HTTP/2: pings whose answers nobody reads",
      port: "grpc",
      begin: h2(),
      again: Buffer.concat(Array(1024).fill(http2Frame(6, 0, 0, Buffer.alloc(8)))),
      deaf: true,
    },
    {
      name: "HTTP/2: a header table's bomb",
      port: "grpc",
      begin: h2(
        http2Frame(
          1,
          4,
          1,
          Buffer.concat([
            hpack(inferHeaders(HOSTILE_TENANT)),
            Buffer.of(0x40, 1, 0x78, 127, 0x81, 0x1e),
            Buffer.alloc(4000, 0x61),
            Buffer.alloc(12_000, 0xbe),
          ]),
        ),
      ),
      bearable: true,
    },
  ];
}

/** Whether frames of HTTP/2 hold headers on the first stream: a call's refusal, as nothing else answers it. */
function answersStream(text: string): boolean {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    if (bytes[at + 3] === 1 && bytes.readUInt32BE(at + 5) === 1) return true;
  return false;
}

export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * PAGE;
}

/** Sends one flood until it is refused, ended, or borne for so long. */
export function flood(
  { name, begin, again, refusal, deaf = false }: Flood,
  { port, pid, limitMs = LIMIT_MS }: { port: number; pid: number; limitMs?: number },
): Promise<FloodReport> {
  return new Promise((resolve) => {
    const before = residentBytes(pid);
    let most = before;
    const watch = setInterval(() => {
      most = Math.max(most, residentBytes(pid));
    }, 5);
    const start = performance.now();
    let answer = "";
    const connection: Socket = connect(port, "127.0.0.1");
    let over = false;
    const done = (ms: number | null) => {
      if (over) return;
      over = true;
      clearInterval(watch);
      clearTimeout(late);
      most = Math.max(most, residentBytes(pid));
      const sentMib = connection.bytesWritten / MIB;
      connection.destroy();
      resolve({
        flood: name,
        ms,
        grownMib: Math.max(0, (most - before) / MIB),
        sentMib,
        answer: answer.replace(/[^\x20-\x7e]+/g, " ").slice(0, 160),
      });
    };
    const late = setTimeout(() => done(null), limitMs);
    const push = () => {
      if (over || again === undefined) return;
      while (!over && connection.write(again));
    };
    connection.on("drain", push);
    connection.on("connect", () => {
      connection.write(begin);
      push();
    });
    if (!deaf)
      connection.on("data", (bytes) => {
        if (answer.length < 4096) answer += bytes.toString("latin1");
        if (refusal?.test(answer)) done(performance.now() - start);
      });
    else connection.pause();
    connection.on("error", () => {});
    connection.on("end", () => done(performance.now() - start));
    connection.on("close", () => done(performance.now() - start));
  });
}
