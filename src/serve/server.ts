/**
 * @file The session server over HTTP: models, sessions, steps, events, health, metrics, and the page.
 *
 *     GET    /v1/models                    GET    /v1/models/{m}
 *     POST   /v1/models/{m}/sessions       { id?, snapshot? }            201, opens a session
 *     POST   /v1/sessions/{s}/steps        { record | records, seq? }    the predictions; 200 where one record was applied
 *     GET    /v1/sessions/{s}              facts and hidden vector
 *     POST   /v1/sessions/{s}/reset        DELETE /v1/sessions/{s}
 *     GET    /v1/sessions/{s}/snapshot     POST   /v1/sessions/{s}/restore { snapshot }
 *     GET    /v1/sessions/{s}/events       server-sent events, one per step
 *     GET    /livez /readyz /metrics /
 *
 * Every request about a session carries `Authorization: Bearer OWNER_KEY`. There are no accounts: a key is the owner, whoever holds it
 * reaches the sessions opened with it and no others, and a foreign session answers as an absent one does. A seq makes a step safe to
 * retry. A status of 400 or above says that the request changed nothing. Without `allowPublic` the server listens on a loopback address only, and answers only requests that name one of its own hosts,
 * so that a page of another site cannot reach it through a name that resolves to this machine.
 */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyServerOptions, LogController } from "fastify";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import type { StreamModel } from "../model/stream.js";
import { errorBody, httpStatus } from "../protocol/codes.js";
import type { ModelFacts, SnapshotAnswer } from "../protocol/event.js";
import { EventStream } from "./event-stream.js";
import { ServerMetrics } from "./metrics.js";
import { ownerOf } from "./owner.js";
import { bearerKey, parseCreate, parseRestore, parseSteps } from "./request.js";
import { SessionStore, type SessionStoreOptions, unknownModel } from "./session.js";
import { readStudioFile, STUDIO_FILES, STUDIO_HEADERS } from "./studio.js";

export interface ServerOptions extends Omit<SessionStoreOptions, "observer" | "models" | "now"> {
  /** Models by the name they are served under. */
  models: ReadonlyMap<string, StreamModel>;
  /** Default 127.0.0.1. An address that is not loopback needs `allowPublic`. */
  host?: string;
  /** Default 8787; 0 takes a free one. */
  port?: number;
  /** Listen beyond this machine. The server speaks plain HTTP: put TLS in front of it. Default false. */
  allowPublic?: boolean;
  /** Names a request's Host may hold beside the loopback ones, for a proxy on this machine. Not checked with `allowPublic`. */
  allowedHosts?: readonly string[];
  /** Default 8 MiB. */
  maxBodyBytes?: number;
  /** Readers of events in all. Default 256. */
  maxEventReaders?: number;
  /** Bytes that may wait for one reader of events. Default 1 MiB. */
  maxReaderBufferBytes?: number;
  /** Time for requests in flight when the server closes. Default 10 s. */
  drainMs?: number;
  /** The compute engine in words, for the page and `/v1/models`. */
  engine?: string;
  /** Folder of the built page; default the one beside the compiled server. */
  studioFolder?: string;
  /**
   * As Fastify's option. Faults of the program are logged, the ones a client is answered 500 for; requests are not. Default one line of JSON
   * on standard error for each; false for none.
   */
  logger?: FastifyServerOptions["logger"];
}

export interface Server {
  readonly sessions: SessionStore;
  /** Starts to listen. @returns the URL. @throws OST_PORT if the port cannot be had. */
  listen(): Promise<string>;
  /** Takes no new requests, finishes those in flight, and closes. Safe to call twice. */
  close(): Promise<void>;
}

const HEARTBEAT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 16_384;
/** An id of 256 bytes, each written as %XX. */
const MAX_PARAMETER_LENGTH = 768;
const RETRY_AFTER_SECONDS = "1";

/**
 * Makes a server; `listen` starts it.
 *
 * @throws OST_USAGE a host that is not loopback without `allowPublic`; OST_RANGE a port outside 0..65535.
 */
export function createServer(options: ServerOptions): Server {
  const { models, host = "127.0.0.1", port = 8787, allowPublic = false, drainMs = 10_000 } = options;
  if (!allowPublic && !isLoopback(host)) {
    throw new OstinatoError("OST_USAGE", {
      what: "the server would be reachable from other machines",
      expected: "a loopback address, such as 127.0.0.1",
      got: host,
      where: "host",
      repair: "keep 127.0.0.1 behind a proxy with TLS, or allow it explicitly",
    });
  }
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new OstinatoError("OST_RANGE", { what: "no such port", expected: "0 .. 65535", got: String(port), where: "port" });
  }
  const metrics = new ServerMetrics();
  const app = Fastify({
    logger: options.logger ?? { level: "error", stream: process.stderr },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.maxBodyBytes ?? 8 * 1024 * 1024,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false,
    exposeHeadRoutes: false,
    forceCloseConnections: "idle",
    http: { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 5000 },
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    frameworkErrors: (error, _request, reply) => {
      answerError(reply as unknown as FastifyReply, error, metrics);
    },
  });
  const logged = new WeakSet<object>();
  /** Once, wherever it is met first: a model's fault is told by the store and, where nothing was applied, answered too. */
  const logFault = (error: unknown, what: string) => {
    if (typeof error === "object" && error !== null) {
      if (logged.has(error)) return;
      logged.add(error);
    }
    app.log.error({ err: error }, what);
  };
  const answer = (reply: FastifyReply, error: unknown, statusOverride?: number) => {
    const status = answerError(reply, error, metrics, statusOverride);
    if (status >= 500 && status !== 503) logFault(error, "a request failed");
  };
  const sessions = new SessionStore({
    ...options,
    observer: { ...metrics.observer, fault: (error) => logFault(error, "a model failed") },
  });
  metrics.watch(sessions, models.keys());
  const streams = new Set<EventStream>();
  let draining = false;

  readJson(app);
  const paths = new KnownPaths();
  app.addHook("onRoute", ({ url, method }) => paths.add(url, method));
  app.setErrorHandler((error, _request, reply) => answer(reply, error));
  app.setNotFoundHandler((request, reply) => {
    const allowed = paths.methodsOf(request.url);
    if (allowed.length > 0) {
      const wrong = new OstinatoError("OST_REQUEST", {
        what: "this path takes another method",
        expected: allowed.join(" or "),
        got: request.method,
      });
      return answer(reply.header("allow", allowed.join(", ")), wrong, 405);
    }
    const missing = new OstinatoError("OST_REQUEST", {
      what: "there is nothing at this path",
      got: `${request.method} ${request.url.length > 100 ? `${request.url.slice(0, 97)}...` : request.url}`,
      repair: "see the list of paths in the server's reference",
    });
    answer(reply, missing, 404);
  });
  app.addHook("onRequest", async (request) => {
    if (!allowPublic) checkHost(request.headers.host, options.allowedHosts ?? []);
  });

  app.get("/livez", async () => ({ alive: true }));
  app.get("/readyz", async (_request, reply) => {
    if (draining || models.size === 0) reply.code(503);
    return { ready: !draining && models.size > 0, draining, models: [...models.keys()], sessions: sessions.count() };
  });
  app.get("/metrics", async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  for (const name of Object.keys(STUDIO_FILES) as (keyof typeof STUDIO_FILES)[]) {
    app.get(name === "index.html" ? "/" : `/studio/${name}`, async (_request, reply) => {
      const file = readStudioFile(name, options.studioFolder);
      if (file) return reply.headers(STUDIO_HEADERS).type(file.type).send(file.body);
      return reply.code(404).type("text/plain; charset=utf-8").send("The page is not built. Build it with: npm run build\n");
    });
  }

  app.get("/v1/models", async () => ({ models: [...models].map(([name, model]) => modelFacts(name, model, options.engine)) }));
  app.get<{ Params: { model: string } }>("/v1/models/:model", async ({ params }) => {
    const model = models.get(params.model);
    if (!model) throw unknownModel(params.model, [...models.keys()]);
    return modelFacts(params.model, model, options.engine);
  });

  app.register(async (api) => {
    /** Before the body is read, so that nobody without a key can make the server read one. */
    api.addHook("onRequest", async (request) => {
      request.owner = ownerOf(bearerKey(request.headers.authorization));
    });
    api.post<{ Params: { model: string } }>("/v1/models/:model/sessions", async (request, reply) => {
      const facts = sessions.create(request.owner, { model: request.params.model, ...parseCreate(request.body) });
      return reply
        .code(201)
        .header("location", `/v1/sessions/${encodeURIComponent(facts.session)}`)
        .send(facts);
    });
    api.post<SessionRoute>("/v1/sessions/:session/steps", async (request) => {
      const done = await sessions.step(request.owner, request.params.session, parseSteps(request.body));
      if (done.error) metrics.rejected(done.error.code);
      return done;
    });
    api.get<SessionRoute>("/v1/sessions/:session", async ({ owner, params }) => sessions.get(owner, params.session));
    api.post<SessionRoute>("/v1/sessions/:session/reset", async ({ owner, params }) => sessions.reset(owner, params.session));
    api.delete<SessionRoute>("/v1/sessions/:session", async ({ owner, params }) => sessions.end(owner, params.session));
    api.get<SessionRoute>("/v1/sessions/:session/snapshot", async ({ owner, params }): Promise<SnapshotAnswer> => {
      const { facts, bytes } = await sessions.snapshot(owner, params.session);
      return { session: facts.session, model: facts.model, steps: facts.steps, snapshot: Buffer.from(bytes).toString("base64") };
    });
    api.post<SessionRoute>("/v1/sessions/:session/restore", async ({ owner, params, body }) =>
      sessions.restore(owner, params.session, parseRestore(body).snapshot),
    );
    api.get<SessionRoute>("/v1/sessions/:session/events", async (request, reply) => {
      const limit = options.maxEventReaders ?? 256;
      if (streams.size >= limit) {
        throw new OstinatoError("OST_CAPACITY", {
          what: "too many readers of events",
          expected: `at most ${limit}`,
          repair: "close a page",
        });
      }
      let stream: EventStream | undefined;
      const { opened, stop } = sessions.subscribe(request.owner, request.params.session, (event) => stream?.send(event));
      reply.hijack();
      const opening = new EventStream(reply.raw, {
        maxBufferBytes: options.maxReaderBufferBytes ?? 1024 * 1024,
        heartbeatMs: HEARTBEAT_MS,
        onClose: (how) => {
          stop();
          streams.delete(opening);
          metrics.readerClosed(how);
        },
      });
      stream = opening;
      streams.add(opening);
      metrics.readerOpened();
      opening.send(opened);
    });
  });

  let closing: Promise<void> | undefined;
  return {
    sessions,
    async listen() {
      try {
        await app.listen({ host, port });
      } catch (error) {
        throw portError(error, host, port);
      }
      const address = app.server.address();
      const bound = typeof address === "object" && address ? address.port : port;
      return `http://${host.includes(":") ? `[${host}]` : host}:${bound}`;
    },
    close() {
      closing ??= (async () => {
        draining = true;
        sessions.close();
        for (const stream of [...streams]) stream.close();
        const deadline = setTimeout(() => app.server.closeAllConnections(), drainMs);
        try {
          await app.close();
        } finally {
          clearTimeout(deadline);
        }
      })();
      return closing;
    },
  };
}

interface SessionRoute {
  Params: { session: string };
}

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks, on the paths that need to know. */
    owner: string;
  }
}

/** JSON in UTF-8 is the only body there is; other types get 415, and an empty one is as good as none. */
function readJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  const decoder = new TextDecoder("utf-8", { fatal: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    let text: string;
    try {
      text = decoder.decode(body as Buffer);
    } catch {
      return done(new OstinatoError("OST_REQUEST", { what: "the body is not valid UTF-8", where: "body" }), undefined);
    }
    return parse(request, text, done);
  });
}

const REQUEST_FAULTS: Record<number, { what: string; repair?: string }> = {
  400: { what: "the request is malformed", repair: "send one JSON object with Content-Type: application/json" },
  413: { what: "the body is too large", repair: "send fewer records in one request" },
  414: { what: "the path is too long" },
  415: { what: "the body is of a type the server does not read", repair: "send it with Content-Type: application/json" },
};

/** Which methods a path takes, for those it does not. */
class KnownPaths {
  readonly #routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();

  /** @param url with `:name` for a part that varies. */
  add(url: string, method: string | readonly string[]): void {
    const text = url.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/:\w+/g, "[^/]+");
    const route = this.#routes.get(url) ?? { pattern: new RegExp(`^${text}$`), methods: new Set() };
    for (const one of [method].flat()) route.methods.add(one);
    this.#routes.set(url, route);
  }

  /** None where the path is unknown. */
  methodsOf(url: string): string[] {
    const path = url.replace(/[?#].*$/s, "");
    return [...this.#routes.values()].flatMap(({ pattern, methods }) => (pattern.test(path) ? [...methods] : [])).sort();
  }
}

/** Every refusal has the same body. A text that is not ours never leaves the server, and no error takes it down. @returns the status. */
function answerError(reply: FastifyReply, error: unknown, metrics: ServerMetrics, statusOverride?: number): number {
  let known = error;
  let status = statusOverride ?? 500;
  if (error instanceof OstinatoError) {
    status = statusOverride ?? httpStatus(error.code);
  } else {
    const { statusCode, code } = error as { statusCode?: unknown; code?: unknown };
    if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500) {
      status = statusCode;
      const reason = typeof code === "string" ? REASONS[code] : undefined;
      known = new OstinatoError("OST_REQUEST", { ...(REQUEST_FAULTS[status] ?? REQUEST_FAULTS[400]), ...reason });
    }
  }
  const body = errorBody(known);
  metrics.rejected(body.error.code as ErrorCode);
  if (status === 401) reply.header("www-authenticate", 'Bearer realm="ostinato"');
  if (status === 503) reply.header("retry-after", RETRY_AFTER_SECONDS);
  reply.code(status).header("cache-control", "no-store").send(body);
  return status;
}

const REASONS: Record<string, { what: string; repair?: string }> = {
  FST_ERR_CTP_INVALID_JSON_BODY: { what: "the body is not JSON, or holds a key that could change a prototype" },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    what: "the body is not as long as Content-Length says",
    repair: "send its length in bytes",
  },
  FST_ERR_BAD_URL: { what: "the path is not a valid URL", repair: "write a character that a URL cannot hold as %XX, in UTF-8" },
};

function modelFacts(name: string, model: StreamModel, engine: string | undefined): ModelFacts {
  const { hash, task, streaming, windowLength, columns, time, classes, targets, horizon, features } = model;
  return {
    name,
    hash,
    task,
    streaming,
    windowLength,
    columns,
    time,
    classes,
    targets,
    horizon,
    features,
    engine: engine ?? null,
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** A browser that was led here by another site's name sends that name. */
function checkHost(header: string | undefined, allowed: readonly string[]): void {
  const name = (header ?? "")
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  if (isLoopback(name) || allowed.includes(name)) return;
  throw new OstinatoError("OST_REQUEST", {
    what: "the request is for another host",
    expected: "localhost or a loopback address",
    got: name.length > 80 ? `${name.slice(0, 77)}...` : name || "none",
    where: "header Host",
    repair: "allow the name if a proxy of yours forwards it",
  });
}

function portError(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const what =
    code === "EADDRINUSE"
      ? "the port is in use"
      : code === "EACCES"
        ? "this user may not open the port"
        : code === "EADDRNOTAVAIL" || code === "ENOTFOUND"
          ? "this machine has no such address"
          : undefined;
  if (what === undefined) return error;
  return new OstinatoError("OST_PORT", {
    what,
    got: `${host}:${port}`,
    where: "listen",
    repair:
      code === "EADDRINUSE"
        ? "stop the other server, or choose another port (0 takes a free one)"
        : "choose another address or port",
  });
}
