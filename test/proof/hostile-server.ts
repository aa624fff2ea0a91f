/** @file The server that is attacked, in a process of its own, which tells what slipped: rejections, exceptions, faults, memory. */
import { createServer, type ServerOptions } from "../../src/serve/server.js";

export interface HostileServerJob {
  data: string;
  options?: Partial<ServerOptions>;
}

export interface HostileServerAddresses {
  http: number;
  grpc: number;
  admin: number;
}

export interface HostileServerFacts {
  rejections: string[];
  exceptions: string[];
  faults: string[];
  rss: number;
}

const job = JSON.parse(process.argv[2]) as HostileServerJob;
const [rejections, exceptions, faults] = [[], [], []] as string[][];
const note = (list: string[]) => (error: unknown) => {
  if (list.length < 20) list.push(String((error as Error)?.stack ?? error).slice(0, 700));
};
process.on("unhandledRejection", note(rejections));
process.on("uncaughtException", note(exceptions));

const server = await createServer({
  models: new Map([["probe", "probe"]]),
  data: job.data,
  durability: "process",
  port: 0,
  grpcPort: 0,
  admin: 0,
  logger: false,
  scheduler: { gapHoldMs: 50 },
  observer: { fault: (error, where) => note(faults)(`${where}: ${(error as Error)?.stack ?? error}`) },
  ...job.options,
});
const { http, grpc, admin } = await server.listen();
const portOf = (url: string | null) => Number(/:(\d+)$/.exec(url ?? "")?.[1] ?? 0);
process.send?.({ addresses: { http: portOf(http), grpc: portOf(grpc), admin: portOf(admin) } satisfies HostileServerAddresses });
process.on("message", (message: { collect?: boolean }) => {
  if (message.collect) globalThis.gc?.();
  process.send?.({ facts: { rejections, exceptions, faults, rss: process.memoryUsage().rss } satisfies HostileServerFacts });
});
process.on("SIGTERM", () => server.close().then(() => process.exit(0)));
