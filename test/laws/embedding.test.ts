/** @file Laws of networks that look codes up: those of every network, and that a code is its row of the table and nothing else. */
import { describe, expect, it } from "vitest";
import type { CodeColumn } from "../../src/core/batch.js";
import { type Rng, seed } from "../../src/core/rng.js";
import { estimateMemory } from "../../src/diagnose/index.js";
import { defaultEngine, type Kernels, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { mse } from "../../src/losses/index.js";
import {
  type Architecture as AnyArchitecture,
  buildNetwork,
  countParameters,
  openSession,
  recurrentSpec,
} from "../../src/model/index.js";
import {
  type ForwardOptions,
  type ForwardResult,
  flattenState,
  Module,
  type RecurrentNetwork,
  type SequenceModel,
  type State,
  type StateSpec,
  unflattenState,
  useWeights,
} from "../../src/nn/index.js";
import { Adam } from "../../src/optim/index.js";
import { apply, inference, integers, parameter, type Tensor, tensor } from "../../src/tensor/index.js";
import { EmbeddedLayout, embedColumns } from "../../src/tensor/ops/embed-columns.js";
import { checkModelGradient, checkModelLaws } from "../../src/testing/check-model.js";
import { checkOp } from "../../src/testing/index.js";
import { trainStep } from "../../src/train/index.js";

/** Numbers in columns 0, 2 and 3. */
type Architecture = Exclude<AnyArchitecture, { type: "encoderDecoder" }>;

const INPUTS = 5;
const CODES: CodeColumn[] = [
  { column: 4, size: 7, width: 3 },
  { column: 1, size: 4, width: 2 },
];
const sizeOf = (f: number) => CODES.find(({ column }) => column === f)?.size ?? 0;

const network = (choices: Partial<Parameters<typeof recurrentSpec>[0]>): Architecture =>
  recurrentSpec({ cell: "gru", inputSize: INPUTS, hiddenSize: 6, outputSize: 3, embeddings: CODES, ...choices });

const architectures: Record<string, Architecture> = {
  GRU: network({}),
  "two LSTM": network({ cell: "lstm", numLayers: 2 }),
  RNN: network({ cell: "rnn" }),
  "GRU of two directions": network({ bidirectional: true }),
  "window MLP": { type: "windowMLP", window: 3, inputSize: INPUTS, hiddenSize: 5, outputSize: 2, embeddings: CODES },
};
const causal = Object.entries(architectures).filter(([name]) => !name.includes("directions"));

/** Makes codes of the suites' numbers -1 .. 1; what is not finite stays so. */
class Coded extends Module implements SequenceModel {
  readonly network: SequenceModel;
  constructor(architecture: Architecture, options: { rng: Rng; engine: Kernels }) {
    super();
    this.network = buildNetwork(architecture, options);
  }
  get stateSpec(): StateSpec {
    return this.network.stateSpec;
  }
  get causal(): boolean {
    return this.network.causal;
  }
  initialState(batchSize: number): State {
    return this.network.initialState(batchSize);
  }
  forward(x: Tensor, options?: ForwardOptions): ForwardResult {
    const values = x.floats().map((value, i) => codeOf(value, i % INPUTS));
    return this.network.forward(tensor(values, x.shape, { engine: x.engine }), options);
  }
  override namedParameters() {
    return (this.network as SequenceModel & Module).namedParameters();
  }
}

function codeOf(value: number, column: number): number {
  const size = sizeOf(column);
  return size === 0 ? value : Math.floor(((value + 1) / 2) * size);
}

const sequence = (rng: Rng, time: number) =>
  Array.from({ length: time }, () => Float32Array.from({ length: INPUTS }, (_, f) => codeOf(rng.uniform(-1, 1), f)));

/** The window of a perceptron begins with codes too. */
const named = { inputSize: INPUTS, inputGradient: false };

describe.each(Object.entries(architectures))("%s on embeddings", (name, architecture) => {
  it("has the gradients of finite differences, with lengths (zero included)", () => {
    if (name === "window MLP") return expect(checkPerceptron(architecture)).toBeGreaterThan(50);
    const report = checkModelGradient((rng, engine) => new Coded(architecture, { rng, engine }), named);
    expect(report.checks).toBeGreaterThan(50);
  });

  it("has as many parameters as it says", () => {
    const built = buildNetwork(architecture, { rng: seed(1), engine: new ReferenceKernels("float32") });
    expect(built.parameters().reduce((total, { size }) => total + size, 0)).toBe(countParameters(architecture));
  });

  if (name !== "window MLP") {
    it("keeps the laws of networks: steps, chunks, rows alone, padding, sessions", () => {
      for (const engine of [new ReferenceKernels("float32"), WasmKernels.create(), defaultEngine()]) {
        checkModelLaws((rng) => new Coded(architecture, { rng, engine }), { ...named, engine });
      }
    });
  }
});

/** The suite draws any numbers for a state, and the state of a perceptron is its past inputs: from a fresh one instead. */
function checkPerceptron(architecture: Architecture): number {
  const fresh = class extends Coded {
    override forward(x: Tensor, { lengths }: ForwardOptions = {}) {
      return super.forward(x, { lengths });
    }
  };
  return checkModelGradient((rng, engine) => new fresh(architecture, { rng, engine }), named).checks;
}

describe.each(causal)("a session of a %s on embeddings", (_, architecture) => {
  const engines = [new ReferenceKernels("float32"), WasmKernels.create({ variant: "simd128" }), defaultEngine()];

  it.each(engines.map((engine) => [engine.name, engine] as const))(
    "steps as the whole and its chunks do, on %s",
    (__, engine) => {
      const model = buildNetwork(architecture, { rng: seed(1), engine });
      const steps = sequence(seed(2), 17);
      const whole = forward(model, steps);
      let session = openSession(model, { owner: "a" });
      const got = steps.map((x, t) => {
        if (t % 5 === 3) session = openSession(model, { owner: "a", snapshot: session.snapshot() });
        return [...session.step(x)];
      });
      expect(got).toEqual(whole.outputs);
      expect(session.state).toEqual(whole.state);
      const first = forward(model, steps.slice(0, 6));
      const rest = forward(model, steps.slice(6), first.state);
      expect([...first.outputs, ...rest.outputs]).toEqual(whole.outputs);
    },
  );

  it("sees a table as it is after training, and where the memory grew", () => {
    const engine = WasmKernels.create();
    const model = buildNetwork(architecture, { rng: seed(1), engine });
    const session = openSession(model, { owner: "a" });
    const [x] = sequence(seed(2), 1);
    session.step(x);
    const before = [...session.step(x)];
    const optimizer = new Adam(model.parameters(), { learningRate: 0.1 });
    const objective = () => {
      const { output } = model.forward(tensor([...x], [1, 1, INPUTS], { engine }));
      return { loss: mse(output, tensor(new Float32Array(output.size), output.shape, { engine })) };
    };
    trainStep({ optimizer, objective, rng: seed(1) });
    engine.memory.allocate(engine.memory.byteLength);
    session.reset();
    session.step(x);
    const after = [...session.step(x)];
    expect(after).not.toEqual(before);
    expect(after).toEqual(forward(model, [x, x]).outputs[1]);
  });

  it("refuses what is no code, and keeps its state", () => {
    const model = buildNetwork(architecture, { rng: seed(1), engine: new ReferenceKernels("float32") });
    const session = openSession(model, { owner: "a" });
    const [x] = sequence(seed(2), 1);
    session.step(x);
    const before = session.state;
    for (const code of [-1, 0.5, 7, 1e9]) {
      expect(() => session.step(Object.assign([...x], { 4: code }))).toThrow(/OST_RANGE.*no row of its table/);
    }
    for (const code of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => session.step(Object.assign([...x], { 4: code }))).toThrow(/OST_NAN/);
    }
    expect(() => session.step(x.slice(1))).toThrow(/OST_SHAPE/);
    expect(session.state).toEqual(before);
  });
});

function forward(model: SequenceModel, steps: readonly Float32Array[], from?: Float32Array) {
  return inference(() => {
    const { engine, stateSpec } = model;
    const x = tensor(
      steps.flatMap((step) => [...step]),
      [1, steps.length, INPUTS],
      { engine },
    );
    const { output, state } = model.forward(x, from && { state: unflattenState(stateSpec, from, engine) });
    const values = [...output.toArray()];
    const width = values.length / steps.length;
    return {
      outputs: steps.map((_, t) => values.slice(t * width, (t + 1) * width)),
      state: flattenState(stateSpec, state),
    };
  });
}

describe("codes and numbers in one row", () => {
  const engine = new ReferenceKernels("float64");
  const layout = new EmbeddedLayout(INPUTS, CODES);
  const x = [0.5, 3, -1, 2, 6, 9, 0, 8, 7, 0];
  const tables = CODES.map(({ size, width }, k) =>
    Float64Array.from({ length: size * width }, (_, i) => (k + 1) * 100 + Math.floor(i / width) * 10 + (i % width)),
  );
  const inputs = [x, ...tables];
  const shapes = [[1, 2, INPUTS], ...CODES.map(({ size, width }) => [size, width])];
  const made = (lengths?: number[]) =>
    apply(
      embedColumns,
      inputs.map((values, i) => tensor(values, shapes[i], { engine })),
      { layout, lengths: lengths && integers(lengths, [1], { engine }) },
    );

  it("become the numbers in order, then each code's row", () => {
    expect(made().shape).toEqual([1, 2, 8]);
    const rows = [
      [0.5, -1, 2, 160, 161, 162, 230, 231],
      [9, 8, 7, 100, 101, 102, 200, 201],
    ];
    expect([...made().toArray()]).toEqual(rows.flat());
    expect([...made([1]).toArray()]).toEqual([...rows[0], ...new Array(8).fill(0)]);
    expect([...made([0]).toArray()]).toEqual(new Array(16).fill(0));
  });

  it("have the gradient of finite differences by the tables, with lengths and without", () => {
    for (const steps of [undefined, [1]]) {
      const compute = (...given: Tensor[]) => {
        const { engine } = given[0];
        const lengths = steps && integers(steps, [1], { engine });
        return apply(embedColumns, [tensor(x, shapes[0], { engine }), ...given], { layout, lengths }).tanh();
      };
      const report = checkOp(
        compute,
        shapes.slice(1).map((shape) => ({ shape })),
      );
      expect(report.checks).toBe(7 * 3 + 4 * 2);
    }
  });

  it("pass a gradient to the numbers they read, none to a code and none to a step beyond the lengths", () => {
    const input = parameter(x, shapes[0], { engine });
    const rows = tables.map((values, k) => parameter(values, shapes[k + 1], { engine }));
    const weights = tensor(
      Array.from({ length: 16 }, (_, i) => i + 1),
      [1, 2, 8],
      { engine },
    );
    const lengths = integers([1], [1], { engine });
    apply(embedColumns, [input, ...rows], { layout, lengths })
      .multiply(weights)
      .sum()
      .backward();
    expect([...input.grad!.floats()]).toEqual([1, 0, 2, 3, 0, 0, 0, 0, 0, 0]);
    expect([...rows[0].grad!.floats()]).toEqual([...new Array(18).fill(0), 4, 5, 6]);
    expect([...rows[1].grad!.floats()]).toEqual([...new Array(6).fill(0), 7, 8]);
  });
});

describe("a network on embeddings", () => {
  const engine = new ReferenceKernels("float32");

  it("refuses columns that it cannot embed", () => {
    for (const embeddings of [
      [{ column: 5, size: 3, width: 2 }],
      [{ column: -1, size: 3, width: 2 }],
      [{ column: 0, size: 0, width: 2 }],
      [{ column: 0, size: 3, width: 0.5 }],
      [CODES[0], CODES[0]],
    ]) {
      expect(() => buildNetwork(network({ embeddings }), { rng: seed(1), engine })).toThrow(/OST_RANGE/);
    }
  });

  it("names its tables embedding.0.weight and so on, and is the network without them where there are none", () => {
    const names = [
      ...buildNetwork(architectures.GRU, { rng: seed(1), engine })
        .namedParameters()
        .keys(),
    ];
    expect(names.slice(0, 3)).toEqual(["embedding.0.weight", "embedding.1.weight", "recurrent.weight_ih_l0"]);
    const [plain, empty] = [undefined, []].map((embeddings) =>
      buildNetwork(network({ embeddings }), { rng: seed(1), engine }).stateDict(),
    );
    expect(empty).toEqual(plain);
    expect([...plain.keys()].some((name) => name.startsWith("embedding"))).toBe(false);
  });

  it("steps on small weights as forward does; its tables stay as they are", () => {
    const model = buildNetwork(network({ numLayers: 2 }), { rng: seed(1), engine: defaultEngine() });
    expect(useWeights(model, "bfloat16")).toBe(1);
    const steps = sequence(seed(2), 9);
    const session = openSession(model, { owner: "a" });
    expect(steps.map((x) => [...session.step(x)])).toEqual(forward(model, steps).outputs);
  });

  it("takes about the memory that is foretold", () => {
    const wasm = WasmKernels.create();
    const [batch, time] = [16, 64];
    const embeddings = [{ column: 1, size: 500, width: 64 }];
    const model = buildNetwork(network({ hiddenSize: 16, embeddings }), { rng: seed(1), engine: wasm }) as RecurrentNetwork;
    const optimizer = new Adam(model.parameters(), { learningRate: 0.1 });
    const x = sequence(seed(1), batch * time).flatMap((step) => [...step]);
    const objective = () => {
      const lengths = integers(new Int32Array(batch).fill(time), [batch], { engine: wasm });
      const { output } = model.forward(tensor(x, [batch, time, INPUTS], { engine: wasm }), { lengths });
      return { loss: mse(output, tensor(new Float32Array(output.size), output.shape, { engine: wasm })) };
    };
    const step = () => trainStep({ optimizer, objective, rng: seed(1) });
    step();
    wasm.memory.resetPeak();
    const before = wasm.memory.bytesInUse;
    step();
    const measured = wasm.memory.peakBytesInUse - before;
    const { activationBytes, gradientBytes } = estimateMemory(model, { batch, time });
    expect(Math.abs(activationBytes / measured - 1)).toBeLessThan(0.1);
    expect(gradientBytes).toBeGreaterThan(500 * 64 * 4);
  });
});
