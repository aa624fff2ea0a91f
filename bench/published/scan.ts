/**
 * @file SCAN, given splits: the share of outputs that are right from the first action to the last, by greedy decoding. The length split asks
 * for outputs longer than any of training: networks of this kind fail there, and one that does not has seen the answers.
 */
import { type ResultRow, trained } from "./row.js";

function split(name: "simple" | "length", own: Pick<ResultRow, "metric" | "higherIsBetter" | "bar" | "published">): ResultRow {
  return {
    name: `SCAN ${name}`,
    data: "seq2seq-scan",
    ...own,
    run: ({ data, seed }) =>
      trained("examples/translate/scan.yaml", {
        set: [
          ...["train", "test"].map((part) => `data.source.${part}=${data}/tasks_${part}_${name}.txt.gz`),
          "evaluation.rivals=false",
        ],
        seed,
        metric: "exactMatch",
        higherIsBetter: true,
      }),
  };
}

export const rows: ResultRow[] = [
  split("simple", {
    metric: "exact match",
    higherIsBetter: true,
    bar: 0.98,
    published: "0.998 best, 0.997 overall-best (Lake & Baroni 2018; from memory)",
  }),
  split("length", {
    metric: "exact match",
    higherIsBetter: true,
    published: "0.208 best, 0.138 overall-best (Lake & Baroni 2018; from memory)",
  }),
];
