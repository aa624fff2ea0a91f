/**
 * @file The Open Inference Protocol over gRPC: `inference.GRPCInferenceService` with Triton's sequence extension, gRPC's health service, and
 * reflection. The messages are in `inference.proto.ts`; calls that it does not list are answered UNIMPLEMENTED.
 *
 * Streams are much faster than single calls: HTTP/2 in Node carries some thousand calls a second, and several times as many messages.
 */
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { OstinatoError } from "../core/errors.js";
import type { Peer } from "./auth.js";
import { HEALTH_PROTO, REFLECTION_PROTO } from "./inference.proto.js";
import type { Observer } from "./observer.js";
import { GRPC_STATUS, oipError } from "./oip-error.js";
import { infer } from "./oip-infer.js";
import { INFERENCE, inferMessage, readInferMessage } from "./oip-message.js";
import { EXTENSIONS, findModel, modelConfig, modelFacts, modelIndex, modelStatistics, PLATFORM } from "./oip-model.js";
import { decodeMessage, encodeMessage, type Message, type Method, type ProtoFile, parseProto } from "./oip-protobuf.js";
import { reflection } from "./oip-reflection.js";
import { InferenceStatistics } from "./oip-statistics.js";
import { InferStream, SHUTTING_DOWN } from "./oip-stream.js";
import type { Principal } from "./principal.js";
import type { Sessions } from "./sessions.js";
import { peerOf } from "./tls.js";

export interface GrpcServerOptions {
  sessions: Sessions;
  /** @throws OST_CREDENTIAL. */
  authenticate(headers: { authorization?: string }, peer: Peer): Promise<Principal>;
  /** For streams, about once a second. @throws OST_CREDENTIAL once the credential is no longer good. */
  recheck?(principal: Principal): void;
  observer: Required<Observer>;
  /** Default 127.0.0.1. The owner has checked that it may be listened on. */
  host?: string;
  /** Default 8788; 0 takes a free one. */
  port?: number;
  /** As `tlsOptions` gives; absent: plain text. */
  tls?: TlsOptions;
  /** Whether requests may come. Default: while a model is served. */
  ready?(): boolean | Promise<boolean>;
  /** Shared with HTTP, where both run. */
  statistics?: InferenceStatistics;
  /** Of the server, in its metadata. Default "". */
  version?: string;
  /** Default 4 MiB. */
  maxMessageBytes?: number;
  /** Default 1024. */
  maxConnections?: number;
  /** Default 10 s. */
  drainMs?: number;
}

export interface GrpcServer {
  /** @returns the address, as clients take it: "127.0.0.1:8788". @throws OST_PORT if the port cannot be had. */
  listen(): Promise<string>;
  /** Takes no more, answers what it has, and closes. Safe to call twice. */
  close(): Promise<void>;
}

const MEBIBYTE = 1024 * 1024;
const MAX_STREAMS = 128;
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 15_000;
const HANDSHAKE_MS = 10_000;
const IDLE_MS = 30 * 60_000;
const WATCH_MS = 2_000;
/** Status texts travel in a header, each character as up to nine. */
const MAX_DETAILS = 700;
/** What a slow reader's call gets to end by itself. */
const GRACE_MS = 1_000;

/** What is told to anybody. */
const OPEN_PATHS: ReadonlySet<string> = new Set([
  "/inference.GRPCInferenceService/ServerLive",
  "/inference.GRPCInferenceService/ServerReady",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]);

/** A status as grpc-js takes it. */
interface Failure {
  code: number;
  details: string;
  metadata: Metadata;
}

type IdleCall = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

interface IdleOptions {
  fail(error: unknown): Failure;
  keep(call: IdleCall): void;
}

type Implementation = UntypedServiceImplementation[string];

/** Makes a server; `listen` starts it. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { sessions, authenticate, observer, host = "127.0.0.1", port = 8788, drainMs = 10_000 } = options;
  const { maxMessageBytes = 4 * MEBIBYTE, statistics = new InferenceStatistics() } = options;
  const sockets = new Map<string, Socket>();
  const streams = new Set<InferStream>();
  /** Streams of health and reflection, which have nothing to finish. */
  const idle = new Set<IdleCall>();
  const keep = (call: IdleCall): void => {
    idle.add(call);
    for (const event of ["close", "cancelled"]) call.once(event, () => idle.delete(call));
  };
  let draining = false;
  const isReady = async () => !draining && ((await options.ready?.()) ?? sessions.models().length > 0);
  const fail = (error: unknown): Failure => {
    if (!(error instanceof OstinatoError)) observer.fault(error, "gRPC");
    return failureOf(error);
  };
  const principals = new WeakMap<Metadata, Principal>();
  const principalOf = ({ metadata }: { metadata: Metadata }) => principals.get(metadata) as Principal;
  /** Before a message is read, so that nobody without a credential can make the server read one. */
  const guard: ServerInterceptor = ({ path }, call) =>
    OPEN_PATHS.has(path)
      ? new ServerInterceptingCall(call)
      : new ServerInterceptingCall(call, {
          start: (next) =>
            next({
              onReceiveMetadata(metadata, proceed) {
                const [authorization] = metadata.get("authorization");
                const socket = sockets.get(call.getPeer());
                const headers = authorization === undefined ? {} : { authorization: String(authorization) };
                authenticate(headers, socket ? peerOf(socket) : {}).then(
                  (principal) => {
                    principals.set(metadata, principal);
                    proceed(metadata);
                  },
                  (error) => call.sendStatus(fail(error)),
                );
              },
            }),
        });
  const server = new Server({
    interceptors: [guard],
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.max_concurrent_streams": MAX_STREAMS,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.max_connection_idle_ms": IDLE_MS,
    "grpc.enable_channelz": 0,
  });

  const own = async <T>(work: () => T | Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof OstinatoError) sessions.refused(error.code, "oip-grpc");
      throw error;
    }
  };
  /** A call that is answered with a message. */
  const unary =
    ({ input, output }: Method, work: (request: Message) => Message | Promise<Message>): handleUnaryCall<Buffer, Buffer> =>
    (call, callback) => {
      const answer = async () => encodeMessage(output, await own(() => work(decodeMessage(input, call.request))));
      answer().then(
        (bytes) => callback(null, bytes),
        (error) => callback(fail(error)),
      );
    };
  const found = ({ name, version }: Message) => findModel(sessions, name as string, version as string);

  const modelInfer: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const answer = async () => {
      const principal = principalOf(call);
      const ask = await own(() => readInferMessage(call.request));
      return inferMessage(
        await infer(sessions, { principal, protocol: "oip-grpc", signal: departure(call) }, { ask, statistics }),
      );
    };
    answer().then(
      (bytes) => callback(null, bytes),
      (error) => callback(fail(error)),
    );
  };
  const modelStreamInfer: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const stream = new InferStream(call, {
      sessions,
      principal: principalOf(call),
      statistics,
      recheck: options.recheck,
      fault: (error) => observer.fault(error, "gRPC"),
      onSlow: () => {
        observer.slowConsumer("oip-grpc");
        const socket = sockets.get(call.getPeer());
        // Its status waits behind answers that nobody fetches.
        const tearing = setTimeout(() => socket?.destroy(), GRACE_MS).unref();
        call.once("close", () => clearTimeout(tearing));
      },
    });
    streams.add(stream);
    call.once("close", () => streams.delete(stream));
    if (draining) void stream.drain();
  };

  const tensorMessages = (tensors: readonly { name: string; datatype: string; shape: number[] }[]) =>
    tensors.map((tensor) => ({ ...tensor }));
  addService(server, INFERENCE, {
    ServerLive: (method) => unary(method, () => ({ live: true })),
    ServerReady: (method) => unary(method, async () => ({ ready: await isReady() })),
    ServerMetadata: (method) => unary(method, () => ({ name: PLATFORM, version: options.version ?? "", extensions: EXTENSIONS })),
    ModelReady: (method) =>
      unary(method, async (request) => {
        found(request);
        return { ready: await isReady() };
      }),
    ModelMetadata: (method) =>
      unary(method, (request) => {
        const facts = modelFacts(found(request));
        return { ...facts, inputs: tensorMessages(facts.inputs), outputs: tensorMessages(facts.outputs) };
      }),
    ModelConfig: (method) =>
      unary(method, (request) => {
        const { input, output, parameters, ...config } = modelConfig(found(request));
        const types = INFERENCE.enum("DataType");
        const typed = (tensors: typeof input) => tensors.map((tensor) => ({ ...tensor, data_type: types[tensor.data_type] }));
        return { config: { ...config, input: typed(input), output: typed(output), parameters } };
      }),
    ModelStatistics: (method) =>
      unary(method, (request) => {
        const models = request.name === "" ? sessions.models() : [found(request)];
        return { model_stats: models.map((served) => ({ ...modelStatistics(served, statistics) })) };
      }),
    RepositoryIndex: (method) => unary(method, () => ({ models: modelIndex(sessions).map((entry) => ({ ...entry })) })),
    ModelInfer: () => modelInfer,
    ModelStreamInfer: () => modelStreamInfer,
  });

  const health = parseProto(HEALTH_PROTO);
  const statuses = health.enum("HealthCheckResponse.ServingStatus");
  const known = new Set(["", INFERENCE.services[0].name]);
  const serving = async ({ service }: Message): Promise<number> =>
    statuses[!known.has(service as string) ? "SERVICE_UNKNOWN" : (await isReady()) ? "SERVING" : "NOT_SERVING"];
  addService(server, health, {
    Check: (method) => (call: ServerUnaryCall<Buffer, Buffer>, callback: Parameters<handleUnaryCall<Buffer, Buffer>>[1]) => {
      const answer = async () => {
        const status = await serving(decodeMessage(method.input, call.request));
        if (status === statuses["SERVICE_UNKNOWN"])
          throw { code: GRPC_STATUS.NOT_FOUND, details: "unknown service", metadata: new Metadata() };
        return encodeMessage(method.output, { status });
      };
      answer().then(
        (bytes) => callback(null, bytes),
        (error) => callback(error instanceof Error ? fail(error) : error),
      );
    },
    Watch: (method) => watchHealth(method, { serving, fail, keep }),
  });
  const files = [INFERENCE, health];
  for (const version of ["v1", "v1alpha"]) {
    const file = parseProto(REFLECTION_PROTO.replace("reflection.v1alpha", `reflection.${version}`));
    files.push(file);
    addService(server, file, {
      ServerReflectionInfo: (method) => reflect(method, { answer: (request) => reflection(files)(request), fail, keep }),
    });
  }

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const onConnection = (socket: Socket): void => {
    const name = `${socket.remoteAddress}:${socket.remotePort}`;
    sockets.set(name, socket);
    observer.connection("opened", "oip-grpc");
    socket.setNoDelay(true);
    socket.once("close", () => {
      sockets.delete(name);
      observer.connection("closed", "oip-grpc");
    });
    socket.on("error", () => {});
    injector.injectConnection(socket);
  };
  const listener: NetServer = options.tls
    ? createTlsServer({ ...options.tls, ALPNProtocols: ["h2"], handshakeTimeout: HANDSHAKE_MS }, onConnection).on(
        "tlsClientError",
        (_error, socket) => socket.destroy(),
      )
    : createNetServer(onConnection);
  listener.maxConnections = options.maxConnections ?? 1024;
  listener.on("drop", () => sessions.refused("OST_CAPACITY", "oip-grpc"));

  let closing: Promise<void> | undefined;
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        listener.once("error", (error: NodeJS.ErrnoException) => reject(portError(error, `${host}:${port}`)));
        listener.listen({ host, port }, () => {
          // Such as no file descriptors left for a connection: the server goes on.
          listener.removeAllListeners("error").on("error", (error) => observer.fault(error, "gRPC"));
          const address = listener.address();
          const bound = typeof address === "object" && address ? address.port : port;
          resolve(`${host.includes(":") ? `[${host}]` : host}:${bound}`);
        });
      }),
    close() {
      closing ??= (async () => {
        draining = true;
        const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
        for (const call of idle) call.emit("error", { code: GRPC_STATUS.UNAVAILABLE, details: SHUTTING_DOWN });
        const deadline = setTimeout(() => {
          for (const socket of sockets.values()) socket.destroy();
        }, drainMs);
        await Promise.race([
          Promise.all([...streams].map((stream) => stream.drain())),
          new Promise((resolve) => setTimeout(resolve, drainMs).unref()),
        ]);
        injector.drain(drainMs);
        injector.destroy();
        await closed;
        clearTimeout(deadline);
        server.forceShutdown();
      })();
      return closing;
    },
  };
}

/** Adds the services of a file: messages pass as bytes, so that malformed ones are answered in our words and not by an end of the call. */
function addService(server: Server, file: ProtoFile, handlers: Record<string, (method: Method) => Implementation>): void {
  const [{ name, methods }] = file.services;
  const bytes = (message: Buffer) => message;
  const definition: ServiceDefinition = Object.fromEntries(
    methods.map((method) => [
      method.name,
      {
        path: `/${name}/${method.name}`,
        requestStream: method.clientStream,
        responseStream: method.serverStream,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    ]),
  );
  server.addService(definition, Object.fromEntries(methods.map((method) => [method.name, handlers[method.name](method)])));
}

/** Sends the status at once and whenever it changes. */
function watchHealth(
  { input, output }: Method,
  { serving, fail, keep }: IdleOptions & { serving(request: Message): Promise<number> },
): handleServerStreamingCall<Buffer, Buffer> {
  return (call) => {
    let told: number | undefined;
    let request: Message;
    const tell = async () => {
      const status = await serving(request);
      if (status === told || call.destroyed || call.writableNeedDrain) return;
      told = status;
      call.write(encodeMessage(output, { status }));
    };
    try {
      request = decodeMessage(input, call.request);
    } catch (error) {
      call.emit("error", fail(error));
      return;
    }
    keep(call);
    const timer = setInterval(() => void tell(), WATCH_MS).unref();
    call.once("cancelled", () => clearInterval(timer));
    call.once("close", () => clearInterval(timer));
    void tell();
  };
}

function reflect(
  { input, output }: Method,
  { answer, fail, keep }: IdleOptions & { answer(request: Message): Message },
): handleBidiStreamingCall<Buffer, Buffer> {
  return (call) => {
    keep(call);
    call.on("data", (bytes: Buffer) => {
      try {
        if (!call.write(encodeMessage(output, answer(decodeMessage(input, bytes))))) {
          call.pause();
          call.once("drain", () => call.resume());
        }
      } catch (error) {
        call.emit("error", fail(error));
      }
    });
    call.once("end", () => call.end());
  };
}

function failureOf(error: unknown): Failure {
  const { grpc, text, code, applied } = oipError(error);
  const metadata = new Metadata();
  metadata.set("ostinato-code", code);
  metadata.set("ostinato-applied", applied);
  return { code: grpc, details: text.slice(0, MAX_DETAILS).replace(/\p{Surrogate}/gu, "\u{fffd}"), metadata };
}

/** Aborted when the caller cancels, or its deadline passes. */
function departure(call: ServerUnaryCall<Buffer, Buffer>): AbortSignal {
  const controller = new AbortController();
  call.once("cancelled", () => controller.abort());
  return controller.signal;
}

function portError(error: NodeJS.ErrnoException, address: string): unknown {
  if (error.code !== "EADDRINUSE" && error.code !== "EACCES" && error.code !== "EADDRNOTAVAIL") return error;
  return new OstinatoError("OST_PORT", {
    what: error.code === "EADDRINUSE" ? "the port is in use" : "the address cannot be listened on",
    got: `${address} (${error.code})`,
    repair: "choose another port, or 0 for a free one",
  });
}
