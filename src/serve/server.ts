/**
 * @file The session server: engine, scheduler, models and protocols, put together.
 *
 *     HTTP port    /v1 native REST, NDJSON and server-sent events      /v1/stream WebSocket `ostinato.v1`      /v2 Open Inference Protocol
 *                  /livez /readyz /startupz /metrics /v1/openapi.json and the page
 *     gRPC port    inference.GRPCInferenceService
 *     admin        /admin: models, sessions, drain; on a port or a Unix socket of its own
 *
 * By default it listens on the loopback address only, and every bearer key is a tenant of its own. It refuses an address that others reach
 * unless it has TLS and knows its callers.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { OstinatoError } from "../core/errors.js";
import type { WeightType } from "../kernels/index.js";
import type { StreamModel } from "../model/stream.js";
import { serveAdmin } from "./admin.js";
import { AuditLog, auditObserver } from "./audit-log.js";
import { type AuthConfig, createAuthenticator, isGuarded } from "./auth.js";
import type { Engine, ModelSource } from "./engine.js";
import { checkHost, createHttp, listen } from "./http.js";
import { type LimitConfiguration, TenantLimits } from "./limits.js";
import { type LogChoice, ServerLog } from "./log.js";
import { isLoopback } from "./loopback.js";
import { ServerMetrics } from "./metrics.js";
import { ModelRegistry } from "./model-registry.js";
import { openVersion } from "./model-version.js";
import { type Observer, observeAll } from "./observer.js";
import { createGrpcServer, type GrpcServer } from "./oip-grpc.js";
import { oipHttp } from "./oip-http.js";
import { InferenceStatistics } from "./oip-statistics.js";
import { openApiDocument } from "./openapi.js";
import type { Durability } from "./operation.js";
import type { Principal } from "./principal.js";
import { type RestOptions, serveRest } from "./rest.js";
import { Scheduler, type SchedulerOptions } from "./scheduler.js";
import { isSealed, SnapshotSeal } from "./sealed-snapshot.js";
import { Sentinel, type SentinelOptions } from "./sentinel.js";
import { SessionEngine, type SessionEngineOptions } from "./session-engine.js";
import { type SnapshotSeal as Seal, SessionService, type SessionServiceOptions } from "./session-service.js";
import type { Sessions } from "./sessions.js";
import { LmdbStore } from "./store-lmdb.js";
import { MemoryStore } from "./store-memory.js";
import { readStudioFile, STUDIO_FILES, STUDIO_HEADERS } from "./studio.js";
import { checkBind, peerOf, type TlsConfig, tlsOptions } from "./tls.js";
import { attachWebSocket, type WebSocketLimits } from "./websocket.js";
import { WorkerEngine } from "./worker-engine.js";

/** A model file's bytes, the built-in probe, or a model of this process. */
export type ServedSource = Uint8Array | { bytes: Uint8Array; weights?: WeightType } | "probe" | StreamModel;

export interface ServerOptions {
  /** Models by the name they are served under. One that is an object of this process makes the engine run in this thread. */
  models: ReadonlyMap<string, ServedSource>;
  /** Folder of everything that outlives a restart: sessions, pinned models, the audit log, the key of snapshots. Default null: nothing does. */
  data?: string | null;
  /** What an acknowledged step outlives, at most and by default. Default "durable" with a data folder; without one it is "none". */
  durability?: Durability;
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 8787; 0 takes a free one. */
  port?: number;
  /** Port of gRPC on the same address; default null: none. */
  grpcPort?: number | null;
  /** Port on the loopback address, or path of a Unix socket, of the admin interface; default null: none. */
  admin?: number | string | null;
  auth?: AuthConfig;
  tls?: TlsConfig | null;
  /** Listen beyond this machine without TLS or without known callers. Default false. */
  insecure?: boolean;
  /** Names a request's Host may hold beside the loopback ones, for a proxy on this machine; not checked on a public address. */
  allowedHosts?: readonly string[];
  /** Origins of pages that may open a WebSocket beside those of this machine. */
  allowedOrigins?: readonly string[];
  /** Rates and live sessions by tenant. */
  limits?: LimitConfiguration;
  sessions?: Partial<
    Pick<
      SessionServiceOptions,
      "ttlMs" | "maxSessions" | "maxTenantSessions" | "maxRecords" | "chunkRecords" | "maxReaders" | "deadlineMs" | "creatorOnly"
    >
  >;
  engine?: Omit<SessionEngineOptions, "store" | "now" | "onFault">;
  scheduler?: Pick<SchedulerOptions, "maxBatch" | "depth" | "maxWaitingPerSession" | "maxTenantBytes" | "maxBytes" | "gapHoldMs">;
  webSocket?: Partial<WebSocketLimits>;
  /** The leak sentinel; false for none. Default on. */
  sentinel?: SentinelOptions | false;
  /** Default 8 MiB. */
  maxBodyBytes?: number;
  /** Readers of events in all. Default 256. */
  maxEventReaders?: number;
  /** Bytes that may wait for one reader of events. Default 1 MiB. */
  maxReaderBufferBytes?: number;
  /** Time for requests in flight when the server closes. Default 10 s. */
  drainMs?: number;
  /** Of this build, for metrics and `/v2`. Default "unknown". */
  version?: string;
  /** The compute engine in words, for the page and `/v1/models`. */
  engineName?: string;
  /** Folder of the built page; default the one beside the compiled server. */
  studioFolder?: string;
  /** A pino logger, its options, or false for none. Default: JSON lines on standard error, faults and lives of sessions. */
  logger?: LogChoice;
  /** Hears of everything beside metrics, log and audit log. */
  observer?: Observer;
}

export interface Server {
  readonly sessions: Sessions;
  readonly models: ModelRegistry;
  readonly engine: Engine;
  readonly metrics: ServerMetrics;
  /** Starts to listen. @returns the URLs. @throws OST_PORT if a port cannot be had. */
  listen(): Promise<{ http: string; grpc: string | null; admin: string | null }>;
  /** Takes no new requests, finishes those in flight, writes everything, and closes. Safe to call twice. */
  close(): Promise<void>;
}

const TEND_MS = 250;
const WATCH_LOOP_MS = 500;
const LOOP_STALL_MS = 5000;

/**
 * Opens the store and the models; `listen` starts it.
 *
 * @throws OST_USAGE an address that others reach without TLS or known callers; OST_RANGE a port outside 0..65535; OST_STORE; OST_MODEL_FILE;
 * OST_CONFIG.
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { models, host = "127.0.0.1", port = 8787, data = null, drainMs = 10_000 } = options;
  // Whoever opens the server to everybody means open keys from everywhere too, unless callers are known.
  const authConfig: AuthConfig = {
    ...(options.insecure && !isGuarded(options.auth ?? {}) ? { open: "anywhere" } : {}),
    ...options.auth,
  };
  const tls = options.tls ?? null;
  checkPort(port);
  if (typeof options.grpcPort === "number") checkPort(options.grpcPort);
  checkBind({ host, auth: authConfig, tls: tls !== null, insecure: options.insecure });
  const durability = options.durability ?? (data === null ? "none" : "durable");
  if (data === null && durability !== "none") {
    throw new OstinatoError("OST_USAGE", {
      what: "sessions cannot outlive anything without a data folder",
      expected: "durability none, or a data folder",
      got: durability,
      where: "durability",
      repair: "give a data folder: --data FOLDER",
    });
  }
  if (data !== null) mkdirSync(data, { recursive: true, mode: 0o700 });

  const metrics = new ServerMetrics();
  const log = new ServerLog(options.logger);
  const audit =
    data === null
      ? null
      : await AuditLog.open(join(data, "audit.jsonl"), { onFault: (error: unknown) => metrics.observer.fault?.(error, "audit") });
  const observer = observeAll([
    metrics.observer,
    log.observer,
    ...(audit ? [auditObserver(audit)] : []),
    ...(options.observer ? [options.observer] : []),
  ]);
  const authenticator = createAuthenticator(authConfig, { observer });
  await authenticator.ready();
  const guarded = isGuarded(authConfig);

  const inThread = [...models.values()].some((source) => typeof source === "object" && "advance" in source);
  const engine = await openEngine(options, { data, durability, inThread, observer });
  const registry = await ModelRegistry.open({
    engine,
    folder: data === null ? null : join(data, "models"),
    check: inThread ? async (source) => (await openVersion(source)).facts : undefined,
    observer,
  });
  for (const [name, source] of models) await registry.load(name, sourceOf(source), { actor: "server" });

  const limits = new TenantLimits({ limits: options.limits });
  const scheduler = new Scheduler({
    ...options.scheduler,
    execute: (operations) => engine.execute(operations),
    weight: (tenant) => limits.weight(tenant),
    onBatch: (size) => observer.batch(size),
    onReordered: () => observer.disorder("reordered", "internal"),
  });
  const sessions = new SessionService({
    ...options.sessions,
    engine,
    scheduler,
    models: registry,
    observer,
    limits,
    durability,
    seal: sealOf(guarded, data),
    audited: async () => audit?.flushed().catch((error) => observer.fault(error, "audit")),
  });
  const sentinel =
    options.sentinel === false ? null : new Sentinel({ ...options.sentinel, scheduler, engine, registry, observer, durability });
  metrics.watch({ engine, scheduler, models: () => registry.list(), version: options.version ?? "unknown" });

  let draining = false;
  let started = false;
  const loop = new LoopWatch();
  const state = async () => {
    const reasons: string[] = [];
    if (!started) reasons.push("starting");
    if (draining) reasons.push("draining");
    if (registry.list().length === 0) reasons.push("no model");
    if (sentinel && !sentinel.green) reasons.push("the leak sentinel saw a mismatch");
    if (!(await storeAnswers(engine))) reasons.push("the store or the engine does not answer");
    return reasons;
  };

  const allowedHosts = options.insecure || !(isLoopback(host) || host.startsWith("/")) ? null : (options.allowedHosts ?? []);
  const app = createHttp({
    logger: log.fastify,
    tls: tls === null ? null : tlsOptions(tls),
    maxBodyBytes: options.maxBodyBytes ?? 8 * 1024 * 1024,
    allowedHosts,
    fault: (error, what) => observer.fault(error, what),
    refused: () => {},
  });
  const authenticate = async (request: FastifyRequest): Promise<Principal> =>
    authenticator.authenticate(request.headers, peerOf(request.raw.socket));
  const statistics = new InferenceStatistics();

  health(app, { state, loop, engine, metrics, authenticate: guarded ? authenticate : null });
  page(app, options.studioFolder);
  const document = openApiDocument({ version: options.version });
  app.get("/v1/openapi.json", async () => document);
  let rest: ReturnType<typeof serveRest> | undefined;
  app.register(async (api) => {
    // Before the body is read, so that nobody without a credential can make the server read one.
    api.addHook("onRequest", async (request) => {
      request.principal = await authenticate(request);
    });
    const restOptions: RestOptions = {
      sessions,
      observer,
      engine: options.engineName ?? null,
      maxEventReaders: options.maxEventReaders ?? 256,
      maxReaderBufferBytes: options.maxReaderBufferBytes ?? 1024 * 1024,
    };
    rest = serveRest(api, restOptions);
  });
  const ready = async () => (await state()).length === 0;
  app.register(
    oipHttp({
      sessions,
      authenticate,
      ready,
      statistics,
      version: options.version,
      fault: (error) => observer.fault(error, "oip-http"),
    }),
  );
  const webSocket = attachWebSocket(app.server, {
    sessions,
    observer,
    authenticate: async (request) => {
      if (allowedHosts !== null) checkHost(request.headers.host, allowedHosts);
      return authenticator.authenticate(request.headers, peerOf(request.socket));
    },
    recheck: (principal) => authenticator.recheck(principal),
    limits: { maxRecords: options.sessions?.maxRecords ?? 256, ...options.webSocket },
    allowedOrigins: options.allowedOrigins,
  });
  const grpc: GrpcServer | null =
    typeof options.grpcPort === "number"
      ? createGrpcServer({
          sessions,
          observer,
          authenticate: (headers, peer) => authenticator.authenticate(headers, peer),
          host,
          port: options.grpcPort,
          drainMs,
          ...(tls === null ? {} : { tls: tlsOptions(tls) }),
          ready,
          statistics,
        })
      : null;
  const beginDrain = () => {
    draining = true;
  };
  const admin =
    options.admin == null
      ? null
      : serveAdmin({ registry, sessions, engine, observer, log, drain: beginDrain, authenticate: guarded ? authenticate : null });

  const timers: NodeJS.Timeout[] = [];
  let closing: Promise<void> | undefined;
  const close = async () => {
    draining = true;
    const faults: unknown[] = [];
    // Whatever fails on the way, the engine is closed: it has yet to write what was acknowledged.
    const attempt = async (...acts: (() => unknown)[]) => {
      const settled = await Promise.allSettled(acts.map(async (act) => act()));
      for (const one of settled) if (one.status === "rejected") faults.push(one.reason);
    };
    await attempt(() => Promise.race([sentinel?.stop(), pause(drainMs, undefined, { ref: false })]));
    sessions.close();
    rest?.closeStreams();
    await attempt(
      () => webSocket.drain(drainMs),
      () => grpc?.close(),
      () => scheduler.drain(drainMs),
    );
    const deadline = setTimeout(() => app.server.closeAllConnections(), drainMs);
    await attempt(() => app.close());
    await attempt(() => admin?.close());
    clearTimeout(deadline);
    for (const timer of timers) clearInterval(timer);
    loop.stop();
    scheduler.close();
    await attempt(() => engine.close());
    await attempt(() => audit?.close());
    if (faults.length > 0) throw faults[0];
  };

  return {
    sessions,
    models: registry,
    engine,
    metrics,
    async listen() {
      const http = await listen(app, { host, port, scheme: tls === null ? "http" : "https" });
      const urls = { http, grpc: (await grpc?.listen()) ?? null, admin: null as string | null };
      if (admin) {
        const at = options.admin as number | string;
        urls.admin = await listen(admin, {
          host: typeof at === "string" ? at : "127.0.0.1",
          port: Number(at) || 0,
          scheme: "http",
        });
      }
      const every = (ms: number, act: () => Promise<void>, where: string) => {
        let busy = false;
        timers.push(
          setInterval(async () => {
            if (busy) return;
            busy = true;
            await act().catch((error) => observer.fault(error, where));
            busy = false;
          }, ms).unref(),
        );
      };
      every(TEND_MS, () => sessions.tend(), "tend");
      every(10 * TEND_MS, () => registry.tend(), "models");
      started = true;
      sentinel?.start();
      return urls;
    },
    close() {
      closing ??= close();
      return closing;
    },
  };
}

async function openEngine(
  { engine: tuning = {} }: ServerOptions,
  {
    data,
    durability,
    inThread,
    observer,
  }: { data: string | null; durability: Durability; inThread: boolean; observer: Required<Observer> },
): Promise<Engine> {
  const folder = data === null ? null : join(data, "sessions");
  const level = durability === "durable" ? "durable" : "process";
  if (inThread) {
    const store = folder === null ? new MemoryStore() : await LmdbStore.open({ folder, durability: level });
    return SessionEngine.open({ ...tuning, store, onFault: (error, where) => observer.fault(error, where) });
  }
  return WorkerEngine.start({
    ...tuning,
    store: folder === null ? { kind: "memory" } : { kind: "lmdb", folder, durability: level },
    onFault: (error, where) => observer.fault(error, where),
  });
}

function sourceOf(source: ServedSource): ModelSource {
  if (source === "probe") return { probe: true };
  if (source instanceof Uint8Array) return { bytes: source };
  return "bytes" in source ? source : { model: source };
}

/**
 * Where callers are known, snapshots leave sealed. Where every key is a tenant of its own they leave as `ostinato stream` writes them, bound
 * to the model and the tenant, so that server and command take up each other's.
 */
function sealOf(guarded: boolean, data: string | null): Seal {
  const seal = data === null ? null : SnapshotSeal.open(data);
  const refuse = () =>
    new OstinatoError("OST_SNAPSHOT", {
      what: "the snapshot was not sealed by this server",
      where: "snapshot",
      repair: "restore one that it made",
    });
  if (!guarded) {
    return {
      seal: (snapshot) => snapshot,
      unseal(snapshot, binding) {
        if (!isSealed(snapshot)) return snapshot;
        if (seal === null) throw refuse();
        return seal.unseal(snapshot, binding);
      },
    };
  }
  const key = seal ?? new SnapshotSeal(randomBytes(32));
  return {
    seal: (snapshot, binding) => key.seal(snapshot, binding),
    unseal(snapshot, binding) {
      if (!isSealed(snapshot)) throw refuse();
      return key.unseal(snapshot, binding);
    },
  };
}

function health(
  app: FastifyInstance,
  {
    state,
    loop,
    engine,
    metrics,
    authenticate,
  }: {
    state(): Promise<string[]>;
    loop: LoopWatch;
    engine: Engine;
    metrics: ServerMetrics;
    authenticate: ((request: FastifyRequest) => Promise<Principal>) | null;
  },
): void {
  app.get("/livez", async (_request, reply) => reply.code(loop.stalled ? 503 : 200).send({ alive: !loop.stalled }));
  app.get("/readyz", async (_request, reply) => {
    const reasons = await state();
    return reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons });
  });
  app.get("/startupz", async (_request, reply) => {
    const started = !(await state()).includes("starting");
    const { recovered, sessions } = await engine.status();
    return reply.code(started ? 200 : 503).send({ started, recovered, sessions: sessions.total });
  });
  app.get("/metrics", async (request, reply) => {
    if (authenticate !== null) {
      const { scopes } = await authenticate(request);
      if (!scopes.has("metrics")) {
        throw new OstinatoError("OST_SCOPE", { what: "the credential does not permit this", expected: "the scope metrics" });
      }
    }
    return reply.type(metrics.contentType).send(await metrics.text());
  });
}

function page(app: FastifyInstance, folder: string | undefined): void {
  for (const name of Object.keys(STUDIO_FILES) as (keyof typeof STUDIO_FILES)[]) {
    app.get(name === "index.html" ? "/" : `/studio/${name}`, async (_request, reply) => {
      const file = readStudioFile(name, folder);
      if (file) return reply.headers(STUDIO_HEADERS).type(file.type).send(file.body);
      return reply.code(404).type("text/plain; charset=utf-8").send("The page is not built. Build it with: npm run build\n");
    });
  }
}

/** Whether the loop of events turned lately; asked from within it, so a stall is seen once it is over. */
class LoopWatch {
  #last = performance.now();
  #worst = 0;
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.#worst = Math.max(this.#worst * 0.9, now - this.#last - WATCH_LOOP_MS);
    this.#last = now;
  }, WATCH_LOOP_MS).unref();

  get stalled(): boolean {
    return Math.max(this.#worst, performance.now() - this.#last - WATCH_LOOP_MS) > LOOP_STALL_MS;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Whether the engine, and the store behind it, answer soon. */
async function storeAnswers(engine: Engine): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), 2000);
  });
  try {
    return await Promise.race([engine.healthy(), late]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return;
  throw new OstinatoError("OST_RANGE", { what: "no such port", expected: "0 .. 65535", got: String(port), where: "port" });
}
