/**
 * @file The adding problem (Hochreiter & Schmidhuber 1997): of T random numbers two are marked, and their sum is asked for at the end.
 *
 *     npx tsx --conditions=ostinato-source examples/theory/adding.ts adding_test.json [--length 200] [--cells lstm,gru,rnn] [--plot adding.svg]
 *
 * Training sequences are drawn as they are needed; each network is judged once, on the fixed sequences of the file:
 * { "T200": [{ "x": [0 .. 1, ...], "m": [i, j], "y": sum }] }. Whoever always says the mean errs by about 1/6. The last line is JSON.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { seed as seedOf } from "ostinato/core";
import { mse } from "ostinato/losses";
import type { RecurrentCellName } from "ostinato/nn";
import { inference, tensor } from "ostinato/tensor";
import { curvePlot } from "./curve-plot.js";
import { learn } from "./learn.js";

interface Case {
  x: readonly number[];
  m: readonly number[];
  y: number;
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    length: { type: "string", default: "200" },
    cells: { type: "string", default: "lstm,gru,rnn" },
    hidden: { type: "string", default: "64" },
    updates: { type: "string", default: "3000" },
    rate: { type: "string", default: "0.005" },
    seed: { type: "string", default: "1" },
    plot: { type: "string" },
  },
});
const length = Number(values.length);
const seed = Number(values.seed);
const file = JSON.parse(readFileSync(positionals[0] ?? "adding_test.json", "utf8")) as Record<string, Case[]>;
const test = file[`T${length}`];
if (!test) throw new Error(`the file holds ${Object.keys(file).join(", ")}, not T${length}`);

const BATCH = 32;
function draw(n: number): Case[] {
  const rng = seedOf((seed * 1_000_003 + n) >>> 0);
  return Array.from({ length: BATCH }, () => {
    const x = Array.from({ length }, () => rng.uniform());
    const first = rng.integer(length);
    const second = (first + 1 + rng.integer(length - 1)) % length;
    return { x, m: [first, second], y: x[first] + x[second] };
  });
}

/** [cases, length, 2]: the numbers, and 1 where they are marked. */
function input(cases: readonly Case[]) {
  const numbers = new Float32Array(cases.length * length * 2);
  cases.forEach(({ x, m }, b) => {
    x.forEach((value, t) => {
      numbers[(b * length + t) * 2] = value;
    });
    for (const t of m) numbers[(b * length + t) * 2 + 1] = 1;
  });
  return tensor(numbers, [cases.length, length, 2]);
}

const sums = (cases: readonly Case[]) =>
  tensor(
    cases.map(({ y }) => y),
    [cases.length, 1],
  );
const mean = test.reduce((total, { y }) => total + (y - 1) ** 2, 0) / test.length;

const results: Record<string, object> = {};
const curves: { name: string; points: [number, number][] }[] = [];
for (const cell of values.cells.split(",") as RecurrentCellName[]) {
  const { network, curve, ...run } = learn({
    cell,
    inputSize: 2,
    hiddenSize: Number(values.hidden),
    steps: length,
    outputSize: 1,
    updates: Number(values.updates),
    goal: 5e-4,
    learningRate: Number(values.rate),
    seed,
    draw,
    input,
    loss: ({ last }, cases) => mse(last, sums(cases)),
  });
  const testMse = inference(() => mse(network.forward(input(test)).last, sums(test)).item());
  results[cell] = { testMse, ...run };
  curves.push({ name: cell, points: curve });
}
if (values.plot) {
  const level = { name: `always 1: ${mean.toPrecision(2)}`, error: mean };
  writeFileSync(values.plot, curvePlot({ title: `Adding problem, ${length} steps`, unit: "squared error", curves, level }));
}
console.log(JSON.stringify({ problem: "adding", length, cases: test.length, alwaysOne: mean, results }));
