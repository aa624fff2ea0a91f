/** @file Surnames of eighteen languages: of each file the names 0, 5, 10, ... are the test part. */
import { type ResultRow, trained } from "./row.js";

function measured(name: string, metric: string, own: Pick<ResultRow, "metric" | "bar" | "published" | "baseline">): ResultRow {
  return {
    name,
    data: "class-names-nationality",
    higherIsBetter: true,
    ...own,
    run: ({ data, seed }) =>
      trained("examples/classify/names.yaml", {
        set: [`data.source=${data}`, "evaluation.rivals=false"],
        seed,
        metric,
        higherIsBetter: true,
      }),
  };
}

export const rows: ResultRow[] = [
  measured("Names", "accuracy", {
    metric: "accuracy, test",
    bar: 0.8,
    published: "none; naive Bayes on character 1- to 3-grams 0.822",
  }),
  measured("Names, macro recall", "balancedAccuracy", {
    metric: "mean recall of the languages, test; the bar is the logistic regression's",
    bar: 0.353,
    published: "none",
  }),
];
