import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { csvRows, type Json, jsonOf, printedBy, refusalOf, Workshop } from "../../test/support/command-run.js";
import { normalLogDensity } from "../../test/support/normal-density.js";
import { seed } from "../core/rng.js";
import { evaluateCommand } from "./evaluate.js";
import { predictCommand } from "./predict.js";
import { scoreCommand } from "./score.js";

const shop = new Workshop();
let language: string;
let unmarked: string;
let classes: string;
let gaussian: string;
let points: string;

beforeAll(async () => {
  const rng = seed(3);
  const words = ["abcabc", "abab", "cabcab", "bcbcbc"];
  shop.file("chars.txt", Array.from({ length: 60 }, () => `${words[rng.integer(4)]}\n`).join(""));
  const chars = (markers: object) => ({
    task: "language",
    data: {
      source: "chars.txt",
      entity: "line",
      categories: { text: { kind: "characters", markers, as: "embedding", width: 4 } },
      target: "text",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { hiddenSize: 6 },
    train: { epochs: 2, learningRate: 0.02 },
  });
  language = await shop.train("language", chars({ begin: true, end: true }));
  unmarked = await shop.train("unmarked", chars({}));
  const labelled = Array.from({ length: 60 }, (_, i) => {
    const label = rng.uniform() < 0.4 ? "spam" : "ham";
    return Array.from({ length: 4 }, () => `${i},${rng.normal() + (label === "spam" ? 1 : 0)},${label}\n`).join("");
  });
  shop.file("labels.csv", `id,x,label\n${labelled.join("")}`);
  classes = await shop.train("classes", {
    task: "tag",
    data: {
      source: "labels.csv",
      entity: "id",
      features: ["x"],
      target: "label",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    window: { length: 4 },
    model: { hiddenSize: 4 },
    train: { epochs: 1 },
  });
  const series = Array.from({ length: 120 }, (_, i) => `${i},${50 + 9 * Math.sin(i / 5) + rng.normal()}\n`);
  shop.file("series.csv", `t,a\n${series.join("")}`);
  const forecast = (more: object) => ({
    task: "forecast",
    data: { source: "series.csv", features: ["a"], target: "a", split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 } },
    window: { length: 6, horizon: 2 },
    model: { hiddenSize: 4 },
    train: { epochs: 1 },
    ...more,
  });
  gaussian = await shop.train("gaussian", forecast({ forecast: { distribution: "gaussian" } }));
  points = await shop.train("points", forecast({}));
});
afterAll(() => shop.close());

const total = (steps: { logProbability: number }[]) => steps.reduce((sum, { logProbability }) => sum + logProbability, 0);

describe("ostinato score of texts", () => {
  it("gives every token and the end of each text, their sum, and per token perplexity and bits", async () => {
    const { sequences, total: all, unit } = await jsonOf(() => scoreCommand(language, { text: ["abab", ""], json: true }));
    expect(unit).toBe("character");
    expect(sequences[0].steps.map(({ what }: Json) => what)).toEqual(["a", "b", "a", "b", "<end>"]);
    expect(sequences[1].steps.map(({ what }: Json) => what)).toEqual(["<end>"]);
    for (const { steps, logProbability, n, perplexity, bitsPerUnit, perUnit } of sequences) {
      expect(logProbability).toBeCloseTo(total(steps), 10);
      expect(n).toBe(steps.length);
      expect(perUnit).toBeCloseTo(logProbability / n, 10);
      expect(perplexity).toBeCloseTo(Math.exp(-logProbability / n), 10);
      expect(2 ** bitsPerUnit).toBeCloseTo(perplexity, 10);
    }
    expect(all).toMatchObject({ sequences: 2, n: 6 });
    expect(all.logProbability).toBeCloseTo(sequences[0].logProbability + sequences[1].logProbability, 10);
  });

  it("gives what the whole file gives, which is read in one pass and not token by token", async () => {
    const file = shop.file("few.txt", "abcabc\nbc\n");
    const byText = await jsonOf(() => scoreCommand(language, { text: ["abcabc", "bc"], json: true }));
    const byFile = await jsonOf(() => scoreCommand(language, { data: file, json: true }));
    for (const [i, { steps, logProbability }] of byFile.sequences.entries()) {
      const same = byText.sequences[i];
      expect(steps.map(({ what, rank }: Json) => [what, rank])).toEqual(same.steps.map(({ what, rank }: Json) => [what, rank]));
      expect(logProbability).toBeCloseTo(same.logProbability, 4);
    }
  });

  it("does not depend on the texts beside it", async () => {
    const many = Array.from({ length: 70 }, (_, i) => "abc".repeat(1 + (i % 5)));
    const together = await jsonOf(() => scoreCommand(language, { text: many, json: true }));
    const alone = await jsonOf(() => scoreCommand(language, { text: [many[67]], json: true }));
    expect(together.sequences[67]).toEqual(alone.sequences[0]);
  });

  it("reads the first token and does not score it, where no marker begins a text, and says so", async () => {
    const { sequences, notes } = await jsonOf(() => scoreCommand(unmarked, { text: ["abc"], json: true }));
    expect(sequences[0].steps.map(({ what }: Json) => what)).toEqual(["b", "c"]);
    expect(notes.join()).toMatch(/no marker of a beginning/);
    expect((await refusalOf(() => scoreCommand(unmarked, { text: ["a"] }))).message).toMatch(/OST_USAGE.*nothing to be scored/s);
    expect((await refusalOf(() => scoreCommand(unmarked, { text: [""] }))).message).toMatch(/OST_USAGE.*nothing to be scored/s);
  });

  it("leaves blank lines of a file out and says so, and refuses a file of nothing else", async () => {
    const file = shop.file("blank.txt", "abc\n\n  \nab\n");
    const { sequences, notes } = await jsonOf(() => scoreCommand(language, { lines: file, json: true }));
    expect(sequences.map(({ sequence }: Json) => sequence)).toEqual(["abc", "ab"]);
    expect(notes).toEqual(["2 blank lines left out."]);
    const empty = shop.file("empty.txt", "\n\n");
    expect((await refusalOf(() => scoreCommand(language, { lines: empty }))).code).toBe("OST_FILE");
    expect((await refusalOf(() => scoreCommand(language, { lines: shop.path("none.txt") }))).code).toBe("OST_FILE");
  });

  it("refuses unknown characters, naming the character and the text", async () => {
    const { code, message } = await refusalOf(() => scoreCommand(language, { text: ["ab", "axb"] }));
    expect([code, message]).toEqual(["OST_VALUE", expect.stringMatching(/text 2, token 2.*"x"/s)]);
    const file = shop.file("odd.txt", "abc\naxb\n");
    expect((await refusalOf(() => scoreCommand(language, { data: file }))).message).toMatch(/OST_VALUE.*odd\.txt row 2/s);
  });

  it("takes one source, writes all steps beside the table, and overwrites nothing", async () => {
    expect((await refusalOf(() => scoreCommand(language, {}))).code).toBe("OST_USAGE");
    expect((await refusalOf(() => scoreCommand(language, { text: ["a"], lines: "x" }))).code).toBe("OST_USAGE");
    const out = shop.path("steps.ndjson");
    const { stdout } = await printedBy(() => scoreCommand(language, { text: ["ab", "c"], out }));
    expect(stdout).toMatch(/perplexity\s+bits/);
    expect(stdout).toMatch(/all\s+5/);
    const records = readFileSync(out, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records.map(({ sequence, n }) => [sequence, n])).toEqual([
      ["ab", 3],
      ["c", 2],
    ]);
    expect((await refusalOf(() => scoreCommand(language, { text: ["ab"], out }))).message).toMatch(/nothing is overwritten/);
    expect((await refusalOf(() => scoreCommand(language, { text: ["ab"], out: shop.path("x.csv") }))).code).toBe("OST_USAGE");
    expect((await refusalOf(() => scoreCommand(language, { text: ["x"], out: shop.path("y.ndjson") }))).code).toBe("OST_VALUE");
    expect(existsSync(shop.path("y.ndjson"))).toBe(false);
  });
});

describe("ostinato score of labels", () => {
  it("is the logarithm of the probability that predict gives the true label of each step", async () => {
    const out = shop.path("labels-out.csv");
    await printedBy(() => predictCommand(classes, { data: shop.path("labels.csv"), out }));
    const predicted = csvRows(readFileSync(out, "utf8"));
    const truth = csvRows(readFileSync(shop.path("labels.csv"), "utf8")).map(({ label }) => label);
    const { sequences } = await jsonOf(() => scoreCommand(classes, { data: shop.path("labels.csv"), json: true }));
    const steps: Json[] = sequences.flatMap(({ steps }: Json) => steps);
    expect(steps).toHaveLength(predicted.length);
    for (const { what, row, logProbability, rank } of steps) {
      const own = predicted.find((one) => Number(one.row) === row) as Record<string, string>;
      expect(what).toBe(truth[row - 1]);
      expect(logProbability).toBeCloseTo(Math.log(Number(own[`probability.${what}`])), 5);
      expect(rank).toBe(own.label === what ? 1 : 2);
    }
  });

  it("refuses data without targets, and texts for a model that reads none", async () => {
    const { message } = await refusalOf(() => scoreCommand(classes, { data: shop.file("bare.csv", "id,x\n1,0.5\n1,0.25\n") }));
    expect(message).toMatch(/OST_COLUMN.*label/s);
    expect((await refusalOf(() => scoreCommand(classes, { text: ["a"] }))).message).toMatch(/OST_CONFIG.*next code/s);
  });
});

describe("ostinato score of forecasts", () => {
  it("is the log-density of each value in original units, by the distribution that predict tells", async () => {
    const out = shop.path("density.csv");
    await printedBy(() => predictCommand(gaussian, { data: shop.path("series.csv"), out }));
    const predicted = csvRows(readFileSync(out, "utf8"));
    const { sequences, total: all } = await jsonOf(() => scoreCommand(gaussian, { data: shop.path("series.csv"), json: true }));
    const steps: Json[] = sequences[0].steps;
    expect(steps.length).toBeGreaterThan(200);
    for (const { row, ahead, value, logProbability } of steps) {
      const own = predicted.find((one) => Number(one.row) === row && Number(one.step) === ahead) as Record<string, string>;
      // The ends of a central 90 % interval of a normal distribution lie 1.6448536 standard deviations from its mean.
      const deviation = (Number(own["a.upper"]) - Number(own["a.lower"])) / (2 * 1.6448536269514722);
      expect(logProbability).toBeCloseTo(normalLogDensity(value, Number(own.a), deviation), 3);
    }
    expect(all.logProbability).toBeCloseTo(total(steps), 6);
    expect(all.perplexity).toBeUndefined();
  });

  it("counts a set of things that are there at once as one step, as evaluate does", async () => {
    const rng = seed(8);
    const rows = Array.from({ length: 24 }, (_, i) =>
      Array.from({ length: 6 }, () => `${i},${[1, 2, 3].filter(() => rng.uniform() < 0.5).join(" ")}\n`).join(""),
    );
    shop.file("frames.csv", `id,notes\n${rows.join("")}`);
    const frames = await shop.train("frames", {
      task: "language",
      data: {
        source: "frames.csv",
        entity: "id",
        categories: { notes: { kind: "set", range: [1, 3] } },
        target: "notes",
        scale: "none",
        split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
      },
      model: { hiddenSize: 4 },
      train: { epochs: 1 },
    });
    const {
      sequences,
      total: all,
      unit,
    } = await jsonOf(() => scoreCommand(frames, { data: shop.path("frames.csv"), json: true }));
    expect(unit).toBe("frame");
    expect([all.sequences, all.n]).toEqual([24, 24 * 5]);
    const fresh = shop.file("fresh-frames.csv", `id,notes\n${rows.slice(0, 8).join("").replace(/^/gm, "n").replace(/n$/, "")}`);
    const scored = await jsonOf(() => scoreCommand(frames, { data: fresh, json: true }));
    const { metrics } = await jsonOf(() => evaluateCommand(frames, { data: fresh, json: true }));
    expect(-scored.total.perUnit).toBeCloseTo(metrics.test.nll, 5);
    expect(sequences[0].steps[0].what).toMatch(/^(notes\S* ?)*$/);
  });

  it("refuses points, which have no probability", async () => {
    const { code, message } = await refusalOf(() => scoreCommand(points, { data: shop.path("series.csv") }));
    expect([code, message]).toEqual(["OST_CONFIG", expect.stringMatching(/forecasts points.*gaussian/s)]);
  });
});
