/**
 * @file Characters of tiny Shakespeare: the last tenth of the text, given all before. The plays follow one another, and the last tenth begins
 * within one: the validation part is therefore short, lest what training does not see of that play be most of it.
 */
import { type ResultRow, trained } from "./row.js";

export const rows: ResultRow[] = [
  {
    name: "Tiny Shakespeare",
    data: "lm-tinyshakespeare",
    metric: "nats per character, last 10 %",
    higherIsBetter: false,
    bar: 1.55,
    published: "Witten-Bell 5-gram 1.669; char-rnn 1.395 after 30 epochs on another split of a text not named",
    run: ({ data, seed }) =>
      trained("examples/language/shakespeare.yaml", {
        set: [`data.source=${data}/input.txt`],
        seed,
        metric: "logLoss",
        higherIsBetter: false,
      }),
  },
];
