/** @file Every endpoint over HTTP, each with valid requests of its own, to be spoiled in path, query, headers and body. */
import { ProbeModel } from "../../src/model/index.js";
import { encodeSnapshot } from "../../src/model/snapshot.js";
import { HostileConnection, rawRequest } from "./hostile-connection.js";
import { badText, caseRandom, EDGES, mutateBytes, mutateJson, mutateText, pick, type Random } from "./mutation.js";

interface Spoiled {
  method: string;
  path: string;
  headers: [string, string][];
  body?: Uint8Array;
}

export interface HostileEndpoint {
  name: string;
  port: "http" | "admin";
  make(rng: Random): Spoiled;
}

export interface EndpointReport {
  endpoint: string;
  /** Requests that were answered, or whose connection the server ended. */
  cases: number;
  seconds: number;
  statuses: Map<number, number>;
  slowestMs: number;
  /** 500 and other 5xx that are no honest refusal; answers later than a second; none at all. */
  wrongs: string[];
}

export const HOSTILE_TENANT = "fuzz";
const POOL = 24;
const JSON_TYPE = "application/json";
const MODEL = "/v1/models/probe";

/** Ids that many requests meet at, so that they race. */
function poolId(rng: Random): string {
  return `pool-${rng.integer(POOL)}`;
}

/** As a path holds it: any byte as %XX, now and then none of them escaped that need not be. */
function segment(rng: Random, text: string): string {
  const bytes = Buffer.from(text, "utf8");
  let out = "";
  for (const byte of bytes) {
    const plain = byte > 0x20 && byte < 0x7f && !"%/?#".includes(String.fromCharCode(byte));
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
  }
  if (rng.integer(50) === 0)
    out += pick(rng, ["%ff", "%C0%80", "%2F", "%2f..", "%00", "%", "%zz", "/", "//", "/..", ";a=b", "?x", "#f"]);
  return out;
}

/** A header that keeps the framing: no line breaks, no bytes that end a connection. */
function headerValue(text: string): string {
  return text.replace(/[^\t\x20-\x7e\x80-\xff]/g, "");
}

const SPOILED_HEADERS = [
  "Content-Type",
  "Idempotency-Key",
  "Last-Event-ID",
  "Inference-Header-Content-Length",
  "Content-Encoding",
  "Origin",
  "X-Forwarded-For",
  "X-HTTP-Method-Override",
  "Accept",
  "Cookie",
  "Connection",
  "If-Match",
  "Range",
  "traceparent",
];
const HEADER_VALUES = [
  "gzip",
  "identity",
  "deflate, gzip",
  "multipart/form-data; boundary=x",
  "text/plain",
  "application/json; charset=utf-16",
  "application/x-ndjson",
  "application/octet-stream",
  "null",
  "http://evil.example",
  "0",
  "-1",
  "7",
  '"7"',
  "1e9",
  "18446744073709551616",
  "NaN",
  "*",
  "close",
  "bytes=0-18446744073709551615",
];
const QUERY_NAMES = [
  "idType",
  "seq",
  "end",
  "after",
  "limit",
  "incarnation",
  "policy",
  "weights",
  "__proto__",
  "constructor",
  "a[b]",
  "a[__proto__][x]",
];

function query(rng: Random): string {
  const parts = Array.from({ length: 1 + rng.integer(3) }, () => {
    const value = rng.integer(3) ? String(pick(rng, EDGES)) : badText(rng);
    return `${pick(rng, QUERY_NAMES)}=${segment(rng, rng.integer(4) ? value : "uint64")}`;
  });
  return `?${parts.join("&").slice(0, 4000)}`;
}

function authorization(rng: Random): [string, string][] {
  if (rng.integer(20) > 0) return [["Authorization", `Bearer ${HOSTILE_TENANT}`]];
  return [
    [
      "Authorization",
      headerValue(pick(rng, ["Basic YTpi", "Bearer", "Bearer ", "bearer x", `Bearer ${badText(rng)}`, badText(rng)])).slice(
        0,
        3000,
      ),
    ],
  ];
}

interface Valid {
  method: string;
  path: string | ((id: string) => string);
  /** Texts to be spoiled as JSON, or bytes. */
  bodies?: readonly (string | Uint8Array)[];
  type?: string;
  headers?: (rng: Random, body: Uint8Array | undefined) => [string, string][];
  port?: "http" | "admin";
  name?: string;
}

function endpoint({ method, path, bodies, type = JSON_TYPE, headers, port = "http", name }: Valid): HostileEndpoint {
  return {
    name: name ?? `${method} ${typeof path === "string" ? path : path("{s}")}${type === JSON_TYPE ? "" : ` ${type}`}`,
    port,
    make(rng) {
      // A tenth is as it should be, so that the state behind is no desert.
      const honest = rng.integer(10) === 0;
      const spoil = (chance: number) => !honest && rng.integer(100) < chance;
      if (honest && rng.integer(2)) {
        const id = rng.integer(4) ? JSON.stringify(poolId(rng)) : `{"number":"${2n ** 64n - 1n - BigInt(rng.integer(4))}"}`;
        return {
          method: "POST",
          path: `${MODEL}/sessions`,
          headers: [...authorization(rng), ["Content-Type", JSON_TYPE]],
          body: Buffer.from(`{"id":${id}}`),
        };
      }
      const id = spoil(20) ? badText(rng) : poolId(rng);
      let at = typeof path === "string" ? path : path(segment(rng, id));
      if (spoil(3)) at = segment(rng, mutateText(rng, at)).replaceAll("%2f", "/");
      if (!at.startsWith("/")) at = `/${at}`;
      if (spoil(20)) at += query(rng);
      let body: Uint8Array | undefined;
      if (bodies) {
        const given = pick(rng, bodies);
        const text = typeof given === "string";
        if (spoil(70))
          body = text ? Buffer.from(rng.integer(6) ? mutateJson(rng, given) : mutateText(rng, given)) : mutateBytes(rng, given);
        else body = text ? Buffer.from(given) : given;
        if (spoil(3)) body = mutateBytes(rng, body);
      } else if (spoil(10)) body = Buffer.from(mutateJson(rng, '{"a":1}'));
      const all: [string, string][] = authorization(rng);
      if (body !== undefined) all.push(["Content-Type", type]);
      if (headers) all.push(...headers(rng, body));
      if (spoil(15)) {
        const value = headerValue(rng.integer(3) ? pick(rng, HEADER_VALUES) : badText(rng)).slice(0, 2000);
        all.push([pick(rng, SPOILED_HEADERS), value]);
      }
      return {
        method: spoil(2) ? pick(rng, ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"]) : method,
        path: at.slice(0, 12_000),
        headers: all,
        body,
      };
    },
  };
}

export function hostileEndpoints(): HostileEndpoint[] {
  const at =
    (rest = "") =>
    (id: string) =>
      `${MODEL}/sessions/${id}${rest}`;
  const state = { preprocessing: Float64Array.of(1), model: Float32Array.of(1, 2, 3, 4), steps: 3, entity: null };
  const snapshot = Buffer.from(encodeSnapshot(state, { model: new ProbeModel().hash, owner: "o" })).toString("base64");
  const infer = (parameters: string) =>
    `{"id":"1","parameters":{${parameters}},"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,1],"data":[1.5]}],"outputs":[{"name":"output"}]}`;
  const sequences = [
    '"sequence_id":"pool-1","sequence_start":true',
    '"sequence_id":"pool-2"',
    '"sequence_id":18446744073709551615,"sequence_start":true,"sequence_end":true',
    '"sequence_id":"pool-3","sequence_end":true,"ostinato_seq":1',
    "",
  ];
  const head =
    '{"parameters":{"sequence_id":"pool-1","sequence_start":true,"binary_data_output":true},"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,1],"parameters":{"binary_data_size":4}}]}';
  const binary = Buffer.concat([Buffer.from(head), Buffer.from(Float32Array.of(1.5).buffer)]);
  const model = JSON.stringify({ tenant: "x", model: "probe", id: "pool-1", operation: "hibernate" });
  return [
    endpoint({ method: "GET", path: "/v1/models" }),
    endpoint({ method: "GET", path: MODEL }),
    endpoint({ method: "GET", path: `${MODEL}/sessions?after=spool-1&limit=10` }),
    endpoint({
      method: "POST",
      path: `${MODEL}/sessions`,
      bodies: [
        '{"id":"pool-1","durability":"none","ttlSeconds":5,"attributes":{"device_class":"a"}}',
        '{"id":{"number":"18446744073709551615"}}',
        "{}",
        `{"snapshot":"${snapshot}"}`,
      ],
    }),
    endpoint({ method: "GET", path: at() }),
    endpoint({ method: "DELETE", path: at("?incarnation=3") }),
    endpoint({
      method: "POST",
      path: at("/steps"),
      bodies: [
        '{"record":{"value":1.5}}',
        '{"records":[{"value":1},{"value":2}],"seq":3}',
        '{"rows":[[1],[2]],"incarnation":4}',
        '{"record":{"value":1},"seq":1,"end":true}',
      ],
      headers: (rng) => (rng.integer(5) ? [] : [["Idempotency-Key", pick(rng, ['"7"', "1", "9007199254740991"])]]),
    }),
    endpoint({
      method: "POST",
      path: at("/steps?seq=1"),
      type: "application/x-ndjson",
      bodies: ['{"value":1}\n{"value":2}\n{"value":3}', '{"value":1}\n\n\n{"value":null}'],
    }),
    endpoint({ method: "POST", path: at("/reset"), bodies: ['{"incarnation":3}', "{}"] }),
    endpoint({ method: "POST", path: at("/hibernate"), bodies: ["{}"] }),
    endpoint({ method: "GET", path: at("/snapshot") }),
    endpoint({ method: "POST", path: at("/restore"), bodies: [`{"snapshot":"${snapshot}"}`] }),
    endpoint({ method: "GET", path: at("/answers?after=0") }),
    endpoint({
      method: "GET",
      path: at("/events"),
      headers: (rng) => [["Last-Event-ID", headerValue(rng.integer(2) ? String(pick(rng, EDGES)) : badText(rng)).slice(0, 2000)]],
    }),
    endpoint({ method: "GET", path: "/v2" }),
    endpoint({ method: "GET", path: "/v2/health/ready" }),
    endpoint({ method: "POST", path: "/v2/repository/index", bodies: ["{}"] }),
    endpoint({ method: "GET", path: "/v2/models/probe" }),
    endpoint({ method: "GET", path: "/v2/models/probe/config" }),
    endpoint({ method: "GET", path: "/v2/models/probe/versions/1/stats" }),
    endpoint({ method: "GET", path: "/v2/models/probe/ready" }),
    endpoint({ method: "POST", path: "/v2/models/probe/infer", bodies: sequences.map(infer) }),
    endpoint({
      method: "POST",
      path: "/v2/models/probe/infer",
      type: "application/octet-stream",
      bodies: [binary],
      headers: (rng) => [
        [
          "Inference-Header-Content-Length",
          rng.integer(4) ? String(head.length) : headerValue(mutateText(rng, String(pick(rng, EDGES)))).slice(0, 200),
        ],
      ],
    }),
    endpoint({ method: "GET", path: "/readyz", name: "GET /livez, /readyz, /startupz" }),
    endpoint({ method: "GET", path: "/metrics" }),
    endpoint({ method: "GET", path: "/studio/index.html", name: "GET / and /studio" }),
    endpoint({ port: "admin", method: "GET", path: "/admin/models" }),
    endpoint({ port: "admin", method: "PUT", path: "/admin/models/other?policy=pin&weights=float32", bodies: ["{}"] }),
    endpoint({ port: "admin", method: "PUT", path: "/admin/models/probe/alias", bodies: ['{"version":"0000","policy":"pin"}'] }),
    endpoint({ port: "admin", method: "DELETE", path: "/admin/versions/abcdef" }),
    endpoint({ port: "admin", method: "GET", path: "/admin/status" }),
    endpoint({
      port: "admin",
      method: "POST",
      path: "/admin/sessions",
      bodies: [model, model.replace("hibernate", "reset"), model.replace("hibernate", "end")],
    }),
  ];
}

const CONNECTIONS = 12;
const LIMIT_MS = 1000;
const HONEST_5XX = new Set([503, 504, 507]);

/** Attacks one endpoint with so many cases, some of them under way at once on each connection. */
export async function attackEndpoint(
  endpoint: HostileEndpoint,
  { port, cases, seed }: { port: number; cases: number; seed: number },
): Promise<EndpointReport> {
  const statuses = new Map<number, number>();
  const wrongs: string[] = [];
  const start = performance.now();
  let [next, judged, slowestMs] = [0, 0, 0];
  const wrong = (text: string) => {
    if (wrongs.length < 5) wrongs.push(text);
  };
  const one = async (connection: HostileConnection) => {
    while (judged < cases && next < cases * 3) {
      const index = next++;
      const { method, path, headers, body } = endpoint.make(caseRandom(seed, index));
      const timer = performance.now();
      const answer = await connection.ask(rawRequest(method, path, { headers, body }));
      const ms = performance.now() - timer;
      slowestMs = Math.max(slowestMs, ms);
      if (ms > LIMIT_MS) wrong(`case ${index}: ${ms.toFixed(0)} ms: ${method} ${path.slice(0, 80)}`);
      // Ended with those behind it: only one of them can be the reason.
      if (answer === null) {
        statuses.set(0, (statuses.get(0) ?? 0) + 1);
        continue;
      }
      judged++;
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status >= 500 && !HONEST_5XX.has(answer.status))
        wrong(
          `case ${index}: ${answer.status} to ${method} ${path.slice(0, 120)} ${Buffer.from(body ?? [])
            .toString()
            .slice(0, 120)}`,
        );
      if (!(answer.status >= 200 && answer.status <= 599)) wrong(`case ${index}: status ${answer.status}`);
      if (/\r\nx-injected:/i.test(answer.head)) wrong(`case ${index}: a header came in through ${path.slice(0, 80)}`);
    }
  };
  const connections = Array.from({ length: CONNECTIONS }, () => new HostileConnection(port));
  await Promise.all(connections.map(one));
  for (const connection of connections) connection.close();
  if (judged < cases) wrong(`only ${judged} of ${next} answered`);
  return { endpoint: endpoint.name, cases: judged, seconds: (performance.now() - start) / 1000, statuses, slowestMs, wrongs };
}
