/** @file The OpenAPI document against what runs: routes in both directions, and real answers, good ones and refusals, against its schemas. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorObject, type ValidateFunction, Ajv2020 as Validator } from "ajv/dist/2020.js";
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ProbeModel } from "../../test/support/probe-model.js";
import { StoreError } from "../protocol/store.js";
import { makeKey } from "./credential-key.js";
import { type OpenApiOperation, openApiDocument } from "./openapi.js";
import { SCOPES, type Scope } from "./principal.js";
import { createServer, type Server, type ServerOptions } from "./server.js";
import { MemoryStore } from "./store-memory.js";

const routes = vi.hoisted(() => [] as { method: string; url: string }[]);
vi.mock("./http.js", async (original) => {
  const http = await original<typeof import("./http.js")>();
  const createHttp: typeof http.createHttp = (options) => {
    const app: FastifyInstance = http.createHttp(options);
    app.addHook("onRoute", ({ method, url }) => {
      for (const one of [method].flat()) routes.push({ method: one, url });
    });
    return app;
  };
  return { ...http, createHttp };
});

const document = openApiDocument({ version: "0.0.0" });
const folder = mkdtempSync(join(tmpdir(), "ostinato-openapi-"));
const keysFile = join(folder, "keys.json");
const keyOf = (() => {
  const entries: unknown[] = [];
  const make = (tenant: string, scopes: readonly Scope[]) => {
    const { text, entry } = makeKey({ tenant, scopes });
    entries.push(entry);
    writeFileSync(keysFile, JSON.stringify(entries));
    return text;
  };
  return { all: make("plant", SCOPES), metrics: make("plant", ["metrics"]), model: make("plant", ["model:admin"]) };
})();

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    path,
    method: method.toUpperCase(),
    operation: operation as OpenApiOperation,
    pattern: new RegExp(`^${path.replace(/[.]/g, "\\.").replace(/\{\w+\}/g, "[^/]+")}$`),
  })),
);
const validator = new Validator({
  strict: false,
  allErrors: true,
  formats: { "date-time": (text: string) => text.endsWith("Z") },
});
validator.addSchema({ $id: "openapi", ...document });
const compiled = new Map<string, ValidateFunction>();
/** `operationId status` of every answer that was checked. */
const exercised = new Set<string>();

function schemaAt(...keys: string[]): ValidateFunction {
  const pointer = keys.map((key) => encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
  const known = compiled.get(pointer) ?? validator.compile({ $ref: `openapi#/${pointer}` });
  compiled.set(pointer, known);
  return known;
}

function expectFits(validate: ValidateFunction, value: unknown, what: string): void {
  const faults = validate(value)
    ? []
    : (validate.errors as ErrorObject[]).map(({ instancePath, message, params }) => ({ instancePath, message, params }));
  expect({ what, faults, value: faults.length > 0 ? value : null }).toEqual({ what, faults: [], value: null });
}

function operationOf(method: string, url: string) {
  const path = url.replace(/[?#].*$/, "");
  const found = operations.filter((one) => one.method === method && one.pattern.test(path));
  // A name in the path is more than a parameter in its place.
  return found.sort((a, b) => a.path.split("{").length - b.path.split("{").length)[0];
}

/** Checks an answer against what the document says of its operation and status. */
function check(method: string, url: string, { status, type, text }: { status: number; type: string; text: string }): unknown {
  const { path, operation } = operationOf(method, url);
  const where = `${method} ${path} ${status}`;
  const at = String(status) in operation.responses ? String(status) : "default";
  const content = operation.responses[at].content ?? {};
  expect(Object.keys(content), where).toContain(type);
  exercised.add(`${operation.operationId} ${at}`);
  const schema = schemaAt("paths", path, method.toLowerCase(), "responses", at, "content", type, "schema");
  if (type === "application/json") {
    expectFits(schema, JSON.parse(text), where);
    return JSON.parse(text);
  }
  if (type === "application/x-ndjson") {
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    for (const line of lines) expectFits(schema, line, where);
    return lines;
  }
  if (type === "text/event-stream") {
    const events = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data));
    for (const event of events) expectFits(schema, event, where);
    return events;
  }
  return text;
}

interface Ask {
  key?: string | null;
  body?: unknown;
  headers?: Record<string, string>;
}

// biome-ignore lint/suspicious/noExplicitAny: answers are checked against their schemas
type Answer = { status: number; body: any; headers: Headers };

function caller(url: string) {
  return async (method: string, path: string, { key = keyOf.all, body, headers = {} }: Ask = {}): Promise<Answer> => {
    const sent: Record<string, string> = { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers };
    if (body !== undefined) sent["content-type"] ??= "application/json";
    const response = await fetch(url + path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const type = (response.headers.get("content-type") ?? "").split(";")[0];
    const text = await response.text();
    // What is granted is what the document says may be asked.
    if (response.ok && typeof body === "object") {
      const { path: template } = operationOf(method, path);
      const asked = schemaAt("paths", template, method.toLowerCase(), "requestBody", "content", "application/json", "schema");
      expectFits(asked, body, `the body of ${method} ${template}`);
    }
    return {
      status: response.status,
      headers: response.headers,
      body: check(method, path, { status: response.status, type, text }),
    };
  };
}

const servers: Server[] = [];

async function serve(options: Partial<ServerOptions> = {}) {
  const models = new Map([["probe", new ProbeModel()]]);
  const shared = { models, port: 0, logger: false as const, sentinel: false as const, auth: { keys: keysFile } };
  const server = await createServer({ ...shared, ...options });
  servers.push(server);
  const { http } = await server.listen();
  return { server, url: http, call: caller(http) };
}

afterAll(async () => {
  for (const server of servers) await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const STEPS = "/v1/models/probe/sessions/s/steps";
const input = (value: number) => ({ inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1], data: [value] }] });
const sequence = (id: string, value = 1, more: object = {}) => ({ ...input(value), parameters: { sequence_id: id, ...more } });

describe("the routes", () => {
  beforeAll(() => serve());

  /** `/v2/*` answers what is at no path, with a refusal. */
  const registered = () =>
    [
      ...new Set(
        routes.filter(({ url }) => !url.includes("*")).map(({ method, url }) => `${method} ${url.replace(/:(\w+)/g, "{$1}")}`),
      ),
    ].sort();

  it("are in the document, every one, and every one of the document is registered", () => {
    expect(registered().length).toBeGreaterThan(30);
    expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(registered());
  });

  it("have names of their own, and the parameters of their paths", () => {
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
    for (const { path, operation } of operations) {
      const said = (operation.parameters ?? []).filter((one) => one["in"] === "path").map((one) => one["name"]);
      expect(said).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
    }
  });

  it("refer to schemas that exist, and every schema is used", () => {
    const named = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect([...new Set(named)].sort()).toEqual(Object.keys(document.components.schemas).sort());
  });

  it("serve the document itself, to anyone", async () => {
    const { call } = await serve();
    expect((await call("GET", "/v1/openapi.json", { key: null })).body).toEqual(
      JSON.parse(JSON.stringify(openApiDocument({ version: undefined }))),
    );
  });
});

describe("answers", () => {
  it("of a session's whole life fit", async () => {
    const { call, url } = await serve();
    await call("GET", "/v1/models");
    await call("GET", "/v1/models/probe");
    await call("POST", "/v1/models/probe/sessions", { body: { id: "s", attributes: { device_class: "pump" }, ttlSeconds: 60 } });
    await call("POST", "/v1/models/probe/sessions", { body: { id: { number: "18446744073709551615" } } });
    await call("POST", "/v1/models/probe/sessions");
    await call("POST", STEPS, { body: { record: { value: 1 }, seq: 1 } });
    await call("POST", STEPS, { body: { record: { value: 1 }, seq: 1 } });
    await call("POST", STEPS, { body: { rows: [[2], [3]] }, headers: { "idempotency-key": '"2"' } });
    const partial = await call("POST", STEPS, { body: { records: [{ value: 4 }, { value: "x" }] } });
    expect(partial.body).toMatchObject({ applied: 1, error: { index: 1 } });
    const lines = '{"value":5}\n{"value":6}\n{"value":"x"}\n';
    const ndjson = await call("POST", `${STEPS}?seq=5`, { body: lines, headers: { "content-type": "application/x-ndjson" } });
    expect(ndjson.body.length).toBeGreaterThan(0);
    const only = await call("POST", STEPS, { body: '{"value":"x"}\n', headers: { "content-type": "application/x-ndjson" } });
    expect(only.body).toMatchObject([{ error: { applied: "no" } }]);
    const base = "/v1/models/probe/sessions/s";
    await call("GET", base);
    await call("GET", `${base}/answers?after=0`);
    const { body } = await call("GET", `${base}/snapshot`);
    await call("POST", `${base}/reset`);
    await call("POST", `${base}/restore`, { body });
    await call("POST", `${base}/hibernate`);
    const page = await call("GET", "/v1/models/probe/sessions?limit=2");
    await call("GET", `/v1/models/probe/sessions?after=${page.body.next}`);
    const reader = fetch(`${url}${base}/events`, { headers: { authorization: `Bearer ${keyOf.all}`, "last-event-id": "1" } });
    const events = await reader;
    await call("POST", STEPS, { body: { record: { value: 7 } } });
    await call("POST", `${base}/reset`, { body: {} });
    await call("DELETE", base);
    const seen = check("GET", `${base}/events`, {
      status: events.status,
      type: (events.headers.get("content-type") as string).split(";")[0],
      text: await events.text(),
    }) as { kind: string }[];
    expect(seen.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["open", "step", "reset", "ended"]));
    expect((await call("GET", "/v1/models/probe/sessions/18446744073709551615?idType=uint64")).status).toBe(200);
  });

  it("of the Open Inference Protocol fit", async () => {
    const { call } = await serve();
    for (const path of ["/v2", "/v2/health/live", "/v2/health/ready"]) await call("GET", path, { key: null });
    await call("POST", "/v2/repository/index");
    const { version } = (await call("GET", "/v1/models/probe")).body;
    for (const base of ["/v2/models/probe", `/v2/models/probe/versions/${version}`]) {
      for (const path of ["", "/config", "/stats", "/ready"]) await call("GET", base + path);
      await call("POST", `${base}/infer`, { body: input(1) });
      const start = sequence("q", 1, { sequence_start: true, ostinato_seq: 1 });
      await call("POST", `${base}/infer`, { body: start });
      await call("POST", `${base}/infer`, {
        body: { ...sequence("q", 2, { sequence_end: true, binary_data_output: true }), id: "r" },
      });
    }
    expect((await call("GET", "/v2/models/nosuch/ready")).status).toBe(404);
  });

  it("of health, metrics and the page fit", async () => {
    const { call } = await serve();
    for (const path of ["/livez", "/readyz", "/startupz", "/", "/studio/style.css", "/studio/live.js"])
      await call("GET", path, { key: null });
    await call("GET", "/metrics");
    expect((await call("GET", "/metrics", { key: null })).status).toBe(401);
    expect((await call("GET", "/metrics", { key: keyOf.model })).status).toBe(403);
    const empty = await serve({ models: new Map() });
    expect((await empty.call("GET", "/readyz", { key: null })).body.reasons).toEqual(["no model"]);
    await empty.call("GET", "/v2/health/ready", { key: null });
  });
});

/** Every operation on sessions, with a request that is granted. */
const MAIN = [
  { id: "createSession", method: "POST", path: "/v1/models/M/sessions" },
  { id: "listSessions", method: "GET", path: "/v1/models/M/sessions" },
  { id: "getSession", method: "GET", path: "/v1/models/M/sessions/S" },
  { id: "endSession", method: "DELETE", path: "/v1/models/M/sessions/S" },
  { id: "step", method: "POST", path: "/v1/models/M/sessions/S/steps", body: { record: { value: 1 } } },
  { id: "resetSession", method: "POST", path: "/v1/models/M/sessions/S/reset", body: {} },
  { id: "hibernateSession", method: "POST", path: "/v1/models/M/sessions/S/hibernate" },
  { id: "getSnapshot", method: "GET", path: "/v1/models/M/sessions/S/snapshot" },
  { id: "restoreSession", method: "POST", path: "/v1/models/M/sessions/S/restore" },
  { id: "listAnswers", method: "GET", path: "/v1/models/M/sessions/S/answers" },
  { id: "readEvents", method: "GET", path: "/v1/models/M/sessions/S/events" },
  { id: "oipInfer", method: "POST", path: "/v2/models/M/infer" },
] as const;

describe("refusals", () => {
  const at = (path: string, { model = "probe", session = "s" } = {}) =>
    path.replace("/M", `/${model}`).replace("/S", `/${session}`);
  const documented = (id: string) =>
    Object.keys(operations.find(({ operation }) => operation.operationId === id)?.operation.responses ?? {});
  const asks = (id: string, status: number) => documented(id).includes(String(status));
  let snapshot: string;
  /** The body of a request for a session. */
  const bodyOf = (id: string, session: string) => {
    if (id === "createSession") return { id: session };
    if (id === "restoreSession") return { snapshot };
    if (id === "oipInfer") return sequence(session);
    return (MAIN.find((one) => one.id === id) as { body?: object }).body;
  };

  async function prepared(options: Partial<ServerOptions> = {}) {
    const served = await serve(options);
    await served.call("POST", "/v1/models/probe/sessions", { body: { id: "s" } });
    await served.call("POST", STEPS, { body: { record: { value: 1 }, seq: 1 } });
    snapshot = (await served.call("GET", "/v1/models/probe/sessions/s/snapshot")).body.snapshot;
    return served;
  }

  it("for credentials, scopes, names and malformed requests fit", async () => {
    const { call } = await prepared();
    for (const { id, method, path } of MAIN) {
      const body = bodyOf(id, "s");
      expect(await call(method, at(path), { key: null, body }), id).toMatchObject({ status: 401 });
      expect(await call(method, at(path), { key: keyOf.metrics, body }), id).toMatchObject({ status: 403 });
      expect(await call(method, at(path, { model: "nosuch" }), { body }), id).toMatchObject({ status: 404 });
      if (path.includes("/S"))
        expect(await call(method, `${at(path)}?idType=uint64`, { body }), id).toMatchObject({ status: 400 });
      if (path.includes("/S"))
        expect(await call(method, at(path, { session: "nosuch" }), { body }), id).toMatchObject({ status: 404 });
    }
    expect(await call("GET", "/v1/models/probe/sessions?limit=0")).toMatchObject({ status: 400 });
    expect(await call("POST", "/v1/models/probe/sessions", { body: { nosuch: 1 } })).toMatchObject({ status: 400 });
    expect(await call("POST", "/v2/models/probe/infer", { body: {} })).toMatchObject({ status: 400 });
    expect(await call("GET", "/v1/models", { key: null })).toMatchObject({ status: 401 });
    expect(await call("GET", "/v1/models/probe", { key: null })).toMatchObject({ status: 401 });
    expect(await call("GET", "/v1/models/nosuch")).toMatchObject({ status: 404 });
    const large = await call("POST", STEPS, { body: `{"record":{"value":1},"end":${" ".repeat(9 << 20)}false}` });
    expect(large.status).toBe(413);
    expect(await call("POST", STEPS, { body: "x", headers: { "content-type": "text/csv" } })).toMatchObject({ status: 415 });
  });

  it("for sessions that are not as the request takes them to be fit", async () => {
    const { call } = await prepared();
    expect(await call("POST", "/v1/models/probe/sessions", { body: { id: "s" } })).toMatchObject({ status: 409 });
    expect(await call("POST", STEPS, { body: { record: { value: 1 }, incarnation: 99 } })).toMatchObject({ status: 409 });
    expect(await call("POST", STEPS, { body: { record: { value: 1 }, seq: 9 } })).toMatchObject({
      status: 409,
      body: { error: { code: "OST_GAP", applied: "no", expectedSeq: 2 } },
    });
    expect(await call("POST", STEPS, { body: { record: { value: "x" } } })).toMatchObject({ status: 422 });
    expect(await call("POST", STEPS, { body: { record: { value: 2 }, seq: 1 } })).toMatchObject({
      body: { error: { code: "OST_CONFLICT" } },
    });
    const base = "/v1/models/probe/sessions/s";
    expect(await call("POST", `${base}/reset`, { body: { incarnation: 99 } })).toMatchObject({ status: 409 });
    expect(await call("DELETE", `${base}?incarnation=99`)).toMatchObject({ status: 409 });
    expect(await call("POST", `${base}/restore`, { body: { snapshot: "AAAA" } })).toMatchObject({ status: 409 });
    const infer = (body: object) => call("POST", "/v2/models/probe/infer", { body });
    expect(await infer(sequence("s", 1, { incarnation: 99 }))).toMatchObject({ status: 409 });
    expect(await infer(sequence("s", 2, { ostinato_seq: 1 }))).toMatchObject({ status: 422 });
    expect(await infer(sequence("s", 2, { ostinato_seq: 9 }))).toMatchObject({ body: { code: "OST_GAP", expected_seq: 2 } });
  });

  it("for limits, and for a server that is full, fit", async () => {
    // Open, so that both servers take the same snapshot.
    const open = { auth: {}, models: new Map([["probe", new ProbeModel()]]) };
    await prepared(open);
    const limited = await serve({ ...open, scheduler: { maxTenantBytes: 1 } });
    const full = await serve({ ...open, scheduler: { maxBytes: 1 } });
    for (const { id, method, path } of MAIN) {
      for (const [status, { call }] of [[429, limited] as const, [503, full] as const]) {
        if (!asks(id, status)) continue;
        const answer = await call(method, at(path), { body: bodyOf(id, "s") });
        expect(answer, id).toMatchObject({ status });
        expect(answer.headers.get("retry-after")).toMatch(/^\d+$/);
      }
    }
    const slow = await serve({ limits: { all: { createsPerSecond: 0.001, stepsPerSecond: 0.001 } } });
    await slow.call("POST", "/v1/models/probe/sessions", { body: { id: "s" } });
    expect(await slow.call("POST", "/v1/models/probe/sessions", { body: { id: "t" } })).toMatchObject({ status: 429 });
  });

  it("for a server that is late fit", async () => {
    const { call } = await prepared({ sessions: { deadlineMs: 1500 }, scheduler: { depth: 1 } });
    const { commit } = MemoryStore.prototype;
    let go = () => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    const reached = vi.fn();
    MemoryStore.prototype.commit = async function (writes) {
      reached();
      await held;
      return commit.call(this, writes);
    };
    try {
      const begun = call("POST", "/v1/models/probe/sessions", { body: { id: "held" } });
      await vi.waitFor(() => expect(reached).toHaveBeenCalled());
      await Promise.all(
        MAIN.filter(({ id }) => asks(id, 504)).map(async ({ id, method, path }) =>
          expect(await call(method, at(path), { body: bodyOf(id, "s") }), id).toMatchObject({ status: 504 }),
        ),
      );
      go();
      expect((await begun).status).toBe(201);
    } finally {
      MemoryStore.prototype.commit = commit;
    }
  });

  it("for a server without a store fit", async () => {
    const { call } = await prepared();
    const { commit, load, scan } = MemoryStore.prototype;
    const broken = () => Promise.reject(new StoreError("no", { what: "the disk is gone" }));
    for (const { id, method, path } of MAIN) {
      await call("POST", "/v1/models/probe/sessions/s/hibernate");
      Object.assign(MemoryStore.prototype, { commit: broken, load: broken, scan: broken });
      try {
        const answer = await call(method, at(path), { body: bodyOf(id, "s") });
        expect(answer, id).toMatchObject({ status: 507 });
      } finally {
        Object.assign(MemoryStore.prototype, { commit, load, scan });
      }
    }
    const unsure = () => Promise.reject(new StoreError("unknown", { what: "the disk would not say" }));
    Object.assign(MemoryStore.prototype, { commit: unsure });
    try {
      const answer = await call("POST", "/v1/models/probe/sessions", { body: { id: "unsure" } });
      expect(answer).toMatchObject({ status: 507, body: { error: { applied: "unknown" } } });
    } finally {
      Object.assign(MemoryStore.prototype, { commit });
    }
  });
});

describe("the document", () => {
  it("has each status of the main operations exercised", () => {
    const missing = operations
      .filter(({ operation: { operationId } }) => MAIN.some(({ id }) => id === operationId))
      .flatMap(({ operation: { operationId, responses } }) => Object.keys(responses).map((status) => `${operationId} ${status}`))
      .filter((one) => !one.endsWith(" default") && !exercised.has(one));
    expect(missing).toEqual([]);
  });
});
