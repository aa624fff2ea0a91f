/** @file A short training on ragged sequences, large enough for several threads; and what it was computed with. */
import { seed } from "../../src/core/rng.js";
import type { CompiledKernels } from "../../src/kernels/compiled.js";
import type { Pointer } from "../../src/kernels/index.js";
import { crossEntropy } from "../../src/losses/index.js";
import { RecurrentNetwork, type RecurrentNetworkSpec } from "../../src/nn/index.js";
import { Adam } from "../../src/optim/index.js";
import { inference, integers, tensor } from "../../src/tensor/index.js";
import { trainStep } from "../../src/train/index.js";

export interface ThreadedTrainingOptions {
  threads: number;
  steps?: number;
  /** Makes the engine's memory grow between the passes of every step. */
  grow?: boolean;
  /** Calls wait for every thread, instead of for a moment. */
  insist?: boolean;
}

export interface ThreadedTraining {
  losses: number[];
  /** Losses, then all weights, then predictions. */
  values: Float32Array;
  /** How many calls were shared, and among how many threads the last one. */
  calls: number;
  members: number;
  /** Of the engine's memory, before and after. */
  bytes: [number, number];
}

const [BATCH, TIME] = [12, 16];
const GROWTH = 6 << 20;

export function threadedTraining(
  engine: CompiledKernels,
  spec: RecurrentNetworkSpec,
  { threads, steps = 6, grow = false, insist = true }: ThreadedTrainingOptions,
): ThreadedTraining {
  engine.threads = threads;
  const before = engine.sharedCalls({ insist }).calls;
  const bytes = engine.memory.byteLength;
  const { inputSize, outputSize } = spec;
  const rng = seed(4);
  const model = new RecurrentNetwork(spec, { rng, engine });
  const optimizer = new Adam(model.parameters(), { learningRate: 0.01 });
  const x = Float32Array.from({ length: BATCH * TIME * inputSize }, () => rng.normal());
  const lengths = Array.from({ length: BATCH }, (_, row) => (row === 3 ? 0 : TIME - ((row * 5) % TIME)));
  const targets = Array.from({ length: BATCH * TIME }, (_, i) =>
    i % TIME < lengths[Math.floor(i / TIME)] ? (x[i * inputSize] > 0 ? 1 : 0) + (x[i * inputSize + 1] > 1 ? 1 : 0) : -1,
  );
  const forward = (dropout?: typeof rng) => {
    const options = { rng: dropout, lengths: integers(lengths, [BATCH], { engine }) };
    return model.forward(tensor(x, [BATCH, TIME, inputSize], { engine }), options).output;
  };
  const grown: Pointer[] = [];
  const losses = Array.from({ length: steps }, () => {
    const objective = (dropout: typeof rng) => {
      const loss = crossEntropy(
        forward(dropout).reshape([BATCH * TIME, outputSize]),
        integers(targets, [BATCH * TIME], { engine }),
      );
      if (grow) grown.push(engine.memory.allocate(GROWTH));
      return { loss };
    };
    return trainStep({ optimizer, rng, objective }).loss;
  });
  const predictions = inference(() => [...forward().toArray()]);
  for (const block of grown) engine.memory.free(block);
  const { calls, threads: members } = engine.sharedCalls({ insist });
  const weights = [...model.stateDict().values()].flatMap(({ data }) => [...data]);
  return {
    losses,
    values: Float32Array.from([...losses, ...weights, ...predictions]),
    calls: calls - before,
    members,
    bytes: [bytes, engine.memory.byteLength],
  };
}
