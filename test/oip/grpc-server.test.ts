/** What a gRPC server owes whoever runs it: credentials, bounds, slow and silent clients, health, reflection, TLS, and an orderly end. */
import { connect as connectSocket } from "node:net";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import descriptor from "protobufjs/ext/descriptor/index.js";
import { afterEach, describe, expect, it } from "vitest";
import { OstinatoError } from "../../src/core/errors.js";
import {
  call,
  connect,
  healthPackage,
  type InferenceClient,
  inferRequest,
  openStream,
  outputOf,
  reflectionPackage,
  type Wire,
} from "./grpc-client.js";
import { replay } from "./replay.js";
import { openStack, type Stack, type StackOptions } from "./stack.js";

let stack: Stack;
const clients: InferenceClient[] = [];

async function open(options: StackOptions = {}): Promise<InferenceClient> {
  stack = await openStack(options);
  clients.push(connect(stack.grpcAddress));
  return clients[0];
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stack.close();
  expect(stack.faults).toEqual([]);
});

describe("credentials", () => {
  it("are asked for by every call but liveness, readiness and health", async () => {
    const client = await open({ tokens: { good: "acme", other: "globex" } });
    expect(await call(client, "ServerLive", {})).toEqual({ live: true });
    for (const method of [
      "ServerMetadata",
      "ModelMetadata",
      "ModelConfig",
      "ModelStatistics",
      "ModelReady",
      "RepositoryIndex",
      "ModelInfer",
    ]) {
      const refused = { code: status.UNAUTHENTICATED };
      await expect(call(client, method, { ...inferRequest([1]), name: "probe" }), method).rejects.toMatchObject(refused);
      await expect(call(client, method, { ...inferRequest([1]), name: "probe" }, "bad"), method).rejects.toMatchObject(refused);
    }
    expect(await openStream(client, "bad").ended).toMatchObject({ code: status.UNAUTHENTICATED });
    await call(client, "ModelInfer", inferRequest([1], { sequence: "mine", start: true }), "good");
    await expect(call(client, "ModelInfer", inferRequest([1], { sequence: "mine" }), "other")).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
  });

  it("are asked for before a message is read", async () => {
    const client = await open({ tokens: { good: "acme" } });
    const raw = (bytes: Buffer) => bytes;
    // A message that never comes: the refusal does not wait for it.
    const stream = client.makeClientStreamRequest("/inference.GRPCInferenceService/ModelInfer", raw, raw, () => {});
    const code = await new Promise((resolve) => stream.on("status", (ended: { code: number }) => resolve(ended.code)));
    expect(code).toBe(status.UNAUTHENTICATED);
  });

  it("that end in the middle of a stream end it", async () => {
    let isGood = true;
    const recheck = () => {
      if (!isGood) throw new OstinatoError("OST_CREDENTIAL", { what: "the credential has expired" });
    };
    const { write, until, ended } = openStream(await open({ grpc: { recheck } }));
    write(inferRequest([1], { sequence: "s", start: true }));
    await until(1);
    isGood = false;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    write(inferRequest([2], { sequence: "s" }));
    expect(await ended).toMatchObject({ code: status.UNAUTHENTICATED });
    const { session } = await stack.sessions.get(
      { principal: { tenant: "acme", subject: "t", scopes: new Set(["step"]) }, protocol: "internal" },
      { model: "probe", id: { text: "s" } },
    );
    expect(session.seq).toBe(1);
  });
});

describe("bounds", () => {
  it("refuse a message above 4 MiB, and the server goes on", async () => {
    const client = await open();
    const huge = { ...inferRequest([1]), raw_input_contents: [Buffer.alloc(5 * 1024 * 1024)] };
    await expect(call(client, "ModelInfer", huge)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(outputOf(await call(client, "ModelInfer", inferRequest([1])))).toEqual(replay([1]));
  });

  it("answer bytes that are no message with INVALID_ARGUMENT, on a stream without ending it", async () => {
    const client = await open();
    const raw = (bytes: Buffer) => bytes;
    const path = "/inference.GRPCInferenceService/";
    const unary = new Promise((_resolve, reject) =>
      client.makeUnaryRequest(`${path}ModelInfer`, raw, raw, Buffer.from([0xff]), reject),
    );
    await expect(unary).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    const stream = client.makeBidiStreamRequest(`${path}ModelStreamInfer`, raw, raw, new Metadata());
    const answers: Buffer[] = [];
    stream.on("error", () => {});
    stream.on("data", (bytes: Buffer) => answers.push(bytes));
    stream.write(Buffer.from([0xff]));
    stream.write(Buffer.from([0x0a, 0x05, 0x70]));
    while (answers.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    for (const bytes of answers) expect(bytes.toString("utf8")).toContain("malformed protobuf message");
    stream.end();
  });

  it("stop reading from a client that fetches nothing, and end its call", { timeout: 60_000 }, async () => {
    let slow = 0;
    const client = await open({ observer: { slowConsumer: () => slow++ } });
    const { stream, write, ended } = openStream(client);
    stream.removeAllListeners("data");
    stream.pause();
    const values = Array.from({ length: 250 }, (_, i) => i);
    let sent = 0;
    let isOver = false;
    void ended.then(() => (isOver = true));
    while (!isOver && sent < 20_000) {
      sent++;
      if (!write(inferRequest(values, { sequence: `slow-${sent % 8}`, start: sent <= 8 })))
        await new Promise((resolve) => setTimeout(resolve, 1));
      if (sent % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      if (slow > 0) break;
    }
    const deadline = performance.now() + 30_000;
    while (slow === 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(slow).toBe(1);
    expect((await ended)?.code).toBeDefined();
    // Far fewer were computed than were sent: reading had stopped.
    const { inferences } = stack.statistics.of("probe");
    expect(inferences / 250).toBeLessThan(sent);
    expect(outputOf(await call(connectAgain(), "ModelInfer", inferRequest([1])))).toEqual(replay([1]));
  });

  it("keep connections to a number", async () => {
    await open({ grpc: { maxConnections: 2 } });
    const [host, port] = stack.grpcAddress.split(":");
    const sockets = Array.from({ length: 6 }, () => connectSocket({ host, port: Number(port) }).on("error", () => {}));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(sockets.filter((socket) => !socket.destroyed && !socket.closed && socket.readable).length).toBe(2);
    for (const socket of sockets) socket.destroy();
  });
});

function connectAgain(): InferenceClient {
  clients.push(connect(stack.grpcAddress));
  return clients.at(-1) as InferenceClient;
}

describe("health and reflection", () => {
  it("tell whether the server serves", async () => {
    let isReady = true;
    const client = await open({ grpc: { ready: () => isReady } });
    const health = new healthPackage.Health(stack.grpcAddress, credentials.createInsecure());
    clients.push(health);
    expect(await call(health, "Check", {})).toEqual({ status: "SERVING" });
    expect(await call(health, "Check", { service: "inference.GRPCInferenceService" })).toEqual({ status: "SERVING" });
    await expect(call(health, "Check", { service: "none" })).rejects.toMatchObject({ code: status.NOT_FOUND });
    const watched: Wire[] = [];
    const watch = health.Watch({});
    watch.on("error", () => {});
    watch.on("data", (answer: Wire) => watched.push(answer.status));
    while (watched.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
    isReady = false;
    while (watched.length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(watched).toEqual(["SERVING", "NOT_SERVING"]);
    expect(await call(client, "ServerReady", {})).toEqual({ ready: false });
    watch.cancel();
  });

  it("describe the services so that a client needs no file of its own", async () => {
    await open();
    const reflection = new reflectionPackage.ServerReflection(stack.grpcAddress, credentials.createInsecure());
    clients.push(reflection);
    const stream = reflection.ServerReflectionInfo();
    stream.on("error", () => {});
    const ask = (request: Wire): Promise<Wire> =>
      new Promise((resolve) => {
        stream.once("data", resolve);
        stream.write(request);
      });
    const { list_services_response: list } = await ask({ list_services: "" });
    expect(list.service.map(({ name }: Wire) => name)).toEqual(
      expect.arrayContaining(["inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]),
    );
    const found = await ask({ file_containing_symbol: "inference.GRPCInferenceService.ModelInfer" });
    const [file] = found.file_descriptor_response.file_descriptor_proto;
    // As protoc names the messages of maps, and as tools want them.
    const messages = descriptor.FileDescriptorProto.toObject(descriptor.FileDescriptorProto.decode(file)).messageType;
    const asked = messages.find(({ name }: Wire) => name === "ModelInferRequest");
    expect(asked.nestedType.filter(({ options }: Wire) => options?.mapEntry).map(({ name }: Wire) => name)).toEqual([
      "ParametersEntry",
    ]);
    expect(asked.field.find(({ name }: Wire) => name === "parameters").typeName).toBe("ParametersEntry");
    // A FileDescriptorSet holds files as its field 1.
    const length: number[] = [];
    for (let rest = file.length; ; rest >>>= 7) {
      length.push(rest >= 128 ? (rest & 127) | 128 : rest);
      if (rest < 128) break;
    }
    const set = loadFileDescriptorSetFromBuffer(Buffer.concat([Buffer.from([0x0a, ...length]), file]), {
      keepCase: true,
      longs: String,
    });
    const { ModelInfer } = set["inference.GRPCInferenceService"] as Wire;
    const request = inferRequest([1], { sequence: { uint64: "18446744073709551615" }, start: true });
    const written: Buffer = connectAgain().ModelInfer.requestSerialize(request);
    // This library reads the maps of described files as the lists of entries that they are on the wire.
    const entries = Object.entries(request.parameters).map(([key, value]) => ({ key, value }));
    expect(ModelInfer.requestSerialize({ ...request, parameters: entries }).equals(written)).toBe(true);
    expect((await ask({ file_by_filename: "none.proto" })).error_response.error_code).toBe(status.NOT_FOUND);
    stream.end();
  });
});

describe("the end", () => {
  it("answers what it has, ends streams with UNAVAILABLE, and takes no more", async () => {
    const client = await open();
    const { write, answers, until, ended } = openStream(client);
    for (let t = 0; t < 20; t++) write(inferRequest([t], { sequence: "s", start: t === 0 }));
    await until(1);
    await stack.server.close();
    expect(await ended).toMatchObject({ code: status.UNAVAILABLE });
    for (const [t, { error_message, infer_response }] of answers.entries()) {
      expect(error_message ?? "").toBe("");
      expect(Number(infer_response.parameters.ostinato_seq.int64_param)).toBe(t + 1);
    }
    await expect(call(client, "ServerLive", {})).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });

  it("says that a port is in use", async () => {
    await open();
    const port = Number(stack.grpcAddress.split(":")[1]);
    await expect(openStack({ grpc: { port } })).rejects.toMatchObject({ code: "OST_PORT" });
  });
});
