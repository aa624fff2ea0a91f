/**
 * @file The baselines of codes, frames and tags give the figures that the data sets' own notes name, computed there with other programs.
 * Skipped by name where the data are not there.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { CountTable, KeyFrequency, KeyMarkov, MostFrequentTag, NGram, restoreBaseline } from "../../src/baselines/index.js";
import type { Batch, ExampleSpec } from "../../src/core/batch.js";
import { DATA_FOLDER } from "./data-set.js";

function withFile(path: string, tests: (file: string) => void): void {
  const file = join(DATA_FOLDER, path);
  if (existsSync(file)) describe(path, { timeout: 300_000 }, () => tests(file));
  else it.skip(`${path}: SKIPPED, the data are not in ${DATA_FOLDER} (set OSTINATO_DATA)`, () => {});
}

const base: ExampleSpec = {
  features: ["code"],
  targetKind: "next",
  targets: [],
  classes: [],
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
};

function codeSpec(classes: string[], targetKind: "next" | "tags" = "next", size = classes.length): ExampleSpec {
  return { ...base, targetKind, classes, codes: [{ column: 0, size, width: 8 }] };
}

/** Rows of codes with the code after each, or with their tags. */
function codeBatch(spec: ExampleSpec, rows: readonly ArrayLike<number>[], tags?: readonly ArrayLike<number>[]): Batch {
  const next = tags === undefined;
  const lengths = rows.map(({ length }) => length);
  const time = Math.max(...lengths);
  const x = new Float32Array(rows.length * time);
  const classes = new Int32Array(rows.length * time).fill(-1);
  rows.forEach((row, b) => {
    for (let t = 0; t < row.length; t++) {
      x[b * time + t] = row[t];
      classes[b * time + t] = next ? (t + 1 < row.length ? row[t + 1] : -1) : tags[b][t];
    }
  });
  return {
    batchSize: rows.length,
    time,
    features: 1,
    x,
    lengths: Int32Array.from(lengths),
    targetKind: spec.targetKind,
    classes,
    everyStep: false,
    horizon: 0,
    targets: 0,
    example: Int32Array.from(rows.keys()),
    series: Int32Array.from(rows.keys()),
    start: new Int32Array(rows.length),
  };
}

/** One long row as the chunks of one lane. */
function* laneChunks(spec: ExampleSpec, codes: ArrayLike<number>, chunk: number): Generator<Batch> {
  const all = Int32Array.from(codes);
  for (let from = 0; from < all.length; from += chunk) {
    const batch = codeBatch(spec, [all.subarray(from, from + chunk)]);
    if (batch.classes && from + chunk < all.length) batch.classes[chunk - 1] = all[from + chunk];
    yield { ...batch, start: Int32Array.of(from), series: new Int32Array(1), reset: Uint8Array.of(from === 0 ? 1 : 0) };
  }
}

function nll(logits: Float32Array, { classes = new Int32Array(0) }: Batch, V: number): { sum: number; count: number } {
  let sum = 0;
  let count = 0;
  classes.forEach((label, i) => {
    if (label < 0) return;
    sum -= logits[i * V + label];
    count++;
  });
  return { sum, count };
}

withFile("lm-tinyshakespeare/input.txt", (file) => {
  const text = readFileSync(file, "utf8");
  const alphabet = [...new Set(text)].sort();
  const codes = Int32Array.from(text, (character) => alphabet.indexOf(character));
  const cut = Math.floor(0.9 * codes.length);
  const spec = codeSpec(alphabet);
  const train = () => [codeBatch(spec, [codes.subarray(0, cut)])];
  const validation = () => laneChunks(spec, codes.subarray(cut), 4096);
  const fitted = (order: number | number[]) => {
    const ngram = new NGram(spec, { order });
    ngram.fit(train, validation);
    return ngram;
  };
  const scoreOf = (ngram: { predict(batch: Batch): Float32Array }) => {
    let [sum, count] = [0, 0];
    for (const batch of validation()) {
      const one = nll(ngram.predict(batch), batch, alphabet.length);
      sum += one.sum;
      count += one.count;
    }
    return sum / count;
  };

  it("n-grams reach the published Witten-Bell losses, and the validation part picks order 5", () => {
    const best = fitted([1, 2, 3, 4, 5, 6]);
    expect(best.name).toBe("ngram(5)");
    const published = [3.347, 2.486, 2.049, 1.774, 1.669];
    best.choice.validation.slice(0, 5).forEach(({ nll: loss }, i) => {
      expect(Math.abs(loss - published[i]), `order ${i + 1}`).toBeLessThan(0.002);
    });
    expect(scoreOf(best)).toBeCloseTo(best.choice.validation[4].nll, 4);
    const restored = restoreBaseline(JSON.parse(JSON.stringify(best)), best.arrays());
    expect(scoreOf(restored)).toBe(scoreOf(best));
    expect(Math.abs(scoreOf(fitted(2)) - published[1])).toBeLessThan(0.002);
  });
});

withFile("events-deeplog-hdfs/hdfs_train.txt", (file) => {
  const read = (path: string) =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => line.trim().split(/\s+/).map(Number));
  const sessions = read(file);
  const abnormal = read(file.replace("hdfs_train", "hdfs_test_abnormal"));
  const keys = [...new Set([...sessions, ...abnormal].flat())].sort((a, b) => a - b);
  const spec = codeSpec(keys.map(String));
  const coded = (rows: number[][]) => rows.map((row) => row.map((key) => keys.indexOf(key)));
  const train = codeBatch(spec, coded(sessions.filter((_, i) => i % 5 !== 0)));

  it.each([
    [1, 0.41, 95.6, 59],
    [2, 0.93, 95.8, 59],
  ] as const)("a table of %i latest keys flags what its note says", (latest, falsePositives, recall, withoutRule) => {
    const table = new CountTable(spec, { keys: latest });
    table.fit(
      () => [train],
      () => [],
    );
    const flagged = (rows: number[][], shortest: number) => {
      const batch = codeBatch(spec, coded(rows));
      const ranks = table.ranks(batch);
      const anomalous = rows.filter(
        (row, b) =>
          row.length < shortest ||
          ranks.subarray(b * batch.time + latest - 1, b * batch.time + row.length - 1).some((rank) => rank > 9),
      );
      return (100 * anomalous.length) / rows.length;
    };
    const normal = sessions.filter((_, i) => i % 5 === 0);
    expect(flagged(normal, 11)).toBeCloseTo(falsePositives, 2);
    expect(Math.abs(flagged(abnormal, 11) - recall)).toBeLessThanOrEqual(0.05);
    expect(Math.abs(flagged(abnormal, 0) - withoutRule)).toBeLessThan(0.5);
  });
});

withFile("music-jsb-chorales/jsb_chorales.json", (file) => {
  const pieces: Record<"train" | "test", number[][][]> = JSON.parse(readFileSync(file, "utf8"));
  const names = Array.from({ length: 88 }, (_, key) => `key${key}`);
  const spec: ExampleSpec = {
    ...base,
    features: names,
    targets: names,
    targetKind: "values",
    horizon: 1,
    everyStep: true,
    targetFeature: names.map((_, key) => key),
    distribution: { kind: "bernoulli" },
  };
  const batchOf = (rows: number[][][]): Batch => {
    const time = Math.max(...rows.map(({ length }) => length)) - 1;
    const x = new Float32Array(rows.length * time * 88);
    const values = new Float32Array(rows.length * time * 88).fill(Number.NaN);
    rows.forEach((frames, b) => {
      for (let t = 0; t + 1 < frames.length; t++) {
        for (const key of frames[t]) x[(b * time + t) * 88 + key] = 1;
        values.fill(0, (b * time + t) * 88, (b * time + t + 1) * 88);
        for (const key of frames[t + 1]) values[(b * time + t) * 88 + key] = 1;
      }
    });
    return {
      ...codeBatch(
        base,
        rows.map(({ length }) => new Int32Array(length)),
      ),
      time,
      features: 88,
      x,
      lengths: Int32Array.from(rows, ({ length }) => length - 1),
      targetKind: "values",
      classes: undefined,
      values,
      everyStep: true,
      horizon: 1,
      targets: 88,
    };
  };

  it.each([
    ["keyFrequency", new KeyFrequency(spec), 11.09],
    ["keyMarkov", new KeyMarkov(spec), 10.49],
  ] as const)("%s has the loss that the note names", (_, baseline, published) => {
    baseline.fit(
      () => [batchOf(pieces.train)],
      () => [],
    );
    const batch = batchOf(pieces.test);
    const logOdds = baseline.predict(batch);
    let sum = 0;
    batch.values?.forEach((value, i) => {
      if (!Number.isNaN(value)) sum += Math.log1p(Math.exp(value === 1 ? -logOdds[i] : logOdds[i]));
    });
    const steps = batch.lengths.reduce((total, length) => total + length, 0);
    expect(sum / steps).toBeCloseTo(published, 2);
  });
});

withFile("tag-ud-english-ewt/en_ewt-ud-train.conllu.gz", (file) => {
  const read = (part: string) =>
    gunzipSync(readFileSync(file.replace("train", part)))
      .toString("utf8")
      .split("\n")
      .map((line) => line.split("\t"))
      .filter((cells) => /^\d+$/.test(cells[0]))
      .map((cells) => ({ word: cells[1].toLowerCase(), tag: cells[3] }));
  const train = read("train");
  const words = new Map([...new Set(train.map(({ word }) => word))].map((word, i) => [word, i + 1]));
  const tags = [...new Set(train.map(({ tag }) => tag))].sort();
  const spec = codeSpec(tags, "tags", words.size + 1);
  const batchOf = (tokens: { word: string; tag: string }[]) =>
    codeBatch(spec, [tokens.map(({ word }) => words.get(word) ?? 0)], [tokens.map(({ tag }) => tags.indexOf(tag))]);

  it("the most frequent tag of lower-cased words is right as often as the note says", () => {
    const baseline = new MostFrequentTag(spec);
    baseline.fit(
      () => [batchOf(train)],
      () => [batchOf(read("dev"))],
    );
    for (const [part, published] of [
      ["dev", 86.83],
      ["test", 87.04],
    ] as const) {
      const batch = batchOf(read(part));
      const logits = baseline.predict(batch);
      const right = (batch.classes ?? []).filter((label, t) => {
        const own = logits.subarray(t * tags.length, (t + 1) * tags.length);
        return own.indexOf(Math.max(...own)) === label;
      });
      expect(Math.abs((100 * right.length) / batch.time - published)).toBeLessThan(0.05);
    }
  });
});
