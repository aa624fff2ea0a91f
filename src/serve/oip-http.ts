/**
 * @file The Open Inference Protocol (KServe v2) over HTTP, with Triton's sequence and binary tensor data extensions.
 *
 *     GET  /v2                              GET /v2/health/live      GET /v2/health/ready
 *     GET  /v2/models/{m}[/versions/{v}]    and its /ready, /config and /stats
 *     POST /v2/models/{m}[/versions/{v}]/infer
 *     POST /v2/repository/index
 *
 * Errors are `{ "error": TEXT, "code", "applied", "expected_seq" }`; a status of 400 or above says that nothing was applied, unless `applied` says otherwise.
 */
import type { Readable } from "node:stream";
import type { FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { OstinatoError } from "../core/errors.js";
import { retryAfter } from "./http.js";
import { oipError } from "./oip-error.js";
import { infer } from "./oip-infer.js";
import { BINARY_HEADER, readInferBody, writeInferBody } from "./oip-json.js";
import { EXTENSIONS, findModel, modelConfig, modelFacts, modelIndex, modelStatistics, PLATFORM } from "./oip-model.js";
import { InferenceStatistics } from "./oip-statistics.js";
import type { Principal } from "./principal.js";
import { gatherBody } from "./request-body.js";
import type { Sessions } from "./sessions.js";

export interface OipHttpOptions {
  sessions: Sessions;
  /** Who asks. Called before a body is read. @throws OST_CREDENTIAL, OST_SCOPE. */
  authenticate(request: FastifyRequest): Promise<Principal>;
  /** Whether requests may come. Default: while a model is served. */
  ready?(): boolean | Promise<boolean>;
  /** Shared with gRPC, where both run. */
  statistics?: InferenceStatistics;
  /** Of the server, in `/v2`. Default "". */
  version?: string;
  /** Hears of faults of the program. */
  fault?(error: unknown): void;
}

interface ModelRoute {
  Params: { model: string; version?: string };
}

const JSON_TYPE = "application/json; charset=utf-8";
/** `""`: clients in the field leave it out. */
const BODY_TYPES: ReadonlySet<string> = new Set(["", "application/json", "application/octet-stream"]);

/** A Fastify plugin; it keeps its body parsers and its form of errors to itself. */
export function oipHttp({
  sessions,
  authenticate,
  ready,
  statistics = new InferenceStatistics(),
  ...options
}: OipHttpOptions): FastifyPluginAsync {
  const isReady = async () => (await ready?.()) ?? sessions.models().length > 0;
  return async (app) => {
    const principals = new WeakMap<FastifyRequest, Principal>();
    app.removeAllContentTypeParsers();
    const { bodyLimit = 0 } = app.initialConfig;
    app.addContentTypeParser("*", async (request: FastifyRequest, payload: Readable) => {
      checkType(request);
      return gatherBody(request, payload, bodyLimit);
    });
    app.setErrorHandler((error: FastifyError, _request, reply) => {
      const own = error instanceof OstinatoError ? error : requestFault(error);
      if (own === null) options.fault?.(error);
      else if (!(error instanceof OstinatoError)) sessions.refused(own.code, "oip-http");
      answerError(reply, own ?? error, own === null ? 500 : error.statusCode);
    });

    app.get("/v2/health/live", async () => ({ live: true }));
    app.get("/v2/health/ready", async (_request, reply) => {
      const isUp = await isReady();
      return reply.code(isUp ? 200 : 400).send({ ready: isUp });
    });
    app.get("/v2", async () => ({ name: PLATFORM, version: options.version ?? "", extensions: EXTENSIONS }));

    await app.register(async (guarded) => {
      guarded.addHook("onRequest", async (request) => {
        principals.set(request, await authenticate(request));
      });
      guarded.post("/v2/repository/index", async () => modelIndex(sessions));
      for (const base of ["/v2/models/:model", "/v2/models/:model/versions/:version"]) {
        const served = ({ params }: { params: ModelRoute["Params"] }) => findModel(sessions, params.model, params.version);
        guarded.get<ModelRoute>(base, async (request) => modelFacts(served(request)));
        guarded.get<ModelRoute>(`${base}/config`, async (request) => modelConfig(served(request)));
        guarded.get<ModelRoute>(`${base}/stats`, async (request) => ({
          model_stats: [modelStatistics(served(request), statistics)],
        }));
        guarded.get<ModelRoute>(`${base}/ready`, async (request, reply) => {
          const { name } = served(request);
          const isUp = await isReady();
          return reply.code(isUp ? 200 : 400).send({ name, ready: isUp });
        });
        guarded.post<ModelRoute>(`${base}/infer`, async (request, reply) => {
          const principal = principals.get(request) as Principal;
          const { ask, wish } = readBody(sessions, request);
          const answer = await infer(
            sessions,
            { principal, protocol: "oip-http", signal: departure(reply) },
            { ask, statistics },
          );
          const { body, headerLength } = writeInferBody(answer, wish);
          if (headerLength === null) return reply.type(JSON_TYPE).send(body);
          return reply
            .header("Inference-Header-Content-Length", String(headerLength))
            .type("application/octet-stream")
            .send(body);
        });
      }
      guarded.all("/v2/*", async ({ method, url }) => {
        throw Object.assign(
          new OstinatoError("OST_REQUEST", {
            what: "there is nothing at this path, or not with this method",
            got: `${method} ${url.slice(0, 100)}`,
          }),
          { statusCode: 404 },
        );
      });
    });
  };
}

function readBody(sessions: Sessions, request: FastifyRequest<ModelRoute>): ReturnType<typeof readInferBody> {
  const header = request.headers[BINARY_HEADER];
  try {
    return readInferBody((request.body as Buffer | undefined) ?? Buffer.alloc(0), {
      model: request.params.model,
      version: request.params.version ?? "",
      headerLength: Array.isArray(header) ? header.join() : header,
    });
  } catch (error) {
    if (error instanceof OstinatoError) sessions.refused(error.code, "oip-http");
    throw error;
  }
}

/**
 * A page of another site can send a body without asking only as a form, as plain text, or without a type; those are not taken from pages.
 *
 * @throws OST_REQUEST with status 415.
 */
function checkType({ headers }: FastifyRequest): void {
  const type = (headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
  const encoding = headers["content-encoding"] ?? "identity";
  if (BODY_TYPES.has(type) && (type !== "" || headers.origin === undefined) && encoding === "identity") return;
  throw Object.assign(
    new OstinatoError("OST_REQUEST", {
      what: "the body is of a type the server does not read",
      expected: "application/json, or application/octet-stream with Inference-Header-Content-Length, not compressed",
      got: encoding === "identity" ? type.slice(0, 60) || "none" : encoding.slice(0, 60),
    }),
    { statusCode: 415 },
  );
}

/** What Fastify itself refuses, in our words; null for a fault of the program. */
function requestFault({ statusCode = 500, code }: FastifyError): OstinatoError | null {
  if (statusCode < 400 || statusCode >= 500) return null;
  const what = code === "FST_ERR_CTP_BODY_TOO_LARGE" ? "the body is too large" : "the request is malformed";
  return new OstinatoError("OST_REQUEST", { what, where: "request" });
}

function answerError(reply: FastifyReply, error: unknown, statusOverride?: number): void {
  const { code, text, applied, http, expectedSeq } = oipError(error);
  const status = statusOverride ?? http;
  if (status === 401) reply.header("www-authenticate", "Bearer");
  if (status === 429 || status === 503) reply.header("retry-after", retryAfter(error));
  reply
    .code(status)
    .type(JSON_TYPE)
    .send(JSON.stringify({ error: text, code, applied, expected_seq: expectedSeq }));
}

/** Aborted when the connection closes before the answer is written. */
function departure({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  raw.once("close", () => {
    if (!raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
