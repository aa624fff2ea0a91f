/**
 * @file The workloads of the benchmark, each through the public interface, as a user would write it.
 *
 * `flops` counts the multiply-adds of the matrix products alone, two each: 2 (I + H) G H per sample, step and layer, the linear layer behind
 * it where a workload names one, and three times that for training (one pass forward, two backward). `bytes` is the least a step must move:
 * the weights once; for training, Adam's seven passes over them (weight, gradient and two moments read; weight and moments written).
 */
import { type Rng, seed } from "ostinato/core";
import { crossEntropy } from "ostinato/losses";
import { openSession, recurrentSpec } from "ostinato/model";
import {
  Embedding,
  type ForwardOptions,
  type ForwardResult,
  GRU,
  Linear,
  LSTM,
  Module,
  RecurrentNetwork,
  type State,
  useWeights,
} from "ostinato/nn";
import { Adam } from "ostinato/optim";
import { inference, integers, type Tensor, tensor } from "ostinato/tensor";
import { trainStep } from "ostinato/train";
import { rawTraining } from "./raw-kernels.js";

/** A workload ready to run. */
export interface Workload {
  step(): void;
  flops: number;
  bytes: number;
}

export interface WorkloadEntry {
  what: string;
  /** Length of one turn. */
  seconds: number;
  /** True: one step is one record of a stream. Each step is timed by itself, and the median is reported in microseconds. */
  streaming?: boolean;
  /** Part of the short run. */
  short?: boolean;
  /** Name of the workload that the peers run against it; null where none does. Default its own. */
  peer?: string | null;
  /** The workload that does the same work by calling the engine's kernels alone. */
  raw?: string;
  build(): Workload;
}

export interface RecurrentShape {
  cell: "gru" | "lstm";
  batch: number;
  time: number;
  inputSize: number;
  hiddenSize: number;
  numLayers?: number;
}

const CLASSES = 10;
const ADAM_PASSES = 7;

const W1 = { cell: "gru", batch: 32, time: 128, inputSize: 16, hiddenSize: 64 } as const;
const W2 = { cell: "lstm", batch: 64, time: 100, inputSize: 128, hiddenSize: 256 } as const;
const W4 = { cell: "lstm", batch: 16, time: 50, inputSize: 8, hiddenSize: 32 } as const;
const STREAMED_GRU = { cell: "gru", inputSize: 40, hiddenSize: 128, outputSize: 12 } as const;
const STREAMED_LSTM = { cell: "lstm", inputSize: 64, hiddenSize: 256, numLayers: 2, outputSize: 12 } as const;

export const WORKLOADS: Readonly<Record<string, WorkloadEntry>> = {
  W1: {
    what: "training step, GRU 16->64, B 32, T 128, 10 classes after the last step",
    seconds: 0.25,
    short: true,
    build: () => training(W1),
  },
  W2: {
    what: "training step, LSTM 128->256, B 64, T 100, 10 classes at every step",
    seconds: 1,
    raw: "W2raw",
    build: () => training(W2, { everyStep: true }),
  },
  W3: {
    what: "training step, language model: embedding 10,000x650, 2 LSTM of 650, linear 10,000, B 20, T 35, clip 0.25",
    seconds: 1.5,
    build: languageModel,
  },
  W4: {
    what: "training step, LSTM 8->32, B 16, T 50, 10 classes after the last step",
    seconds: 0.25,
    short: true,
    raw: "W4raw",
    build: () => training(W4),
  },
  W5gru: {
    what: "one step of a session, GRU 40->128, linear 12",
    seconds: 0.25,
    short: true,
    streaming: true,
    build: () => streaming(STREAMED_GRU),
  },
  W5lstm: {
    what: "one step of a session, 2 LSTM 64->256, linear 12",
    seconds: 0.25,
    short: true,
    streaming: true,
    build: () => streaming(STREAMED_LSTM),
  },
  "W5lstm-bfloat16": {
    what: "the same, weights held in bfloat16",
    seconds: 0.25,
    streaming: true,
    peer: "W5lstm",
    build: () => streaming(STREAMED_LSTM, "bfloat16"),
  },
  "W5lstm-int8": {
    what: "the same, weights held in int8",
    seconds: 0.25,
    streaming: true,
    peer: "W5lstm",
    build: () => streaming(STREAMED_LSTM, "int8"),
  },
  session: {
    what: "one step of a session, GRU 16->64, linear 12",
    seconds: 0.25,
    short: true,
    streaming: true,
    peer: null,
    build: () => streaming({ cell: "gru", inputSize: 16, hiddenSize: 64, outputSize: 12 }),
  },
  W6a: {
    what: "forward pass, LSTM 64->256, B 1, T 1000",
    seconds: 0.3,
    short: true,
    build: () => offline({ cell: "lstm", batch: 1, time: 1000, inputSize: 64, hiddenSize: 256 }),
  },
  W6b: {
    what: "forward pass, LSTM 128->256, B 64, T 100",
    seconds: 0.4,
    build: () => offline(W2),
  },
  W2raw: { what: "W2 by the kernels alone", seconds: 1, peer: null, build: () => rawTwin(W2, true) },
  W4raw: { what: "W4 by the kernels alone", seconds: 0.25, peer: null, build: () => rawTwin(W4, false) },
};

/** Operations of one forward pass through the recurrent layers. */
export function recurrentFlops({ cell, batch, time, inputSize, hiddenSize, numLayers = 1 }: RecurrentShape): number {
  const rows = (cell === "lstm" ? 4 : 3) * hiddenSize;
  const first = inputSize + hiddenSize;
  const later = (numLayers - 1) * 2 * hiddenSize;
  return 2 * (first + later) * rows * batch * time;
}

/** A recurrent layer and a linear head of 10 classes, read after the last step or at every one, trained by Adam without clipping. */
export function training(shape: RecurrentShape, { everyStep = false } = {}): Workload {
  const { cell, batch, time, inputSize, hiddenSize, numLayers = 1 } = shape;
  const rng = seed(1);
  const spec = recurrentSpec({ cell, inputSize, hiddenSize, numLayers, outputSize: CLASSES });
  const network = new RecurrentNetwork(spec, { rng });
  const optimizer = new Adam(network.parameters(), { learningRate: 1e-3 });
  const x = tensor(normals(rng, batch * time * inputSize), [batch, time, inputSize]);
  const targets = classes(rng, everyStep ? [batch, time] : [batch], CLASSES);
  const objective = () => {
    const result = network.forward(x);
    return { loss: crossEntropy(everyStep ? result.output : result.last, targets) };
  };
  return {
    step: () => {
      trainStep({ optimizer, objective, rng, clipNorm: Number.POSITIVE_INFINITY });
    },
    flops: 3 * recurrentFlops(shape),
    bytes: 4 * ADAM_PASSES * network.parameterCount(),
  };
}

class LanguageModel extends Module {
  readonly embedding: Embedding;
  readonly lstm: LSTM;
  readonly head: Linear;

  constructor(vocabSize: number, width: number, { rng }: { rng: Rng }) {
    super();
    this.embedding = new Embedding(vocabSize, width, { rng });
    this.lstm = new LSTM(width, width, { rng, numLayers: 2 });
    this.head = new Linear(width, vocabSize, { rng });
  }

  forward(tokens: Tensor, options: ForwardOptions = {}): Pick<ForwardResult, "output" | "state"> {
    const { output, state } = this.lstm.forward(this.embedding.forward(tokens), options);
    return { output: this.head.forward(output), state };
  }
}

/** W3: truncated backpropagation, the state carried from step to step without its history. */
function languageModel(): Workload {
  const [vocabSize, width, batch, time] = [10_000, 650, 20, 35];
  const rng = seed(1);
  const model = new LanguageModel(vocabSize, width, { rng });
  const optimizer = new Adam(model.parameters(), { learningRate: 1e-3 });
  const tokens = classes(rng, [batch, time], vocabSize);
  const targets = classes(rng, [batch, time], vocabSize);
  let carried: State | undefined;
  const objective = () => {
    const { output, state } = model.forward(tokens, { state: carried });
    return { loss: crossEntropy(output, targets), state };
  };
  const lstm: RecurrentShape = { cell: "lstm", batch, time, inputSize: width, hiddenSize: width, numLayers: 2 };
  return {
    step: () => {
      carried = trainStep({ optimizer, objective, rng, clipNorm: 0.25 }).state;
    },
    flops: 3 * (recurrentFlops(lstm) + 2 * width * vocabSize * batch * time),
    bytes: 4 * ADAM_PASSES * model.parameterCount(),
  };
}

/** One record a call, the state carried by the session. */
function streaming(
  sizes: { cell: "gru" | "lstm"; inputSize: number; hiddenSize: number; numLayers?: number; outputSize: number },
  weights: "float32" | "bfloat16" | "int8" = "float32",
): Workload {
  const rng = seed(1);
  const network = new RecurrentNetwork(recurrentSpec(sizes), { rng });
  useWeights(network, weights);
  const session = openSession(network, { owner: "bench" });
  const x = normals(rng, sizes.inputSize);
  return {
    step: () => {
      session.step(x);
    },
    flops: recurrentFlops({ ...sizes, batch: 1, time: 1 }) + 2 * sizes.hiddenSize * sizes.outputSize,
    bytes: { float32: 4, bfloat16: 2, int8: 1 }[weights] * network.parameterCount(),
  };
}

/** Whole sequences at once, nothing kept for a backward pass. */
function offline(shape: RecurrentShape): Workload {
  const { cell, batch, time, inputSize, hiddenSize } = shape;
  const rng = seed(1);
  const layer = new (cell === "lstm" ? LSTM : GRU)(inputSize, hiddenSize, { rng });
  const x = tensor(normals(rng, batch * time * inputSize), [batch, time, inputSize]);
  return {
    step: () =>
      inference(() => {
        layer.forward(x);
      }),
    flops: recurrentFlops(shape),
    bytes: 4 * layer.parameterCount(),
  };
}

function rawTwin(shape: RecurrentShape, everyStep: boolean): Workload {
  const { step, parameterCount } = rawTraining(shape, { everyStep, classes: CLASSES });
  return { step, flops: 3 * recurrentFlops(shape), bytes: 4 * ADAM_PASSES * parameterCount };
}

function normals(rng: Rng, count: number): Float32Array {
  return Float32Array.from({ length: count }, () => rng.normal());
}

function classes(rng: Rng, shape: number[], count: number): Tensor {
  const size = shape.reduce((product, axis) => product * axis);
  return integers(
    Int32Array.from({ length: size }, () => rng.integer(count)),
    shape,
  );
}
