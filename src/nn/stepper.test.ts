import { describe, expect, it } from "vitest";
import { NATIVE_ENGINES, skipAbsentNative } from "../../test/support/native-engines.js";
import { OstinatoError } from "../core/errors.js";
import { type Rng, seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels, type WeightType } from "../kernels/index.js";
import { GRU } from "./gru.js";
import { GRUCell } from "./index.js";
import { LSTM } from "./lstm.js";
import type { SequenceModel } from "./model.js";
import { RecurrentNetwork, type RecurrentNetworkSpec } from "./network.js";
import { Recurrent } from "./recurrent.js";
import { stateWidth } from "./state.js";
import { type SteppedRow, type StepRow, stepperOf } from "./stepper.js";
import { useWeights } from "./weights.js";

const [I, H, O] = [5, 19, 3];

const engines: [string, () => Kernels][] = [
  ["the float32 reference", () => new ReferenceKernels("float32")],
  ["the float64 reference", () => new ReferenceKernels("float64")],
  ["wasm simd128", () => WasmKernels.create({ variant: "simd128" })],
  ["wasm", () => WasmKernels.create()],
  ...NATIVE_ENGINES,
];

const SPEC: RecurrentNetworkSpec = {
  type: "recurrent",
  cell: "gru",
  inputSize: I,
  hiddenSize: H,
  outputSize: O,
  numLayers: 1,
  bidirectional: false,
  dropout: 0,
  init: "uniform",
  forgetBias: null,
  resetAfter: true,
  nonlinearity: "tanh",
};

type Make = (options: { rng: Rng; engine: Kernels }) => SequenceModel;
const network =
  (choices: Partial<RecurrentNetworkSpec>, weights: WeightType = "float32"): Make =>
  (options) => {
    const made = new RecurrentNetwork({ ...SPEC, ...choices }, options);
    useWeights(made, weights);
    return made;
  };

const networks: Record<string, Make> = {
  GRU: network({}),
  "GRU that resets before the product": network({ resetAfter: false }),
  "three LSTM": network({ cell: "lstm", numLayers: 3 }),
  "two relu RNN": network({ cell: "rnn", numLayers: 2, nonlinearity: "relu" }),
  "GRU in bfloat16": network({ hiddenSize: 32 }, "bfloat16"),
  "LSTM in int8": network({ cell: "lstm", hiddenSize: 32 }, "int8"),
  "GRU on embeddings": network({ embeddings: [{ column: 2, size: 4, width: 3 }] }),
  "bare LSTM of one unit": (options) => new LSTM(I, 1, options),
  "two bare GRU": (options) => new GRU(I, H, { ...options, numLayers: 2 }),
  "cell of one's own": (options) => new Recurrent(new GRUCell(I, H, options)),
};

/** Rows whose third column is a code 0 .. 3, far from each other in their states. */
function rowsOf(rng: Rng, count: number, width: number): StepRow[] {
  return Array.from({ length: count }, () => ({
    x: Float32Array.from({ length: I }, (_, c) => (c === 2 ? rng.integer(4) : rng.normal())),
    state: Float32Array.from({ length: width }, () => rng.uniform(-1, 1)),
  }));
}

skipAbsentNative();

describe.each(engines)("many rows on %s", (_engine, createEngine) => {
  const engine = createEngine();

  describe.each(Object.entries(networks))("through %s", (_name, make) => {
    const model = make({ rng: seed(1), engine });
    const stepper = stepperOf(model);
    const width = stateWidth(model.stateSpec);
    const alone = ({ x, state: before }: StepRow): SteppedRow | null => {
      const state = before.slice();
      const output = stepper.step(x, state);
      return output && { output, state };
    };

    it("give what each gives alone, whatever their number", () => {
      const rng = seed(2);
      for (const count of [0, 1, 2, 3, 17, 5, 130, 1]) {
        const rows = rowsOf(rng, count, width);
        const before = structuredClone(rows);
        const together = stepper.stepMany(rows);
        expect(together).toEqual(rows.map(alone));
        expect(rows).toEqual(before);
      }
    });

    it("do not feel neighbours that are not finite, too wide or of no code", () => {
      const rows = rowsOf(seed(3), 9, width);
      const expected = rows.map(alone);
      const nan = { ...rows[0], x: Float32Array.from(rows[0].x, () => Number.NaN) };
      const lost = { ...rows[0], state: rows[0].state.map(() => Number.NaN) };
      const huge = { ...rows[0], x: Float32Array.from(rows[0].x, (v, c) => (c === 2 ? v : 1e38)) };
      const wide = { ...rows[0], x: new Float32Array(I + 1) };
      const together = stepper.stepMany([nan, ...rows.slice(0, 4), huge, lost, ...rows.slice(4), wide, huge]);
      expect([...together.slice(1, 5), ...together.slice(7, 12)]).toEqual(expected);
      expect([together[0], together[6]]).toEqual([null, null]);
      expect(together[5]).toEqual(alone(huge));
      expect(together[13]).toEqual(together[5]);
      if (model instanceof Recurrent) return;
      expect(together[12]).toMatchObject({ code: "OST_SHAPE" });
      expect(stepper.stepMany(rows)).toEqual(expected);
    });
  });

  it("refuse a code that is in no table, each row for itself", () => {
    const model = networks["GRU on embeddings"]({ rng: seed(1), engine });
    const stepper = stepperOf(model);
    const rows = rowsOf(seed(4), 3, stateWidth(model.stateSpec));
    const unknown = { ...rows[0], x: Float32Array.from(rows[0].x, (v, c) => (c === 2 ? 4 : v)) };
    const [a, refused, b] = stepper.stepMany([rows[0], unknown, rows[1]]);
    expect(refused).toBeInstanceOf(OstinatoError);
    expect([a, b]).toEqual(stepper.stepMany(rows.slice(0, 2)));
  });

  it("use the weights as they are at each call", () => {
    const model = networks.GRU({ rng: seed(1), engine });
    const stepper = stepperOf(model);
    const rows = rowsOf(seed(5), 6, stateWidth(model.stateSpec));
    const before = stepper.stepMany(rows);
    model.loadStateDict(networks.GRU({ rng: seed(9), engine }).stateDict());
    const after = stepper.stepMany(rows);
    expect(after).not.toEqual(before);
    expect(after).toEqual(stepperOf(networks.GRU({ rng: seed(9), engine })).stepMany(rows));
  });
});

describe("the blocks of a stepper", () => {
  it("take no more memory once every number of rows has come", () => {
    const engine = WasmKernels.create();
    const model = networks.GRU({ rng: seed(1), engine });
    const stepper = stepperOf(model);
    const rows = rowsOf(seed(6), 300, stateWidth(model.stateSpec));
    for (let count = 128; count >= 1; count--) stepper.stepMany(rows.slice(0, count));
    const before = engine.memory.bytesInUse;
    for (let round = 0; round < 200; round++) stepper.stepMany(rows.slice(0, 1 + ((round * 37) % 300)));
    expect(engine.memory.bytesInUse).toBeLessThanOrEqual(before);
  });
});
