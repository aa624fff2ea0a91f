import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { FAULT, hashOf, ProbeModel } from "../../test/support/probe-model.js";
import type { SessionEvent, StepAnswer } from "../protocol/event.js";
import { createServer, type Server, type ServerOptions } from "./server.js";

/** A busy machine may be slow; a failing law fails all the same. */
const PATIENT = { timeout: 20_000 };
const probe = new ProbeModel();
const models = new Map([["probe", probe]]);
const open: Server[] = [];

async function serve(options: Partial<ServerOptions> = {}): Promise<{ server: Server; url: string }> {
  const server = await createServer({ models, port: 0, logger: false, sentinel: false, ...options });
  open.push(server);
  return { server, url: (await server.listen()).http };
}

afterAll(async () => {
  for (const server of open) await server.close();
});

interface Reply {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared field by field
  body: any;
  headers: Headers;
}

function client(url: string, key: string | undefined = "alice-key") {
  return async (method: string, path: string, body?: unknown): Promise<Reply> => {
    const headers: Record<string, string> = key === "" ? {} : { authorization: `Bearer ${key}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    const payload = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(url + path, { method, headers, body: payload });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: /json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : text,
    };
  };
}

const hashes = (answer: StepAnswer) => answer.predictions.map(hashOf);

/** Reads server-sent events until `stop` says so of one. */
async function events(
  url: string,
  path: string,
  until: (event: SessionEvent) => boolean,
  key = "alice-key",
): Promise<SessionEvent[]> {
  const seen: SessionEvent[] = [];
  const abort = new AbortController();
  const response = await fetch(url + path, { headers: { authorization: `Bearer ${key}` }, signal: abort.signal });
  expect(response.headers.get("content-type")).toMatch(/text\/event-stream/);
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split("\n\n");
    text = blocks.pop() as string;
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data) seen.push(JSON.parse(data));
    }
    if (seen.some(until)) break;
  }
  abort.abort();
  return seen;
}

describe("the session's life over HTTP", () => {
  let call: ReturnType<typeof client>;
  let url: string;
  beforeAll(async () => {
    ({ url } = await serve({ engineName: "probe engine" }));
    call = client(url);
  });

  it("lists its models", async () => {
    const { body } = await call("GET", "/v1/models");
    expect(body.models).toMatchObject([{ name: "probe", task: "forecast", columns: ["value"], engine: "probe engine" }]);
    expect((await call("GET", "/v1/models/probe")).body).toEqual(body.models[0]);
    expect(await call("GET", "/v1/models/nosuch")).toMatchObject({
      status: 404,
      body: { error: { code: "OST_MODEL", applied: "no" } },
    });
  });

  it("opens, steps, resets, snapshots, restores and ends", async () => {
    const created = await call("POST", "/v1/models/probe/sessions", { id: "pump 1/ä" });
    expect(created).toMatchObject({ status: 201, body: { session: "pump 1/ä", model: "probe", steps: 0, seq: 0 } });
    const path = created.headers.get("location") as string;
    const first = await call("POST", `${path}/steps`, { record: { value: 1 } });
    expect(first).toMatchObject({ status: 200, body: { session: "pump 1/ä", seq: 1, steps: 1, applied: 1 } });
    const more = await call("POST", `${path}/steps`, { records: [{ value: 2 }, { value: 3 }] });
    expect([...hashes(first.body), ...hashes(more.body)]).toEqual(probe.alone([1, 2, 3]));
    const snapshot = (await call("GET", `${path}/snapshot`)).body;
    expect(snapshot).toMatchObject({ session: "pump 1/ä", model: "probe", steps: 3 });
    expect((await call("POST", `${path}/reset`)).body).toMatchObject({ steps: 0, seq: 3, resets: 1 });
    expect(hashes((await call("POST", `${path}/steps`, { record: { value: 9 } })).body)).toEqual(probe.alone([9]));
    expect((await call("POST", `${path}/restore`, { snapshot: snapshot.snapshot })).body).toMatchObject({ steps: 3, seq: 4 });
    expect(hashes((await call("POST", `${path}/steps`, { record: { value: 4 } })).body)).toEqual(
      probe.alone([1, 2, 3, 4]).slice(3),
    );
    const facts = (await call("GET", path)).body;
    expect(facts).toMatchObject({
      steps: 4,
      seq: 5,
      resets: 1,
      owner: expect.stringMatching(/^[0-9a-f]{12}$/),
      view: expect.any(Array),
    });
    expect((await call("DELETE", path)).status).toBe(200);
    expect(await call("GET", path)).toMatchObject({ status: 404, body: { error: { code: "OST_SESSION" } } });
    const again = await call("POST", "/v1/models/probe/sessions", { snapshot: snapshot.snapshot });
    expect(again).toMatchObject({ status: 201, body: { steps: 3 } });
    const next = await call("POST", `/v1/models/probe/sessions/${again.body.session}/steps`, { record: { value: 4 } });
    expect(hashes(next.body)).toEqual(probe.alone([1, 2, 3, 4]).slice(3));
  });

  it("keeps the exact bits of every number on the way in and out", async () => {
    await call("POST", "/v1/models/probe/sessions", { id: "bits" });
    const values = [0.1, -0, 5e-324, 1.7976931348623157e308, 2 ** 53 + 2, 1 / 3];
    const text = JSON.stringify({ records: values.map((value) => ({ value })) }).replace('{"value":0}', '{"value":-0}');
    expect(hashes((await call("POST", "/v1/models/probe/sessions/bits/steps", text)).body)).toEqual(probe.alone(values));
  });

  it("takes an id of 256 bytes, each written as %XX in the path", async () => {
    const id = "é".repeat(128);
    await call("POST", "/v1/models/probe/sessions", { id });
    expect((await call("GET", `/v1/models/probe/sessions/${encodeURIComponent(id)}`)).body.session).toBe(id);
  });

  it("a repeated seq is answered from store, a gap is 409", async () => {
    await call("POST", "/v1/models/probe/sessions", { id: "seq" });
    const first = await call("POST", "/v1/models/probe/sessions/seq/steps", { record: { value: 1 }, seq: 1 });
    expect((await call("POST", "/v1/models/probe/sessions/seq/steps", { record: { value: 1 }, seq: 1 })).body).toEqual({
      ...first.body,
      repeated: true,
    });
    expect(await call("POST", "/v1/models/probe/sessions/seq/steps", { record: { value: 1 }, seq: 3 })).toMatchObject({
      status: 409,
      body: { error: { code: "OST_GAP" } },
    });
    expect((await call("GET", "/v1/models/probe/sessions/seq")).body.steps).toBe(1);
  });

  it("refuses a record with its code and 422; a list of which a part was applied is 200 with the error beside it", async () => {
    await call("POST", "/v1/models/probe/sessions", { id: "refuse" });
    const path = "/v1/models/probe/sessions/refuse/steps";
    expect(await call("POST", path, { record: { value: "x" } })).toMatchObject({
      status: 422,
      body: {
        error: { code: "OST_VALUE", applied: "no", message: expect.stringContaining('the field "value" is not a number') },
      },
    });
    const part = await call("POST", path, { records: [{ value: 1 }, { value: null }, { value: 3 }] });
    expect(part).toMatchObject({ status: 200, body: { applied: 1, steps: 1, error: { code: "OST_MISSING", index: 1 } } });
    expect(part.body.error).not.toHaveProperty("applied");
    expect(hashes(part.body)).toEqual(probe.alone([1]));
    expect(hashes((await call("POST", path, { record: { value: 2 } })).body)).toEqual(probe.alone([1, 2]).slice(1));
  });

  it("a fault of the program is 500, tells nothing of itself, and leaves the state", async () => {
    await call("POST", "/v1/models/probe/sessions", { id: "fault" });
    const { status, body } = await call("POST", "/v1/models/probe/sessions/fault/steps", { record: { value: FAULT } });
    expect([status, body.error.code, body.error.applied]).toEqual([500, "OST_INTERNAL", "no"]);
    expect(JSON.stringify(body)).not.toMatch(/secret|TypeError|probe-model/);
    expect(hashes((await call("POST", "/v1/models/probe/sessions/fault/steps", { record: { value: 1 } })).body)).toEqual(
      probe.alone([1]),
    );
  });

  it("logs each fault of the program once, as one line of JSON with its cause, and no refusal", async () => {
    const lines: string[] = [];
    const { url: logging } = await serve({
      logger: pino({ level: "error" }, { write: (line: string) => void lines.push(line) }),
    });
    const ask = client(logging);
    await ask("POST", "/v1/models/probe/sessions", { id: "fault" });
    await ask("POST", "/v1/models/probe/sessions/fault/steps", { record: { value: "x" } });
    expect((await ask("POST", "/v1/models/probe/sessions/fault/steps", { record: { value: FAULT } })).status).toBe(500);
    const partly = await ask("POST", "/v1/models/probe/sessions/fault/steps", { records: [{ value: 1 }, { value: FAULT }] });
    expect(partly).toMatchObject({ status: 200, body: { applied: 1, error: { code: "OST_INTERNAL", index: 1 } } });
    expect(lines.map((line) => JSON.parse(line).err.type)).toEqual(["TypeError", "TypeError"]);
  });

  it("many sessions stepped at once over many connections equal isolated ones, bit for bit", async () => {
    const ids = Array.from({ length: 12 }, (_, i) => `many-${i}`);
    for (const id of ids) await call("POST", "/v1/models/probe/sessions", { id });
    const values = Array.from({ length: 10 }, (_, i) => i * 1.5);
    await Promise.all(
      ids.map(async (id, k) => {
        const seen: [number, number][] = [];
        for (const value of values)
          seen.push(
            ...hashes((await call("POST", `/v1/models/probe/sessions/${id}/steps`, { record: { value: value + k } })).body),
          );
        expect(seen).toEqual(probe.alone(values.map((value) => value + k)));
      }),
    );
  });

  it("steps sent to one session at once are applied one after another, none lost and none twice", async () => {
    await call("POST", "/v1/models/probe/sessions", { id: "storm" });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, value) =>
        call("POST", "/v1/models/probe/sessions/storm/steps", { record: { value } }).then((reply) => ({ value, ...reply.body })),
      ),
    );
    answers.sort((a, b) => a.seq - b.seq);
    expect(answers.map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(answers.flatMap(hashes)).toEqual(probe.alone(answers.map(({ value }) => value)));
  });
});

describe("who may ask", () => {
  it("without a key every path about sessions is 401, before its body is read", async () => {
    const { url } = await serve({ maxBodyBytes: 10 });
    const call = client(url, "");
    for (const [method, path] of [
      ["POST", "/v1/models/probe/sessions"],
      ["POST", "/v1/models/probe/sessions/a/steps"],
      ["GET", "/v1/models/probe/sessions/a"],
      ["POST", "/v1/models/probe/sessions/a/reset"],
      ["DELETE", "/v1/models/probe/sessions/a"],
      ["GET", "/v1/models/probe/sessions/a/snapshot"],
      ["POST", "/v1/models/probe/sessions/a/restore"],
      ["GET", "/v1/models/probe/sessions/a/events"],
    ]) {
      const reply = await call(method, path, method === "POST" ? { record: "x".repeat(100) } : undefined);
      expect([path, reply.status, reply.body.error.code]).toEqual([path, 401, "OST_CREDENTIAL"]);
      expect(reply.headers.get("www-authenticate")).toMatch(/Bearer/);
    }
  });

  it("a foreign session answers byte for byte as an absent one", async () => {
    const { url } = await serve();
    await client(url)("POST", "/v1/models/probe/sessions", { id: "mine" });
    const mallory = client(url, "mallory");
    const { url: empty } = await serve();
    for (const [method, path, body] of [
      ["POST", "/v1/models/probe/sessions/mine/steps", { record: { value: 1 } }],
      ["GET", "/v1/models/probe/sessions/mine", undefined],
      ["POST", "/v1/models/probe/sessions/mine/reset", undefined],
      ["DELETE", "/v1/models/probe/sessions/mine", undefined],
      ["GET", "/v1/models/probe/sessions/mine/snapshot", undefined],
      ["POST", "/v1/models/probe/sessions/mine/restore", { snapshot: "AAAA" }],
      ["GET", "/v1/models/probe/sessions/mine/events", undefined],
    ] as const) {
      const foreign = await mallory(method, path, body);
      const absent = await client(empty, "mallory")(method, path, body);
      expect([foreign.status, foreign.body]).toEqual([404, absent.body]);
    }
    expect((await client(url)("GET", "/v1/models/probe/sessions/mine")).body).toMatchObject({ steps: 0, resets: 0 });
  });

  it("a stranger's snapshot is 409 and opens nothing", async () => {
    const { url, server } = await serve();
    await client(url)("POST", "/v1/models/probe/sessions", { id: "mine" });
    const { snapshot } = (await client(url)("GET", "/v1/models/probe/sessions/mine/snapshot")).body;
    expect(await client(url, "mallory")("POST", "/v1/models/probe/sessions", { snapshot })).toMatchObject({
      status: 409,
      body: { error: { code: "OST_SNAPSHOT" } },
    });
    expect((await server.engine.status()).sessions.total).toBe(1);
  });

  it("a request that names another host is refused, so that no other site's page reaches the server", async () => {
    const { url } = await serve({ allowedHosts: ["proxy.example"] });
    const status = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        http.get(`${url}/livez`, { headers: { host } }, (response) => resolve(response.resume().statusCode)).on("error", reject);
      });
    expect(await status("attacker.example")).toBe(400);
    expect(await status("127.0.0.1.attacker.example:80")).toBe(400);
    for (const host of ["localhost", "127.0.0.1:1", "[::1]:80", "proxy.example"]) expect(await status(host)).toBe(200);
    const upgrade = (host: string) =>
      new Promise<number>((resolve) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}/v1/stream`, "ostinato.v1", {
          headers: { host, authorization: "Bearer alice-key" },
        });
        socket.on("error", () => {});
        socket.on("unexpected-response", (_request, response) => resolve(response.resume().statusCode ?? 0));
        socket.on("open", () => {
          socket.close();
          resolve(101);
        });
      });
    expect(await upgrade("attacker.example")).toBe(400);
    expect(await upgrade("proxy.example")).toBe(101);
  });

  it("listens beyond this machine only when told so", async () => {
    for (const host of ["0.0.0.0", "::", "192.168.0.1", "example.org"]) {
      await expect(createServer({ models, host, logger: false })).rejects.toThrow(/OST_USAGE/);
      await (await createServer({ models, host, logger: false, insecure: true })).close();
    }
  });
});

describe("hostile requests", () => {
  let url: string;
  let call: ReturnType<typeof client>;
  beforeAll(async () => {
    ({ url } = await serve({ maxBodyBytes: 100_000, sessions: { maxRecords: 100 } }));
    call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "target" });
    await call("POST", "/v1/models/probe/sessions/target/steps", { record: { value: 1 } });
    await untouched();
  });

  let before: string | undefined;
  const untouched = async () => {
    const { snapshot } = (await call("GET", "/v1/models/probe/sessions/target/snapshot")).body;
    if (before === undefined) before = snapshot;
    expect(snapshot).toBe(before);
  };

  it.each([
    ["no JSON", "{", 400, "OST_REQUEST"],
    ["nothing", "", 400, "OST_REQUEST"],
    ["an array", "[]", 400, "OST_REQUEST"],
    ["null", "null", 400, "OST_REQUEST"],
    ["NaN, which JSON lacks", '{"record":{"value":NaN}}', 400, "OST_REQUEST"],
    ["a number beyond every double", '{"record":{"value":1e999}}', 422, "OST_RECORD"],
    ["a prototype as key", '{"record":{"__proto__":{"value":1}}}', 400, "OST_REQUEST"],
    ["a prototype by escape", '{"record":{"\\u005f_proto__":{"value":1}}}', 400, "OST_REQUEST"],
    ["a constructor with a prototype", '{"constructor":{"prototype":{"value":1}}}', 400, "OST_REQUEST"],
    ["an inherited name as column", '{"record":{"toString":1}}', 422, "OST_RECORD"],
    ["a misspelt key", '{"record":{"value":1},"sequ":1}', 400, "OST_REQUEST"],
    ["both record and records", '{"record":{"value":1},"records":[]}', 400, "OST_REQUEST"],
    ["neither", "{}", 400, "OST_REQUEST"],
    ["no records", '{"records":[]}', 400, "OST_REQUEST"],
    ["too many records", JSON.stringify({ records: Array(101).fill({ value: 1 }) }), 400, "OST_REQUEST"],
    ["records that are none", '{"records":{"length":1,"0":{"value":1}}}', 400, "OST_REQUEST"],
    ["a nested value", '{"record":{"value":{"value":1}}}', 422, "OST_RECORD"],
    ["a list as value", '{"record":{"value":[1]}}', 422, "OST_RECORD"],
    ["a truth value", '{"record":{"value":true}}', 422, "OST_RECORD"],
    ["deep nesting", `{"record":{"value":${"[".repeat(40_000)}${"]".repeat(40_000)}}}`, 400, "OST_REQUEST"],
    ["a fractional seq", '{"record":{"value":1},"seq":1.5}', 400, "OST_REQUEST"],
    ["a seq as string", '{"record":{"value":1},"seq":"2"}', 400, "OST_REQUEST"],
    ["a seq that does not fit a double", '{"record":{"value":1},"seq":9007199254740993}', 400, "OST_REQUEST"],
    ["a body too large", JSON.stringify({ record: { value: "x".repeat(100_000) } }), 413, "OST_REQUEST"],
  ])("%s is refused and changes nothing", async (_name, body, status, code) => {
    const reply = await call("POST", "/v1/models/probe/sessions/target/steps", body);
    expect([reply.status, reply.body.error.code, reply.body.error.applied]).toEqual([status, code, "no"]);
    await untouched();
  });

  it.each([
    ["a number as id", '{"id":1706549649780891136}', 400],
    ["an unknown key", '{"ttl":1}', 400],
    ["a snapshot that is no base64", '{"snapshot":"***"}', 409],
    ["a snapshot with spaces", '{"snapshot":"AAAA "}', 409],
    ["a snapshot of rubbish", '{"snapshot":"AAAA"}', 409],
    ["a snapshot that is a number", '{"snapshot":1}', 409],
  ])("opening a session with %s is refused", async (_name, body, status) => {
    expect((await call("POST", "/v1/models/probe/sessions", body)).status).toBe(status);
  });

  it("other content types, wrong encodings, bad paths and wrong methods are refused in the same words", async () => {
    const send = (path: string, init: RequestInit) =>
      fetch(url + path, { ...init, headers: { authorization: "Bearer alice-key", ...init.headers } });
    const cases: [string, RequestInit, number][] = [
      [
        "/v1/models/probe/sessions/target/steps",
        { method: "POST", body: '{"record":{"value":1}}', headers: { "content-type": "text/plain" } },
        415,
      ],
      [
        "/v1/models/probe/sessions/target/steps",
        { method: "POST", body: "a=1", headers: { "content-type": "application/x-www-form-urlencoded" } },
        415,
      ],
      [
        "/v1/models/probe/sessions/target/steps",
        { method: "POST", body: new Uint8Array([0x22, 0xff, 0x22]), headers: { "content-type": "application/json" } },
        400,
      ],
      ["/v1/models/probe/sessions/%ff", {}, 400],
      ["/v1/models/probe/sessions/%zz", {}, 400],
      [`/v1/models/probe/sessions/${"a".repeat(1000)}`, {}, 414],
      ["/v1/models/probe/sessions/target/steps", { method: "PUT" }, 405],
      ["/v1/nothing", {}, 404],
      ["/studio/../../package.json", {}, 404],
      ["/studio/%2e%2e%2fpackage.json", {}, 404],
    ];
    for (const [path, init, status] of cases) {
      const response = await send(path, init);
      expect([path, response.status]).toEqual([path, status]);
      expect(((await response.json()) as { error: { code: string; applied: boolean } }).error).toMatchObject({
        code: "OST_REQUEST",
        applied: "no",
      });
    }
    await untouched();
  });

  it("a known path asked by another method is 405 and names the methods it takes", async () => {
    for (const [method, path, allow] of [
      ["PUT", "/v1/models/probe/sessions/target/steps?x=1", "POST"],
      ["POST", "/v1/models/probe/sessions/pump%201", "DELETE, GET"],
      ["DELETE", "/v1/models", "GET"],
      ["POST", "/", "GET"],
    ]) {
      const { status, headers, body } = await call(method, path);
      expect([path, status, headers.get("allow"), body.error.code]).toEqual([path, 405, allow, "OST_REQUEST"]);
    }
    expect((await call("PUT", "/v1/models/probe/sessions/target/steps/more")).status).toBe(404);
    for (const method of ["HEAD", "OPTIONS", "PROPFIND", "PATCH"]) {
      const { status, headers } = await fetch(`${url}/v1/models`, { method });
      expect([method, status, headers.get("allow")]).toEqual([method, 405, "GET"]);
    }
    const bad = await call("GET", "/v1/models/probe/sessions/%zz");
    expect([bad.status, bad.body.error.repair]).toEqual([400, expect.stringMatching(/%XX/)]);
    await untouched();
  });

  it("any JSON as a body gets an answer below 500, and the server lives on", async () => {
    await call("POST", "/v1/models/probe/sessions", { id: "fuzzed" });
    const value = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom<fc.JsonValue>("", null, 0, -1, 1e308));
    const body = fc.oneof(
      value,
      fc.record({ record: value, seq: value }, { requiredKeys: [] }),
      fc.record({ records: fc.array(fc.oneof(value, fc.dictionary(fc.constantFrom("value", "__proto__", "x"), value))) }),
    );
    await fc.assert(
      fc.asyncProperty(
        body,
        fc.constantFrom(
          "/v1/models/probe/sessions/fuzzed/steps",
          "/v1/models/probe/sessions",
          "/v1/models/probe/sessions/fuzzed/restore",
        ),
        async (json, path) => {
          const reply = await call("POST", path, JSON.stringify(json));
          expect(reply.status).toBeLessThan(500);
          if (reply.status >= 400)
            expect(reply.body.error).toMatchObject({ code: expect.stringMatching(/^OST_/), applied: "no" });
        },
      ),
      { numRuns: 200 },
    );
    expect((await call("GET", "/livez")).status).toBe(200);
    await untouched();
  });

  it("bytes that are no HTTP are answered or closed, and the server lives on", async () => {
    const { port } = new URL(url);
    for (const bytes of [
      "\0\0\0\0\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "POST /v1/models/probe/sessions/target/steps HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      `GET /${"a".repeat(20_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      await new Promise<void>((resolve) => {
        const socket = net.connect(Number(port), "127.0.0.1", () => socket.write(bytes));
        socket.on("error", () => {});
        socket.on("data", (data) => expect(data.toString("latin1")).toMatch(/^HTTP\/1\.1 4\d\d/));
        socket.on("close", () => resolve());
        socket.resume();
      });
    }
    expect((await call("GET", "/livez")).status).toBe(200);
  });
});

describe("limits", () => {
  it("a full server answers 503 with Retry-After, and evicts nobody", async () => {
    const { url } = await serve({ sessions: { maxSessions: 1 } });
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "a" });
    const full = await call("POST", "/v1/models/probe/sessions", { id: "b" });
    expect(full).toMatchObject({ status: 503, body: { error: { code: "OST_CAPACITY" } } });
    expect(Number(full.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await call("POST", "/v1/models/probe/sessions", { id: "a" })).toMatchObject({
      status: 409,
      body: { error: { code: "OST_EXISTS" } },
    });
    expect((await call("GET", "/v1/models/probe/sessions/a")).status).toBe(200);
  });

  it("an expired session is 404 that says so, and its owner may open it again", async () => {
    const { url } = await serve({ sessions: { ttlMs: 30 } });
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "a" });
    await new Promise((resolve) => setTimeout(resolve, 60));
    const { status, body } = await call("POST", "/v1/models/probe/sessions/a/steps", { record: { value: 1 } });
    expect([status, body.error.code, body.error.what]).toEqual([404, "OST_SESSION", "the session expired"]);
    expect(await client(url, "mallory")("GET", "/v1/models/probe/sessions/a")).toMatchObject({
      body: { error: { what: "there is no such session" } },
    });
    expect((await call("POST", "/v1/models/probe/sessions", { id: "a" })).status).toBe(201);
  });

  it("a port in use and an address that is not ours are OST_PORT", async () => {
    const { url } = await serve();
    const taken = await createServer({ models, logger: false, port: Number(new URL(url).port) });
    await expect(taken.listen()).rejects.toMatchObject({ code: "OST_PORT", message: expect.stringContaining("in use") });
    const foreign = await createServer({ models, logger: false, host: "192.0.2.1", port: 0, insecure: true });
    await expect(foreign.listen()).rejects.toMatchObject({ code: "OST_PORT" });
    open.push(taken, foreign);
    await expect(createServer({ models, port: 70_000 })).rejects.toThrow(/OST_RANGE/);
  });
});

describe("events", () => {
  it("stream every step with its record, predictions and hidden view, then the end", async () => {
    const { url } = await serve();
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "a" });
    const reading = events(url, "/v1/models/probe/sessions/a/events", ({ kind }) => kind === "ended");
    await expect
      .poll(async () => /ostinato_connections\{protocol="rest"\} 1/.test((await call("GET", "/metrics")).body), PATIENT)
      .toBe(true);
    await call("POST", "/v1/models/probe/sessions/a/steps", { records: [{ value: 1 }, { value: 2 }] });
    await call("POST", "/v1/models/probe/sessions/a/reset");
    await call("DELETE", "/v1/models/probe/sessions/a");
    const seen = await reading;
    expect(seen.map(({ kind }) => kind)).toEqual(["open", "step", "step", "reset", "ended"]);
    const step = seen[2];
    if (step.kind !== "step") throw new Error("not a step");
    expect(step).toMatchObject({
      seq: 2,
      steps: 2,
      record: { value: 2 },
      view: expect.any(Array),
      latencyMs: expect.any(Number),
    });
    expect(hashOf(step.predictions[0])).toEqual(probe.alone([1, 2])[1]);
  });

  it("a reader that does not read is closed, counted, and slows nobody down", async () => {
    const { url } = await serve({ maxReaderBufferBytes: 20_000 });
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "a" });
    const { port } = new URL(url);
    const socket = net.connect(Number(port), "127.0.0.1", () => {
      socket.write(
        "GET /v1/models/probe/sessions/a/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice-key\r\n\r\n",
      );
      socket.pause();
    });
    socket.on("error", () => {});
    await expect
      .poll(async () => /ostinato_connections\{protocol="rest"\} 1/.test((await call("GET", "/metrics")).body), PATIENT)
      .toBe(true);
    const padding = "x".repeat(20_000);
    let closed = false;
    for (let i = 0; i < 600 && !closed; i++) {
      expect(
        (await call("POST", "/v1/models/probe/sessions/a/steps", { records: Array(20).fill({ value: i, padding }) })).status,
      ).toBe(200);
      closed = /ostinato_slow_consumer_total\{protocol="rest"\} 1/.test((await call("GET", "/metrics")).body);
    }
    expect(closed).toBe(true);
    socket.destroy();
  });

  it("readers are bounded in all", async () => {
    const { url } = await serve({ maxEventReaders: 1 });
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "a" });
    const reading = events(url, "/v1/models/probe/sessions/a/events", ({ kind }) => kind === "ended");
    await expect
      .poll(async () => (await call("GET", "/v1/models/probe/sessions/a/events").catch(() => ({ status: 0 }))).status, PATIENT)
      .toBe(503);
    await call("DELETE", "/v1/models/probe/sessions/a");
    await reading;
  });
});

describe("health and metrics", () => {
  it("counts steps by outcome, sessions, lifecycle, resets and refusals, without any id", async () => {
    const { url } = await serve();
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "secret-device-7" });
    await call("POST", "/v1/models/probe/sessions/secret-device-7/steps", { records: [{ value: 1 }, { value: 2 }], seq: 1 });
    await call("POST", "/v1/models/probe/sessions/secret-device-7/steps", { records: [{ value: 1 }, { value: 2 }], seq: 1 });
    await call("POST", "/v1/models/probe/sessions/secret-device-7/steps", { record: { value: "x" } });
    await call("POST", "/v1/models/probe/sessions/secret-device-7/steps", { record: { value: FAULT } });
    await call("POST", "/v1/models/probe/sessions/secret-device-7/reset");
    await call("GET", "/v1/models/probe/sessions/unknown-device");
    const text: string = (await call("GET", "/metrics")).body;
    for (const line of [
      /ostinato_steps_total\{model="probe",.*outcome="applied",.*\} 2/,
      /ostinato_steps_total\{model="probe",.*outcome="repeated".*\} 2/,
      /ostinato_steps_total\{model="probe",.*outcome="refused",code="OST_VALUE".*\} 1/,
      /ostinato_steps_total\{model="probe",.*outcome="refused",code="OST_INTERNAL".*\} 1/,
      /ostinato_step_duration_seconds_count\{model="probe",phase="total",position="1-15"\} 1/,
      /ostinato_state_age_steps_sum\{model="probe"\} 2/,
      /ostinato_sessions\{state="active"\} 1/,
      /ostinato_sessions_created_total\{model="probe"\} 1/,
      /ostinato_state_resets_total\{model="probe",reason="client"\} 1/,
      /ostinato_sequence_length_steps_sum\{model="probe",end_reason="client"\} 2/,
      /ostinato_duplicates_total\{protocol="rest"\} 1/,
      /ostinato_rejected_total\{code="OST_VALUE",reason="invalid",protocol="rest"\} 1/,
      /ostinato_rejected_total\{code="OST_SESSION",reason="invalid",protocol="rest"\} 1/,
      /process_resident_memory_bytes/,
    ]) {
      expect(text).toMatch(line);
    }
    expect(text).not.toMatch(/secret-device|unknown-device|alice/);
  });

  it("two servers in one process count apart", async () => {
    const [a, b] = [await serve(), await serve()];
    await client(a.url)("POST", "/v1/models/probe/sessions", {});
    expect((await client(b.url)("GET", "/metrics")).body).toContain('ostinato_sessions{state="active"} 0');
  });

  it("is ready with a model and not without", async () => {
    const { url } = await serve();
    expect(await client(url)("GET", "/readyz")).toMatchObject({ status: 200, body: { ready: true, reasons: [] } });
    const { url: empty } = await serve({ models: new Map() });
    expect(await client(empty)("GET", "/readyz")).toMatchObject({ status: 503, body: { ready: false } });
    expect(await client(empty)("GET", "/livez")).toMatchObject({ status: 200, body: { alive: true } });
  });
});

describe("closing", () => {
  it("finishes what is in flight, tells the readers of events, and frees the port", async () => {
    const { url, server } = await serve();
    const call = client(url);
    await call("POST", "/v1/models/probe/sessions", { id: "a" });
    const reading = events(url, "/v1/models/probe/sessions/a/events", () => false);
    await expect
      .poll(async () => /ostinato_connections\{protocol="rest"\} 1/.test((await call("GET", "/metrics")).body), PATIENT)
      .toBe(true);
    const start = performance.now();
    await Promise.all([server.close(), server.close()]);
    expect(performance.now() - start).toBeLessThan(3000);
    expect((await reading).map(({ kind }) => kind)).toEqual(["open", "closing"]);
    await expect(call("GET", "/livez")).rejects.toThrow();
    const next = await createServer({ models, logger: false, port: Number(new URL(url).port) });
    open.push(next);
    await next.listen();
  });
});

describe("the page", () => {
  it("is served with a policy that allows no inline script, and says how to build it where it is not built", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-studio-"));
    const { url } = await serve({ studioFolder: folder });
    expect(await client(url, "")("GET", "/")).toMatchObject({ status: 404, body: expect.stringContaining("npm run build") });
    for (const name of ["index.html", "style.css", "live.js"]) writeFileSync(join(folder, name), `content of ${name}`);
    const page = await client(url, "")("GET", "/");
    expect([page.status, page.body]).toEqual([200, "content of index.html"]);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(/default-src 'none'/);
    expect(policy).not.toMatch(/unsafe/);
    for (const [name, type] of [
      ["style.css", /text\/css/],
      ["live.js", /javascript/],
    ] as const) {
      const file = await client(url, "")("GET", `/studio/${name}`);
      expect([file.status, file.body]).toEqual([200, `content of ${name}`]);
      expect(file.headers.get("content-type")).toMatch(type);
    }
    rmSync(folder, { recursive: true });
  });
});
