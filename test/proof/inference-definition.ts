/** @file The method `ModelStreamInfer` as any other user of grpc-js has it: messages made and read by protobufjs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadPackageDefinition, type MethodDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { INFERENCE_PROTO } from "../../src/serve/inference.proto.js";

/** A message as protobufjs gives it. */
export type Message = Record<string, unknown>;

export function inferenceDefinition(): MethodDefinition<Message, Message> {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-proto-"));
  try {
    writeFileSync(join(folder, "service.proto"), INFERENCE_PROTO);
    const loaded = loadPackageDefinition(
      loadSync(join(folder, "service.proto"), { keepCase: true, longs: String, enums: String }),
    );
    const { GRPCInferenceService } = loaded["inference"] as Record<string, ServiceClientConstructor>;
    return GRPCInferenceService.service["ModelStreamInfer"] as MethodDefinition<Message, Message>;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
