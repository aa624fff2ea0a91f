import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type DataOptions, prepare, tableFromRecords } from "../data/index.js";
import { dataSchema } from "./data-config.js";

const split = { by: "time", train: 0.6, validation: 0.2, test: 0.2 };
const base = { source: "a.txt", split };

/** What the data layer takes of a block, where no tokenizer is read from a file. */
function optionsOf(input: Record<string, unknown>, targetKind: DataOptions["targetKind"]): DataOptions {
  const {
    source: _,
    read: _read,
    sync: _sync,
    storage: _storage,
    tagScheme: _tags,
    known: _known,
    sessions: _sessions,
    ...data
  } = dataSchema.parse(input);
  return { ...(data as Omit<DataOptions, "targetKind">), targetKind };
}

describe("the data block", () => {
  it("says what comes next of a document, cut by characters", () => {
    const options = optionsOf({ ...base, categories: { text: { kind: "characters" } }, target: "text" }, "next");
    const { split: made, preprocessing } = prepare(tableFromRecords([{ text: "to be or not to be" }]), options);
    expect([made.train, made.unit, preprocessing.codes[0].width]).toEqual([10, "characters", 7]);
  });

  it("says how a text to be predicted becomes codes, in short or in full", () => {
    const translate = { ...base, entity: "line", categories: { a: { kind: "words" } }, target: "b" };
    expect(dataSchema.parse({ ...translate, targetTokens: "words" }).targetTokens).toEqual({ kind: "words" });
    const options = optionsOf(
      {
        ...translate,
        targetTokens: { kind: "vocabulary", minCount: 2 },
        split: { by: "modulo:line", divisor: 4, test: [0], validation: [1] },
      },
      "tokens",
    );
    const rows = Array.from({ length: 8 }, (_, i) => ({ a: "x y", b: "p q", line: i + 1 }));
    const prepared = prepare(tableFromRecords(rows), options);
    expect([prepared.preprocessing.classes, prepared.split.series]).toEqual([
      ["<unknown>", "p", "q"],
      { train: 4, validation: 2, test: 2 },
    ]);
    for (const wrong of [{ kind: "templates" }, { kind: "words", markers: { end: true } }, { kind: "tokenizerJson" }, "sets"]) {
      expect(() => dataSchema.parse({ ...translate, targetTokens: wrong })).toThrow();
    }
  });

  it("says sets, spelling and symbols", () => {
    const options = optionsOf(
      {
        ...base,
        categories: {
          notes: { kind: "set", range: [60, 62] },
          word: { lowerCase: true, as: "embedding" },
          keys: { kind: "symbols" },
        },
        spelling: { word: { suffixes: [1, 2], shape: true } },
        target: "tag",
      },
      "tags",
    );
    const rows = Array.from({ length: 10 }, (_, i) => ({ notes: "60 62", word: "The", keys: "a b", tag: `t${i % 2}` }));
    const { featureNames } = prepare(tableFromRecords(rows), options).preprocessing;
    expect(featureNames).toEqual([
      "notes=60",
      "notes=61",
      "notes=62",
      "word",
      "keys",
      "word.suffix1",
      "word.suffix2",
      "word.shape",
    ]);
    for (const wrong of [
      { notes: { kind: "set", as: "embedding" } },
      { notes: { kind: "set", width: 3 } },
      { notes: { kind: "bag" } },
    ]) {
      expect(() => dataSchema.parse({ ...base, target: "tag", categories: wrong })).toThrow();
    }
    for (const wrong of [{ prefixes: [0] }, { suffixes: [17] }, { prefix: [1] }]) {
      expect(() => dataSchema.parse({ ...base, target: "tag", spelling: { word: wrong } })).toThrow();
    }
  });

  it("says which rows are anomalous, and may then leave the target out", () => {
    const data = { ...base, features: ["v"], anomaly: { column: "bad", normal: [0, false, "no"] } };
    expect(dataSchema.parse(data).anomaly?.normal).toEqual(["0", "false", "no"]);
    const rows = Array.from({ length: 10 }, (_, i) => ({ v: i, bad: i === 9 ? 1 : 0 }));
    const { series, preprocessing } = prepare(tableFromRecords(rows), optionsOf(data, "values"));
    expect([[...(series[0].anomaly as Uint8Array)].indexOf(1), preprocessing.targetColumns]).toEqual([9, ["v"]]);
    expect(() => dataSchema.parse({ ...data, anomaly: { column: "bad", normal: [] } })).toThrow();
  });

  it("says lines by a pattern, and parts by remainder", () => {
    const { read } = dataSchema.parse({ ...base, read: { line: "{a}\t{b}" }, target: "b" });
    expect(read.line).toBe("{a}\t{b}");
    const modulo = { by: "modulo:line", divisor: 5, test: [0], validation: 0.1, begins: { test: ["abnormal-"] } };
    expect(dataSchema.parse({ ...base, split: modulo, target: "b" }).split).toEqual({ ...modulo, seed: 0 });
    for (const wrong of [{ divisor: 1 }, { test: [-1] }, { validation: [] }, { validation: 1.5 }, { begins: { some: ["x"] } }]) {
      expect(() => dataSchema.parse({ ...base, split: { ...modulo, ...wrong }, target: "b" })).toThrow();
    }
  });

  it("has a JSON Schema for editors, in which new keys are described", () => {
    const schema = z.toJSONSchema(dataSchema, { io: "input" }) as { properties: Record<string, { description?: string }> };
    for (const key of ["targetTokens", "anomaly", "spelling", "target", "categories"]) {
      expect(schema.properties[key].description?.length).toBeGreaterThan(20);
    }
  });
});
