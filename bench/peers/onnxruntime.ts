/**
 * @file ONNX Runtime as a contender, inference only. Arguments: "node" or "web", number of threads. `PEERS_ROOT` holds the package and, in
 * `onnx/`, the models that `make-onnx.py` writes.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { timeAsyncSteps, warmUp } from "../step.js";
import { type Turn, takeTurns } from "../turn.js";

interface OnnxTensor {
  readonly dims: readonly number[];
}
type Values = Record<string, OnnxTensor>;
interface Session {
  readonly inputNames: readonly string[];
  run(inputs: Values): Promise<Values>;
}
interface OnnxRuntime {
  Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OnnxTensor;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  env: { wasm: { numThreads: number }; versions: Record<string, string> };
}

/** Shape [time, batch, inputSize] and hidden size; of a stream, one step is one record and the state is carried by the caller. */
const MODELS: Record<string, { x: readonly [number, number, number]; hiddenSize: number; streaming: boolean }> = {
  W5gru: { x: [1, 1, 40], hiddenSize: 128, streaming: true },
  W5lstm: { x: [1, 1, 64], hiddenSize: 256, streaming: true },
  W6a: { x: [1000, 1, 64], hiddenSize: 256, streaming: false },
  W6b: { x: [100, 64, 128], hiddenSize: 256, streaming: false },
};

const root = process.env["PEERS_ROOT"] ?? "";
const [kind, threads] = [process.argv[2], Number(process.argv[3])];
const onnxruntime: OnnxRuntime = createRequire(join(root, "package.json"))(`onnxruntime-${kind}`);
const { versions, wasm } = onnxruntime.env;
if (kind === "web") wasm.numThreads = threads;
const about = {
  name: `onnxruntime-${kind}`,
  version: versions[kind] ?? versions["common"] ?? "unknown",
  isa: kind === "web" ? "wasm simd" : "native",
  threads,
};
const steps = new Map<string, () => Promise<unknown>>();

await takeTurns(about, async (name, seconds): Promise<Turn> => {
  const model = MODELS[name];
  if (!model) throw new Error(`no workload "${name}"`);
  let step = steps.get(name);
  if (!step) {
    step = await load(name, model);
    await warmUp(step);
    steps.set(name, step);
  }
  return timeAsyncSteps(step, seconds, { single: model.streaming });
});
process.exit(0);

async function load(name: string, { x: dims, hiddenSize, streaming }: (typeof MODELS)[string]): Promise<() => Promise<unknown>> {
  const session = await onnxruntime.InferenceSession.create(readFileSync(join(root, "onnx", `${name}.onnx`)), {
    executionProviders: [kind === "web" ? "wasm" : "cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const tensor = (shape: readonly number[], value: () => number) =>
    new onnxruntime.Tensor(
      "float32",
      Float32Array.from({ length: shape.reduce((product, axis) => product * axis) }, value),
      shape,
    );
  const x = tensor(dims, () => Math.random() - 0.5);
  const names = session.inputNames.filter((input) => input !== "x");
  let state: Values = Object.fromEntries(names.map((input) => [input, tensor([1, dims[1], hiddenSize], () => 0)]));
  if (!streaming) return () => session.run({ x, ...state });
  return async () => {
    const result = await session.run({ x, ...state });
    state = Object.fromEntries(names.map((input) => [input, result[`${input[0]}n${input.slice(1)}`]]));
  };
}
