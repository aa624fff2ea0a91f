import { expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { integers, parameter, tensor } from "../tensor/index.js";
import { checkGradient } from "../testing/index.js";
import { Highway } from "./highway.js";
import { RecurrentNetwork, type RecurrentNetworkSpec } from "./network.js";

const engine = new ReferenceKernels("float64");
const spec = { lags: 3, horizon: 2, columns: [1, 0], added: 1, perValue: 2 };
const [B, T, F] = [3, 4, 2];
const lengths = [4, 2, 0];
const rng = seed(3);
const numbers = (count: number) => Float64Array.from({ length: count }, () => rng.uniform(-1, 1));

function filled(): Highway {
  const highway = new Highway(spec, { engine });
  for (const parameter of highway.parameters()) parameter.assign(numbers(parameter.size));
  return highway;
}

it("adds the weighted latest values of each target's own column, and nothing from before a row's beginning", () => {
  const highway = filled();
  const values = numbers(B * T * F);
  const last = numbers(B * 2 * 2 * 2);
  const given = highway
    .forward(tensor(last, [B, 8], { engine }), tensor(values, [B, T, F], { engine }), integers(lengths, [B], { engine }))
    .toArray();
  const [weight, bias] = [highway.weight.toArray(), highway.bias.toArray()];
  for (let b = 0; b < B; b++) {
    for (let p = 0; p < 2; p++) {
      for (let k = 0; k < 2; k++) {
        let wanted = bias[p];
        for (let l = 0; l < 3; l++) {
          const step = lengths[b] - 1 - l;
          if (step >= 0) wanted += weight[p * 3 + l] * values[(b * T + step) * F + spec.columns[k]];
        }
        const at = ((b * 2 + p) * 2 + k) * 2;
        expect(given[b * 8 + (p * 2 + k) * 2]).toBeCloseTo(last[at] + wanted, 12);
        expect(given[b * 8 + (p * 2 + k) * 2 + 1]).toBe(last[at + 1]);
      }
    }
  }
});

it("has the gradient of central differences, of weights and of inputs", () => {
  const highway = filled();
  const mix = tensor(numbers(B * 8), [B, 8], { engine });
  const [last, x] = [parameter(numbers(B * 8), [B, 8], { engine }), parameter(numbers(B * T * F), [B, T, F], { engine })];
  const all = new Map([...highway.namedParameters(), ["last", last] as const, ["x", x] as const]);
  const loss = () =>
    highway
      .forward(last, x, integers(lengths, [B], { engine }))
      .multiply(mix)
      .sum();
  expect(checkGradient(loss, all).checks).toBeGreaterThan(30);
});

it("gives a network the same outputs whatever the padding, and batched as solo", () => {
  const architecture: RecurrentNetworkSpec = {
    ...{
      type: "recurrent",
      cell: "gru",
      inputSize: 2,
      hiddenSize: 4,
      outputSize: 8,
      numLayers: 1,
      bidirectional: false,
      dropout: 0,
    },
    ...{ init: "uniform", forgetBias: null, resetAfter: true, nonlinearity: "tanh", highway: spec },
  };
  const network = new RecurrentNetwork(architecture, { rng: seed(1), engine });
  for (const parameter of network.highway?.parameters() ?? []) parameter.assign(numbers(parameter.size));
  const row = numbers(3 * F);
  const padded = (time: number, rows: number) => {
    const x = new Float64Array(rows * time * F).fill(0.5);
    x.set(row);
    const counts = Array.from({ length: rows }, (_, b) => (b === 0 ? 3 : time));
    return network
      .forward(tensor(x, [rows, time, F], { engine }), { lengths: integers(counts, [rows], { engine }) })
      .last.toArray();
  };
  const alone = padded(3, 1);
  expect(padded(7, 1)).toEqual(alone);
  expect(padded(7, 4).slice(0, 8)).toEqual(alone);
});
