/** @file The node test cases of ONNX, run on our layers after their gates are put into our order; see onnx-recurrent.md for the source. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { Cell, GRU, LSTM, Recurrent, RNN, type SequenceModel, type State } from "../../src/nn/index.js";
import { integers, type Parameter, parameter, scope, type Tensor, tensor } from "../../src/tensor/index.js";
import { NATIVE_ENGINES, skipAbsentNative } from "../support/native-engines.js";

interface Values {
  shape: number[];
  data: number[];
}

interface Case {
  name: string;
  op: "RNN" | "LSTM" | "GRU" | "ReverseSequence";
  attributes: { hidden_size: number; layout?: 0 | 1; batch_axis?: number; time_axis?: number };
  inputs: Record<string, Values>;
  outputs: Record<string, Values>;
}

const { cases } = JSON.parse(readFileSync(new URL("onnx-recurrent.json", import.meta.url), "utf8")) as { cases: Case[] };

/** For each of our gates, its index in ONNX's order: LSTM i o f c to i f g o, GRU z r h to r z n. */
const GATES = { RNN: [0], LSTM: [0, 2, 3, 1], GRU: [1, 0, 2] };

const engines: [string, Kernels][] = [
  ["float64 reference", new ReferenceKernels("float64")],
  ["wasm", WasmKernels.create()],
  ...NATIVE_ENGINES.map(([name, create]): [string, Kernels] => [name, create()]),
];
skipAbsentNative();

it("the fixture holds all 14 cases", () => {
  expect(cases.map(({ name }) => name.replace("test_", "")).sort()).toEqual([
    "gru_batchwise",
    "gru_defaults",
    "gru_seq_length",
    "gru_with_initial_bias",
    "lstm_batchwise",
    "lstm_defaults",
    "lstm_with_initial_bias",
    "lstm_with_peepholes",
    "reversesequence_batch",
    "reversesequence_time",
    "rnn_seq_length",
    "simple_rnn_batchwise",
    "simple_rnn_defaults",
    "simple_rnn_with_initial_bias",
  ]);
});

describe.each(engines)("ONNX on %s", (_, engine) => {
  it.each(cases.map((one) => [one.name, one] as const))("%s", (_, one) => {
    if (one.op === "ReverseSequence") checkReverse(one, engine);
    else checkRecurrence(one, engine);
  });
});

function checkRecurrence({ op, attributes, inputs, outputs }: Case, engine: Kernels): void {
  const { W, R, P, X } = inputs;
  const H = attributes.hidden_size;
  const [, rows, I] = W.shape;
  const batchFirst = attributes.layout === 1;
  const B = inputs["B"] ?? { shape: [1, 2 * rows], data: new Array(2 * rows).fill(0) };
  const gates = GATES[op as "LSTM"];
  const ordered = (data: number[], width: number) =>
    gates.flatMap((gate) => data.slice(gate * H * width, (gate + 1) * H * width));
  const weights = new Map(
    Object.entries({
      weight_ih: { shape: [rows, I], data: ordered(W.data, I) },
      weight_hh: { shape: [rows, H], data: ordered(R.data, H) },
      bias_ih: { shape: [rows], data: ordered(B.data.slice(0, rows), 1) },
      bias_hh: { shape: [rows], data: ordered(B.data.slice(rows), 1) },
    }),
  );
  const model = build(op, { I, H, peepholes: P?.data, engine });
  const prefix = P ? "cell." : "";
  const suffix = P ? "" : "_l0";
  const entries = [...weights].map(
    ([name, { shape, data }]) => [prefix + name + suffix, { shape, data: Float64Array.from(data) }] as const,
  );
  if (P) entries.push(["cell.peephole", { shape: [3, H], data: Float64Array.from(P.data) }]);
  model.loadStateDict(new Map(entries));

  const [T, batch] = batchFirst ? [X.shape[1], X.shape[0]] : [X.shape[0], X.shape[1]];
  scope(() => {
    const raw = tensor(X.data, X.shape, { engine });
    const x = batchFirst ? raw : raw.transpose(0, 1);
    const state: State = Object.fromEntries(
      Object.keys(model.stateSpec).map((name) => {
        const initial = inputs[name.startsWith("h") ? "initial_h" : "initial_c"];
        return [name, tensor(initial?.data ?? new Array(batch * H).fill(0), [batch, H], { engine })];
      }),
    );
    const lengths = inputs["sequence_lens"] && integers(inputs["sequence_lens"].data, [batch], { engine });
    const { output, last } = model.forward(x, { state, lengths });
    close(last, outputs["Y_h"].data);
    // With one direction, Y [batch, time, 1, hidden] (batchwise) holds our output.
    if (outputs["Y"]) {
      expect(outputs["Y"].shape).toEqual([batch, T, 1, H]);
      close(output, outputs["Y"].data);
    }
  });
}

function build(
  op: Case["op"],
  { I, H, peepholes, engine }: { I: number; H: number; peepholes?: number[]; engine: Kernels },
): SequenceModel {
  const rng = seed(1);
  if (peepholes) return new Recurrent(new PeepholeLSTMCell(I, H, engine));
  if (op === "LSTM") return new LSTM(I, H, { rng, engine });
  return op === "GRU" ? new GRU(I, H, { rng, engine, resetAfter: false }) : new RNN(I, H, { rng, engine });
}

/** LSTM whose gates also see the cell (Gers & Schmidhuber 2000); gates i f g o, peepholes in ONNX's order i o f. */
class PeepholeLSTMCell extends Cell {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly stateSpec: { h: number; c: number };
  readonly weight_ih: Parameter;
  readonly weight_hh: Parameter;
  readonly bias_ih: Parameter;
  readonly bias_hh: Parameter;
  readonly peephole: Parameter;

  constructor(inputSize: number, hiddenSize: number, engine: Kernels) {
    super();
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.stateSpec = { h: hiddenSize, c: hiddenSize };
    const blank = (...shape: number[]) => parameter(new Float64Array(shape.reduce((a, b) => a * b)), shape, { engine });
    this.weight_ih = blank(4 * hiddenSize, inputSize);
    this.weight_hh = blank(4 * hiddenSize, hiddenSize);
    this.bias_ih = blank(4 * hiddenSize);
    this.bias_hh = blank(4 * hiddenSize);
    this.peephole = blank(3, hiddenSize);
  }

  override step(x: Tensor, { h, c }: State): { output: Tensor; state: State } {
    const H = this.hiddenSize;
    const gates = x.linear(this.weight_ih, this.bias_ih).add(h.linear(this.weight_hh, this.bias_hh));
    const gate = (k: number) => gates.slice(1, k * H, (k + 1) * H);
    const peep = (k: number, cell: Tensor) => cell.multiply(this.peephole.slice(0, k, k + 1));
    const i = gate(0).add(peep(0, c)).sigmoid();
    const f = gate(1).add(peep(2, c)).sigmoid();
    const next = f.multiply(c).add(i.multiply(gate(2).tanh()));
    const o = gate(3).add(peep(1, next)).sigmoid();
    const output = o.multiply(next.tanh());
    return { output, state: { h: output, c: next } };
  }
}

/**
 * A sequence reversed within its length is what the reverse direction reads: a layer on ONNX's y gives, in reverse order, what the reverse
 * direction of a bidirectional layer gives on x, when both hold the same weights.
 */
function checkReverse({ attributes, inputs, outputs }: Case, engine: Kernels): void {
  const timeFirst = attributes.time_axis === 0;
  const [B, T] = inputs["x"].shape;
  const lengths = inputs["sequence_lens"].data;
  const rows = (values: Values) =>
    timeFirst ? values.data.map((_, i) => values.data[(i % T) * B + Math.floor(i / T)]) : values.data;
  const reversed = rows(inputs["x"]).map((_, i, x) => {
    const [b, t] = [Math.floor(i / T), i % T];
    return t < lengths[b] ? x[b * T + lengths[b] - 1 - t] : x[i];
  });
  expect(reversed).toEqual(rows(outputs["y"]));

  scope(() => {
    const both = new RNN(1, 3, { rng: seed(2), engine, bidirectional: true });
    const forward = new RNN(1, 3, { rng: seed(3), engine });
    const weights = both.stateDict();
    forward.loadStateDict(new Map([...forward.stateDict().keys()].map((name) => [name, weights.get(`${name}_reverse`)!])));
    // Scaled, so that tanh does not saturate.
    const sequence = (data: number[]) => tensor(data, [B, T, 1], { engine }).multiply(0.1);
    const valid = integers(lengths, [B], { engine });
    const expected = both
      .forward(sequence(rows(inputs["x"])), { lengths: valid })
      .output.slice(2, 3, 6)
      .toArray();
    const got = forward.forward(sequence(rows(outputs["y"])), { lengths: valid }).output.toArray();
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < T; t++) {
        const mirror = t < lengths[b] ? lengths[b] - 1 - t : t;
        for (let k = 0; k < 3; k++) expect(got[(b * T + t) * 3 + k]).toBeCloseTo(expected[(b * T + mirror) * 3 + k], 6);
      }
    }
  });
}

function close(got: Tensor, expected: number[]): void {
  const values = got.toArray();
  expect(values.length).toBe(expected.length);
  values.forEach((value, i) => {
    expect(Math.abs(value - expected[i])).toBeLessThan(1e-5);
  });
}
