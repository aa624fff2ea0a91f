/** @file Speakers of Japanese vowels, official parts. */
import { type ResultRow, trained } from "./row.js";

export const rows: ResultRow[] = [
  {
    name: "Japanese vowels",
    data: "class-japanese-vowels",
    metric: "accuracy, test",
    higherIsBetter: true,
    bar: 0.97,
    published: "0.941 (Kudo et al. 1999), HMM 0.962; MathWorks LSTM 0.95 .. 0.97 (all from memory)",
    run: ({ data, seed }) =>
      trained("examples/classify/japanese-vowels.yaml", {
        set: [
          `data.source.train=${data}/JapaneseVowels_TRAIN.ts`,
          `data.source.test=${data}/JapaneseVowels_TEST.ts`,
          "evaluation.rivals=false",
        ],
        seed,
        metric: "accuracy",
        higherIsBetter: true,
      }),
  },
];
