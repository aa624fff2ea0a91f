/** A gRPC client of the protocol as others write it: grpc-js with the messages of proto-loader. */
import "./long.js";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, credentials, loadPackageDefinition, Metadata, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { HEALTH_PROTO, INFERENCE_PROTO, REFLECTION_PROTO } from "../../src/serve/inference.proto.js";

/** A message as protobufjs gives it: 64-bit integers as texts. */
// biome-ignore lint/suspicious/noExplicitAny: messages of many types
export type Wire = any;

function load(text: string): Wire {
  const folder = mkdtempSync(join(tmpdir(), "oip-"));
  try {
    writeFileSync(join(folder, "service.proto"), text);
    return loadPackageDefinition(
      loadSync(join(folder, "service.proto"), { keepCase: true, longs: String, enums: String, oneofs: false }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const inferencePackage = load(INFERENCE_PROTO).inference;
export const healthPackage = load(HEALTH_PROTO).grpc.health.v1;
export const reflectionPackage = load(REFLECTION_PROTO).grpc.reflection.v1alpha;

export type InferenceClient = Client & Wire;

export function connect(address: string): InferenceClient {
  return new inferencePackage.GRPCInferenceService(address, credentials.createInsecure());
}

export function call(client: InferenceClient, method: string, request: Wire, token?: string): Promise<Wire> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return new Promise((resolve, reject) => {
    client[method](request, metadata, (error: ServiceError | null, answer: Wire) => (error ? reject(error) : resolve(answer)));
  });
}

/** A sequence's parameters: texts as such, integers of 64 bits as decimal texts under `uint64`. */
export interface Step {
  sequence?: string | { uint64: string } | { int64: string };
  start?: boolean;
  end?: boolean;
  seq?: number;
  id?: string;
  model?: string;
}

export function inferRequest(values: number[], { sequence, start, end, seq, id = "", model = "probe" }: Step = {}): Wire {
  const parameters: Wire = {};
  if (typeof sequence === "string") parameters.sequence_id = { string_param: sequence };
  else if (sequence && "uint64" in sequence) parameters.sequence_id = { uint64_param: sequence.uint64 };
  else if (sequence) parameters.sequence_id = { int64_param: sequence.int64 };
  if (start !== undefined) parameters.sequence_start = { bool_param: start };
  if (end !== undefined) parameters.sequence_end = { bool_param: end };
  if (seq !== undefined) parameters.ostinato_seq = { int64_param: seq };
  const raw = Buffer.from(Float32Array.from(values).buffer);
  const inputs = [{ name: "input", datatype: "FP32", shape: [1, values.length, 1] }];
  return { model_name: model, id, parameters, inputs, raw_input_contents: [raw] };
}

/** Numbers of the answer's tensor `output`. */
export function outputOf(answer: Wire): number[] {
  const index = answer.outputs.findIndex(({ name }: Wire) => name === "output");
  const raw: Buffer = answer.raw_output_contents[index];
  return Array.from({ length: raw.length / 4 }, (_, i) => raw.readFloatLE(i * 4));
}

/** What a stream answers, one after the other. */
export function openStream(client: InferenceClient, token?: string) {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const stream = client.ModelStreamInfer(metadata);
  const answers: Wire[] = [];
  const waiting: { count: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  let failure: ServiceError | null = null;
  let isOver = false;
  const look = () => {
    for (const one of [...waiting]) {
      if (answers.length >= one.count) one.resolve();
      else if (failure) one.reject(failure);
      else if (isOver) one.reject(new Error(`the stream ended after ${answers.length} answers`));
      else continue;
      waiting.splice(waiting.indexOf(one), 1);
    }
  };
  stream.on("data", (answer: Wire) => {
    answers.push(answer);
    look();
  });
  const ended = new Promise<ServiceError | null>((resolve) => {
    stream.on("error", (error: ServiceError) => {
      failure = error;
      look();
      resolve(error);
    });
    stream.on("end", () => {
      isOver = true;
      look();
      resolve(null);
    });
  });
  return {
    stream,
    answers,
    /** Null, or the error it ended with. */
    ended,
    write: (request: Wire) => stream.write(request),
    /** Resolves once so many answers came in all. */
    until: (count: number) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ count, resolve, reject });
        look();
      }),
  };
}
