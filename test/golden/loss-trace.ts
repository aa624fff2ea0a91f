/**
 * @file The first ten losses of a small training run: any change of init, forward, backward, clipping, optimizer or generator shows here.
 *
 * `npx tsx --conditions=ostinato-source test/golden/loss-trace.ts` prints loss-trace.json, computed by the float64 reference engine.
 */
import { pathToFileURL } from "node:url";
import { seed } from "../../src/core/rng.js";
import { type Kernels, ReferenceKernels } from "../../src/kernels/index.js";
import { crossEntropy } from "../../src/losses/index.js";
import { RecurrentNetwork } from "../../src/nn/index.js";
import { AdamW } from "../../src/optim/index.js";
import { integers, tensor } from "../../src/tensor/index.js";
import { trainStep } from "../../src/train/index.js";

export function lossTrace(engine: Kernels, cell: "rnn" | "lstm" | "gru"): number[] {
  const rng = seed(7);
  const model = new RecurrentNetwork(
    {
      type: "recurrent",
      cell,
      inputSize: 3,
      hiddenSize: 8,
      outputSize: 4,
      numLayers: 2,
      bidirectional: false,
      dropout: 0.1,
      init: "orthogonal",
      forgetBias: 1,
      resetAfter: true,
      nonlinearity: "tanh",
    },
    { rng, engine },
  );
  const [batch, time] = [4, 6];
  const inputs = Float32Array.from({ length: batch * time * 3 }, () => rng.uniform(-2, 2));
  const lengths = [6, 3, 1, 5];
  const targets = Array.from({ length: batch * time }, (_, i) =>
    i % time < lengths[Math.floor(i / time)] ? rng.integer(4) : -1,
  );
  const optimizer = new AdamW(model.parameters(), { learningRate: 0.02 });
  return Array.from({ length: 10 }, () => {
    const { loss } = trainStep({
      optimizer,
      rng,
      clipNorm: 0.5,
      objective: (rng) => {
        const x = tensor(inputs, [batch, time, 3], { engine });
        const { output } = model.forward(x, { lengths: integers(lengths, [batch], { engine }), rng });
        return { loss: crossEntropy(output, integers(targets, [batch, time], { engine }), { smoothing: 0.1 }) };
      },
    });
    return loss;
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const engine = new ReferenceKernels("float64");
  const command = "npx tsx --conditions=ostinato-source test/golden/loss-trace.ts";
  const traces = Object.fromEntries((["rnn", "lstm", "gru"] as const).map((cell) => [cell, lossTrace(engine, cell)]));
  console.log(JSON.stringify({ command, engine: `${engine.name} ${engine.detail}`, ...traces }, null, 2));
}
