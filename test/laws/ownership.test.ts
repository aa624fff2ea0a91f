/**
 * @file The ownership matrix: every operation of every protocol, with every wrong credential, is denied and changes nothing; and a session of
 * another tenant answers as one that is not there.
 *
 * OWASP API Security Top 10 (2023): API1 broken object level authorization, API2 broken authentication, API5 broken function level authorization.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, credentials as channel, Metadata, makeGenericClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { ProbeModel } from "../../src/model/index.js";
import { httpStatus } from "../../src/protocol/codes.js";
import { FRAME, FrameReader, FrameWriter, SUBPROTOCOL } from "../../src/protocol/frames.js";
import type { CredentialFault } from "../../src/serve/credential.js";
import { INFERENCE } from "../../src/serve/oip-message.js";
import { decodeMessage, encodeMessage, type Message } from "../../src/serve/oip-protobuf.js";
import type { Scope } from "../../src/serve/principal.js";
import { createServer, type Server } from "../../src/serve/server.js";
import { type Credential, type Credentials, makeCredentials } from "../support/credentials.js";

const MODEL = "probe";
/** As long as each other, so that answers differ in nothing else. */
const VICTIM = "session-of-victim";
const ABSENT = "session-of-nobody";

interface Answer {
  /** As in HTTP, whatever the protocol. */
  status: number;
  text: string;
}

interface Operation {
  name: string;
  /** What a credential needs for it; null: any known credential will do. */
  scope: Scope | null;
  /** What it answers where the session is not there; null: it needs none, or makes one. */
  absent: number | null;
  /** Method and path, over HTTP. */
  route?: string;
  send(credential: Credential, id: string): Promise<Answer>;
}

let credentials: Credentials;
let server: Server;
let folder: string;
let base = "";
let grpcAddress = "";
let grpc: Client;
const faults: CredentialFault[] = [];
/** A snapshot of a session of the tenant that the credential belongs to, so that nothing but the session is wrong. */
const snapshots = new Map<string, string>();

beforeAll(async () => {
  credentials = await makeCredentials();
  folder = mkdtempSync(join(tmpdir(), "ostinato-ownership-"));
  server = await createServer({
    models: new Map([[MODEL, new ProbeModel()]]),
    data: folder,
    durability: "process",
    port: 0,
    grpcPort: 0,
    auth: credentials.config,
    sentinel: false,
    logger: false,
    observer: { authFailure: (fault) => faults.push(fault) },
  });
  const urls = await server.listen();
  base = urls.http;
  grpcAddress = urls.grpc as string;
  grpc = new (makeGenericClientConstructor({}, "none"))(grpcAddress, channel.createInsecure());
  for (const credential of [credentials.key, ...credentials.foreign]) {
    const id = credential === credentials.key ? VICTIM : "own";
    await expect(create.send(credential, id)).resolves.toMatchObject({
      status: credential === credentials.foreign[1] ? 409 : 201,
    });
    await expect(stepJson.send(credential, id)).resolves.toMatchObject({ status: 200 });
    const { text } = await takeSnapshot.send(credential, id);
    snapshots.set(credential.name, JSON.parse(text).snapshot);
  }
}, 60_000);
afterAll(async () => {
  grpc?.close();
  await server?.close();
  credentials?.remove();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

// Over HTTP.

async function http(
  method: string,
  path: string,
  { authorization }: Credential,
  body?: unknown,
  type = "application/json",
): Promise<Answer> {
  const response = await fetch(base + path, {
    method,
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(body === undefined ? {} : { "content-type": type }),
    },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  });
  // A stream of events has no end: its status says enough.
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
    await response.body?.cancel();
    return { status: response.status, text: "" };
  }
  const text = await response.text();
  // Lines are answered before it is known what becomes of them: the refusal is a line.
  const refusal = response.headers.get("content-type")?.startsWith("application/x-ndjson")
    ? JSON.parse(text.split("\n")[0]).error
    : null;
  return { status: refusal ? httpStatus(refusal.code) : response.status, text };
}

type Path = (id: string) => string;
const models: Path = () => `/v1/models/${MODEL}`;
const at =
  (rest = ""): Path =>
  (id) =>
    `/v1/models/${MODEL}/sessions/${id}${rest}`;
const rest = (
  method: string,
  path: Path,
  scope: Scope | null,
  more: { absent?: number | null; body?: (id: string, by: Credential) => unknown; type?: string } = {},
): Operation => ({
  name: `REST ${method} ${path("{session}")}${more.type ? ` ${more.type}` : ""}`,
  scope,
  route: `${method} ${path("{session}").replace(/\?.*/, "")}`,
  absent: more.absent === undefined ? 404 : more.absent,
  send: (by, id) => http(method, path(id), by, more.body?.(id, by), more.type),
});

const create = rest("POST", () => `${models("")}/sessions`, "step", { absent: null, body: (id) => ({ id }) });
const stepJson = rest("POST", at("/steps"), "step", { body: () => ({ record: { value: 1 } }) });
const takeSnapshot = rest("GET", at("/snapshot"), "state:read");

const REST: Operation[] = [
  rest("GET", () => "/v1/models", null, { absent: null }),
  rest("GET", models, null, { absent: null }),
  rest("GET", () => `${models("")}/sessions?limit=10`, "session:admin", { absent: null }),
  create,
  stepJson,
  {
    ...rest("POST", at("/steps"), "step", { body: () => ({ records: [{ value: 1 }], seq: 2, end: true }) }),
    name: "REST steps that end",
  },
  rest("POST", at("/steps"), "step", { body: () => '{"value":1}\n{"value":2}\n', type: "application/x-ndjson" }),
  rest("GET", at(), "step"),
  rest("POST", at("/reset"), "step", { body: () => ({}) }),
  rest("POST", at("/hibernate"), "session:admin", { body: () => ({}) }),
  takeSnapshot,
  rest("POST", at("/restore"), "state:write", {
    body: (_id, by) => ({ snapshot: snapshots.get(by.name) ?? snapshots.get(credentials.key.name) }),
  }),
  rest("GET", at("/answers?after=0"), "step"),
  rest("GET", at("/events"), "step"),
  rest("DELETE", at(), "step"),
];

const infer = (more: object = {}) => ({
  inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1], data: [1] }],
  ...more,
});
const OIP_HTTP: Operation[] = [
  { ...rest("POST", () => "/v2/repository/index", null, { absent: null, body: () => ({}) }) },
  rest("GET", () => `/v2/models/${MODEL}`, null, { absent: null }),
  rest("GET", () => `/v2/models/${MODEL}/ready`, null, { absent: null }),
  rest("GET", () => `/v2/models/${MODEL}/config`, null, { absent: null }),
  rest("GET", () => `/v2/models/${MODEL}/stats`, null, { absent: null }),
  { ...rest("POST", () => `/v2/models/${MODEL}/infer`, "step", { absent: null, body: () => infer() }), name: "OIP infer alone" },
  {
    ...rest("POST", () => `/v2/models/${MODEL}/infer`, "step", {
      absent: 400,
      body: (id) => infer({ parameters: { sequence_id: id } }),
    }),
    name: "OIP infer of a sequence",
  },
  {
    ...rest("POST", () => `/v2/models/${MODEL}/infer`, "step", {
      absent: 400,
      body: (id) => infer({ parameters: { sequence_id: id, sequence_end: true } }),
    }),
    name: "OIP infer that ends a sequence",
  },
];

// Over gRPC.

/** HTTP status of a status of gRPC. */
const OF_GRPC: Record<number, number> = { 0: 200, 3: 400, 5: 404, 7: 403, 9: 400, 16: 401 };

function metadataOf({ authorization }: Credential): Metadata {
  const metadata = new Metadata();
  if (authorization !== undefined) metadata.set("authorization", authorization);
  return metadata;
}

const answerOf = (error: ServiceError | null): Answer => ({
  status: error === null ? 200 : (OF_GRPC[error.code] ?? 500),
  text: error?.details ?? "",
});

function unary(method: string, message: (id: string) => Message, scope: Scope | null, absent: number | null): Operation {
  const found = INFERENCE.services[0].methods.find(({ name }) => name === method);
  if (!found) throw new Error(`no method ${method}`);
  return {
    name: `gRPC ${method}`,
    scope,
    absent,
    send: (by, id) =>
      new Promise((resolve) => {
        const path = `/${INFERENCE.services[0].name}/${method}`;
        const bytes = Buffer.from(encodeMessage(found.input, message(id)));
        const same = (value: Buffer) => value;
        grpc.makeUnaryRequest(path, same, same, bytes, metadataOf(by), (error) => resolve(answerOf(error)));
      }),
  };
}

function inferMessage(id: string | null): Message {
  const value = Buffer.alloc(4);
  value.writeFloatLE(1);
  return {
    model_name: MODEL,
    parameters: id === null ? {} : { sequence_id: { string_param: id } },
    inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1] }],
    raw_input_contents: [value],
  };
}

const inferStream: Operation = {
  name: "gRPC ModelStreamInfer",
  scope: "step",
  absent: 400,
  send: (by, id) =>
    new Promise((resolve) => {
      const [{ name, methods }] = INFERENCE.services;
      const method = methods.find((one) => one.name === "ModelStreamInfer");
      if (!method) throw new Error("no method ModelStreamInfer");
      const same = (value: Buffer) => value;
      const call = grpc.makeBidiStreamRequest(`/${name}/ModelStreamInfer`, same, same, metadataOf(by));
      call.on("data", (bytes: Buffer) => {
        const { error_message: text = "" } = decodeMessage(method.output, bytes);
        call.end();
        const code = /OST_[A-Z_]+/.exec(String(text))?.[0];
        resolve({ status: text === "" ? 200 : code === undefined ? 400 : httpStatus(code as "OST_SCOPE"), text: String(text) });
      });
      call.on("error", (error: ServiceError) => resolve(answerOf(error)));
      call.write(Buffer.from(encodeMessage(method.input, inferMessage(id))));
    }),
};

const GRPC: Operation[] = [
  unary("ModelReady", () => ({ name: MODEL }), null, null),
  unary("ModelMetadata", () => ({ name: MODEL }), null, null),
  unary("ModelConfig", () => ({ name: MODEL }), null, null),
  unary("ModelStatistics", () => ({ name: MODEL }), null, null),
  unary("RepositoryIndex", () => ({}), null, null),
  { ...unary("ModelInfer", () => inferMessage(null), "step", null), name: "gRPC ModelInfer alone" },
  { ...unary("ModelInfer", (id) => inferMessage(id), "step", 400), name: "gRPC ModelInfer of a sequence" },
  inferStream,
];

// Over the WebSocket.

type Frames = (writer: FrameWriter, id: string) => void;

/** Sends frames, and `whenOpen` more once the session is open; takes the first refusal, or the answer to the request {@link LAST}. */
function webSocket(
  name: string,
  frames: Frames,
  {
    absent = 404,
    offer,
    whenOpen,
  }: { absent?: number | null; offer?: (by: Credential) => string[]; whenOpen?: (writer: FrameWriter) => void } = {},
): Operation {
  const send = ({ name: by, authorization }: Credential, id: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = offer === undefined && authorization !== undefined ? { authorization } : {};
      const protocols = offer?.({ name: by, authorization }) ?? [SUBPROTOCOL];
      const socket = new WebSocket(`${base.replace(/^http/, "ws")}/v1/stream`, protocols, { headers });
      socket.binaryType = "nodebuffer";
      const done = (answer: Answer) => {
        socket.terminate();
        resolve(answer);
      };
      const write = (gather: (writer: FrameWriter) => void) => {
        const writer = new FrameWriter();
        gather(writer);
        socket.send(writer.take());
      };
      socket.on("unexpected-response", (_request, response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => done({ status: response.statusCode ?? 0, text }));
      });
      socket.on("open", () => write((writer) => frames(writer, id)));
      socket.on("message", (data: Buffer) => {
        const reader = new FrameReader();
        reader.begin(data);
        while (reader.next()) {
          if (reader.type === FRAME.ERR) {
            const { error } = reader.json() as { error: { code: "OST_SCOPE" } };
            done({ status: httpStatus(error.code), text: JSON.stringify(error) });
          } else if (reader.request === LAST) done({ status: 200, text: "" });
          else if (reader.type === FRAME.OPENED && whenOpen) write(whenOpen);
        }
      });
      socket.on("error", reject);
    });
  return { name: `WebSocket ${name}`, scope: "step", absent, send };
}

/** Number of the request whose answer counts. */
const LAST = 7;
const open = (writer: FrameWriter, id: string, { mode = "attach", request = 1, news = false } = {}) =>
  writer.json(FRAME.OPEN, { stream: 1, request, incarnation: 0, seq: 0 }, { model: MODEL, id, mode, news });
const frame = (request = LAST) => ({ stream: 1, request, incarnation: 0, seq: 0 });
/** A browser's credential: an entry of the subprotocols. */
const asSubprotocol = ({ authorization }: Credential) => [
  SUBPROTOCOL,
  ...(authorization?.startsWith("Bearer ") && authorization.length > 7
    ? [`ostinato.v1.bearer.${Buffer.from(authorization.slice(7)).toString("base64url")}`]
    : []),
];

const WEBSOCKET: Operation[] = [
  webSocket("OPEN attach", (writer, id) => open(writer, id, { request: LAST })),
  webSocket("OPEN attach, with news", (writer, id) => open(writer, id, { request: LAST, news: true })),
  webSocket("OPEN attach, credential as a subprotocol", (writer, id) => open(writer, id, { request: LAST }), {
    offer: asSubprotocol,
  }),
  webSocket("OPEN create", (writer, id) => open(writer, id, { request: LAST, mode: "create" }), { absent: null }),
  webSocket("RESUME", (writer, id) => writer.json(FRAME.RESUME, frame(), { model: MODEL, id, mode: "attach" })),
  webSocket("STEP", (writer, id) => {
    open(writer, id);
    writer.rows(frame(), [1], { columns: 1, timed: false, count: 1 });
  }),
  webSocket("RESET", open, { whenOpen: (writer) => writer.empty(FRAME.RESET, frame()) }),
  webSocket("END", open, { whenOpen: (writer) => writer.empty(FRAME.END, frame()) }),
];
const OPERATIONS = [...REST, ...OIP_HTTP, ...GRPC, ...WEBSOCKET];
const METRICS = rest("GET", () => "/metrics", "metrics", { absent: null });

/** What nobody but the victim may change. */
async function victimState(): Promise<unknown> {
  const { status, text } = await http("GET", at()(VICTIM), credentials.key);
  expect(status).toBe(200);
  const { ageSeconds, stateAgeSeconds, idleSeconds, ...facts } = JSON.parse(text);
  return facts;
}

describe("every operation", () => {
  it("is in the table: every route of REST and of the inference protocol, every method of gRPC, every frame that names a session", () => {
    expect(new Set(OPERATIONS.map(({ name }) => name)).size).toBe(OPERATIONS.length);
    const source = (file: string) => readFileSync(join(import.meta.dirname, "../../src/serve", file), "utf8");
    const route = /\b(?:app|guarded)\.(get|post|put|delete)(?:<[^(]*>)?\(\s*(?:["`]([^"`]+)["`]|(base)),/g;
    const routes = (file: string) =>
      [...source(file).matchAll(route)].map(([, method, path, base]) =>
        `${method.toUpperCase()} ${base ?? path}`
          .replace(/\$\{base\}|\bbase$/, "/v2/models/:model")
          .replace(":model", MODEL)
          .replace(":session", "{session}"),
      );
    const rows = new Set(OPERATIONS.map(({ route = "" }) => route));
    expect(routes("rest.ts").length).toBeGreaterThan(12);
    expect(routes("rest.ts").filter((one) => !rows.has(one))).toEqual([]);
    const openToAll = ["GET /v2/health/live", "GET /v2/health/ready", "GET /v2"];
    expect(routes("oip-http.ts").filter((one) => !rows.has(one))).toEqual(openToAll);
    const unguarded = ["ServerLive", "ServerReady", "ServerMetadata"];
    const methods = INFERENCE.services[0].methods.map(({ name }) => name);
    const called = GRPC.map(({ name }) => name.split(" ")[1]);
    expect(methods.filter((name) => !called.includes(name)).sort()).toEqual(unguarded.sort());
    const asked = ["OPEN", "RESUME", "STEP", "RESET", "END"];
    expect(asked.filter((name) => !WEBSOCKET.some((one) => one.name.startsWith(`WebSocket ${name}`)))).toEqual([]);
  });

  it("of the operator is not on the port of the callers", async () => {
    const paths = ["models", "status", "drain", "sessions", "versions/x"];
    for (const path of paths)
      for (const method of ["GET", "POST", "PUT", "DELETE"])
        expect((await http(method, `/admin/${path}`, credentials.key)).status, `${method} ${path}`).toBe(404);
  });

  it("is refused with every credential that is none", async () => {
    const before = await victimState();
    const came: string[] = [];
    let asked = 0;
    for (const { name, send } of [...OPERATIONS, METRICS]) {
      const answers = await Promise.all(credentials.wrong.map((wrong) => send(wrong, VICTIM)));
      answers.forEach(({ status }, i) => {
        asked++;
        if (status !== 401) came.push(`${name} with ${credentials.wrong[i].name}: ${status}`);
      });
    }
    expect(came).toEqual([]);
    expect(asked).toBeGreaterThan(1000);
    expect(faults.length).toBeGreaterThanOrEqual(asked);
    expect(await victimState()).toEqual(before);
  }, 120_000);

  it("tells nothing of a wrong credential but that it is not accepted", async () => {
    // What is no bearer text at all never reaches some protocols, and is answered as nothing.
    const bearers = credentials.wrong.filter(({ authorization = "" }) => /^Bearer \S+$/.test(authorization));
    expect(bearers.length).toBeGreaterThan(25);
    for (const { name, send } of OPERATIONS) {
      const answers = await Promise.all(bearers.map(async (wrong) => [wrong.name, (await send(wrong, VICTIM)).text]));
      const [[, first]] = answers;
      expect(
        answers.filter(([, text]) => text !== first),
        name,
      ).toEqual([]);
    }
  }, 120_000);

  it("needs its scope, and no other scope stands in for it", async () => {
    const before = await victimState();
    const scoped = [...OPERATIONS, METRICS].filter(({ scope }) => scope !== null);
    const lacking = new Map<Scope, readonly Credential[]>();
    for (const { scope } of scoped)
      if (!lacking.has(scope as Scope)) lacking.set(scope as Scope, await credentials.without(scope as Scope));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const came: string[] = [];
    for (const { name, scope, send } of scoped)
      for (const credential of lacking.get(scope as Scope) as readonly Credential[]) {
        const { status } = await send(credential, VICTIM);
        if (status !== 403) came.push(`${name} with ${credential.name}: ${status}`);
      }
    expect(came).toEqual([]);
    expect(await victimState()).toEqual(before);
  }, 120_000);
});

describe("a session of another tenant", () => {
  /** With what differs from one request to the next left out: the id, and the time it took. */
  const neutral = ({ status, text }: Answer) => ({ status, text: text.replaceAll(VICTIM, "{id}").replaceAll(ABSENT, "{id}") });

  it("answers to every operation as one that is not there", async () => {
    const before = await victimState();
    const told: string[] = [];
    for (const { name, absent, send } of OPERATIONS.filter((one) => one.absent !== null)) {
      for (const foreign of credentials.foreign) {
        const [theirs, none] = [neutral(await send(foreign, VICTIM)), neutral(await send(foreign, ABSENT))];
        if (theirs.status !== absent || JSON.stringify(theirs) !== JSON.stringify(none))
          told.push(`${name} with ${foreign.name}: ${JSON.stringify(theirs)} and ${JSON.stringify(none)}, wanted ${absent}`);
      }
    }
    expect(told).toEqual([]);
    expect(await victimState()).toEqual(before);
  }, 120_000);

  it("is in no list, and its name can be taken in a tenant of one's own without touching it", async () => {
    const [foreign] = credentials.foreign;
    const before = await victimState();
    const listed = await http("GET", `${models("")}/sessions`, foreign);
    expect(listed.status).toBe(200);
    expect(listed.text).not.toContain(VICTIM);
    expect(await create.send(foreign, VICTIM)).toMatchObject({ status: 201 });
    expect(await stepJson.send(foreign, VICTIM)).toMatchObject({ status: 200 });
    expect(await victimState()).toEqual(before);
    expect(await http("DELETE", at()(VICTIM), foreign)).toMatchObject({ status: 200 });
    expect(await victimState()).toEqual(before);
  });

  it("leaves in a snapshot that opens for its own tenant only", async () => {
    const [foreign] = credentials.foreign;
    const theirs = snapshots.get(credentials.key.name);
    const restored = await http("POST", at("/restore")("own"), foreign, { snapshot: theirs });
    expect(restored.status).toBe(409);
    expect(restored.text).toContain("OST_SNAPSHOT");
    expect(await http("POST", `${models("")}/sessions`, foreign, { id: "thief", snapshot: theirs })).toMatchObject({
      status: 409,
    });
    expect(await http("GET", at()("thief"), foreign)).toMatchObject({ status: 404 });
  });
});

describe("the right credential", () => {
  it.each(["key", "token"] as const)(
    "comes in everywhere: %s",
    async (kind) => {
      const credential = credentials[kind];
      const denied: string[] = [];
      const all = [...OPERATIONS, METRICS];
      for (const [i, { name, absent, send }] of all.entries()) {
        const id = `own-${kind}-${i}`;
        if (absent !== null) {
          expect((await create.send(credential, id)).status).toBe(201);
          expect((await stepJson.send(credential, id)).status).toBe(200);
        }
        const { status, text } = await send(credential, id);
        if (status >= 300) denied.push(`${name}: ${status} ${text}`);
      }
      expect(denied).toEqual([]);
    },
    60_000,
  );
});
