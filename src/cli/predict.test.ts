import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { csvRows, type Json, jsonOf, printedBy, refusalOf, Workshop } from "../../test/support/command-run.js";
import { seed } from "../core/rng.js";
import { openSession } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { predictCommand } from "./predict.js";
import { scoreCommand } from "./score.js";

const shop = new Workshop();
let language: string;
let quantiles: string;
let recursive: string;
let made = 0;

beforeAll(async () => {
  shop.file("chars.txt", "abcabc\nabab\ncabcab\nbcbc\nabcab\n".repeat(6));
  language = await shop.train("language", {
    task: "language",
    data: {
      source: "chars.txt",
      entity: "line",
      categories: { text: { kind: "characters", as: "embedding", width: 4 } },
      target: "text",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { hiddenSize: 5 },
    train: { epochs: 3, learningRate: 0.02 },
  });
  const rng = seed(4);
  const rows = Array.from({ length: 160 }, (_, i) => `${20 + 6 * Math.sin(i / 4) + rng.normal()}\n`);
  shop.file("series.csv", `a\n${rows.join("")}`);
  const forecast = (settings: object) => ({
    task: "forecast",
    data: { source: "series.csv", features: ["a"], target: "a", split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 } },
    window: { length: 6, horizon: 2 },
    model: { hiddenSize: 4 },
    train: { epochs: 2, learningRate: 0.02 },
    forecast: settings,
  });
  quantiles = await shop.train("quantiles", forecast({ distribution: "quantiles", levels: [0.1, 0.5, 0.9] }));
  recursive = await shop.train(
    "recursive",
    forecast({ strategy: "recursive", distribution: "gaussian", levels: [0.25, 0.5, 0.75], paths: 20 }),
  );
});
afterAll(() => shop.close());

async function predicted(model: string, data: string): Promise<Record<string, string>[]> {
  const out = shop.path(`predicted-${++made}.csv`);
  await printedBy(() => predictCommand(model, { data: shop.path(data), out }));
  return csvRows(readFileSync(out, "utf8"));
}

describe("ostinato predict", () => {
  it("writes the likeliest next token of every step, as a stream and as score say", async () => {
    shop.file("two.txt", "abcab\nbc\n");
    const rows = await predicted(language, "two.txt");
    expect(rows.map(({ entity, step }) => `${entity}:${step}`)).toEqual(["1:1", "1:2", "1:3", "1:4", "1:5", "2:1", "2:2"]);
    const { sequences } = await jsonOf(() => scoreCommand(language, { data: shop.path("two.txt"), json: true }));
    for (const [t, step] of (sequences[0].steps as Json[]).entries()) {
      expect(step.rank === 1).toBe(rows[t].next === step.what);
      if (step.rank === 1) expect(Math.exp(step.logProbability)).toBeCloseTo(Number(rows[t].probability), 5);
    }
    const session = openSession(await loadModel(language), { owner: "test" });
    const told = session.push({ line: "1", text: "abcab" });
    expect(told.map(({ label }) => label)).toEqual(rows.slice(0, 5).map(({ next }) => next));
    told.forEach(({ confidence }, t) => {
      expect(confidence).toBeCloseTo(Number(rows[t].probability), 5);
    });
  });

  it("writes the quantiles of a forecast in order, around its point, in original units", async () => {
    for (const [model, levels] of [
      [quantiles, ["0.1", "0.5", "0.9"]],
      [recursive, ["0.25", "0.5", "0.75"]],
    ] as const) {
      const rows = await predicted(model, "series.csv");
      expect(Object.keys(rows[0])).toEqual(["entity", "row", "step", "a", ...levels.map((level) => `a.q${level}`)]);
      for (const row of rows) {
        const own = levels.map((level) => Number(row[`a.q${level}`]));
        expect(own).toEqual([...own].sort((a, b) => a - b));
        expect(Number(row.a)).toBeCloseTo(own[1], 6);
        expect(Number(row.a)).toBeGreaterThan(5);
      }
    }
  });

  it("forecasts in a stream the points that it writes", async () => {
    const rows = await predicted(quantiles, "series.csv");
    const session = openSession(await loadModel(quantiles), { owner: "test" });
    const records = csvRows(readFileSync(shop.path("series.csv"), "utf8")).slice(0, 6);
    const [last] = records.map(({ a }) => session.push({ a: Number(a) })).at(-1) ?? [];
    last.forecast?.["a"].forEach((value, p) => {
      expect(value).toBeCloseTo(Number(rows[p].a), 3);
    });
  });

  it("overwrites nothing unless told to, and never what it reads", async () => {
    const data = shop.path("series.csv");
    const out = shop.file("there.csv", "mine\n");
    const refused = async (options: { data: string; out: string; force?: boolean }) =>
      (await refusalOf(() => predictCommand(quantiles, options))).message;
    expect(await refused({ data, out })).toMatch(/OST_USAGE.*nothing is overwritten/s);
    expect(await refused({ data, out: data, force: true })).toMatch(/OST_USAGE.*made from/s);
    expect(await refused({ data, out: shop.path("x.xlsx") })).toMatch(/OST_USAGE.*\.csv or \.ndjson/s);
    expect(await refused({ data: shop.file("bad.csv", "a\nx\n"), out: shop.path("bad-out.csv") })).toMatch(/OST_VALUE/);
    expect(existsSync(shop.path("bad-out.csv"))).toBe(false);
    await printedBy(() => predictCommand(quantiles, { data, out, force: true }));
    expect(readFileSync(out, "utf8")).toMatch(/^entity,/);
  });
});
