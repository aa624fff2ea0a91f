/** A server of the Open Inference Protocol over the real parts: engine in this thread, store in memory, the probe as its model. */
import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import { OstinatoError } from "../../src/core/errors.js";
import type { ModelSource } from "../../src/serve/engine.js";
import { TenantLimits } from "../../src/serve/limits.js";
import { type Observer, observeAll } from "../../src/serve/observer.js";
import { createGrpcServer, type GrpcServerOptions } from "../../src/serve/oip-grpc.js";
import { oipHttp } from "../../src/serve/oip-http.js";
import { InferenceStatistics } from "../../src/serve/oip-statistics.js";
import { type Principal, SCOPES } from "../../src/serve/principal.js";
import { Scheduler } from "../../src/serve/scheduler.js";
import { SnapshotSeal } from "../../src/serve/sealed-snapshot.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { SessionService } from "../../src/serve/session-service.js";
import type { ServedModel } from "../../src/serve/sessions.js";
import { MemoryStore } from "../../src/serve/store-memory.js";

export interface StackOptions {
  /** By the names they are served under. Default the probe as "probe". */
  models?: Record<string, ModelSource>;
  observer?: Observer;
  grpc?: Partial<GrpcServerOptions>;
  /** Tokens that come in, by tenant. Default: everybody, as tenant "acme". */
  tokens?: Record<string, string>;
}

/** Listens on free ports of the loopback. */
export async function openStack({ models = { probe: { probe: true } }, observer = {}, grpc = {}, tokens }: StackOptions = {}) {
  const faults: unknown[] = [];
  const observers = observeAll([observer, { fault: (error) => faults.push(error) }]);
  const engine = await SessionEngine.open({ store: new MemoryStore() });
  const served = new Map<string, ServedModel>();
  for (const [name, source] of Object.entries(models)) {
    const current = await engine.load(source);
    await engine.route(name, { version: current.version, policy: "pin" });
    served.set(name, { name, current, others: [] });
  }
  const scheduler = new Scheduler({ execute: (operations) => engine.execute(operations) });
  const sessions = new SessionService({
    engine,
    scheduler,
    models: {
      list: () => [...served.values()],
      model(name) {
        const found = served.get(name);
        if (found) return found;
        throw new OstinatoError("OST_MODEL", { what: "no such model is served", got: name });
      },
    },
    observer: observers,
    limits: new TenantLimits(),
    seal: new SnapshotSeal(new Uint8Array(32)),
    durability: "none",
  });
  const authenticate = async ({ authorization = "" }: { authorization?: string }): Promise<Principal> => {
    const tenant = tokens ? tokens[authorization.replace(/^Bearer /, "")] : "acme";
    if (tenant === undefined) throw new OstinatoError("OST_CREDENTIAL", { what: "no credential that this server knows" });
    return { tenant, subject: "test", scopes: new Set(SCOPES) };
  };
  const statistics = new InferenceStatistics();
  const app = Fastify({ bodyLimit: 8 * 1024 * 1024 });
  await app.register(
    oipHttp({ sessions, authenticate: ({ headers }) => authenticate(headers), statistics, fault: (error) => faults.push(error) }),
  );
  await app.listen({ host: "127.0.0.1", port: 0 });
  const server = createGrpcServer({ sessions, authenticate, observer: observers, port: 0, statistics, ...grpc });
  const grpcAddress = await server.listen();
  const httpAddress = `127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  return {
    sessions,
    engine,
    server,
    served,
    statistics,
    /** Faults of the program that were reported: none, in a test that does not make them. */
    faults,
    grpcAddress,
    httpAddress,
    async close() {
      await server.close();
      app.server.closeAllConnections();
      await app.close();
      await engine.close();
    },
  };
}

export type Stack = Awaited<ReturnType<typeof openStack>>;
