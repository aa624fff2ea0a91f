/** @file The process that is loaded: the whole server, or an echo made of the framework of one of its protocols. */
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server as GrpcServer, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import Fastify from "fastify";
import { WebSocketServer } from "ws";
import { createServer, type ServerOptions } from "../../src/serve/server.js";
import { inferenceDefinition, type Message } from "./inference-definition.js";

export interface LoadServerJob {
  kind: "server" | "websocket" | "grpc" | "http";
  /** Of the server: its data folder, the model file, and what else differs from what is served by default. */
  data?: string;
  model?: string;
  options?: Partial<ServerOptions>;
}

/** Host and port by protocol. */
export type Addresses = Partial<Record<"websocket" | "grpc" | "http", string>>;

const job = JSON.parse(process.argv[2]) as LoadServerJob;
const start = performance.now();
const addresses = await open(job);
process.send?.({ addresses, seconds: (performance.now() - start) / 1000 });
process.on("message", () => process.send?.({ usage: process.cpuUsage(), memory: process.memoryUsage() }));

async function open({ kind, data = null, model, options }: LoadServerJob): Promise<Addresses> {
  switch (kind) {
    case "server": {
      const bytes = model === undefined ? ("probe" as const) : new Uint8Array(readFileSync(model));
      const server = await createServer({ models: new Map([["load", bytes]]), data, port: 0, grpcPort: 0, ...options });
      const { http, grpc } = await server.listen();
      process.on("SIGTERM", async () => {
        if (process.env.LB_METRICS) {
          const t = await (await fetch(http + "/metrics")).text();
          (await import("node:fs")).writeFileSync(process.env.LB_METRICS, t);
        }
        return server.close().then(() => process.exit(0));
      });
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
