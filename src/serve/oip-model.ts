/** @file What the Open Inference Protocol tells of a server and its models; the same for HTTP and gRPC. */
import { OstinatoError } from "../core/errors.js";
import type { ModelVersion } from "./engine.js";
import type { InferenceStatistics } from "./oip-statistics.js";
import { type Datatype, inputTensors, outputTensors, type TensorFacts } from "./oip-tensor.js";
import type { ServedModel, Sessions } from "./sessions.js";

export const PLATFORM = "ostinato";

/** The extensions of the protocol that this server has, by the names that clients look for. */
export const EXTENSIONS = [
  "binary_tensor_data",
  "sequence",
  "sequence(string_id)",
  "model_configuration",
  "statistics",
  "parameters",
] as const;

/**
 * The model of a request.
 *
 * @param version "" any: sessions stay on the version they are pinned to.
 * @throws OST_MODEL an unknown name; OST_VERSION a version that the name does not have.
 */
export function findModel(sessions: Sessions, name: string, version = ""): ServedModel {
  let served: ServedModel;
  try {
    served = sessions.model(name);
  } catch (error) {
    if (!(error instanceof OstinatoError) || error.code !== "OST_MODEL") throw error;
    throw new OstinatoError("OST_MODEL", { ...error.detail, what: `Request for unknown model: '${name}' is not found` });
  }
  if (version === "" || version === served.current.version || served.others.some((one) => one.version === version)) return served;
  throw new OstinatoError("OST_VERSION", {
    what: `Request for unknown model: '${name}' version ${version} is not found`,
    expected: [served.current, ...served.others].map((one) => one.version).join(", "),
    repair: "leave the version out: a session stays on the one it began with",
  });
}

export interface ModelFacts {
  name: string;
  versions: string[];
  platform: string;
  inputs: TensorFacts[];
  outputs: TensorFacts[];
}

export function modelFacts({ name, current, others }: ServedModel): ModelFacts {
  return {
    name,
    versions: [current, ...others].map(({ version }) => version),
    platform: PLATFORM,
    inputs: inputTensors(current),
    outputs: outputTensors(current),
  };
}

export interface ModelConfig {
  name: string;
  platform: string;
  backend: string;
  max_batch_size: number;
  input: { name: string; data_type: string; dims: number[] }[];
  output: { name: string; data_type: string; dims: number[] }[];
  sequence_batching: { direct: Record<string, never> };
  parameters: Record<string, { string_value: string }>;
}

/** As a Triton model's configuration: a sequence model of batch size 1, the batch's axis left out of `dims`. */
export function modelConfig({ name, current }: ServedModel): ModelConfig {
  const tensor = ({ name, datatype, shape }: TensorFacts) => ({ name, data_type: configType(datatype), dims: shape.slice(1) });
  const { task, streaming, columns, time, classes, targets, horizon, stateSchema }: ModelVersion = current;
  const facts = { task, streaming, columns, time, classes, targets, horizon, state_schema: stateSchema };
  return {
    name,
    platform: PLATFORM,
    backend: PLATFORM,
    max_batch_size: 1,
    input: inputTensors(current).map(tensor),
    output: outputTensors(current).map(tensor),
    sequence_batching: { direct: {} },
    parameters: Object.fromEntries(
      Object.entries(facts).map(([key, value]) => [
        key,
        { string_value: typeof value === "string" ? value : JSON.stringify(value) },
      ]),
    ),
  };
}

function configType(datatype: Datatype): string {
  return datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`;
}

export interface ModelStatistics {
  name: string;
  version: string;
  last_inference: number;
  inference_count: number;
  execution_count: number;
  inference_stats: Record<
    "success" | "fail" | "queue" | "compute_input" | "compute_infer" | "compute_output",
    { count: number; ns: number }
  >;
}

/** Queue and compute are not told apart here: their time is the whole's, under `compute_infer`. */
export function modelStatistics({ name, current }: ServedModel, statistics: InferenceStatistics): ModelStatistics {
  const { lastInference, inferences, executions, success, fail } = statistics.of(name);
  const none = { count: success.count, ns: 0 };
  return {
    name,
    version: current.version,
    last_inference: lastInference,
    inference_count: inferences,
    execution_count: executions,
    inference_stats: { success, fail, queue: none, compute_input: none, compute_infer: success, compute_output: none },
  };
}

export interface IndexEntry {
  name: string;
  version: string;
  state: string;
  reason: string;
}

/** Every version of every model, by name. */
export function modelIndex(sessions: Sessions): IndexEntry[] {
  return sessions
    .models()
    .flatMap(({ name, current, others }) =>
      [current, ...others].map(({ version }) => ({ name, version, state: "READY", reason: "" })),
    );
}
