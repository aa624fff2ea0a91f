/** @file Inferences as gRPC messages: `ModelInferRequest` and `ModelInferResponse` to and from what `infer` takes and gives. */
import { OstinatoError } from "../core/errors.js";
import { INFERENCE_PROTO } from "./inference.proto.js";
import type { OipError } from "./oip-error.js";
import type { InferAnswer, InferRequest, Parameter } from "./oip-infer.js";
import { decodeMessage, encodeMessage, type Message, parseProto, type Whole } from "./oip-protobuf.js";
import { type InputTensor, tensorBytes } from "./oip-tensor.js";

export const INFERENCE = parseProto(INFERENCE_PROTO);

const REQUEST = INFERENCE.message("ModelInferRequest");
const RESPONSE = INFERENCE.message("ModelInferResponse");
const STREAM_RESPONSE = INFERENCE.message("ModelStreamInferResponse");

const CONTENTS: Record<string, string> = {
  BOOL: "bool_contents",
  INT8: "int_contents",
  INT16: "int_contents",
  INT32: "int_contents",
  INT64: "int64_contents",
  UINT8: "uint_contents",
  UINT16: "uint_contents",
  UINT32: "uint_contents",
  UINT64: "uint64_contents",
  FP32: "fp32_contents",
  FP64: "fp64_contents",
  BYTES: "bytes_contents",
};

const MAX_INT64 = 2n ** 63n - 1n;
const MAX_TENSORS = 1024;

const refuse = (what: string, where: string, facts: { expected?: string; got?: string } = {}) =>
  new OstinatoError("OST_REQUEST", { what, where, ...facts });

/** @throws OST_REQUEST for bytes that are no request. */
export function readInferMessage(bytes: Buffer): InferRequest {
  const message = decodeMessage(REQUEST, bytes);
  const parameters = readParameters(message.parameters);
  const id = parameters.get("sequence_id");
  // Clients without unsigned integers send those above 2^63 as negative ones.
  if ((typeof id === "number" || typeof id === "bigint") && id < 0) parameters.set("sequence_id", BigInt.asUintN(64, BigInt(id)));
  const outputs = message.outputs as Message[];
  return {
    model: message.model_name as string,
    version: message.model_version as string,
    id: message.id as string,
    parameters,
    inputs: () => readTensors(message),
    ...(outputs.length > 0 ? { outputs: outputs.map(({ name }) => name as string) } : {}),
  };
}

function readTensors({ inputs, outputs, raw_input_contents }: Message): InputTensor[] {
  const tensors = inputs as Message[];
  const raw = raw_input_contents as Buffer[];
  if (tensors.length > MAX_TENSORS)
    throw refuse("too many tensors", "inputs", { expected: `at most ${MAX_TENSORS}`, got: `${tensors.length}` });
  if (raw.length > 0 && raw.length !== tensors.length) {
    throw refuse("raw_input_contents are not one for each input", "raw_input_contents", {
      expected: `${tensors.length}, or none`,
      got: `${raw.length}`,
    });
  }
  for (const { parameters } of outputs as Message[]) refuseForeign(readParameters(parameters), "outputs");
  return tensors.map((tensor, i) => readTensor(tensor, raw[i], i));
}

function readParameters(map: unknown): Map<string, Parameter> {
  const parameters = new Map<string, Parameter>();
  for (const [name, choice] of Object.entries(map as Record<string, Message | null>)) {
    const field = choice?.parameter_choice as string | undefined;
    if (choice && field !== undefined) parameters.set(name, choice[field] as Parameter);
  }
  return parameters;
}

/** What would silently change the meaning of a tensor. */
function refuseForeign(parameters: ReadonlyMap<string, Parameter>, where: string): void {
  for (const name of ["shared_memory_region", "classification"]) {
    if (parameters.has(name)) throw refuse(`this server does not have the extension of '${name}'`, where);
  }
}

function readTensor(
  { name, datatype, shape, parameters, contents }: Message,
  raw: Buffer | undefined,
  index: number,
): InputTensor {
  const where = `inputs[${index}]`;
  refuseForeign(readParameters(parameters), where);
  const tensor = { name: name as string, datatype: datatype as string, shape: (shape as Whole[]).map(Number) };
  const held = (contents ?? {}) as Record<string, unknown[]>;
  const fields = Object.keys(held).filter((field) => held[field].length > 0);
  if (raw !== undefined) {
    if (fields.length > 0) throw refuse("a tensor with both contents and raw_input_contents", where);
    return { ...tensor, data: { raw } };
  }
  const field = CONTENTS[tensor.datatype];
  const other = fields.find((one) => one !== field);
  if (other !== undefined)
    throw refuse(`contents that are not of the datatype '${tensor.datatype}'`, where, { expected: field, got: other });
  return { ...tensor, data: { values: held[field] ?? [] } };
}

function parameterMessage(value: Parameter): Message {
  if (typeof value === "boolean") return { bool_param: value };
  if (typeof value === "string") return { string_param: value };
  if (typeof value === "bigint") return value > MAX_INT64 ? { uint64_param: value } : { int64_param: value };
  return Number.isSafeInteger(value) ? { int64_param: value } : { double_param: value };
}

function parameterMessages(parameters: ReadonlyMap<string, Parameter>): Message {
  return Object.fromEntries([...parameters].map(([name, value]) => [name, parameterMessage(value)]));
}

function responseMessage({ model, version, id, parameters, outputs }: InferAnswer): Message {
  return {
    model_name: model,
    model_version: version,
    id,
    parameters: parameterMessages(parameters),
    outputs: outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    raw_output_contents: outputs.map(tensorBytes),
  };
}

export function inferMessage(answer: InferAnswer): Buffer {
  return encodeMessage(RESPONSE, responseMessage(answer));
}

export function streamMessage(answer: InferAnswer): Buffer {
  return encodeMessage(STREAM_RESPONSE, { infer_response: responseMessage(answer) });
}

/** An error on a stream, which goes on; the request's own names say which one it answers. */
export function streamErrorMessage({ code, text, applied, expectedSeq }: OipError, ask: InferRequest | null): Buffer {
  const parameters = new Map<string, Parameter>([
    ["ostinato_code", code],
    ["ostinato_applied", applied],
  ]);
  if (expectedSeq !== undefined) parameters.set("ostinato_expected_seq", expectedSeq);
  const id = ask?.parameters.get("sequence_id");
  if (id !== undefined) parameters.set("sequence_id", id);
  return encodeMessage(STREAM_RESPONSE, {
    error_message: text,
    infer_response: {
      model_name: ask?.model,
      id: ask?.id,
      parameters: parameterMessages(parameters),
    },
  });
}
