import { expect, it } from "vitest";
import { tableFromRecords } from "../data/index.js";
import { parseConfig } from "./config.js";
import { prepareExperiment } from "./experiment.js";

const records = ["O", "B-PER", "I-PER", "O", "B-LOC"].flatMap((tag, i) =>
  ["a", "b", "c"].map((sentence) => ({ sentence, word: `w${i}`, tag })),
);
const config = (tagScheme: string | null) =>
  parseConfig({
    task: "tag",
    data: {
      source: "x.conll",
      entity: "sentence",
      categories: { word: "embedding" },
      target: "tag",
      split: { by: "entity", train: 0.34, validation: 0.33, test: 0.33 },
      tagScheme,
    },
  });
const table = (rows: typeof records) => tableFromRecords(rows, { source: "x.conll", text: ["sentence", "word", "tag"] });

it("tags of the scheme pass", () => {
  expect(prepareExperiment(config("BIO2"), table(records)).prepared.series).toHaveLength(3);
});

it("a tag that breaks the scheme is named by its row, and with the tag that would be right", () => {
  const broken = records.map((row, i) => (i === 3 ? { ...row, tag: "I-PER" } : row));
  expect(() => prepareExperiment(config("BIO2"), table(broken))).toThrow(
    /OST_TARGET {2}x.conll row 4, series "a": I-PER .*B-PER/s,
  );
  expect(prepareExperiment(config(null), table(broken)).spec.classes).toContain("I-PER");
});
