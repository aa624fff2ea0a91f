import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { csvRows, type Json, jsonOf, printedBy, refusalOf, Workshop } from "../../test/support/command-run.js";
import { seed } from "../core/rng.js";
import { loadModel } from "../model/load-file.js";
import { toStream } from "../model/stream.js";
import { predictCommand } from "./predict.js";
import { scoreCommand } from "./score.js";
import { translateCommand } from "./translate.js";

const shop = new Workshop();
let model: string;
let language: string;

beforeAll(async () => {
  const rng = seed(5);
  const rows = Array.from({ length: 120 }, (_, i) => {
    const text = Array.from({ length: 2 + rng.integer(3) }, () => "abc"[rng.integer(3)]).join("");
    return `${i},${text},${[...text].reverse().join("")}\n`;
  });
  shop.file("pairs.csv", `id,source,target\n${rows.join("")}`);
  shop.file("few.csv", `id,source,target\n${rows.slice(0, 12).join("")}`);
  shop.file(
    "sources.csv",
    `id,source\n${rows
      .slice(0, 3)
      .map((row) => `${row.split(",").slice(0, 2).join(",")}\n`)
      .join("")}`,
  );
  model = await shop.train("reverse", {
    task: "translate",
    data: {
      source: "pairs.csv",
      entity: "id",
      categories: { source: { kind: "characters", as: "embedding", width: 6 } },
      target: "target",
      targetTokens: "characters",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    mode: "offline",
    model: { hiddenSize: 12, targetEmbedding: 6 },
    train: { epochs: 4, learningRate: 0.02 },
  });
  shop.file("lines.txt", "ab\nba\nab\nba\nab\nba\nab\nba\nab\n");
  language = await shop.train("language", {
    task: "language",
    data: {
      source: "lines.txt",
      entity: "line",
      categories: { text: { kind: "characters" } },
      target: "text",
      split: { by: "entity", train: 0.4, validation: 0.3, test: 0.3 },
    },
    model: { hiddenSize: 4 },
    train: { epochs: 1 },
  });
});
afterAll(() => shop.close());

const translations = async (texts: string[], options: object = {}): Promise<Json[]> =>
  (await jsonOf(() => translateCommand(model, texts, { ...options, json: true }))).translations;

describe("ostinato translate", () => {
  it("gives each text its own translation, whatever stands beside it, and keeps blank texts blank", async () => {
    const many = Array.from({ length: 40 }, (_, i) => ["abc", "ca", "", "bbca"][i % 4]);
    const made = await translations(many);
    expect(made.map(({ source }) => source)).toEqual(many);
    const [alone] = await translations(["bbca"]);
    expect(made[39]).toEqual(alone);
    expect(made[2]).toEqual({ source: "", text: "", tokens: [], logProbability: null });
    expect(alone.text).toBe(alone.tokens.join(""));
  });

  it("cannot be streamed, and no mode of training is said to mend that", async () => {
    const loaded = await loadModel(model);
    expect(() => toStream(loaded)).toThrow(/OST_CAUSAL.*an encoder-decoder[\s\S]*use ostinato predict/);
    expect(() => toStream(loaded)).not.toThrow(/bidirectional/);
  });

  it("tells the log-probability that scoring the pair gives, and predict writes", async () => {
    const out = shop.path("predicted.csv");
    await printedBy(() => predictCommand(model, { data: shop.path("few.csv"), out }));
    const predicted = csvRows(readFileSync(out, "utf8"));
    const sources = csvRows(readFileSync(shop.path("few.csv"), "utf8"));
    const made = await translations(sources.map(({ source }) => source));
    const pairs = made.map(({ source, text }, i) => `${i},${source},${text}\n`);
    const { sequences } = await jsonOf(() =>
      scoreCommand(model, { data: shop.file("made.csv", `id,source,target\n${pairs.join("")}`), json: true }),
    );
    expect(predicted.map(({ reference }) => reference)).toEqual(sources.map(({ target }) => target));
    for (const [i, { text, logProbability, finished, tokens }] of made.entries()) {
      expect([predicted[i].text, Number(predicted[i].logProbability)]).toEqual([text, logProbability]);
      if (!finished) continue;
      expect(sequences[i].steps.map(({ what }: Json) => what)).toEqual([...tokens, "<end>"]);
      expect(sequences[i].logProbability).toBeCloseTo(logProbability, 5);
    }
  });

  it("finds with a beam of one what it finds greedily, and with a wider one nothing less probable", async () => {
    const texts = ["abc", "cab", "bb", "acca"];
    const scores = async (options: object) => (await translations(texts, options)).map(({ logProbability }) => logProbability);
    const greedy = await translations(texts);
    const one = await translations(texts, { beam: 1 });
    expect(one.map(({ text }) => text)).toEqual(greedy.map(({ text }) => text));
    let before = await scores({ beam: 1 });
    for (const beam of [2, 8, 64]) {
      const wider = await scores({ beam });
      wider.forEach((score, i) => {
        expect(score).toBeGreaterThanOrEqual(before[i] - 1e-9);
      });
      before = wider;
    }
  });

  it("takes a beam wider than the vocabulary, and gives the n best in order, all different", async () => {
    const [{ text, logProbability, alternatives }] = await translations(["ab"], { beam: 500, nBest: 6 });
    const all = [{ text, logProbability }, ...alternatives];
    expect(all).toHaveLength(6);
    expect(new Set(all.map((one) => one.text)).size).toBe(6);
    for (let i = 1; i < all.length; i++) expect(all[i].logProbability).toBeLessThanOrEqual(all[i - 1].logProbability);
    const { stdout } = await printedBy(() => translateCommand(model, ["ab"], { beam: 4, nBest: 2 }));
    expect(stdout).toMatch(/^-\d+\.\d+\t\w*\n-\d+\.\d+\t\w*\n$/);
  });

  it("looks at the source alone when it writes: a row of shares for each token and the end", async () => {
    const made = await translations(["abca", "b"], { beam: 2 });
    for (const { source, tokens, finished, attention } of made) {
      expect(attention).toHaveLength(tokens.length + (finished ? 1 : 0));
      for (const row of attention) {
        expect(row).toHaveLength(source.length);
        expect(row.reduce((sum: number, share: number) => sum + share, 0)).toBeCloseTo(1, 5);
      }
    }
  });

  it("writes no n-gram twice where that is blocked, and no more tokens than it may", async () => {
    for (const { tokens } of await translations(["abcabc", "aaaa"], { beam: 4, blockNgram: 1 }))
      expect(new Set(tokens).size).toBe(tokens.length);
    for (const { tokens } of await translations(["abcabc"], { maxLength: 1 })) expect(tokens.length).toBeLessThanOrEqual(1);
  });

  it("reads a data file as training did, with the references that it has, and writes whole files", async () => {
    const out = shop.path("few.ndjson");
    await printedBy(() => translateCommand(model, [], { data: shop.path("few.csv"), out }));
    const records = readFileSync(out, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const rows = csvRows(readFileSync(shop.path("few.csv"), "utf8"));
    expect(records.map(({ series, reference }) => [series, reference])).toEqual(rows.map(({ id, target }) => [id, target]));
    const text = shop.path("few.txt");
    await printedBy(() => translateCommand(model, [], { data: shop.path("sources.csv"), out: text }));
    expect(readFileSync(text, "utf8").trimEnd().split("\n")).toEqual(records.slice(0, 3).map((one) => one.text));
    expect((await refusalOf(() => translateCommand(model, ["ab"], { out: text }))).message).toMatch(/nothing is overwritten/);
  });

  it("translates the lines on stdin, a line for each", () => {
    const main = fileURLToPath(new URL("./main.ts", import.meta.url));
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm")).href;
    const command = ["--conditions=ostinato-source", "--import", tsx, main, "translate", model];
    const { stdout, status } = spawnSync(process.execPath, command, { input: "abc\n\nca\n", encoding: "utf8" });
    expect(status).toBe(0);
    expect(stdout.split("\n")).toHaveLength(4);
    expect(stdout.split("\n")[1]).toBe("");
  });

  it("refuses what does not fit", async () => {
    const refused = async (texts: string[], options: object = {}, path = model) =>
      (await refusalOf(() => translateCommand(path, texts, options))).message;
    expect(await refused(["ab", "axb"])).toMatch(/OST_VALUE.*"x"/s);
    expect(await refused(["ab"], { lengthPenalty: 1 })).toMatch(/OST_USAGE.*beam/s);
    expect(await refused(["ab"], { data: "x.csv" })).toMatch(/OST_USAGE.*together/s);
    expect(await refused(["ab"], { out: shop.path("x.csv") })).toMatch(/OST_USAGE.*\.txt or \.ndjson/s);
    expect(await refused(["ab"], {}, language)).toMatch(/OST_CONFIG.*does not translate.*task: language/s);
    const baseline = model.replace("model.safetensors", "baselines/nearestSource.safetensors");
    expect(existsSync(baseline)).toBe(true);
    expect(await refused(["ab"], { beam: 4 }, baseline)).toMatch(/OST_USAGE.*baseline/s);
    expect((await jsonOf(() => translateCommand(baseline, ["ab"], { json: true }))).translations[0].logProbability).toBeNull();
  });
});
