import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Json, jsonOf, refusalOf, Workshop } from "../../test/support/command-run.js";
import { seed } from "../core/rng.js";
import { openSession } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { calibrateCommand } from "./calibrate.js";
import { evaluateCommand } from "./evaluate.js";

const shop = new Workshop();
let detector: string;
let made = 0;

/** A wave with noise; from row 500 on every 40th row is far off. */
function measured(rows: number, from: number, noise: number): string {
  const rng = seed(from);
  return Array.from({ length: rows }, (_, i) => {
    const wrong = from + i >= 500 && (from + i) % 40 === 0;
    return `${Math.sin((from + i) / 5) + noise * rng.normal() + (wrong ? 6 : 0)},${wrong ? 1 : 0}\n`;
  }).join("");
}

beforeAll(async () => {
  shop.file("load.csv", `x,wrong\n${measured(1000, 0, 0.1)}`);
  shop.file("later.csv", `x,wrong\n${measured(400, 1000, 0.3)}`);
  detector = await shop.train("detector", {
    task: "detect",
    data: {
      source: "load.csv",
      features: ["x"],
      target: "x",
      anomaly: { column: "wrong", normal: [0] },
      split: { by: "time", train: 0.4, validation: 0.3, test: 0.3 },
    },
    window: { length: 10 },
    detect: { by: "residual", threshold: { per1000: 1 } },
    model: { hiddenSize: 8 },
    train: { epochs: 4, learningRate: 0.02 },
  });
});
afterAll(() => shop.close());

const calibrate = async (options: object = {}): Promise<Json> => {
  const out = join(dirname(detector), `calibrated-${++made}.safetensors`);
  return jsonOf(() => calibrateCommand(detector, { out, json: true, ...options }));
};

describe("a detector's threshold", () => {
  it("comes out as training chose it where the rule is the same", async () => {
    const { header } = await loadModel(detector);
    const same = await calibrate();
    expect(same.detection).toEqual(header.detection);
    expect(same.fitted.after).toEqual(same.fitted.before);
    expect(same.test.after).toEqual(same.test.before);
  });

  it("keeps another budget on the validation part, and is what evaluate and a stream go by", async () => {
    const { out, detection, fitted, test } = await calibrate({ by: "per1000=100" });
    expect(detection.threshold).toBeLessThan((await loadModel(detector)).header.detection!.threshold);
    expect(fitted.after["alerts in 1,000"]).toBeLessThanOrEqual(100);
    expect(fitted.after["alerts in 1,000"]).toBeGreaterThan(90);
    expect(test.after.recall).toBeGreaterThanOrEqual(test.before.recall);
    const judged = await jsonOf(() => evaluateCommand(out, { json: true }));
    expect(judged.metrics.test.recall).toBeCloseTo(test.after.recall, 12);
    const session = openSession(await loadModel(out), { owner: "pump" });
    const rows = readFileSync(shop.path("load.csv"), "utf8").trim().split("\n").slice(1, 60);
    const scored = rows
      .flatMap((row) => session.push({ x: Number(row.split(",")[0]) }))
      .filter(({ score }) => Number.isFinite(score));
    for (const { score, anomaly } of scored) expect(anomaly).toBe((score as number) > detection.threshold);
    expect(scored.length).toBeGreaterThan(40);
  });

  it("is chosen on newer data of its own, and by its labels", async () => {
    const newer = await calibrate({ data: shop.path("later.csv"), by: "quantile=0.9" });
    expect(newer.fitted.part).toBe("later.csv");
    expect(newer.detection.n).toBeGreaterThan(350);
    expect(newer.fitted.after["alerts in 1,000"]).toBeCloseTo(100, -1);
    const best = await calibrate({ by: "f1" });
    expect(best.fitted.after.F1).toBeGreaterThanOrEqual(best.fitted.before.F1);
  });

  it("is no threshold of a class, and has rules of its own", async () => {
    const refused = async (options: object) =>
      (await refusalOf(() => calibrateCommand(detector, { out: shop.path("no.safetensors"), ...options }))).message;
    for (const options of [{ temperature: true }, { threshold: "1" }, { conformal: 0.9 }]) {
      expect(await refused(options)).toMatch(/OST_USAGE.*threshold of its own.*--by/s);
    }
    for (const by of ["precision=0.9", "quantile=1", "per1000=0", "per1000=x", "luck"]) {
      expect(await refused({ by })).toMatch(/OST_USAGE.*no such rule/s);
    }
    expect(await refused({ data: shop.path("load.csv") })).toMatch(/OST_SPLIT/);
  });
});
