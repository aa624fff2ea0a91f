/**
 * @file The admin interface: models, sessions and drain, on an address of its own that only operators reach.
 *
 *     GET    /admin/models                         names, versions, what is pinned to them
 *     PUT    /admin/models/{name}?policy&weights   the bytes of a model file: loads it and serves it under the name
 *     PUT    /admin/models/{name}/alias            { version, policy? }
 *     DELETE /admin/versions/{version}
 *     GET    /admin/status                         POST /admin/drain
 *     POST   /admin/sessions                       { tenant, model, id, operation: "hibernate" | "reset" | "end" }
 *
 * It is bound to the loopback address or a Unix socket. Where the server knows its callers, a credential with `model:admin` is wanted too.
 * Pages of a browser never reach it: a request with an Origin, or for another host, is refused.
 */
import Fastify, { type FastifyInstance, type FastifyRequest, LogController } from "fastify";
import { OstinatoError } from "../core/errors.js";
import { errorBody, httpStatus } from "../protocol/codes.js";
import { requireScope } from "./auth.js";
import type { Engine, ModelSource, SwapPolicy } from "./engine.js";
import { checkHost } from "./http.js";
import type { ServerLog } from "./log.js";
import type { ModelRegistry } from "./model-registry.js";
import type { Observer } from "./observer.js";
import { type Principal, SCOPES } from "./principal.js";
import { textId } from "./session-key.js";
import type { Request, Sessions } from "./sessions.js";

export interface AdminOptions {
  registry: ModelRegistry;
  sessions: Sessions;
  engine: Engine;
  observer: Required<Observer>;
  log: ServerLog;
  /** Readiness false, from now on. */
  drain(): void;
  /** Who asks, where callers are known; null: whoever reaches the address is an operator. */
  authenticate: ((request: FastifyRequest) => Promise<Principal>) | null;
}

const MAX_MODEL_BYTES = 1 << 30;
const POLICIES = ["pin", "reset", "carry"];
const ACTOR = "operator";

export function serveAdmin({ registry, sessions, engine, observer, log, drain, authenticate }: AdminOptions): FastifyInstance {
  const app = Fastify({
    ...log.fastify,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 65_536,
  }) as unknown as FastifyInstance;
  // What a form of a page may send without asking.
  app.removeContentTypeParser("text/plain");
  app.addContentTypeParser(
    "application/octet-stream",
    { parseAs: "buffer", bodyLimit: MAX_MODEL_BYTES },
    (_request, body, done) => done(null, body),
  );
  app.setErrorHandler((error, _request, reply) => {
    const own = error instanceof OstinatoError;
    const { statusCode } = error as { statusCode?: number };
    if (!own && !(statusCode && statusCode < 500)) observer.fault(error, "admin");
    const known = own || !statusCode ? error : new OstinatoError("OST_REQUEST", "the request is malformed");
    return reply.code(own ? httpStatus(error.code) : (statusCode ?? 500)).send(errorBody(known));
  });
  app.addHook("onRequest", async (request) => {
    if (request.headers.origin !== undefined) {
      throw new OstinatoError("OST_SCOPE", {
        what: "no page of a browser may reach the admin interface",
        where: "header Origin",
      });
    }
    checkHost(request.headers.host, []);
    if (authenticate !== null) requireScope(await authenticate(request), "model:admin");
  });
  app.get("/admin/models", async () => {
    const { sessions: counts } = await engine.status();
    return {
      models: registry.list().map(({ name, current, others }) => ({
        name,
        version: current.version,
        bytes: current.bytes,
        task: current.task,
        others: others.map(({ version }) => version),
      })),
      sessions: counts.byVersion,
      missing: registry.missing,
    };
  });
  app.put<{ Params: { name: string }; Querystring: { policy?: string; weights?: string } }>(
    "/admin/models/:name",
    async ({ params, query, body }) => {
      if (!(body instanceof Uint8Array) || body.length === 0) {
        throw new OstinatoError("OST_REQUEST", {
          what: "no model file in the body",
          expected: "its bytes, with Content-Type: application/octet-stream",
          where: "body",
        });
      }
      const { weights } = query;
      if (weights !== undefined && !["float32", "bfloat16", "int8"].includes(weights))
        throw new OstinatoError("OST_REQUEST", {
          what: "weights that there are not",
          expected: "float32, bfloat16 or int8",
          got: weights,
        });
      const source = { bytes: new Uint8Array(body), weights } as ModelSource;
      const { version } = await registry.load(params.name, source, { policy: policyOf(query.policy), actor: ACTOR });
      return { name: params.name, version };
    },
  );
  app.put<{ Params: { name: string }; Body: { version?: unknown; policy?: string } }>(
    "/admin/models/:name/alias",
    async ({ params, body }) => {
      const { version, policy } = body ?? {};
      if (typeof version !== "string") {
        throw new OstinatoError("OST_REQUEST", { what: "no version to serve", expected: "its hash", where: "version" });
      }
      await registry.alias(params.name, version, { policy: policyOf(policy), actor: ACTOR });
      return { name: params.name, version };
    },
  );
  app.delete<{ Params: { version: string } }>("/admin/versions/:version", async ({ params }) => {
    await registry.unload(params.version, { actor: ACTOR });
    return { version: params.version };
  });
  app.get("/admin/status", async () => engine.status());
  app.post("/admin/drain", async () => {
    drain();
    return { draining: true };
  });
  app.post<{ Body: { tenant?: unknown; model?: unknown; id?: unknown; operation?: unknown } }>(
    "/admin/sessions",
    async ({ body }) => {
      const { tenant, model, id, operation } = body ?? {};
      if (typeof tenant !== "string" || !/^[\w.-]{1,128}$/.test(tenant) || typeof model !== "string" || typeof id !== "string") {
        throw new OstinatoError("OST_REQUEST", {
          what: "which session is meant is not said",
          expected: '{ "tenant": "...", "model": "...", "id": "...", "operation": "hibernate" }',
          where: "body",
        });
      }
      const principal: Principal = { tenant, subject: ACTOR, scopes: new Set(SCOPES) };
      const request: Request = { principal, protocol: "internal" };
      const at = { model, id: textId(id) };
      if (operation === "hibernate") return sessions.hibernate(request, at);
      if (operation === "reset") return sessions.reset(request, at);
      if (operation === "end") return sessions.end(request, at);
      throw new OstinatoError("OST_REQUEST", {
        what: "no such operation",
        expected: "hibernate, reset or end",
        got: String(operation).slice(0, 40),
      });
    },
  );
  return app;
}

function policyOf(text: unknown): SwapPolicy {
  if (text === undefined) return "pin";
  if (typeof text === "string" && POLICIES.includes(text)) return text as SwapPolicy;
  throw new OstinatoError("OST_REQUEST", {
    what: "a policy that there is not",
    expected: POLICIES.join(", "),
    got: String(JSON.stringify(text)).slice(0, 40),
    where: "policy",
  });
}
