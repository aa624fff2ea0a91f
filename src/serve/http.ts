/**
 * @file The HTTP side that all protocols over it share: limits, bodies, hosts, who asks, and the one form of a refusal.
 */
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from "fastify";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import { errorBody, httpStatus, SessionError } from "../protocol/codes.js";
import { ReadableLines } from "./line-body.js";
import { isLoopback } from "./loopback.js";
import type { Principal } from "./principal.js";
import { gatherBody } from "./request-body.js";

export interface HttpOptions {
  logger: Pick<FastifyServerOptions, "loggerInstance">;
  /** As `tlsOptions` makes them; null: plain HTTP. */
  tls: object | null;
  maxBodyBytes: number;
  /** Names a request's Host may hold beside the loopback ones; null: any. */
  allowedHosts: readonly string[] | null;
  /** Hears of a fault of the program, once. */
  fault(error: unknown, what: string): void;
  /** Hears of every refusal that is answered. */
  refused(code: ErrorCode): void;
}

const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
const MAX_HEADER_BYTES = 16_384;
const MAX_REQUESTS_PER_SOCKET = 1_000_000;
/** An id of 256 bytes, each written as %XX. */
const MAX_PARAMETER_LENGTH = 768;
const MAX_JSON_DEPTH = 32;
/** 256 records of 512 columns. */
const MAX_JSON_VALUES = 131_072;
/** Answers that may wait on one connection for one before them: a reader who asks and asks and never reads gets no further. */
const MAX_PIPELINED = 64;
const RETRY_AFTER_SECONDS = "1";

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks, on the paths that need to know. */
    principal: Principal | null;
    /** Aborted when the sender went away before the answer. */
    gone: AbortController;
  }
}

export function createHttp(options: HttpOptions): FastifyInstance {
  const settings: FastifyServerOptions & { https?: object } = {
    ...options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.maxBodyBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    maxRequestsPerSocket: MAX_REQUESTS_PER_SOCKET,
    return503OnClosing: false,
    exposeHeadRoutes: false,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    frameworkErrors: (error, _request, reply) => {
      answerError(reply as unknown as FastifyReply, error, options);
    },
  };
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 5000 };
  if (options.tls === null) Object.assign(settings, { http: limits });
  else Object.assign(settings, { https: { ...options.tls, ...limits } });
  const app = Fastify(settings) as unknown as FastifyInstance;
  readBodies(app);
  app.decorateRequest("principal", null);
  app.decorateRequest("gone", null as unknown as AbortController);
  const paths = new KnownPaths();
  app.addHook("onRoute", ({ url, method }) => paths.add(url, method));
  const pipelined = new WeakMap<Socket, number>();
  app.addHook("onRequest", async (request, reply) => {
    const { socket } = request.raw;
    const waiting = (pipelined.get(socket) ?? 0) + 1;
    pipelined.set(socket, waiting);
    if (waiting > MAX_PIPELINED) {
      socket.destroy();
      return reply.hijack();
    }
    reply.raw.once("close", () => pipelined.set(socket, (pipelined.get(socket) ?? 1) - 1));
    if (options.allowedHosts !== null) {
      checkHost(request.headers.host, options.allowedHosts);
      checkOneHost(request.raw.rawHeaders);
    }
    request.gone = new AbortController();
    reply.raw.once("close", () => {
      if (!reply.raw.writableFinished) request.gone.abort();
    });
  });
  app.setErrorHandler((error, _request, reply) => answerError(reply, error, options));
  app.setNotFoundHandler((request, reply) => {
    const allowed = paths.methodsOf(request.url);
    if (allowed.length > 0) {
      const wrong = new OstinatoError("OST_REQUEST", {
        what: "this path takes another method",
        expected: allowed.join(" or "),
        got: request.method,
      });
      return answerError(reply.header("allow", allowed.join(", ")), wrong, options, 405);
    }
    const missing = new OstinatoError("OST_REQUEST", {
      what: "there is nothing at this path",
      got: `${request.method} ${request.url.length > 100 ? `${request.url.slice(0, 97)}...` : request.url}`,
      repair: "GET /v1/openapi.json lists the paths",
    });
    return answerError(reply, missing, options, 404);
  });
  return app;
}

/** JSON in UTF-8, and NDJSON, which is read as it comes; other types get 415, and an empty body is as good as none. */
function readBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  const { bodyLimit = 0 } = app.initialConfig;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: Readable) => {
    const body = await gatherBody(request, payload, bodyLimit);
    return new Promise((resolve, reject) => read(request, body, (error, value) => (error ? reject(error) : resolve(value))));
  });
  function read(request: FastifyRequest, body: Buffer, done: (error: Error | null, value?: unknown) => void): unknown {
    if (body.length === 0) return done(null, undefined);
    let text: string;
    try {
      text = decoder.decode(body);
    } catch {
      return done(new OstinatoError("OST_REQUEST", { what: "the body is not valid UTF-8", where: "body" }), undefined);
    }
    const excess = excessOf(text);
    if (excess !== null) return done(new OstinatoError("OST_REQUEST", { ...excess, where: "body" }), undefined);
    return parse(request, text, done);
  }
  app.addContentTypeParser("application/x-ndjson", (_request, payload, done) =>
    done(null, new ReadableLines(payload as Readable)),
  );
}

/** What a text has too much of to be parsed: levels, or values, each of which takes many times its bytes. Without recursion. */
function excessOf(text: string): { what: string; expected: string } | null {
  let depth = 0;
  let values = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
    } else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > MAX_JSON_DEPTH)
        return { what: "the body is nested too deeply", expected: `at most ${MAX_JSON_DEPTH} levels` };
    } else if (unit === 0x5d || unit === 0x7d) depth--;
    else if (unit === 0x2c && ++values > MAX_JSON_VALUES)
      return { what: "the body holds too many values", expected: `at most ${MAX_JSON_VALUES} in one request` };
  }
  return null;
}

const REQUEST_FAULTS: Record<number, { what: string; repair?: string }> = {
  400: { what: "the request is malformed", repair: "send one JSON object with Content-Type: application/json" },
  408: { what: "the request did not come whole in time" },
  413: { what: "the body is too large", repair: "send fewer records in one request" },
  414: { what: "the path is too long" },
  415: {
    what: "the body is of a type the server does not read",
    repair: "send it with Content-Type: application/json, or steps with application/x-ndjson",
  },
};

const REASONS: Record<string, { what: string; repair?: string }> = {
  FST_ERR_CTP_INVALID_JSON_BODY: { what: "the body is not JSON, or holds a key that could change a prototype" },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    what: "the body is not as long as Content-Length says",
    repair: "send its length in bytes",
  },
  FST_ERR_BAD_URL: { what: "the path is not a valid URL", repair: "write a character that a URL cannot hold as %XX, in UTF-8" },
};

/** Every refusal has the same body. A text that is not ours never leaves the server, and no error takes it down. */
function answerError(
  reply: FastifyReply,
  error: unknown,
  { fault, refused }: Pick<HttpOptions, "fault" | "refused">,
  statusOverride?: number,
): FastifyReply {
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
  // What failed in the engine was told there, with its cause.
  if (status === 500 && !(error instanceof SessionError)) fault(error, "a request failed");
  const body = errorBody(known);
  refused(body.error.code);
  if (status === 401) reply.header("www-authenticate", 'Bearer realm="ostinato"');
  if (status === 429 || status === 503) reply.header("retry-after", retryAfter(error));
  return reply.code(status).header("cache-control", "no-store").send(body);
}

/** When to try again, in seconds: what the limit says, else soon. */
export function retryAfter(error: unknown): string {
  const wait = error instanceof SessionError ? error.retryAfterMs : null;
  return wait === null ? RETRY_AFTER_SECONDS : String(Math.max(1, Math.ceil(wait / 1000)));
}

/** Which methods a path takes, for those it does not. */
class KnownPaths {
  readonly #routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();

  /** @param url with `:name` for a part that varies. */
  add(url: string, method: string | readonly string[]): void {
    const text = url
      .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
      .replace(/\*/g, ".*")
      .replace(/:\w+/g, "[^/]+");
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

/** A browser that was led here by another site's name sends that name. */
export function checkHost(header: string | undefined, allowed: readonly string[]): void {
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

/** Two hosts, and a proxy may have meant the other one (RFC 9112, section 3.2). @param headers names and values in turn. */
function checkOneHost(headers: readonly string[]): void {
  let hosts = 0;
  for (let i = 0; i < headers.length; i += 2) if (headers[i].length === 4 && headers[i].toLowerCase() === "host") hosts++;
  if (hosts > 1) throw new OstinatoError("OST_REQUEST", { what: "the request names two hosts", where: "header Host" });
}

/** Listens. @throws OST_PORT if the port cannot be had. @returns the URL. */
export async function listen(
  app: FastifyInstance,
  { host, port, scheme }: { host: string; port: number; scheme: string },
): Promise<string> {
  try {
    if (host.startsWith("/")) await app.listen({ path: host });
    else await app.listen({ host, port });
  } catch (error) {
    throw portError(error, host, port);
  }
  if (host.startsWith("/")) return host;
  const address = app.server.address();
  const bound = typeof address === "object" && address ? address.port : port;
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${bound}`;
}

export function portError(error: unknown, host: string, port: number): unknown {
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
