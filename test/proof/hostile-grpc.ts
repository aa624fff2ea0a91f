/** @file Every method of the inference service over HTTP/2: spoiled messages, spoiled prefixes and metadata, and frames of HTTP/2 that are none. */
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { INFERENCE } from "../../src/serve/oip-message.js";
import { encodeMessage } from "../../src/serve/oip-protobuf.js";
import { converse } from "./hostile-connection.js";
import type { EndpointReport } from "./hostile-http.js";
import { badText, caseRandom, EDGES, mutateBytes, mutateText, pick, type Random } from "./mutation.js";

const LIMIT_MS = 1000;
const AT_ONCE = 32;
const PATIENCE_MS = 20;
const SESSIONS = 4;
/** INTERNAL, UNKNOWN and DATA_LOSS say that something broke. INTERNAL is also what grpc-js answers to a body that is no message. */
const FAULTS = new Set(["2", "15"]);

export const GRPC_METHODS: readonly string[] = [
  ...INFERENCE.services.flatMap(({ name, methods }) => methods.map((method) => `/${name}/${method.name}`)),
  "/grpc.health.v1.Health/Check",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

function valid(rng: Random): Buffer {
  const id = pick(rng, [
    { string_param: `pool-${rng.integer(24)}` },
    { uint64_param: 2n ** 64n - 1n - BigInt(rng.integer(4)) },
    { int64_param: rng.integer(100) },
  ]);
  const parameters: Record<string, object> = { sequence_id: id };
  if (rng.integer(2)) parameters["sequence_start"] = { bool_param: true };
  if (rng.integer(4) === 0) parameters["sequence_end"] = { bool_param: true };
  if (rng.integer(4) === 0) parameters["ostinato_seq"] = { int64_param: 1 + rng.integer(4) };
  if (rng.integer(16) === 0) Object.defineProperty(parameters, "__proto__", { value: { string_param: "x" }, enumerable: true });
  const request = {
    model_name: "probe",
    name: "probe",
    id: "1",
    parameters,
    inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1] }],
    raw_input_contents: [Buffer.from(Float32Array.of(pick(rng, EDGES)).buffer)],
  };
  return encodeMessage(INFERENCE.message(rng.integer(4) ? "ModelInferRequest" : "ModelReadyRequest"), request);
}

/** A message with its five bytes before it. */
export function grpcFrame(message: Uint8Array, { compressed = 0, length = message.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([head, message]);
}

interface Call {
  headers: Record<string, string>;
  body: Buffer;
}

function spoiledCall(rng: Random, path: string, tenant: string): Call {
  const honest = rng.integer(10) === 0;
  const message = honest ? valid(rng) : Buffer.from(mutateBytes(rng, valid(rng)));
  let body = grpcFrame(message);
  if (!honest && rng.integer(5) === 0) {
    const kind = rng.integer(4);
    if (kind === 0) body = grpcFrame(message, { compressed: pick(rng, [1, 2, 255]) });
    else if (kind === 1)
      body = grpcFrame(message, { length: pick(rng, [0, 1, message.length + 1, 2 ** 31, 2 ** 32 - 1, 4 << 20, (4 << 20) + 1]) });
    else if (kind === 2) body = Buffer.from(mutateBytes(rng, body));
    else body = Buffer.concat([body, body, grpcFrame(new Uint8Array(0))]);
  }
  const headers: Record<string, string> = {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${tenant}`,
  };
  const clean = (text: string) => text.replace(/[^\x20-\x7e]/g, "").slice(0, 2000);
  if (!honest && rng.integer(10) === 0) {
    const name = pick(rng, [
      "grpc-timeout",
      "grpc-encoding",
      "grpc-accept-encoding",
      "content-type",
      "authorization",
      "x-bin",
      "user-agent",
      ":path",
      ":method",
    ]);
    const value = pick(rng, [
      "1n",
      "0m",
      "99999999H",
      "-1S",
      "gzip",
      "identity",
      "application/grpc+json",
      "text/plain",
      clean(badText(rng)),
      "AAAA",
      "%%%",
    ]);
    if (name === ":path") headers[":path"] = clean(mutateText(rng, path)) || "/";
    else if (name === ":method") headers[":method"] = pick(rng, ["GET", "PUT", "OPTIONS"]);
    else headers[name] = value;
  }
  return { headers, body };
}

/** Attacks one method. */
export async function attackGrpc(
  path: string,
  { port, cases, seed, tenant }: { port: number; cases: number; seed: number; tenant: string },
): Promise<EndpointReport> {
  const statuses = new Map<number, number>();
  const wrongs: string[] = [];
  const start = performance.now();
  let [next, judged, slowestMs] = [0, 0, 0];
  const wrong = (text: string) => {
    if (wrongs.length < 5) wrongs.push(text);
  };
  const sessions: (ClientHttp2Session | null)[] = new Array(SESSIONS).fill(null);
  const sessionAt = (i: number): ClientHttp2Session => {
    const held = sessions[i];
    if (held !== null && !held.closed && !held.destroyed) return held;
    const session = connect(`http://127.0.0.1:${port}`);
    session.on("error", () => {});
    sessions[i] = session;
    return session;
  };
  const one = async (lane: number) => {
    while (next < cases) {
      const index = next++;
      const rng = caseRandom(seed, index);
      const { headers, body } = spoiledCall(rng, path, tenant);
      const before = performance.now();
      const status = await call(sessionAt(lane % SESSIONS), headers, body);
      const ms = performance.now() - before;
      slowestMs = Math.max(slowestMs, ms);
      judged++;
      const code = Number(status);
      statuses.set(code, (statuses.get(code) ?? 0) + 1);
      if (status === "late") wrong(`case ${index}: no end within ${LIMIT_MS} ms`);
      if (FAULTS.has(status)) wrong(`case ${index}: status ${status}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, lane) => one(lane)));
  for (const session of sessions) session?.destroy();
  return { endpoint: `gRPC ${path}`, cases: judged, seconds: (performance.now() - start) / 1000, statuses, slowestMs, wrongs };
}

/** @returns grpc-status, "100" for a reset stream or a lost connection, 1000 and the status of HTTP without one, "late". */
function call(session: ClientHttp2Session, headers: Record<string, string>, body: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let status = "100";
    const late = setTimeout(() => {
      resolve("late");
      stream.close(constants.NGHTTP2_CANCEL);
    }, LIMIT_MS);
    let stream: ReturnType<ClientHttp2Session["request"]>;
    try {
      stream = session.request(headers);
    } catch {
      clearTimeout(late);
      return resolve("100");
    }
    stream.on("response", (given) => {
      if (given["grpc-status"] !== undefined) status = String(given["grpc-status"]);
      else if (given[":status"] !== 200) status = String(1000 + Number(given[":status"]));
    });
    stream.on("trailers", (given) => {
      if (given["grpc-status"] !== undefined) status = String(given["grpc-status"]);
    });
    stream.on("error", () => {});
    stream.on("data", () => {});
    stream.on("close", () => {
      clearTimeout(late);
      resolve(status);
    });
    stream.end(body);
  });
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export function http2Frame(type: number, flags: number, stream: number, payload: Uint8Array, length = payload.length): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** Headers as HPACK literals that are not indexed (RFC 7541, 6.2.2). */
export function hpack(headers: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value, "latin1");
    if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
    const rest = [];
    let left = bytes.length - 127;
    for (; left >= 128; left = left >>> 7) rest.push((left & 127) | 128);
    return Buffer.concat([Buffer.of(127, ...rest, left), bytes]);
  };
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

export function http2Opening(): Buffer {
  return Buffer.concat([PREFACE, http2Frame(4, 0, 0, Buffer.alloc(0))]);
}

export function inferHeaders(tenant: string): [string, string][] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", GRPC_METHODS[0].replace(/[^/]+$/, "ModelInfer")],
    [":authority", "127.0.0.1"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ["authorization", `Bearer ${tenant}`],
  ];
}

/** Attacks the connection itself with spoiled frames, each on a connection of its own. */
export async function attackHttp2({
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
  const one = async () => {
    while (next < cases) {
      const index = next++;
      const rng = caseRandom(seed, index);
      const frames = [http2Frame(1, 4, 1, hpack(inferHeaders(tenant))), http2Frame(0, 1, 1, grpcFrame(valid(rng)))];
      for (let i = rng.integer(4); i > 0; i--)
        frames.splice(
          rng.integer(frames.length + 1),
          0,
          http2Frame(
            rng.integer(12),
            rng.integer(256),
            pick(rng, [0, 1, 2, 3, 2 ** 31 - 1, 2 ** 32 - 1]),
            mutateBytes(rng, new Uint8Array(rng.integer(16))),
            rng.integer(4) ? undefined : rng.integer(1 << 24),
          ),
        );
      const bytes = Buffer.concat(frames);
      const opening = rng.integer(16) ? http2Opening() : Buffer.from(mutateBytes(rng, http2Opening()));
      // Whether it waits for more of a frame, or ends, is its own affair: that it answers others within a second is not.
      const { closed } = await converse(port, Buffer.concat([opening, rng.integer(3) ? mutateBytes(rng, bytes) : bytes]), {
        limitMs: PATIENCE_MS,
      });
      judged++;
      statuses.set(closed ? 0 : 1, (statuses.get(closed ? 0 : 1) ?? 0) + 1);
      if (index % 64 !== 0) continue;
      const before = performance.now();
      const session = connect(`http://127.0.0.1:${port}`);
      session.on("error", () => {});
      const status = await call(
        session,
        { ":method": "POST", ":path": GRPC_METHODS[0], "content-type": "application/grpc", te: "trailers" },
        grpcFrame(new Uint8Array(0)),
      );
      session.destroy();
      slowestMs = Math.max(slowestMs, performance.now() - before);
      if (status !== "0" && wrongs.length < 5) wrongs.push(`after case ${index} another connection got ${status}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE / 2 }, one));
  return { endpoint: "HTTP/2 frames", cases: judged, seconds: (performance.now() - start) / 1000, statuses, slowestMs, wrongs };
}
