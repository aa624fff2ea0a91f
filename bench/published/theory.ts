/** @file The adding problem and copy memory: what a gated cell learns and a plain one does not. */
import { type ResultRow, scripted } from "./row.js";

interface Printed {
  results: Record<string, { testMse?: number; digitAccuracy?: number; seconds: number }>;
  alwaysOne?: number;
}

interface Problem extends Pick<ResultRow, "name" | "metric" | "bar" | "published"> {
  script: "adding" | "copy";
  length: number;
  cell: "gru" | "lstm";
}

const ADDING = "GRU 5.3e-5, LSTM 0.164, RNN 0.177 (TCN paper, T = 600)";
const COPY = "at T = 1000 all at the level without memory (TCN paper)";
const PROBLEMS: Problem[] = [
  { name: "adding-T50-gru", script: "adding", length: 50, cell: "gru", metric: "MSE", bar: 0.01, published: ADDING },
  { name: "adding-T200-gru", script: "adding", length: 200, cell: "gru", metric: "MSE", bar: 0.01, published: ADDING },
  { name: "adding-T200-lstm", script: "adding", length: 200, cell: "lstm", metric: "MSE", bar: 0.01, published: ADDING },
  { name: "copy-T20-gru", script: "copy", length: 20, cell: "gru", metric: "digit accuracy", bar: 0.99, published: COPY },
  { name: "copy-T20-lstm", script: "copy", length: 20, cell: "lstm", metric: "digit accuracy", bar: 0.99, published: COPY },
];

export const rows: ResultRow[] = PROBLEMS.map(({ script, length, cell, ...row }) => ({
  ...row,
  data: "theory-adding-copy",
  higherIsBetter: script === "copy",
  run({ data, seed }) {
    const args = [`${data}/${script}_test.json`, "--length", String(length), "--cells", `${cell},rnn`, "--seed", String(seed)];
    const { results, alwaysOne } = scripted<Printed>(`examples/theory/${script}.ts`, args);
    const figure = (name: string) => (script === "copy" ? results[name].digitAccuracy : results[name].testMse) as number;
    const guess = alwaysOne === undefined ? "guessing 0.125" : `always 1 ${alwaysOne.toFixed(3)}`;
    return {
      value: figure(cell),
      trainSeconds: results[cell].seconds,
      baseline: `tanh RNN ${figure("rnn").toFixed(3)}, ${guess}`,
    };
  },
}));
