import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { crossEntropy } from "../losses/index.js";
import { Adam, clipByGlobalNorm } from "../optim/index.js";
import { inference, integers, scope, tensor } from "../tensor/index.js";
import { checkGradient } from "../testing/index.js";
import { type DecoderState, EncoderDecoder } from "./encoder-decoder.js";
import { type EncoderDecoderSpec, encoderDecoderSpec } from "./encoder-decoder-spec.js";

const base = { cell: "lstm", inputSize: 2, hiddenSize: 3, targetSize: 4, targetEmbedding: 2 } as const;
const embeddings = [{ column: 1, size: 5, width: 2 }];

/** Choices that between them take every path. */
const VARIANTS: [string, Partial<EncoderDecoderSpec>][] = [
  ["general attention, two directions", {}],
  ["general attention, input feeding", { inputFeeding: true, cell: "gru" }],
  ["additive attention, two layers", { attention: "additive", numLayers: 2, embeddings }],
  ["additive attention, input feeding, two layers", { attention: "additive", numLayers: 2, inputFeeding: true }],
  ["dot attention, merged by sum, copied", { attention: "dot", merge: "sum", bridge: "copy" }],
  [
    "dot attention, merged by mean, tied",
    { attention: "dot", merge: "mean", bridge: "copy", tieTarget: true, targetEmbedding: 3 },
  ],
  ["no attention, one direction", { attention: "none", bidirectional: false, bridge: "copy", cell: "gru" }],
  ["no bridge", { bridge: "none", cell: "rnn", init: "orthogonal" }],
];

const B = 4;
const lengths = [3, 0, 1, 2];
/** Rows of different lengths, one of them empty; codes behind the end are none. */
const target = { tokens: [3, 0, 1, 2, 2, -1, 1, -1, -1, -1, -1, -1], lengths: [3, 2, 1, 0] };

/** [rows, time, 2]: a number and a code. */
function input(rows: number, time: number): Float64Array {
  const rng = seed(9);
  return Float64Array.from({ length: rows * time * 2 }, (_, i) => (i % 2 === 0 ? rng.uniform(-1, 1) : rng.integer(5)));
}
const x = input(B, 3);

describe.each(VARIANTS)("an encoder-decoder: %s", (_, choices) => {
  const spec = encoderDecoderSpec({ ...base, ...choices });
  const model = new EncoderDecoder(spec, { rng: seed(2) });
  const { outputSize } = model;
  const encode = (rows: ArrayLike<number>, time: number, valid: number[]) =>
    model.encode(tensor(rows, [valid.length, time, 2]), { lengths: integers(valid) });
  const logits = (rows: ArrayLike<number>, time: number, valid: number[], given = target) =>
    inference(() => Array.from(model.teacherForced(encode(rows, time, valid), given).floats()));
  const whole = logits(x, 3, lengths);
  const stepOf = (all: ArrayLike<number>, place: number) => Array.from(all).slice(place * outputSize, (place + 1) * outputSize);

  it("has the gradients of finite differences", () => {
    const engine = new ReferenceKernels("float64");
    const own = new EncoderDecoder(spec, { rng: seed(2), engine });
    const classes = integers(own.targets(target), undefined, { engine });
    const loss = () => {
      const sources = own.encode(tensor(x, [B, 3, 2], { engine }), { lengths: integers(lengths, [B], { engine }) });
      return crossEntropy(own.teacherForced(sources, target), classes);
    };
    const report = checkGradient(loss, own.namedParameters(), { tolerance: 3e-6 });
    expect(report.checks).toBe(own.parameterCount());
  });

  it("gives with dropout the gradients of that dropout", () => {
    const engine = new ReferenceKernels("float64");
    const own = new EncoderDecoder({ ...spec, dropout: 0.3 }, { rng: seed(2), engine });
    const classes = integers(own.targets(target), undefined, { engine });
    const loss = () => {
      const rng = seed(4);
      const sources = own.encode(tensor(x, [B, 3, 2], { engine }), { lengths: integers(lengths, [B], { engine }), rng });
      return crossEntropy(own.teacherForced(sources, target, { rng }), classes);
    };
    const some = [...own.namedParameters()].filter(([name]) => /^(target|combine|head)/.test(name));
    checkGradient(loss, new Map(some), { tolerance: 3e-6 });
  });

  it("gives for a batch what its rows give alone", () => {
    for (let b = 0; b < B; b++) {
      const tokens = target.tokens.slice(b * 3, (b + 1) * 3);
      const alone = logits(x.subarray(b * 6, (b + 1) * 6), 3, [lengths[b]], { tokens, lengths: [target.lengths[b]] });
      expect(alone).toEqual(whole.slice(b * 4 * outputSize, (b + 1) * 4 * outputSize));
    }
  });

  it("is not changed by more padding of source or target, and gives zeros behind the end", () => {
    const wide = new Float64Array(B * 5 * 2).fill(Number.NaN);
    for (let b = 0; b < B; b++) wide.set(x.subarray(b * 6, b * 6 + lengths[b] * 2), b * 10);
    const longer = target.lengths.flatMap((length, b) => [
      ...target.tokens.slice(b * 3, b * 3 + length),
      ...Array(5 - length).fill(99),
    ]);
    const padded = logits(wide, 5, lengths, { tokens: longer, lengths: target.lengths });
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < 6; t++) {
        const expected = t <= target.lengths[b] ? stepOf(whole, b * 4 + t) : Array(outputSize).fill(0);
        expect(stepOf(padded, b * 6 + t)).toEqual(expected);
      }
    }
  });

  it("scores step by step what it scores all at once, rows of several sources together or alone", () => {
    const encoded = inference(() => encode(x, 3, lengths));
    const scorers = lengths.map((_, row) => model.scorer(encoded, row));
    const expected = inference(() => {
      const values = tensor(whole, [B * 4, outputSize])
        .logSoftmax()
        .toArray();
      return Array.from(values);
    });
    let together = scorers.map(({ initial }) => initial);
    let alone = [...together];
    for (let t = 0; t < 4; t++) {
      const tokens = lengths.map((_, b) => (t === 0 ? model.begin : Math.max(0, target.tokens[b * 3 + t - 1])));
      const before = JSON.stringify(together.map(({ state }) => [...state]));
      const scores = scorers[2].advance(together, tokens);
      expect(JSON.stringify(together.map(({ state }) => [...state]))).toBe(before);
      alone = alone.map((state, b) => {
        const one = scorers[b].advance([state], [tokens[b]]);
        expect([...one.logProbabilities]).toEqual(stepOf(scores.logProbabilities, b));
        expect(one.states[0]).toEqual(scores.states[b]);
        return one.states[0];
      });
      for (let b = 0; b < B; b++) {
        const row = stepOf(scores.logProbabilities, b);
        expect(row.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 12);
        if (t > target.lengths[b]) continue;
        // The same logits: log-softmax in float64 here, stored in float32 there.
        expect(row.map(Math.fround)).toEqual(stepOf(expected, b * 4 + t));
        if (spec.attention === "none") expect(scores.attention).toBeUndefined();
        else {
          const looked = Array.from(scores.attention ?? []).slice(b * 3, (b + 1) * 3);
          expect(looked.reduce((sum, value) => sum + value, 0)).toBeCloseTo(lengths[b] === 0 ? 0 : 1, 6);
          expect(looked.slice(lengths[b]).every((value) => value === 0)).toBe(true);
        }
      }
      together = scores.states;
    }
  });

  it("under scheduled sampling reads its own predictions as often as it is told", () => {
    const encoded = inference(() => encode(x, 3, lengths));
    const read = (probability: number, choose: "argmax" | "sample", value = 5) =>
      Array.from(model.feed(encoded, target, { probability, choose, rng: seed(value) }));
    const taught = Array.from(model.feed(encoded, target));
    expect(taught).toEqual([5, 3, 0, 1, 5, 2, 2, -1, 5, 1, -1, -1, 5, -1, -1, -1]);
    expect(read(0, "sample")).toEqual(taught);
    expect(read(0.5, "sample")).toEqual(read(0.5, "sample"));

    // Always its own and likeliest: what greedy search would write.
    const greedy = lengths.map((_, row) => {
      const scorer = model.scorer(encoded, row);
      let states: DecoderState[] = [scorer.initial];
      const written = [model.begin];
      for (let t = 0; t < target.lengths[row]; t++) {
        const scores = scorer.advance(states, [written[t]]);
        states = scores.states;
        written.push(scores.logProbabilities.indexOf(Math.max(...scores.logProbabilities)));
      }
      return [...written, ...Array(4 - written.length).fill(-1)];
    });
    expect(read(1, "argmax")).toEqual(greedy.flat());

    const sampled = inference(() => {
      const sources = encode(x, 3, lengths);
      const own = model.teacherForced(sources, target, { sampling: { probability: 1, choose: "argmax", rng: seed(5) } });
      const given = model.teacherForced(sources, target, { feed: greedy.flat() });
      return [own, given].map((value) => Array.from(value.floats()));
    });
    expect(sampled[0]).toEqual(sampled[1]);
  });
});

describe("an encoder-decoder", () => {
  const model = new EncoderDecoder(encoderDecoderSpec({ ...base }), { rng: seed(2) });
  const encoded = () => model.encode(tensor(x, [B, 3, 2]), { lengths: integers(lengths) });

  it.each([false, true])("computes its formulas, one row and one step at a time (input feeding %s)", (inputFeeding) => {
    const engine = new ReferenceKernels("float64");
    const own = new EncoderDecoder(encoderDecoderSpec({ ...base, inputFeeding }), { rng: seed(3), engine });
    const named = own.namedParameters();
    const matrix = (name: string) => {
      const { shape, size } = named.get(name) as { shape: readonly number[]; size: number };
      const flat = Array.from(named.get(name)?.toArray() ?? []);
      return Array.from({ length: shape[0] }, (_, r) => flat.slice((r * size) / shape[0], ((r + 1) * size) / shape[0]));
    };
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const times = (name: string, v: readonly number[]) => matrix(name).map((row) => dot(row, v));
    const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
    const H = base.hiddenSize;
    const cell = (layer: string, suffix: string, input: number[], { h, c }: { h: number[]; c: number[] }) => {
      const parts = [times(`${layer}.weight_ih_l0${suffix}`, input), times(`${layer}.weight_hh_l0${suffix}`, h)];
      const biases = [matrix(`${layer}.bias_ih_l0${suffix}`).flat(), matrix(`${layer}.bias_hh_l0${suffix}`).flat()];
      const gate = (g: number, j: number) => [...parts, ...biases].reduce((sum, values) => sum + values[g * H + j], 0);
      const next = c.map((before, j) => sigmoid(gate(1, j)) * before + sigmoid(gate(0, j)) * Math.tanh(gate(2, j)));
      return { h: next.map((value, j) => sigmoid(gate(3, j)) * Math.tanh(value)), c: next };
    };
    const zero = () => ({ h: new Array(H).fill(0), c: new Array(H).fill(0) });
    const source = [
      [0.5, -1],
      [0.1, 0.7],
      [-0.9, 0.4],
    ];
    const tokens = [2, 0];
    const walk = (suffix: string, order: number[]) => {
      let state = zero();
      const outputs: number[][] = [];
      for (const t of order) {
        state = cell("encoder", suffix, source[t], state);
        outputs[t] = state.h;
      }
      return { outputs, state };
    };
    const [there, back] = [walk("", [0, 1, 2]), walk("_reverse", [2, 1, 0])];
    const memory = there.outputs.map((h, t) => [...h, ...back.outputs[t]]);
    const bridge = (name: "h" | "c") => {
      const given = [...there.state[name], ...back.state[name]];
      const bias = matrix(`bridge.${name}_l0.bias`).flat();
      return times(`bridge.${name}_l0.weight`, given).map((value, i) => Math.tanh(value + bias[i]));
    };
    let state = { h: bridge("h"), c: bridge("c") };
    let fed: number[] = new Array(H).fill(0);
    const expected = [own.begin, ...tokens].map((token) => {
      const embedded = matrix("target.weight")[token];
      state = cell("decoder", "", inputFeeding ? [...embedded, ...fed] : embedded, state);
      const asked = times("attention.query.weight", state.h);
      const exps = memory.map((m) => Math.exp(dot(asked, m)));
      const total = exps.reduce((a, b) => a + b, 0);
      const context = memory[0].map((_, e) => exps.reduce((sum, value, s) => sum + (value / total) * memory[s][e], 0));
      fed = times("combine.weight", [...context, ...state.h]).map(Math.tanh);
      const bias = matrix("head.bias").flat();
      return times("head.weight", fed).map((value, i) => value + bias[i]);
    });
    const logits = inference(() =>
      own.teacherForced(own.encode(tensor(source.flat(), [1, 3, 2], { engine })), { tokens, lengths: [2] }).toArray(),
    );
    expected.flat().forEach((value, i) => {
      expect(logits[i]).toBeCloseTo(value, 10);
    });
  });

  const engines: [string, () => Kernels][] = [
    ["float32 reference", () => new ReferenceKernels("float32")],
    ["WebAssembly", () => WasmKernels.create()],
  ];
  it.each(engines)("scores step by step what it scores all at once on the %s engine too", (_, create) => {
    const engine = create();
    for (const choices of [{}, { inputFeeding: true }, { attention: "additive" as const }]) {
      const own = new EncoderDecoder(encoderDecoderSpec({ ...base, hiddenSize: 19, ...choices }), { rng: seed(3), engine });
      const sources = inference(() =>
        own.encode(tensor(x, [B, 3, 2], { engine }), { lengths: integers(lengths, [B], { engine }) }),
      );
      const logits = inference(() => own.teacherForced(sources, target).logSoftmax().toArray());
      let states = lengths.map((_, row) => own.scorer(sources, row).initial);
      const scorer = own.scorer(sources, 0);
      for (let t = 0; t < 4; t++) {
        const tokens = lengths.map((_, b) => (t === 0 ? own.begin : Math.max(0, target.tokens[b * 3 + t - 1])));
        const scores = scorer.advance(states, tokens);
        states = scores.states;
        for (let b = 0; b < B; b++) {
          if (t > target.lengths[b]) continue;
          const step = Array.from(scores.logProbabilities.slice(b * 5, (b + 1) * 5), Math.fround);
          expect(step).toEqual(Array.from(logits.slice((b * 4 + t) * 5, (b * 4 + t + 1) * 5)));
        }
      }
    }
  });

  it("lists its targets with the end behind them", () => {
    expect([...model.targets(target)]).toEqual([3, 0, 1, 4, 2, 2, 4, -1, 1, 4, -1, -1, 4, -1, -1, -1]);
    expect([model.end, model.begin, model.outputSize]).toEqual([4, 5, 5]);
  });

  it("takes sources and targets that are all empty", () => {
    const empty = { tokens: [], lengths: [0, 0] };
    const [logits, more] = inference(() => {
      const sources = model.encode(tensor([], [2, 0, 2]));
      const padded = model.encode(tensor(new Float64Array(8), [2, 2, 2]), { lengths: integers([0, 0]) });
      return [sources, padded].map((source) => model.teacherForced(source, empty));
    });
    expect(logits.shape).toEqual([2, 1, 5]);
    expect(logits.floats().every(Number.isFinite)).toBe(true);
    expect(logits.toArray()).toEqual(more.toArray());
  });

  it("draws its samples from what it predicts", () => {
    const sources = inference(() => model.encode(tensor(x.subarray(0, 6), [1, 3, 2])));
    const one = { tokens: [0], lengths: [1] };
    const scorer = model.scorer(sources, 0);
    const { logProbabilities } = scorer.advance([scorer.initial], [model.begin]);
    const counts = new Float64Array(5);
    const rng = seed(7);
    const trials = 2000;
    for (let i = 0; i < trials; i++) counts[model.feed(sources, one, { probability: 1, rng })[1]]++;
    counts.forEach((count, c) => {
      const p = Math.exp(logProbabilities[c]);
      expect(Math.abs(count / trials - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / trials));
    });
    let replaced = 0;
    for (let i = 0; i < trials; i++)
      replaced += model.feed(sources, { tokens: [3], lengths: [1] }, { probability: 0.25, rng })[1] !== 3 ? 1 : 0;
    const p = 0.25 * (1 - Math.exp(logProbabilities[3]));
    expect(Math.abs(replaced / trials - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / trials));
  });

  it("names what does not fit", () => {
    const make = (choices: Partial<EncoderDecoderSpec>) =>
      new EncoderDecoder(encoderDecoderSpec({ ...base, ...choices }), { rng: seed(1) });
    expect(() => make({ attention: "none", bridge: "none" })).toThrow(/OST_CONFIG.*nothing of the source/);
    expect(() => make({ attention: "none", inputFeeding: true })).toThrow(/OST_CONFIG.*input feeding/);
    expect(() => make({ tieTarget: true })).toThrow(/OST_CONFIG.*tied/);
    expect(() => make({ attention: "dot" })).toThrow(/OST_CONFIG.*dot/);
    expect(() => make({ attention: "bilinear" as never })).toThrow(/OST_CONFIG.*no such attention/);
    expect(() => make({ targetSize: 0 })).toThrow(/OST_RANGE.*targetSize/);
    const run = (given: { tokens: number[]; lengths: number[] }) => () => model.teacherForced(encoded(), given);
    expect(run({ tokens: [4, 0, 0, 0], lengths: [1, 1, 1, 1] })).toThrow(/OST_TARGET.*row 0, token 0/);
    expect(run({ tokens: [0, 0, -1, 0], lengths: [1, 1, 1, 1] })).toThrow(/OST_TARGET.*row 2/);
    expect(run({ tokens: [0, 0, 0], lengths: [1, 1, 1, 1] })).toThrow(/OST_SHAPE/);
    expect(run({ tokens: [0, 0], lengths: [1, 1] })).toThrow(/OST_SHAPE/);
    expect(run({ tokens: [0, 0, 0, 0], lengths: [1, 2, 1, 1] })).toThrow(/OST_LENGTH.*row 1/);
    expect(() => model.teacherForced(encoded(), target, { feed: [0] })).toThrow(/OST_SHAPE/);
    expect(() => model.teacherForced(encoded(), target, { feed: Array(16).fill(6) })).toThrow(/OST_RANGE/);
    expect(() => model.teacherForced(encoded(), target, { sampling: { probability: 2, rng: seed(1) } })).toThrow(/OST_RANGE/);
    expect(() => model.scorer(encoded(), 4)).toThrow(/OST_RANGE/);
    const scorer = model.scorer(encoded(), 0);
    expect(() => scorer.advance([scorer.initial], [6])).toThrow(/OST_RANGE/);
    expect(() => scorer.advance([scorer.initial], [])).toThrow(/OST_SHAPE/);
    expect(() => model.encode(tensor([1, 2], [1, 2]))).toThrow(/OST_SHAPE/);
  });

  it("builds again from its spec and its weights", () => {
    const again = new EncoderDecoder(JSON.parse(JSON.stringify(model.spec)), { rng: seed(99) });
    again.loadStateDict(model.stateDict());
    const run = (one: EncoderDecoder) =>
      inference(() => one.teacherForced(one.encode(tensor(x, [B, 3, 2]), { lengths: integers(lengths) }), target).toArray());
    expect(run(again)).toEqual(run(model));
  });

  it.each([false, true])("learns to write a short sequence backwards (input feeding %s)", (inputFeeding) => {
    const [codes, size] = [4, 3];
    const spec = encoderDecoderSpec({
      cell: "gru",
      inputSize: 1,
      embeddings: [{ column: 0, size: codes, width: 8 }],
      hiddenSize: 24,
      targetSize: codes,
      inputFeeding,
    });
    const learner = new EncoderDecoder(spec, { rng: seed(1) });
    const optimizer = new Adam(learner.parameters(), { learningRate: 0.01 });
    const rng = seed(2);
    const batch = (rows: number) => {
      const sources = Float64Array.from({ length: rows * size }, () => rng.integer(codes));
      const tokens = Array.from({ length: rows * size }, (_, i) => sources[i - (i % size) + size - 1 - (i % size)]);
      return { sources: tensor(sources, [rows, size, 1]), given: { tokens, lengths: Array(rows).fill(size) } };
    };
    for (let step = 0; step < 150; step++) {
      scope(() => {
        const { sources, given } = batch(32);
        optimizer.zeroGrad();
        const logits = learner.teacherForced(learner.encode(sources), given);
        crossEntropy(logits, integers(learner.targets(given))).backward();
        optimizer.step({ gradientScale: clipByGlobalNorm(optimizer.parameters, 5).gradientScale });
      });
    }
    const { sources, given } = batch(32);
    const free = learner.feed(
      inference(() => learner.encode(sources)),
      { tokens: [...given.tokens.keys()].map(() => 0), lengths: given.lengths },
      { probability: 1, choose: "argmax", rng: seed(1) },
    );
    const right = given.tokens.filter((token, i) => free[Math.floor(i / size) * (size + 1) + (i % size) + 1] === token).length;
    expect(right / given.tokens.length).toBeGreaterThan(0.95);
  });
});
