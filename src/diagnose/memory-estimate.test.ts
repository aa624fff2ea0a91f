/** @file The estimate of what a training step takes, against the engine's own count, for networks beyond the plain stack. */
import { expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { mse } from "../losses/index.js";
import { recurrentSpec } from "../model/index.js";
import { RecurrentNetwork, type RecurrentNetworkSpec } from "../nn/index.js";
import { SGD } from "../optim/index.js";
import { integers, tensor } from "../tensor/index.js";
import { trainStep } from "../train/index.js";
import { estimateMemory } from "./memory-estimate.js";

const engines: [string, Kernels][] = [
  ["the float64 reference", new ReferenceKernels("float64")],
  ["wasm", WasmKernels.create()],
];
const [batch, time] = [5, 40];

const choices: Partial<RecurrentNetworkSpec>[] = [
  { layerSizes: [24, 8, 16] },
  { numLayers: 2, residual: true, layerNorm: true, bidirectional: true },
  { numLayers: 2, bidirectional: true, merge: "mean", residual: true },
  { numLayers: 2, bidirectional: true, merge: "sum", layerNorm: true },
  { numLayers: 2, inputDropout: 0.1, lockedDropout: 0.2, weightDropout: 0.3, dropout: 0.1, learnedState: true },
  { recurrentDropout: 0.3 },
  { zoneout: 0.2, numLayers: 2, residual: true },
  { recurrentDropout: 0.3, zoneout: 0.2, weightDropout: 0.3, bidirectional: true, learnedState: true },
  { embeddings: [{ column: 1, size: 40, width: 12 }], embeddingDropout: 0.2, outputSize: 40, tieWeights: true },
];
const cases = (["rnn", "lstm", "gru"] as const).flatMap((cell) => [
  ...choices.map((one) => ({ cell, ...one })),
  ...(cell === "lstm"
    ? [
        { cell, projection: 6 },
        { cell, cellZoneout: 0.5, projection: 6, numLayers: 2 },
      ]
    : []),
  ...(cell === "gru" ? [{ cell, resetAfter: false, zoneout: 0.3 }] : []),
]);

it.each(engines.flatMap(([name, engine]) => cases.map((one) => [name, JSON.stringify(one), engine, one] as const)))(
  "on %s is within a tenth for %s",
  (_, __, engine, one) => {
    const network = new RecurrentNetwork(recurrentSpec({ inputSize: 3, hiddenSize: 16, outputSize: 3, ...one }), {
      rng: seed(1),
      engine,
    });
    const optimizer = new SGD(network.parameters());
    for (const reads of ["output", "last"] as const) {
      const step = () =>
        trainStep({
          optimizer,
          rng: seed(1),
          objective: (rng) => {
            const x = tensor(new Float32Array(batch * time * 3), [batch, time, 3], { engine });
            const lengths = integers(new Int32Array(batch).fill(time), [batch], { engine });
            const prediction = network.forward(x, { rng, lengths })[reads];
            return { loss: mse(prediction, tensor(new Float32Array(prediction.size), prediction.shape, { engine })) };
          },
        });
      step();
      engine.memory.resetPeak();
      const before = engine.memory.bytesInUse;
      step();
      const measured = engine.memory.peakBytesInUse - before;
      const { activationBytes } = estimateMemory(network, { batch, time, reads });
      expect(Math.abs(activationBytes / measured - 1), `${reads}: ${activationBytes} for ${measured}`).toBeLessThan(0.1);
    }
  },
);

it("counts the packed copies of what runs step by step", () => {
  const engine = WasmKernels.create();
  for (const one of [{ projection: 6 }, { zoneout: 0.2 }, { recurrentDropout: 0.2 }]) {
    const before = engine.memory.bytesInUse;
    const spec = recurrentSpec({ cell: "lstm", inputSize: 3, hiddenSize: 16, outputSize: 3, ...one });
    const network = new RecurrentNetwork(spec, { rng: seed(1), engine });
    const optimizer = new SGD(network.parameters());
    const x = new Float32Array(2 * 3 * 3);
    for (const rng of [seed(1), undefined]) {
      const objective = () => ({
        loss: network
          .forward(tensor(x, [2, 3, 3], { engine }), { rng })
          .output.square()
          .sum(),
      });
      trainStep({ optimizer, objective, rng: seed(1) });
    }
    const { parameterBytes, gradientBytes } = estimateMemory(network, { batch: 2, time: 3, moments: 0 });
    expect(engine.memory.bytesInUse - before, JSON.stringify(one)).toBe(parameterBytes + gradientBytes);
  }
});
