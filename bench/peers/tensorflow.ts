/**
 * @file TensorFlow.js on its WebAssembly backend as a contender: the training steps W1 and W4. Argument: number of threads. `PEERS_ROOT`
 * holds the packages.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { timeAsyncSteps, warmUp } from "../step.js";
import { type Turn, takeTurns } from "../turn.js";

const require = createRequire(join(process.env["PEERS_ROOT"] ?? "", "package.json"));
const threads = Number(process.argv[2]);
const tf = require("@tensorflow/tfjs");
require("@tensorflow/tfjs-backend-wasm").setThreadsCount(threads);
await tf.setBackend("wasm");
await tf.ready();

const sigmoid = { recurrentActivation: "sigmoid", recurrentInitializer: "glorotUniform" };
/** Its GRU has the reset gate before the product only. */
const MODELS: Record<string, () => () => Promise<unknown>> = {
  W1: () => training(tf.layers.gru({ units: 64, inputShape: [128, 16], ...sigmoid, resetAfter: false }), [32, 128, 16]),
  W4: () => training(tf.layers.lstm({ units: 32, inputShape: [50, 8], ...sigmoid }), [16, 50, 8]),
};
const about = { name: "tfjs-wasm", version: tf.version.tfjs as string, isa: "wasm simd", threads };
const steps = new Map<string, () => Promise<unknown>>();

// Its notes about itself go to standard error: standard output carries the answers.
console.log = console.error;
await takeTurns(about, async (name, seconds): Promise<Turn> => {
  if (!MODELS[name]) throw new Error(`no workload "${name}"`);
  let step = steps.get(name);
  if (!step) {
    step = MODELS[name]();
    await warmUp(step);
    steps.set(name, step);
  }
  return timeAsyncSteps(step, seconds);
});
process.exit(0);

function training(layer: unknown, [batch, time, inputSize]: [number, number, number]): () => Promise<unknown> {
  const model = tf.sequential();
  model.add(layer);
  model.add(tf.layers.dense({ units: 10, activation: "softmax" }));
  model.compile({ optimizer: tf.train.adam(1e-3), loss: "categoricalCrossentropy" });
  const x = tf.randomNormal([batch, time, inputSize]);
  const targets = tf.oneHot(tf.randomUniform([batch], 0, 10, "int32"), 10);
  return () => model.trainOnBatch(x, targets);
}
