/** @file Requests that two readers could cut apart in two ways, pages of strangers, and paths that climb: what each must be answered. */
import { converse } from "./hostile-connection.js";

export interface TrickReport {
  tricks: number;
  slowestMs: number;
  wrongs: string[];
}

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const BODY = '{"id":"smuggler"}';

/** RFC 9112, sections 6 and 11.2: a message whose length is in doubt is refused, and its connection ends. */
const DESYNC: readonly [string, string][] = [
  ["Content-Length and Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["Transfer-Encoding and Content-Length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"],
  ["two lengths", `Content-Length: ${BODY.length}\r\nContent-Length: 0\r\n\r\n${BODY}`],
  ["a list of lengths", `Content-Length: ${BODY.length}, 0\r\n\r\n${BODY}`],
  ["a negative length", `Content-Length: -1\r\n\r\n${BODY}`],
  ["a signed length", `Content-Length: +17\r\n\r\n${BODY}`],
  ["a hexadecimal length", `Content-Length: 0x11\r\n\r\n${BODY}`],
  ["a length beyond 2^64", `Content-Length: 18446744073709551633\r\n\r\n${BODY}`],
  ["a length that ends in words", `Content-Length: 17abc\r\n\r\n${BODY}`],
  ["an unknown coding", `Transfer-Encoding: xchunked\r\n\r\n${BODY}`],
  ["chunked, but not last", `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
  ["a space before the colon", `Content-Length : 17\r\n\r\n${BODY}`],
  ["a folded header", `X: a\r\n Content-Length: 17\r\n\r\n${BODY}`],
  ["a bare line feed in a header", "X: a\nContent-Length: 17\r\n\r\n"],
  ["a NUL in a header", "X: a\0b\r\n\r\n"],
  ["a chunk size of 2^64", "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n"],
  ["a chunk size with a sign", "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"],
  ["a chunk longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"],
  ["a chunk extension with a line feed", "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n"],
];

/** Each is sent with a second request behind it, which nobody may answer. */
export async function tryDesync(port: number): Promise<TrickReport> {
  const report: TrickReport = { tricks: DESYNC.length, slowestMs: 0, wrongs: [] };
  for (const [name, rest] of DESYNC) {
    const head =
      "POST /v1/models/probe/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer fuzz\r\nContent-Type: application/json\r\n";
    const { statuses, text, ms, closed } = await converse(port, Buffer.from(head + rest + SMUGGLED, "latin1"), {
      halfClose: false,
    });
    report.slowestMs = Math.max(report.slowestMs, ms);
    if (!closed || ms > 1000 || statuses.length > 1 || (statuses[0] ?? 400) < 400 || text.includes("smuggle"))
      report.wrongs.push(`${name}: ${statuses.join(" ") || "nothing"}${closed ? "" : ", left open"}`);
  }
  return report;
}

interface Trick {
  name: string;
  admin?: boolean;
  request: string;
  allowed: readonly number[];
}

function tricks(): Trick[] {
  const post = (path: string, headers: string, body: string) =>
    `POST ${path} HTTP/1.1\r\n${headers}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
  const get = (path: string, headers = "Host: 127.0.0.1") =>
    `GET ${path} HTTP/1.1\r\n${headers}\r\nAuthorization: Bearer fuzz\r\nConnection: close\r\n\r\n`;
  const operation = '{"tenant":"x","model":"probe","id":"pool-1","operation":"end"}';
  const upgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ostinato.v1";
  const REFUSED = [400, 401, 403, 404, 405, 415, 421];
  const admin = true;
  return [
    {
      name: "admin: a page of a stranger drains",
      admin,
      request: post("/admin/drain", "Host: 127.0.0.1\r\nOrigin: http://evil.example\r\nContent-Type: application/json", "{}"),
      allowed: REFUSED,
    },
    {
      name: "admin: a form drains",
      admin,
      request: post("/admin/drain", "Host: 127.0.0.1\r\nOrigin: null\r\nContent-Type: application/x-www-form-urlencoded", "a=b"),
      allowed: REFUSED,
    },
    {
      name: "admin: a form without an origin",
      admin,
      request: post("/admin/drain", "Host: 127.0.0.1\r\nContent-Type: text/plain", "{}"),
      allowed: REFUSED,
    },
    {
      name: "admin: plain text as a session's end",
      admin,
      request: post("/admin/sessions", "Host: 127.0.0.1\r\nContent-Type: text/plain", operation),
      allowed: REFUSED,
    },
    {
      name: "admin: a page's session's end",
      admin,
      request: post(
        "/admin/sessions",
        "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1:8787\r\nContent-Type: application/json",
        operation,
      ),
      allowed: REFUSED,
    },
    {
      name: "admin: another name for this machine",
      admin,
      request: get("/admin/models", "Host: evil.example"),
      allowed: REFUSED,
    },
    {
      name: "admin: a name that begins as loopback",
      admin,
      request: get("/admin/models", "Host: 127.0.0.1.evil.example"),
      allowed: REFUSED,
    },
    { name: "another name for this machine", request: get("/v1/models", "Host: evil.example"), allowed: REFUSED },
    { name: "a name that begins as loopback", request: get("/v1/models", "Host: localhost.evil.example:8787"), allowed: REFUSED },
    { name: "two hosts", request: get("/v1/models", "Host: 127.0.0.1\r\nHost: evil.example"), allowed: REFUSED },
    { name: "no host", request: get("/v1/models", "X: a"), allowed: REFUSED },
    {
      name: "the socket, from a page of a stranger",
      request: get("/v1/stream", `Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n${upgrade}`),
      allowed: REFUSED,
    },
    {
      name: "the socket, from a page without an origin of its own",
      request: get("/v1/stream", `Host: 127.0.0.1\r\nOrigin: null\r\n${upgrade}`),
      allowed: REFUSED,
    },
    {
      name: "the socket, by another name for this machine",
      request: get("/v1/stream", `Host: evil.example\r\nOrigin: http://evil.example\r\n${upgrade}`),
      allowed: REFUSED,
    },
    {
      name: "steps as a form's plain text",
      request: post(
        "/v1/models/probe/sessions",
        "Host: 127.0.0.1\r\nAuthorization: Bearer fuzz\r\nContent-Type: text/plain",
        "{}",
      ),
      allowed: REFUSED,
    },
    { name: "a path that climbs", request: get("/studio/../../../../etc/passwd"), allowed: REFUSED },
    { name: "a path that climbs, escaped", request: get("/studio/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), allowed: REFUSED },
    { name: "an absolute path", request: get("http://evil.example/v1/models", "Host: evil.example"), allowed: REFUSED },
    {
      name: "an id that climbs to the snapshot of another",
      request: get("/v1/models/probe/sessions/a%2F..%2Fb/snapshot"),
      allowed: [404, 400],
    },
    { name: "an id with a line break", request: get("/v1/models/probe/sessions/a%0d%0aX-Injected:%201"), allowed: [400] },
    { name: "a model with a line break", request: get("/v1/models/probe%0aspool-1/sessions/a"), allowed: [404, 400] },
    {
      name: "a method in a header",
      request: get("/v1/models/probe/sessions/pool-1", "Host: 127.0.0.1\r\nX-HTTP-Method-Override: DELETE"),
      allowed: [200, 404],
    },
  ];
}

export async function tryTricks(ports: { http: number; admin: number }): Promise<TrickReport> {
  const report: TrickReport = { tricks: 0, slowestMs: 0, wrongs: [] };
  for (const { name, admin, request, allowed } of tricks()) {
    const { statuses, text, ms } = await converse(admin ? ports.admin : ports.http, Buffer.from(request, "latin1"), {
      halfClose: false,
    });
    report.tricks++;
    report.slowestMs = Math.max(report.slowestMs, ms);
    if (statuses.length !== 1 || !allowed.includes(statuses[0]) || /\r\nx-injected/i.test(text) || /root:/.test(text))
      report.wrongs.push(`${name}: ${statuses.join(" ") || "nothing"}`);
  }
  return report;
}
