/** @file JSB chorales: nats per chord of each kind of cell. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ResultRow, scripted, trained } from "./row.js";

/** By Bai, Kolter & Koltun 2018 (the TCN paper). The bar is that of LSTM and GRU; the RNN is shown beside them. */
const CELLS = [
  { cell: "gru", bar: 8.5, published: "8.43 (TCN paper's GRU)", set: [] },
  { cell: "lstm", bar: 8.5, published: "8.45 (TCN paper's LSTM)", set: [] },
  { cell: "rnn", published: "8.91 (TCN paper's RNN)", set: ["train.learningRate=2e-3"] },
];

export const rows: ResultRow[] = CELLS.map(({ cell, bar, published, set }) => ({
  name: `jsb-${cell}`,
  data: "music-jsb-chorales",
  metric: "NLL, nats per chord",
  higherIsBetter: false,
  bar,
  published,
  run({ data, seed }) {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-chorales-"));
    try {
      const table = join(folder, "chorales.csv");
      scripted("examples/language/chorales.ts", [`${data}/jsb_chorales.json`, table]);
      return trained("examples/language/chorales.yaml", {
        set: [`data.source=${table}`, `model.cell=${cell}`, ...set, "evaluation.rivals=false"],
        seed,
        metric: "nll",
        higherIsBetter: false,
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
}));
