import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { mse } from "../losses/index.js";
import { Adam } from "../optim/index.js";
import { inference, integers, scope, tensor } from "../tensor/index.js";
import { checkGradient, checkModel } from "../testing/index.js";
import { ReconstructionNetwork, reconstructionSpec } from "./reconstruction.js";

describe("a sequence autoencoder", () => {
  it.each([{ cell: "lstm", numLayers: 2 }, { cell: "gru", reversed: false }, { cell: "rnn" }] as const)(
    "obeys the laws of every sequence model: %o",
    (choices) => {
      const spec = reconstructionSpec({ inputSize: 2, hiddenSize: 4, outputSize: 3, ...choices });
      checkModel((rng, engine) => new ReconstructionNetwork(spec, { rng, engine }), { inputSize: 2 });
    },
  );

  it("has the gradients of finite differences where it looks codes up", () => {
    const engine = new ReferenceKernels("float64");
    const embeddings = [{ column: 1, size: 3, width: 2 }];
    const spec = reconstructionSpec({ cell: "gru", inputSize: 2, hiddenSize: 3, outputSize: 2, embeddings });
    const network = new ReconstructionNetwork(spec, { rng: seed(1), engine });
    const x = tensor([0.5, 0, -0.3, 2, 0.1, 1, 0.9, 2, Number.NaN, -7, Number.NaN, 99], [2, 3, 2], { engine });
    const loss = () => {
      const { output, last } = network.forward(x, { lengths: integers([3, 1], [2], { engine }) });
      return output.slice(0, 0, 1).square().sum().add(last.square().sum());
    };
    expect(checkGradient(loss, network.namedParameters()).checks).toBe(network.parameterCount());
  });

  it("writes the last step first when reversed: the decoder's first output is the row's last", () => {
    const make = (reversed: boolean) => {
      const spec = reconstructionSpec({ cell: "lstm", inputSize: 1, hiddenSize: 3, outputSize: 2, reversed });
      return new ReconstructionNetwork(spec, { rng: seed(1) });
    };
    const x = tensor([1, 2, 3, 4, 5, 0], [2, 3, 1]);
    const run = (network: ReconstructionNetwork) =>
      inference(() => Array.from(network.forward(x, { lengths: integers([3, 2]) }).output.floats()));
    const step = (all: number[], b: number, t: number) => all.slice((b * 3 + t) * 2, (b * 3 + t + 1) * 2);
    const [forward, backward] = [run(make(false)), run(make(true))];
    for (let t = 0; t < 3; t++) expect(step(backward, 0, t)).toEqual(step(forward, 0, 2 - t));
    for (let t = 0; t < 2; t++) expect(step(backward, 1, t)).toEqual(step(forward, 1, 1 - t));
  });

  it("learns to give sequences back, and gives others back worse", () => {
    const spec = reconstructionSpec({ cell: "gru", inputSize: 1, hiddenSize: 16, outputSize: 1 });
    const network = new ReconstructionNetwork(spec, { rng: seed(1) });
    const optimizer = new Adam(network.parameters(), { learningRate: 0.01 });
    const rng = seed(2);
    const [B, T] = [16, 8];
    const waves = (frequency: number) => {
      const phases = Array.from({ length: B }, () => rng.uniform(0, 6));
      return tensor(
        Float64Array.from({ length: B * T }, (_, i) => Math.sin(phases[Math.floor(i / T)] + frequency * (i % T))),
        [B, T, 1],
      );
    };
    const error = (frequency: number) =>
      inference(() => {
        const x = waves(frequency);
        return mse(network.forward(x).output, x).item();
      });
    for (let step = 0; step < 300; step++) {
      scope(() => {
        optimizer.zeroGrad();
        const x = waves(0.7);
        mse(network.forward(x).output, x).backward();
        optimizer.step();
      });
    }
    expect(error(0.7)).toBeLessThan(0.05);
    expect(error(2)).toBeGreaterThan(4 * error(0.7));
  });

  it("names what does not fit", () => {
    const spec = reconstructionSpec({ cell: "gru", inputSize: 1, hiddenSize: 2, outputSize: 1 });
    const network = new ReconstructionNetwork(spec, { rng: seed(1) });
    expect(() => network.forward(tensor([1, 2], [1, 2]))).toThrow(/OST_SHAPE/);
    expect(() => network.forward(tensor([1, 2], [1, 1, 2]))).toThrow(/OST_SHAPE/);
    expect(() => network.forward(tensor([1, 2], [1, 2, 1]), { lengths: integers([3]) })).toThrow(/OST_LENGTH/);
  });
});
