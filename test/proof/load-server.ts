/** @file The process that is loaded: the whole server, or an echo made of the framework of one of its protocols. */
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server as GrpcServer, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import Fastify from "fastify";
import { WebSocketServer } from "ws";
import type { Beginning, Operation } from "../../src/serve/operation.js";
import { createServer, type Server, type ServerOptions } from "../../src/serve/server.js";
import { sessionKey } from "../../src/serve/session-key.js";
import { inferenceDefinition, type Message } from "./inference-definition.js";

export interface LoadServerJob {
  kind: "server" | "websocket" | "grpc" | "http";
  /** Of the server: its data folder, the model file, and what else differs from what is served by default. */
  data?: string | null;
  model?: string;
  options?: Partial<ServerOptions>;
}

/** Host and port by protocol. */
export type Addresses = Partial<Record<"websocket" | "grpc" | "http", string>>;

const FILL_AT_ONCE = 256;
let served: Server | null = null;
const job = JSON.parse(process.argv[2]) as LoadServerJob;
const start = performance.now();
const addresses = await open(job);
process.send?.({ addresses, seconds: (performance.now() - start) / 1000 });

/** What this process takes: CPU in microseconds, memory in bytes; `anonymous` is without pages of files, which the system can take back. */
export interface Usage {
  usage: NodeJS.CpuUsage;
  resident: number;
  anonymous: number;
}

process.on("message", async (message: { usage?: true; fill?: number }) => {
  if (message.fill === undefined) {
    process.send?.({ usage: process.cpuUsage(), ...memory() });
    return;
  }
  await fill(message.fill);
  process.send?.({ filled: message.fill });
});

function memory(): Omit<Usage, "usage"> {
  const text = readFileSync("/proc/self/smaps_rollup", "utf8");
  const of = (name: string) => 1024 * Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)?.[1]);
  return { resident: of("Rss"), anonymous: of("Anonymous") };
}

/** So many sessions, each begun and stepped once, in one tenant. */
async function fill(count: number): Promise<void> {
  const { engine, sessions } = served as Server;
  const { name, current } = sessions.models()[0];
  const begin: Beginning = {
    version: current.version,
    durability: "durable",
    ttlMs: null,
    attributes: {},
    creator: "fill",
    onLive: "restart",
    limits: { tenant: count, total: count },
  };
  const width = current.columns.length;
  for (let from = 0; from < count; from += FILL_AT_ONCE) {
    const operations = Array.from({ length: Math.min(FILL_AT_ONCE, count - from) }, (_, i): Operation => {
      const key = sessionKey({ tenant: "fill", model: name, id: { number: String(from + i) } });
      const rows = Float64Array.from({ length: width }, (_, k) => Math.sin(from + i + k));
      return { kind: "step", key, begin, input: { rows, count: 1 } };
    });
    for (const { error } of await engine.execute(operations)) if (error) throw new Error(JSON.stringify(error));
  }
}

async function open({ kind, data = null, model, options }: LoadServerJob): Promise<Addresses> {
  switch (kind) {
    case "server": {
      const bytes = model === undefined ? ("probe" as const) : new Uint8Array(readFileSync(model));
      const server = await createServer({ models: new Map([["load", bytes]]), data, port: 0, grpcPort: 0, ...options });
      served = server;
      const { http, grpc } = await server.listen();
      process.on("SIGTERM", () => server.close().then(() => process.exit(0)));
      const address = new URL(http).host;
      return { websocket: address, http: address, grpc: (grpc as string).replace(/^.*\/\//, "") };
    }
    case "websocket": {
      const http = createHttpServer();
      new WebSocketServer({ server: http, perMessageDeflate: false }).on("connection", (socket) => {
        socket.on("message", (bytes) => socket.send(bytes, { binary: true }));
      });
      await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
      return { websocket: `127.0.0.1:${(http.address() as AddressInfo).port}` };
    }
    case "http": {
      const app = Fastify();
      app.post("/echo", async ({ body }) => body);
      return { http: new URL(await app.listen({ port: 0, host: "127.0.0.1" })).host };
    }
    case "grpc": {
      const server = new GrpcServer();
      const echo = (call: ServerDuplexStream<Message, Message>) => {
        call.on("data", ({ model_name, id, parameters, inputs, raw_input_contents }: Message) => {
          const outputs = { outputs: inputs, raw_output_contents: raw_input_contents };
          call.write({ infer_response: { model_name, id, parameters, ...outputs } });
        });
        call.on("end", () => call.end());
        call.on("error", () => {});
      };
      server.addService({ ModelStreamInfer: inferenceDefinition() }, { ModelStreamInfer: echo });
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
          error ? reject(error) : resolve(bound),
        );
      });
      return { grpc: `127.0.0.1:${port}` };
    }
  }
}
