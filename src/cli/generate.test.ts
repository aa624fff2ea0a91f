import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Json, jsonOf, printedBy, refusalOf, Workshop } from "../../test/support/command-run.js";
import { generateCommand } from "./generate.js";
import { scoreCommand } from "./score.js";

const shop = new Workshop();
let marked: string;
let unmarked: string;
let forecast: string;
let events: string;

beforeAll(async () => {
  shop.file("chars.txt", "abcabc\nabab\ncabcab\nbcbc\nabcab\n".repeat(8));
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
    train: { epochs: 3, learningRate: 0.02 },
  });
  marked = await shop.train("marked", chars({ begin: true, end: true }));
  unmarked = await shop.train("unmarked", chars({}));
  const rows = Array.from({ length: 80 }, (_, i) => `${Math.sin(i / 4)}\n`);
  shop.file("series.csv", `a\n${rows.join("")}`);
  const steps = Array.from({ length: 12 }, (_, run) => ["open", "read", "read", "close"].map((event) => `${run},${event}\n`));
  shop.file("events.csv", `run,event\n${steps.flat().join("")}`);
  events = await shop.train("events", {
    task: "language",
    data: {
      source: "events.csv",
      entity: "run",
      categories: { event: { kind: "vocabulary", as: "embedding", width: 3 } },
      target: "event",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { hiddenSize: 4 },
    train: { epochs: 1 },
  });
  forecast = await shop.train("forecast", {
    task: "forecast",
    data: { source: "series.csv", features: ["a"], target: "a", split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 } },
    window: { length: 4 },
    model: { hiddenSize: 3 },
    train: { epochs: 1 },
  });
});
afterAll(() => shop.close());

const USUAL = { length: 12, count: 3, seed: 5, json: true };
const generated = async (path: string, options: object = {}): Promise<Json[]> =>
  (await jsonOf(() => generateCommand(path, { ...USUAL, ...options }))).generated;

describe("ostinato generate", () => {
  it("is the same with the same seed, and another with another", async () => {
    const one = await generated(marked);
    expect(await generated(marked)).toEqual(one);
    expect(await generated(marked, { seed: 6 })).not.toEqual(one);
    expect((await generated(marked, { count: 2 })).map(({ text }) => text)).toEqual(one.slice(0, 2).map(({ text }) => text));
  });

  it("goes on from several events, which stand between white space", async () => {
    const [one] = await generated(events, { prompt: "open  read", length: 2 });
    expect(one.text).toMatch(/^open read( \S+){2}$/);
    const { code, message } = await refusalOf(() => generateCommand(events, { ...USUAL, prompt: "open wrote" }));
    expect([code, message]).toEqual(["OST_VALUE", expect.stringContaining(`"wrote"`)]);
  });

  it("tells the log-probability that scoring the text gives", async () => {
    for (const { text, logProbability, finished, tokens } of await generated(marked, { length: 40, prompt: "ab" })) {
      const { sequences } = await jsonOf(() => scoreCommand(marked, { text: [text], json: true }));
      const { steps } = sequences[0];
      const own = steps.slice(2, 2 + tokens + (finished ? 1 : 0));
      expect(text.startsWith("ab")).toBe(true);
      expect(own.reduce((sum: number, step: Json) => sum + step.logProbability, 0)).toBeCloseTo(logProbability, 5);
    }
  });

  it("takes the likeliest token at temperature 0, as a beam of one does", async () => {
    const options = { count: 1, prompt: "c" };
    const [cold] = await generated(unmarked, { ...options, temperature: 0 });
    const [beam] = await generated(unmarked, { ...options, beam: 1 });
    expect(beam.text).toBe(cold.text);
    const { sequences } = await jsonOf(() => scoreCommand(unmarked, { text: [cold.text], json: true }));
    expect(new Set(sequences[0].steps.map(({ rank }: Json) => rank))).toEqual(new Set([1]));
    const { stdout } = await printedBy(() => generateCommand(unmarked, { ...USUAL, ...options, temperature: 0, json: false }));
    expect(stdout).toBe(`${cold.text}\n`);
  });

  it("refuses prompts of unknown characters, a model that needs a prompt, and models of other tasks", async () => {
    const refused = async (path: string, options: object) =>
      (await refusalOf(() => generateCommand(path, { ...USUAL, ...options }))).message;
    expect(await refused(marked, { prompt: "aXb" })).toMatch(/OST_VALUE.*"X"/s);
    expect(await refused(unmarked, {})).toMatch(/OST_USAGE.*something to begin with/s);
    expect(await refused(forecast, { prompt: "a" })).toMatch(/OST_CONFIG.*next code/s);
    expect(await refused(marked, { beam: 2, topK: 3 })).toMatch(/OST_USAGE.*draws nothing/s);
  });
});
