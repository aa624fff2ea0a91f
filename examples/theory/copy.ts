/**
 * @file Copy memory (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016): ten digits are shown, and after T steps asked for in order.
 *
 *     npx tsx --conditions=ostinato-source examples/theory/copy.ts copy_test.json [--length 20] [--cells lstm,gru,rnn] [--plot copy.svg]
 *
 * Input of T + 20 steps: ten digits 1 .. 8, T - 1 times 0, eleven times 9; target: T + 10 times 0, then the digits. Training sequences are
 * drawn as they are needed; each network is judged once, on the digits of the file: { "T20": [[ten digits], ...] }. Without memory the loss
 * is 10 ln 8 / (T + 20) nats, and one digit in eight is right. The last line is JSON.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { seed as seedOf } from "ostinato/core";
import { crossEntropy } from "ostinato/losses";
import type { RecurrentCellName } from "ostinato/nn";
import { inference, integers, tensor } from "ostinato/tensor";
import { curvePlot } from "./curve-plot.js";
import { learn } from "./learn.js";

type Digits = readonly number[];

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    length: { type: "string", default: "20" },
    cells: { type: "string", default: "lstm,gru,rnn" },
    hidden: { type: "string", default: "128" },
    updates: { type: "string", default: "9000" },
    rate: { type: "string", default: "0.015" },
    seed: { type: "string", default: "1" },
    plot: { type: "string" },
  },
});
const length = Number(values.length);
const seed = Number(values.seed);
const file = JSON.parse(readFileSync(positionals[0] ?? "copy_test.json", "utf8")) as Record<string, Digits[]>;
const test = file[`T${length}`];
if (!test) throw new Error(`the file holds ${Object.keys(file).join(", ")}, not T${length}`);

const SHOWN = 10;
const SYMBOLS = 10;
const ASK = 9;
const BATCH = 32;
const steps = length + 2 * SHOWN;

function draw(n: number): Digits[] {
  const rng = seedOf((seed * 1_000_003 + n) >>> 0);
  return Array.from({ length: BATCH }, () => Array.from({ length: SHOWN }, () => 1 + rng.integer(8)));
}

/** [cases, steps, 10]: a 1 for the symbol of each step. */
function input(cases: readonly Digits[]) {
  const marks = new Float32Array(cases.length * steps * SYMBOLS);
  cases.forEach((digits, b) => {
    for (let t = 0; t < steps; t++) {
      const symbol = t < SHOWN ? digits[t] : t < SHOWN + length - 1 ? 0 : ASK;
      marks[(b * steps + t) * SYMBOLS + symbol] = 1;
    }
  });
  return tensor(marks, [cases.length, steps, SYMBOLS]);
}

/** [cases, steps] */
function targets(cases: readonly Digits[]) {
  const blank = Array.from({ length: steps - SHOWN }, () => 0);
  return integers(
    cases.flatMap((digits) => [...blank, ...digits]),
    [cases.length, steps],
  );
}

/** Share of the asked digits that are right. */
function digitAccuracy(logits: Float32Array | Float64Array, cases: readonly Digits[]): number {
  let right = 0;
  cases.forEach((digits, b) => {
    digits.forEach((digit, n) => {
      const row = logits.subarray((b * steps + steps - SHOWN + n) * SYMBOLS).subarray(0, SYMBOLS);
      if (row.indexOf(Math.max(...row)) === digit) right++;
    });
  });
  return right / (cases.length * SHOWN);
}

const memoryless = (SHOWN * Math.log(8)) / steps;
const results: Record<string, object> = {};
const curves: { name: string; points: [number, number][] }[] = [];
for (const cell of values.cells.split(",") as RecurrentCellName[]) {
  const { network, curve, ...run } = learn({
    cell,
    inputSize: SYMBOLS,
    hiddenSize: Number(values.hidden),
    steps,
    outputSize: SYMBOLS,
    updates: Number(values.updates),
    goal: 1e-3,
    learningRate: Number(values.rate),
    seed,
    draw,
    input,
    loss: ({ output }, cases) => crossEntropy(output, targets(cases)),
  });
  const [testLoss, accuracy] = inference(() => {
    const { output } = network.forward(input(test));
    return [crossEntropy(output, targets(test)).item(), digitAccuracy(output.floats(), test)];
  });
  results[cell] = { digitAccuracy: accuracy, testLoss, ...run };
  curves.push({ name: cell, points: curve });
}
if (values.plot) {
  const level = { name: `no memory: ${memoryless.toPrecision(2)}`, error: memoryless };
  writeFileSync(values.plot, curvePlot({ title: `Copy memory, ${length} steps`, unit: "nats per step", curves, level }));
}
console.log(JSON.stringify({ problem: "copy", length, cases: test.length, memoryless, results }));
