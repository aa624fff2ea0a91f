/** @file A small training whose every bit is compared between runtimes: initial weights, losses and predictions of one engine. */
import { seed } from "ostinato/core";
import { type Kernels, ReferenceKernels, WasmKernels, type WasmVariant } from "ostinato/kernels";
import { mse } from "ostinato/losses";
import { Linear, LSTM, Module } from "ostinato/nn";
import { Adam } from "ostinato/optim";
import { inference, tensor } from "ostinato/tensor";
import { trainStep } from "ostinato/train";

class Follower extends Module {
  readonly lstm: LSTM;
  readonly head: Linear;
  constructor(engine: Kernels) {
    super();
    const rng = seed(11);
    this.lstm = new LSTM(2, 8, { rng, engine, init: "orthogonal" });
    this.head = new Linear(8, 1, { rng, engine });
  }
  forward(x: ReturnType<typeof tensor>) {
    return this.head.forward(this.lstm.forward(x).last);
  }
}

/** The bits of float32 values, as hexadecimal words. */
function bits(values: ArrayLike<number>): string {
  return Array.from(new Uint32Array(Float32Array.from(values).buffer), (word) => word.toString(16).padStart(8, "0")).join(" ");
}

function follow(engine: Kernels, steps: number) {
  const rng = seed(3);
  const model = new Follower(engine);
  const optimizer = new Adam(model.parameters(), { learningRate: 0.01 });
  const x = Array.from({ length: 4 * 10 * 2 }, () => rng.uniform(-1, 1));
  const y = Array.from({ length: 4 }, (_, b) => x[(b * 10 + 9) * 2] - x[(b * 10 + 9) * 2 + 1]);
  const initial = bits([...model.stateDict().values()].flatMap(({ data }) => Array.from(data)));
  const losses = Array.from(
    { length: steps },
    () =>
      trainStep({
        optimizer,
        rng,
        objective: () => ({ loss: mse(model.forward(tensor(x, [4, 10, 2], { engine })), tensor(y, [4, 1], { engine })) }),
      }).loss,
  );
  const prediction = inference(() => bits(model.forward(tensor(x, [4, 10, 2], { engine })).toArray()));
  return { initial, losses: bits(losses), prediction, learned: losses[steps - 1] < losses[0] / 2 };
}

export type Probe = Record<string, ReturnType<typeof follow> | null>;

/** By engine; null where this runtime lacks it. */
export function probe(): Probe {
  const wasm = (variant: WasmVariant) => {
    try {
      return follow(WasmKernels.create({ variant }), 20);
    } catch {
      return null;
    }
  };
  return { reference: follow(new ReferenceKernels("float32"), 20), simd128: wasm("simd128"), relaxed: wasm("relaxed") };
}
