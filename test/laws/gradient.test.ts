/** @file Every gradient equals 5-point central differences in float64: operations, losses, layers, cells and networks. */
import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../src/core/rng.js";
import { type Kernels, ReferenceKernels } from "../../src/kernels/index.js";
import { binaryCrossEntropy, crossEntropy, huber, mae, mse } from "../../src/losses/index.js";
import {
  Cell,
  dropout,
  Embedding,
  GRU,
  GRUCell,
  Linear,
  LSTM,
  LSTMCell,
  Recurrent,
  RecurrentNetwork,
  type RecurrentNetworkSpec,
  RNN,
  RNNCell,
  type State,
  WindowMLP,
} from "../../src/nn/index.js";
import { apply, concatenate, graphOf, integers, type Parameter, parameter, type Tensor, tensor } from "../../src/tensor/index.js";
import * as elementwise from "../../src/tensor/ops/elementwise.js";
import * as gather from "../../src/tensor/ops/gather.js";
import * as matmul from "../../src/tensor/ops/matmul.js";
import * as reduce from "../../src/tensor/ops/reduce.js";
import * as reshape from "../../src/tensor/ops/reshape.js";
import { checkModelGradient } from "../../src/testing/check-model.js";
import { type CheckOpInput, checkCell, checkGradient, checkOp } from "../../src/testing/index.js";

const seen = new Set<string>();

/** `checkOp`, and notes which operations ran. */
function check(compute: (...inputs: Tensor[]) => Tensor | Tensor[], inputs: CheckOpInput[]): void {
  const report = checkOp((...tensors) => {
    const outputs = [compute(...tensors)].flat();
    for (const output of outputs) for (const { op } of graphOf(output)) seen.add(op.name);
    return outputs;
  }, inputs);
  expect(report.checks).toBe(inputs.reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0));
}

const [matrix, positive, cube]: CheckOpInput[] = [{ shape: [3, 4] }, { shape: [3, 4], low: 0.5, high: 2 }, { shape: [2, 3, 4] }];
const row: CheckOpInput = { shape: [4] };
const column: CheckOpInput = { shape: [3, 1] };

describe("operations", () => {
  const binary: [string, (a: Tensor, b: Tensor) => Tensor][] = [
    ["add", (a, b) => a.add(b)],
    ["subtract", (a, b) => a.subtract(b)],
    ["multiply", (a, b) => a.multiply(b)],
    ["divide", (a, b) => a.divide(b)],
    ["maximum", (a, b) => a.maximum(b)],
  ];
  const shapes: [string, CheckOpInput, CheckOpInput][] = [
    ["equal shapes", positive, { ...positive }],
    ["a row", positive, { ...row, low: 0.5, high: 2 }],
    ["a column", { ...column, low: 0.5, high: 2 }, positive],
    ["row against column", row, { ...column, low: 0.5, high: 2 }],
    ["a scalar", { shape: [] }, positive],
    ["a cube against a matrix", cube, positive],
  ];
  for (const [name, compute] of binary) for (const [what, a, b] of shapes) it(`${name}: ${what}`, () => check(compute, [a, b]));

  const unary: [string, (x: Tensor) => Tensor, CheckOpInput][] = [
    ["negate", (x) => x.negate(), matrix],
    ["exp", (x) => x.exp(), matrix],
    ["log", (x) => x.log(), positive],
    ["sqrt", (x) => x.sqrt(), positive],
    ["square", (x) => x.square(), matrix],
    ["abs", (x) => x.abs(), matrix],
    ["relu", (x) => x.relu(), matrix],
    ["tanh", (x) => x.tanh(), matrix],
    ["sigmoid", (x) => x.sigmoid(), matrix],
    ["affine", (x) => x.affine(2.5, -1), matrix],
    ["add a number", (x) => x.add(3), matrix],
    ["subtract a number", (x) => x.subtract(3), matrix],
    ["multiply by a number", (x) => x.multiply(-3), matrix],
    ["divide by a number", (x) => x.divide(3), matrix],
    ["softmax", (x) => x.softmax(), cube],
    ["logSoftmax", (x) => x.logSoftmax(), cube],
    ["softmax of one class", (x) => x.softmax(), column],
    ["sum", (x) => x.sum(), cube],
    ["sum along the first axis", (x) => x.sum(0), cube],
    ["sum along a middle axis", (x) => x.sum(1), cube],
    ["sum along the last axis", (x) => x.sum(-1), cube],
    ["mean", (x) => x.mean(), cube],
    ["mean along an axis", (x) => x.mean(1), cube],
    ["reshape", (x) => x.reshape([4, 6]), cube],
    ["transpose", (x) => x.transpose(0, 2), cube],
    ["transpose of neighbours", (x) => x.transpose(-1, -2), cube],
    ["transpose of an axis with itself", (x) => x.transpose(1, 1), cube],
    ["slice of the first axis", (x) => x.slice(0, 1, 2), cube],
    ["slice of a middle axis", (x) => x.slice(1, 1, 3), cube],
    ["slice of the last axis", (x) => x.slice(-1, 0, 2), cube],
    ["an empty slice beside another", (x) => concatenate([x.slice(1, 0, 0), x], 1), cube],
    ["dropout", (x) => dropout(x, 0.4, seed(3)), cube],
    ["gather", (x) => x.gather(integers([2, -1, 0, 2, 1, 0], [2, 3], { engine: x.engine })), matrix],
  ];
  for (const [name, compute, input] of unary) it(name, () => check(compute, [input]));

  const products: [string, CheckOpInput, CheckOpInput][] = [
    ["two matrices", { shape: [3, 4] }, { shape: [4, 2] }],
    ["a batch and one matrix", { shape: [2, 3, 4] }, { shape: [4, 2] }],
    ["two batches", { shape: [2, 3, 4] }, { shape: [2, 4, 2] }],
    ["two batches of two axes", { shape: [2, 2, 1, 3] }, { shape: [2, 2, 3, 2] }],
    ["an inner axis of one", { shape: [3, 1] }, { shape: [1, 2] }],
  ];
  for (const [what, a, b] of products) it(`matmul: ${what}`, () => check((x, y) => x.matmul(y), [a, b]));

  it("linear", () => {
    check((x, weight, bias) => x.linear(weight, bias), [cube, { shape: [5, 4] }, { shape: [5] }]);
    check((x, weight) => x.linear(weight), [row, { shape: [5, 4] }]);
  });
  it("concat", () => {
    for (const axis of [0, 1, 2]) check((a, b) => concatenate([a, b, a], axis), [cube, { ...cube }]);
    check((a, b) => concatenate([a, b], -1), [{ shape: [2, 3] }, { shape: [2, 1] }]);
  });
  it("selectRows", () =>
    check((a, b) => apply(reshape.selectRows, [a, b], { mask: Uint8Array.of(1, 0, 1) }), [matrix, { ...matrix }]));

  it("a value used several times, and a diamond", () => {
    check((x) => x.multiply(x).add(x), [matrix]);
    check(
      (x) => {
        const a = x.tanh();
        return a.multiply(x.sigmoid()).add(a.square()).sum(0).divide(a.exp().sum());
      },
      [matrix],
    );
  });

  it("covers every operation there is", () => {
    const names = [elementwise, gather, matmul, reduce, reshape].flatMap((module) =>
      Object.values(module).map(({ name }) => name),
    );
    expect(names.filter((name) => !seen.has(name))).toEqual([]);
  });
});

describe("losses", () => {
  const target = { shape: [3, 4] };
  const mask = [1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0];
  const values = seed(9);
  const random = Array.from({ length: 12 }, () => values.uniform(-1, 1));
  const fixed = (x: Tensor) => tensor(random, [3, 4], { engine: x.engine });
  const shares = (x: Tensor) =>
    tensor(
      random.map((value) => (value + 1) / 2),
      [3, 4],
      { engine: x.engine },
    );
  const classes = (x: Tensor) => integers([2, -1, 0], [3], { engine: x.engine });
  const losses: [string, (x: Tensor) => Tensor][] = [
    ["mse", (x) => mse(x, fixed(x))],
    ["mse masked", (x) => mse(x, fixed(x), { mask })],
    ["mae", (x) => mae(x, fixed(x))],
    ["mae masked", (x) => mae(x, fixed(x), { mask })],
    ["huber", (x) => huber(x, fixed(x), { delta: 0.4 })],
    ["huber masked", (x) => huber(x, fixed(x), { delta: 0.4, mask })],
    ["binary cross-entropy", (x) => binaryCrossEntropy(x, shares(x))],
    ["binary cross-entropy weighted, masked", (x) => binaryCrossEntropy(x, shares(x), { positiveWeight: 3, mask })],
    ["cross-entropy", (x) => crossEntropy(x, classes(x))],
    ["cross-entropy smoothed", (x) => crossEntropy(x, classes(x), { smoothing: 0.2 })],
    [
      "cross-entropy weighted",
      (x) => crossEntropy(x, classes(x), { classWeights: tensor([1, 2, 3, 4], [4], { engine: x.engine }) }),
    ],
    [
      "cross-entropy weighted and smoothed",
      (x) => crossEntropy(x, classes(x), { smoothing: 0.3, classWeights: tensor([1, 2, 3, 0.5], [4], { engine: x.engine }) }),
    ],
  ];
  for (const [name, loss] of losses) it(name, () => check(loss, [{ ...target, low: -3, high: 3 }]));

  it("over nothing a loss is 0 and has gradient 0", () => {
    const engine = new ReferenceKernels("float64");
    const x = parameter([1, 2, 3], [1, 3], { engine });
    for (const loss of [
      mse(x, tensor([1, 1, 1], [1, 3], { engine }), { mask: [0, 0, 0] }),
      crossEntropy(x, integers([-1], [1], { engine })),
    ]) {
      expect(loss.item()).toBe(0);
      loss.backward();
    }
    expect([...x.grad!.floats()]).toEqual([0, 0, 0]);
  });

  it("a masked target may be NaN", () => {
    const engine = new ReferenceKernels("float64");
    const x = parameter([1, 2], [2], { engine });
    const loss = mse(x, tensor([Number.NaN, 4], [2], { engine }), { mask: [0, 1] });
    expect(loss.item()).toBe(4);
    loss.backward();
    expect([...x.grad!.floats()]).toEqual([0, -4]);
  });
});

describe("modules", () => {
  const engine = new ReferenceKernels("float64");

  it("Embedding", () => {
    const embedding = new Embedding(5, 3, { rng: seed(1), engine });
    const loss = () =>
      embedding
        .forward(integers([0, 3, 3, -1], [2, 2], { engine }))
        .tanh()
        .sum();
    checkGradient(loss, embedding.namedParameters());
  });

  it("Linear, with and without bias", () => {
    const x = tensor([0.3, -0.2, 0.8, 0.1, 0.5, -0.9], [2, 3], { engine });
    for (const bias of [true, false]) {
      const layer = new Linear(3, 2, { rng: seed(1), engine, bias });
      checkGradient(() => layer.forward(x).tanh().sum(), layer.namedParameters());
    }
  });

  const layers: [string, (rng: Rng, engine: Kernels, options: object) => RNN | LSTM | GRU][] = [
    ["RNN tanh", (rng, engine, options) => new RNN(3, 3, { rng, engine, ...options })],
    ["RNN relu", (rng, engine, options) => new RNN(3, 3, { rng, engine, nonlinearity: "relu", ...options })],
    ["LSTM", (rng, engine, options) => new LSTM(3, 3, { rng, engine, ...options })],
    ["GRU reset after", (rng, engine, options) => new GRU(3, 3, { rng, engine, ...options })],
    ["GRU reset before", (rng, engine, options) => new GRU(3, 3, { rng, engine, resetAfter: false, ...options })],
  ];
  for (const [name, create] of layers) {
    for (const options of [
      {},
      { bias: false },
      { init: "orthogonal" },
      { numLayers: 2 },
      { bidirectional: true },
      { numLayers: 2, bidirectional: true },
    ]) {
      it(`${name} ${JSON.stringify(options)}, with lengths (zero included) and initial state`, () => {
        const report = checkModelGradient((rng, engine) => create(rng, engine, options), { inputSize: 3 });
        expect(report.checks).toBeGreaterThan(50);
      });
    }
  }

  const network: RecurrentNetworkSpec = {
    type: "recurrent",
    cell: "gru",
    inputSize: 3,
    hiddenSize: 3,
    outputSize: 2,
    numLayers: 2,
    bidirectional: false,
    dropout: 0.3,
    init: "uniform",
    forgetBias: null,
    resetAfter: true,
    nonlinearity: "tanh",
  };
  it.each(["rnn", "lstm", "gru"] as const)("RecurrentNetwork %s", (cell) => {
    checkModelGradient((rng, engine) => new RecurrentNetwork({ ...network, cell }, { rng, engine }), { inputSize: 3 });
  });

  it("RecurrentNetwork with dropout between layers and before the head", () => {
    const model = new RecurrentNetwork(network, { rng: seed(1), engine });
    const x = tensor(
      Array.from({ length: 24 }, (_, i) => Math.sin(i)),
      [2, 4, 3],
      { engine },
    );
    checkGradient(
      () =>
        model
          .forward(x, { rng: seed(4) })
          .output.square()
          .sum(),
      model.namedParameters(),
    );
  });

  it("WindowMLP", () => {
    const spec = { type: "windowMLP", window: 3, inputSize: 2, hiddenSize: 4, outputSize: 2 } as const;
    checkModelGradient((rng, engine) => new WindowMLP(spec, { rng, engine }), { inputSize: 2, inputGradient: false });
  });

  it("the built-in cells, and one of your own", () => {
    const engine = new ReferenceKernels("float32");
    checkCell((rng, engine) => new RNNCell(2, 3, { rng, engine }), { engine });
    checkCell((rng, engine) => new RNNCell(2, 3, { rng, engine, nonlinearity: "relu" }), { engine });
    checkCell((rng, engine) => new LSTMCell(2, 3, { rng, engine }), { engine });
    checkCell((rng, engine) => new GRUCell(2, 3, { rng, engine }), { engine });
    checkCell((rng, engine) => new GRUCell(2, 3, { rng, engine, resetAfter: false }), { engine });
    checkCell((rng, engine) => new MGUCell(2, 3, rng, engine));
  });
});

describe("the suites refuse what is wrong", () => {
  it("checkOp: a backward pass that forgets a factor", () => {
    const wrong = {
      ...elementwise.tanh,
      backward: elementwise.relu.backward,
    };
    expect(() => checkOp((x) => apply(wrong, [x]), [matrix])).toThrow(/gradient of input 0\[\d+\]/);
  });

  it("checkCell: a cell with hidden state, one that mixes rows, and one with a cut gradient", () => {
    class Forgetful extends MGUCell {
      #calls = 0;
      override step(x: Tensor, state: State) {
        return super.step(x.add(this.#calls++ % 2), state);
      }
    }
    class Mixing extends MGUCell {
      override step(x: Tensor, state: State) {
        return super.step(x.add(x.sum()), state);
      }
    }
    class Cut extends MGUCell {
      override step(x: Tensor, { h }: State) {
        return super.step(x, { h: h.detach() });
      }
    }
    expect(() => checkCell((rng, engine) => new Forgetful(2, 3, rng, engine))).toThrow();
    expect(() => checkCell((rng, engine) => new Mixing(2, 3, rng, engine))).toThrow(/rows alone|padding|chunks/);
    expect(() => checkCell((rng, engine) => new Cut(2, 3, rng, engine))).toThrow(/gradient of/);
  });
});

/** Minimal gated unit (Zhou et al. 2016): one gate, f. */
class MGUCell extends Cell {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly stateSpec: { h: number };
  readonly weight: Parameter;
  readonly candidate: Parameter;

  constructor(inputSize: number, hiddenSize: number, rng: Rng, engine: Kernels) {
    super();
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.stateSpec = { h: hiddenSize };
    const width = inputSize + hiddenSize;
    const draw = () =>
      parameter(
        Array.from({ length: hiddenSize * width }, () => rng.uniform(-1, 1)),
        [hiddenSize, width],
        { engine },
      );
    this.weight = draw();
    this.candidate = draw();
  }

  override step(x: Tensor, { h }: State): { output: Tensor; state: State } {
    const f = concatenate([x, h], 1).linear(this.weight).sigmoid();
    const n = concatenate([x, f.multiply(h)], 1)
      .linear(this.candidate)
      .tanh();
    const next = h.add(f.multiply(n.subtract(h)));
    return { output: next, state: { h: next } };
  }
}

it("Recurrent finds the parameters of its cell", () => {
  const model = new Recurrent(new MGUCell(2, 3, seed(1), new ReferenceKernels("float64")));
  expect([...model.namedParameters().keys()]).toEqual(["cell.weight", "cell.candidate"]);
});
