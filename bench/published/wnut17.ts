/** @file Named entities of WNUT 2017, official parts: exact spans and kinds, nothing learned from other texts. */
import { type ResultRow, trained } from "./row.js";

const FILES = { train: "wnut17train.conll", validation: "emerging.dev.conll", test: "emerging.test.annotated" };

export const rows: ResultRow[] = [
  {
    name: "WNUT17",
    data: "tag-wnut17-ner",
    metric: "span F1, test",
    higherIsBetter: true,
    bar: 0.2,
    published: "0.263 .. 0.419 (shared task 2017, with pretrained embeddings or gazetteers)",
    run: ({ data, seed }) =>
      trained("examples/tag/wnut17.yaml", {
        set: [...Object.entries(FILES).map(([part, file]) => `data.source.${part}=${data}/${file}`), "evaluation.rivals=false"],
        seed,
        metric: "spanF1",
        higherIsBetter: true,
      }),
  },
];
