/** @file The real parts of a session server around the probe model, on a port of this machine, with WebSocket as the only protocol. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { OstinatoError } from "../../src/core/errors.js";
import type { Store } from "../../src/protocol/store.js";
import type { ModelSource } from "../../src/serve/engine.js";
import { TenantLimits } from "../../src/serve/limits.js";
import { type Observer, observeAll } from "../../src/serve/observer.js";
import { SCOPES } from "../../src/serve/principal.js";
import { Scheduler } from "../../src/serve/scheduler.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { SessionService } from "../../src/serve/session-service.js";
import type { ServedModel } from "../../src/serve/sessions.js";
import { MemoryStore } from "../../src/serve/store-memory.js";
import { attachWebSocket, type WebSocketLimits, type WebSocketSide } from "../../src/serve/websocket.js";

export interface StreamServer {
  url: string;
  port: number;
  side: WebSocketSide;
  sessions: SessionService;
  /** Names of the hooks of observers that were called, with how often. */
  counts: Map<string, number>;
  faults: unknown[];
  /** Gives the model's name another version; sessions stay on theirs. */
  swap(source: ModelSource): Promise<void>;
  close(): Promise<void>;
}

export interface StreamServerOptions {
  /** Served as "probe". Default the probe. */
  model?: ModelSource;
  store?: Store;
  limits?: Partial<WebSocketLimits>;
  /** Every batch takes so long, ms. Default none. */
  batchMs?: number;
  port?: number;
  /** Default "secret". */
  key?: string;
  /** Whether the credential is still good. */
  valid?(): boolean;
  gapHoldMs?: number;
  maxWaitingPerSession?: number;
}

export async function startStreamServer(options: StreamServerOptions = {}): Promise<StreamServer> {
  const { store = new MemoryStore(), limits, batchMs = 0, port = 0, key = "secret", gapHoldMs, maxWaitingPerSession } = options;
  const engine = await SessionEngine.open({ store });
  const version = await engine.load(options.model ?? { probe: true });
  await engine.route("probe", { version: version.version, policy: "pin" });
  let served: ServedModel = { name: "probe", current: version, others: [] };
  const modelNamed = (name: string) => {
    if (name !== "probe") throw new OstinatoError("OST_MODEL", { what: "no such model is served", got: name });
    return served;
  };
  const counts = new Map<string, number>();
  const faults: unknown[] = [];
  const counting = new Proxy({} as Observer, {
    get: (_, name: string) => {
      return (first: unknown) => {
        for (const label of [name, `${name}:${String(first)}`]) counts.set(label, (counts.get(label) ?? 0) + 1);
        if (name === "fault") faults.push(first);
      };
    },
  });
  const observer = observeAll([counting]);
  const scheduler = new Scheduler({
    execute: async (operations) => {
      if (batchMs > 0) await new Promise((resolve) => setTimeout(resolve, batchMs));
      return engine.execute(operations);
    },
    gapHoldMs,
    maxWaitingPerSession,
    onReordered: () => observer.disorder("reordered", "websocket"),
  });
  const sessions = new SessionService({
    engine,
    scheduler,
    models: { list: () => [served], model: modelNamed },
    observer,
    limits: new TenantLimits(),
    seal: { seal: (snapshot) => snapshot, unseal: (snapshot) => snapshot },
    durability: store.durability,
  });
  const server = createServer();
  const side = attachWebSocket(server, {
    sessions,
    recheck() {
      if (options.valid?.() === false) throw new OstinatoError("OST_CREDENTIAL", { what: "the key was revoked" });
    },
    observer,
    limits,
    async authenticate({ headers }) {
      if (headers.authorization !== `Bearer ${key}`) throw new OstinatoError("OST_CREDENTIAL", { what: "no such key" });
      return { tenant: "plant", subject: "test", scopes: new Set(SCOPES) };
    },
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const { port: own } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${own}/v1/stream`,
    port: own,
    side,
    sessions,
    counts,
    faults,
    async swap(source) {
      const current = await engine.load(source);
      await engine.route("probe", { version: current.version, policy: "pin" });
      served = { name: "probe", current, others: [served.current, ...served.others] };
    },
    async close() {
      await side.drain(2_000);
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      await engine.close();
    },
  };
}
