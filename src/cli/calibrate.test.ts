import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { csvRows, type Json, jsonOf, printedBy, refusalOf, Workshop } from "../../test/support/command-run.js";
import { seed } from "../core/rng.js";
import { decodeModel, encodeModel, languageScorer, openModel, openSession, toStream } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { modelVersionOf } from "../serve/model-version.js";
import { wirePredictions } from "../serve/wire.js";
import { calibrateCommand } from "./calibrate.js";
import { evaluateCommand } from "./evaluate.js";
import { generateCommand } from "./generate.js";
import { predictCommand } from "./predict.js";

const shop = new Workshop();
let classes: string;
let forecast: string;
let gaussian: string;
let language: string;
let translate: string;
let made = 0;

const beside = (model: string) => join(dirname(model), `calibrated-${++made}.safetensors`);

/** Calibrates into a new file beside the model. */
async function calibrate(model: string, options: object = {}): Promise<Json> {
  return jsonOf(() => calibrateCommand(model, { out: beside(model), json: true, ...options }));
}

async function predicted(model: string, data: string): Promise<Record<string, string>[]> {
  const out = shop.path(`predicted-${++made}.csv`);
  await printedBy(() => predictCommand(model, { data: shop.path(data), out }));
  return csvRows(readFileSync(out, "utf8"));
}

const refused = async (model: string, options: object) =>
  (await refusalOf(() => calibrateCommand(model, { out: beside(model), ...options }))).message;

function labelled(rows: number, from: number, rng = seed(from)): string {
  return Array.from({ length: rows }, (_, i) => {
    const label = rng.uniform() < 0.35 ? "spam" : "ham";
    const part = i % 5 < 3 ? "train" : i % 5 === 3 ? "validation" : "test";
    const row = () => `${from + i},${rng.normal() + (label === "spam" ? 0.7 : 0)},${label},${part}\n`;
    return Array.from({ length: 3 }, row).join("");
  }).join("");
}

function wave(rows: number, from: number, rng = seed(from + 1)): string {
  return Array.from({ length: rows }, (_, i) => `${from + i},${50 + 9 * Math.sin((from + i) / 5) + 2 * rng.normal()}\n`).join("");
}

beforeAll(async () => {
  shop.file("labels.csv", `id,x,label,part\n${labelled(200, 0)}`);
  shop.file("fresh.csv", `id,x,label,part\n${labelled(90, 1000)}`);
  classes = await shop.train("classes", {
    task: "classify",
    data: { source: "labels.csv", entity: "id", features: ["x"], target: "label", split: { by: "column:part" } },
    model: { hiddenSize: 12 },
    train: { epochs: 12, learningRate: 0.03, earlyStopping: null },
  });
  shop.file("series.csv", `t,a\n${wave(300, 0)}`);
  shop.file("later.csv", `t,a\n${wave(120, 300)}`);
  const series = (more: object) => ({
    task: "forecast",
    data: {
      source: "series.csv",
      features: ["a"],
      target: "a",
      split: { by: "time", train: 0.5, validation: 0.25, test: 0.25 },
    },
    window: { length: 6, horizon: 2 },
    model: { hiddenSize: 4 },
    train: { epochs: 2, learningRate: 0.02 },
    ...more,
  });
  forecast = await shop.train("forecast", series({}));
  gaussian = await shop.train("gaussian", series({ forecast: { distribution: "gaussian" } }));
  shop.file("chars.txt", "abcabc\nabab\ncabcab\nbcbc\nabcab\n".repeat(8));
  language = await shop.train("language", {
    task: "language",
    data: {
      source: "chars.txt",
      entity: "line",
      categories: { text: { kind: "characters", markers: { begin: true, end: true }, as: "embedding", width: 4 } },
      target: "text",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    mode: "causal",
    model: { hiddenSize: 6 },
    train: { epochs: 2 },
  });
  shop.file("pairs.csv", `id,source,target\n${Array.from({ length: 20 }, (_, i) => `${i},ab,ba\n`).join("")}`);
  translate = await shop.train("translate", {
    task: "translate",
    mode: "offline",
    data: {
      source: "pairs.csv",
      entity: "id",
      categories: { source: { kind: "characters", as: "embedding", width: 3 } },
      target: "target",
      targetTokens: "characters",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { hiddenSize: 4, targetEmbedding: 3 },
    train: { epochs: 1 },
  });
});
afterAll(() => shop.close());

describe("a temperature", () => {
  it("makes the likelihood of the validation part greatest, and changes no label", async () => {
    const { calibration, fitted, test, hash, out } = await calibrate(classes);
    expect(calibration.source).toMatch(/validation part/);
    expect(calibration.n).toBe(40);
    expect(fitted.after.NLL).toBeLessThanOrEqual(fitted.before.NLL);
    expect(fitted.after.accuracy).toBe(fitted.before.accuracy);
    expect(test.after.accuracy).toBe(test.before.accuracy);
    expect((await loadModel(out)).hash).toBe(hash);
    // Held against the probabilities that the plain model writes for the rows of that part.
    const rows = csvRows(readFileSync(shop.path("labels.csv"), "utf8"));
    const held = (await predicted(classes, "labels.csv")).filter(({ row }) => rows[Number(row) - 1].part === "validation");
    const nll = (temperature: number) =>
      held.reduce((sum, one) => {
        const [ham, spam] = [one["probability.ham"], one["probability.spam"]].map(
          (share) => Math.log(Number(share)) / temperature,
        );
        return sum - (rows[Number(one.row) - 1].label === "ham" ? ham : spam) + Math.log(Math.exp(ham) + Math.exp(spam));
      }, 0) / held.length;
    const { temperature } = calibration;
    expect(nll(1)).toBeCloseTo(fitted.before.NLL, 5);
    expect(nll(temperature)).toBeCloseTo(fitted.after.NLL, 5);
    for (const factor of [0.9, 1.1]) expect(nll(factor * temperature)).toBeGreaterThan(nll(temperature));
  });

  it("acts wherever the file is used: predict, evaluate and streams", async () => {
    const { calibration, out, test } = await calibrate(classes);
    const [plain, tempered] = [await predicted(classes, "labels.csv"), await predicted(out, "labels.csv")];
    const oddsOf = (one: Record<string, string>) => Math.log(Number(one["probability.spam"]) / Number(one["probability.ham"]));
    for (const [i, one] of tempered.entries()) expect(oddsOf(one) * calibration.temperature).toBeCloseTo(oddsOf(plain[i]), 4);
    const { metrics } = await jsonOf(() => evaluateCommand(out, { json: true }));
    expect(metrics.test.logLoss).toBeCloseTo(test.after.NLL, 10);
    expect(metrics.test.ece).toBeCloseTo(test.after.ECE, 10);
    const session = openSession(await loadModel(out), { owner: "test" });
    const rows = csvRows(readFileSync(shop.path("labels.csv"), "utf8")).slice(0, 3);
    const [last] = rows.map(({ id, x }) => session.push({ id, x: Number(x) })).at(-1) ?? [];
    expect(last.label).toBe(tempered[0].label);
    expect(last.probabilities?.["spam"]).toBeCloseTo(Number(tempered[0]["probability.spam"]), 5);
  });

  it("acts on a language model's next characters too", async () => {
    const { calibration, out } = await calibrate(language);
    const [plain, tempered] = [languageScorer(await loadModel(language)), languageScorer(await loadModel(out))];
    const nextOf = (scorer: typeof plain) => scorer.advance([scorer.initial], [scorer.begin as number]).logProbabilities;
    const [before, now] = [nextOf(plain), nextOf(tempered)];
    for (let code = 1; code < before.length; code++)
      expect((now[code] - now[0]) * calibration.temperature).toBeCloseTo(before[code] - before[0], 4);
    const options = { length: 5, count: 1, seed: 1, json: true } as const;
    const [cold] = (await jsonOf(() => generateCommand(out, { ...options, temperature: 0 }))).generated;
    const [same] = (await jsonOf(() => generateCommand(language, { ...options, temperature: 0 }))).generated;
    expect(cold.text).toBe(same.text);
    expect(cold.logProbability).not.toBe(same.logProbability);
  });

  it("is fitted to the plain model, also where the file is calibrated already", async () => {
    const first = await calibrate(classes);
    const second = await calibrate(first.out);
    expect(second.calibration).toEqual(first.calibration);
    expect(second.hash).toBe(first.hash);
  });

  it("sees nothing of the test part", async () => {
    const { calibration, test } = await calibrate(classes);
    const path = shop.path("labels.csv");
    const own = readFileSync(path, "utf8");
    try {
      writeFileSync(
        path,
        own.replace(/^(.*),(ham|spam),test$/gm, (_, rest, label) => `${rest},${label === "ham" ? "spam" : "ham"},test`),
      );
      const changed = await calibrate(classes);
      expect(changed.calibration).toEqual(calibration);
      expect(changed.test.before.NLL).not.toBeCloseTo(test.before.NLL, 3);
      expect(changed.notes.join()).toMatch(/has changed since training/);
    } finally {
      writeFileSync(path, own);
    }
  });
});

describe("a threshold", () => {
  it("keeps to a budget of alerts, and decides labels in predict, evaluate and streams", async () => {
    const { calibration, fitted, decides, out, test } = await calibrate(classes, { threshold: "spam", by: "per1000=100" });
    expect(calibration.temperature).toBeUndefined();
    expect(fitted.after["spam in 1,000"]).toBeLessThanOrEqual(100);
    expect(decides).toEqual({ class: "spam", above: calibration.threshold });
    const rows = await predicted(out, "labels.csv");
    for (const one of rows) expect(one.label).toBe(Number(one["probability.spam"]) > calibration.threshold ? "spam" : "ham");
    expect(rows.some((one) => one.label === "ham" && Number(one["probability.spam"]) > 0.5)).toBe(true);
    const { metrics } = await jsonOf(() => evaluateCommand(out, { json: true }));
    expect(metrics.test.accuracy).toBeCloseTo(test.after.accuracy, 10);
    const session = openSession(await loadModel(out), { owner: "test" });
    const records = csvRows(readFileSync(shop.path("labels.csv"), "utf8"));
    for (const one of rows.slice(0, 20)) {
      session.reset();
      const own = records.slice(Number(one.row) - 3, Number(one.row));
      const [last] = own.map(({ id, x }) => session.push({ id, x: Number(x) })).at(-1) ?? [];
      expect(last.label).toBe(one.label);
    }
  });

  it("of the first class decides as one of the second would", async () => {
    const { decides, out, fitted } = await calibrate(classes, { threshold: "ham", by: "precision=0.8" });
    expect(decides.class).toBe("ham");
    expect(fitted.after["precision of ham"]).toBeGreaterThanOrEqual(0.8);
    for (const one of await predicted(out, "labels.csv"))
      expect(one.label).toBe(Number(one["probability.ham"]) > decides.above ? "ham" : "spam");
  });

  it("goes with the temperature that it was chosen at", async () => {
    const both = await calibrate(classes, { temperature: true, threshold: "spam" });
    const tempered = await calibrate(classes);
    expect(both.calibration.temperature).toBe(tempered.calibration.temperature);
    const later = await calibrate(tempered.out, { threshold: "spam" });
    expect(later.calibration).toEqual(both.calibration);
    const again = await calibrate(both.out, { temperature: true });
    expect(again.calibration.threshold).toBeUndefined();
    expect(again.notes.join()).toMatch(/threshold of before is left out/);
  });
});

describe("intervals", () => {
  it("are as wide as the split-conformal quantile of the errors, by step of the horizon", async () => {
    const data = shop.path("later.csv");
    const { calibration, out, fitted, test } = await calibrate(forecast, { data, conformal: 0.8 });
    expect(calibration.source).toBe("all of later.csv");
    const truth = csvRows(readFileSync(data, "utf8")).map(({ a }) => Number(a));
    const rows = await predicted(out, "later.csv");
    for (const step of [1, 2]) {
      const own = rows.filter((one) => Number(one.step) === step && Number(one.row) + step <= truth.length);
      // A window counts only if all that it forecasts is there.
      const whole = own.filter((one) => Number(one.row) + 2 <= truth.length);
      const errors = whole.map((one) => Math.abs(truth[Number(one.row) + step - 1] - Number(one.a))).sort((a, b) => a - b);
      const expected = errors[Math.ceil((errors.length + 1) * 0.8) - 1];
      for (const one of own) {
        expect(Number(one["a.upper"]) - Number(one.a)).toBeCloseTo(expected, 4);
        expect(Number(one.a) - Number(one["a.lower"])).toBeCloseTo(expected, 4);
      }
    }
    expect(fitted.before).toEqual({});
    expect(fitted.after.coverage).toBeGreaterThanOrEqual(0.8);
    expect(test.after.coverage).toBeGreaterThan(0.5);
    expect(test.part).toBe("test");
  });

  it("are in streams what they are in predict", async () => {
    const { out } = await calibrate(gaussian, { conformal: 0.9 });
    const rows = (await predicted(out, "series.csv")).slice(0, 2);
    const session = openSession(await loadModel(out), { owner: "test" });
    const records = csvRows(readFileSync(shop.path("series.csv"), "utf8")).slice(0, 6);
    const [last] = records.map(({ a }) => session.push({ a: Number(a) })).at(-1) ?? [];
    for (const [p, one] of rows.entries()) {
      expect(last.forecast?.["a"][p]).toBeCloseTo(Number(one.a), 3);
      expect(last.interval?.lower["a"][p]).toBeCloseTo(Number(one["a.lower"]), 3);
      expect(last.interval?.upper["a"][p]).toBeCloseTo(Number(one["a.upper"]), 3);
    }
    expect(last.interval?.coverage).toBe(0.9);
  });

  it("stand beside what the distribution of the forecast itself promised", async () => {
    const { fitted } = await calibrate(gaussian, { conformal: 0.9 });
    expect(fitted.before.coverage).toBeGreaterThan(0);
    expect(fitted.after.coverage).toBeGreaterThanOrEqual(0.9);
  });
});

describe("a server", () => {
  it("names the predictions of a calibrated file as a stream of it does", async () => {
    for (const [model, options, data, fields] of [
      [classes, { temperature: true, threshold: "spam", by: "per1000=100" }, "labels.csv", ["id", "x"]],
      [forecast, { conformal: 0.9 }, "series.csv", ["a"]],
    ] as const) {
      const stream = toStream(await loadModel((await calibrate(model, options)).out));
      const version = modelVersionOf(stream, { bytes: 1, batchInvariant: true });
      expect([version.threshold, version.interval]).toEqual([stream.threshold, stream.interval]);
      let state = stream.initialState();
      for (const row of csvRows(readFileSync(shop.path(data), "utf8")).slice(0, 8)) {
        const record = Object.fromEntries(fields.map((name) => [name, name === "id" ? "0" : Number(row[name])]));
        const [advance] = stream.advance([{ row: stream.readRecord(record), state }]);
        if (!("predictions" in advance)) throw advance;
        const { predictions } = stream.push(record, state);
        const values = predictions.length === 0 ? new Float64Array(0) : advance.predictions[0].values;
        const numbers = { count: predictions.length, seq: [1], time: [Number.NaN], values } as never;
        expect(wirePredictions(version, numbers)).toEqual(predictions.map((one) => ({ seq: 1, ...one })));
        state = advance.state;
      }
    }
  });
});

describe("a file", () => {
  it("whose calibration does not fit its outputs is refused", async () => {
    const { header, arrays } = decodeModel(readFileSync(forecast));
    const refusal = (calibration: object) =>
      openModel(encodeModel({ ...header, calibration: { n: 1, source: "x", ...calibration } }, arrays)).then(
        () => expect.unreachable("the file was accepted"),
        ({ code }) => code,
      );
    expect(await refusal({ conformal: { coverage: 0.9, halfWidth: [[1]] } })).toBe("OST_MODEL_FILE");
    expect(
      await refusal({
        conformal: {
          coverage: 0.9,
          halfWidth: [
            [1, 1],
            [1, 1],
          ],
        },
      }),
    ).toBe("OST_MODEL_FILE");
    expect(await refusal({ conformal: { coverage: 0.9, halfWidth: [[1], [-1]] } })).toBe("OST_MODEL_FILE");
    expect(await refusal({ threshold: 0.5 })).toBe("OST_MODEL_FILE");
    expect(await refusal({ temperature: 0 })).toBe("OST_MODEL_FILE");
  });
});

describe("ostinato calibrate", () => {
  it("tells both parts side by side, and where the file is", async () => {
    const out = beside(classes);
    const { stdout } = await printedBy(() => calibrateCommand(classes, { out, temperature: true }));
    expect(stdout).toMatch(/temperature \d.*validation part/);
    expect(stdout).toMatch(/validation: before\s+after\s+test: before\s+after/);
    expect(stdout).toMatch(/NLL.*\n.*ECE/);
    expect(existsSync(out)).toBe(true);
    expect(await refused(classes, { out })).toMatch(/OST_USAGE.*nothing is overwritten/s);
  });

  it("fits on other data that the model has not seen, and on none of its own", async () => {
    const { calibration } = await calibrate(classes, { data: shop.path("fresh.csv") });
    expect(calibration).toMatchObject({ n: 90, source: "all of fresh.csv" });
    expect(await refused(classes, { data: shop.path("labels.csv") })).toMatch(/OST_SPLIT.*model's own data/s);
  });

  it("needs data that are held back", async () => {
    const path = shop.path("labels.csv");
    const own = readFileSync(path, "utf8");
    try {
      writeFileSync(path, own.replaceAll("validation", "train"));
      expect(await refused(classes, {})).toMatch(/OST_SPLIT/);
    } finally {
      writeFileSync(path, own);
    }
  });

  it("refuses what does not fit the model", async () => {
    expect(await refused(classes, { conformal: 0.9 })).toMatch(/OST_USAGE.*numeric forecasts/s);
    expect(await refused(forecast, { temperature: true })).toMatch(/OST_USAGE.*of classes/s);
    expect(await refused(forecast, { threshold: "spam" })).toMatch(/OST_USAGE.*of classes/s);
    expect(await refused(classes, { threshold: "spma" })).toMatch(/OST_USAGE.*did you mean "spam"/s);
    expect(await refused(classes, { by: "f1" })).toMatch(/OST_USAGE.*--threshold CLASS/s);
    for (const by of ["precision", "precision=2", "per1000=-1", "recall=0.5", "precision="])
      expect(await refused(classes, { threshold: "spam", by })).toMatch(/OST_USAGE.*no such rule/s);
    expect(await refused(language, { threshold: "a" })).toMatch(/OST_USAGE.*two/s);
    expect(await refused(translate, {})).toMatch(/OST_CONFIG.*nothing to calibrate/s);
    expect(await refused(forecast, { conformal: 0.999 })).toMatch(/OST_TARGET.*too few/s);
    expect(await refused(classes, { out: join(shop.path("labels.csv"), "x.safetensors") })).toMatch(/OST_FILE/);
  });
});
