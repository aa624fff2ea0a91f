/** @file Parts of speech of Universal Dependencies English EWT, official parts, gold tokens: from words alone, and with their spelling. */
import { type ResultRow, trained } from "./row.js";

const PARTS = { train: "train", validation: "dev", test: "test" };

function tagger(name: string, config: string, { bar, published }: Pick<ResultRow, "bar" | "published">): ResultRow {
  return {
    name,
    data: "tag-ud-english-ewt",
    metric: "UPOS accuracy, test",
    higherIsBetter: true,
    bar,
    published,
    run: ({ data, seed }) =>
      trained(config, {
        set: [
          ...Object.entries(PARTS).map(([part, file]) => `data.source.${part}=${data}/en_ewt-ud-${file}.conllu.gz`),
          "evaluation.rivals=false",
        ],
        seed,
        metric: "accuracy",
        higherIsBetter: true,
      }),
  };
}

export const rows: ResultRow[] = [
  tagger("UD English, words", "examples/tag/ud-english.yaml", {
    bar: 0.9,
    published: "0.88 (BiLSTM, torchtext tutorial, older release)",
  }),
  tagger("UD English, words and spelling", "examples/tag/ud-english-spelling.yaml", {
    bar: 0.93,
    published: "0.95 .. 0.96 (UDPipe 2, Stanza; from memory)",
  }),
];
