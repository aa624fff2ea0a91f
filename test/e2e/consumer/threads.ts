/** @file What a program or a page does with threads: trains on one and on two, and compares every bit. */
import { OstinatoError, seed } from "ostinato/core";
import { WasmKernels } from "ostinato/kernels";
import { mse } from "ostinato/losses";
import { LSTM } from "ostinato/nn";
import { Adam } from "ostinato/optim";
import { tensor } from "ostinato/tensor";
import { trainStep } from "ostinato/train";

const [BATCH, TIME, INPUTS, UNITS] = [16, 20, 24, 64];

/** The bits of the losses and of the trained weights, as text. */
function train(engine: WasmKernels): string {
  const rng = seed(5);
  const model = new LSTM(INPUTS, UNITS, { rng, engine, numLayers: 2 });
  const optimizer = new Adam(model.parameters(), { learningRate: 0.01 });
  const x = Array.from({ length: BATCH * TIME * INPUTS }, () => rng.normal());
  const y = Array.from({ length: BATCH * UNITS }, () => rng.uniform(-0.5, 0.5));
  const objective = () => {
    const { last } = model.forward(tensor(x, [BATCH, TIME, INPUTS], { engine }));
    return { loss: mse(last, tensor(y, [BATCH, UNITS], { engine })) };
  };
  const losses = Array.from({ length: 10 }, () => trainStep({ optimizer, rng, objective }).loss);
  const values = Float32Array.from([...losses, ...[...model.stateDict().values()].flatMap(({ data }) => [...data])]);
  return Array.from(new Uint32Array(values.buffer), (word) => word.toString(16)).join(" ");
}

async function main() {
  const plain = WasmKernels.create();
  const auto = WasmKernels.create({ threads: "auto" });
  const facts = {
    isolated: globalThis.crossOriginIsolated,
    cores: globalThis.navigator?.hardwareConcurrency,
    auto: auto.detail,
    memory: plain.memory.wasm.buffer.constructor.name,
  };
  let engine: WasmKernels;
  try {
    engine = WasmKernels.create({ threads: 2 });
  } catch (error) {
    return { ...facts, refused: error instanceof OstinatoError ? error.message : String(error) };
  }
  while (engine.threadsReady < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  engine.sharedCalls({ insist: true });
  const [one, two] = [train(plain), train(engine)];
  const { calls, threads } = engine.sharedCalls();
  return { ...facts, detail: engine.detail, values: one.split(" ").length, same: one === two, calls, threads, bits: one };
}

const done = main().then(JSON.stringify, (error) => JSON.stringify({ error: String(error?.stack ?? error) }));
done.then((text) => {
  if (typeof document === "undefined") console.log(text);
  else document.body.textContent = text;
});
