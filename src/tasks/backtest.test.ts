import { expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { tableFromRecords } from "../data/index.js";
import { backtest } from "./backtest.js";
import { parseConfig } from "./config.js";

const rng = seed(4);
const records = Array.from({ length: 240 }, (_, i) => ({
  time: 1_700_000_000 + 3600 * i,
  load: Math.sin(i / 3) + 0.1 * rng.normal(),
  site: `s${i % 6}`,
}));
const table = tableFromRecords(records, { text: ["site"] });

const config = (split: object, entity: string | null = null) =>
  parseConfig({
    task: "forecast",
    data: { source: "x.csv", time: "time", entity, features: ["load"], target: "load", split },
    window: { length: 8, horizon: 2 },
    model: { hiddenSize: 4 },
    train: { epochs: 1, seed: 1 },
  });

it("every fold tests later rows than it learns from, and the model is compared with the same baselines in each", async () => {
  const time = config({ by: "time", train: 0.6, validation: 0.2, test: 0.2, gap: 2 });
  const result = await backtest(time, table, { folds: 3, test: 30 });
  expect(result?.folds.map(({ split }) => split.test)).toEqual([30, 30, 30]);
  const [first, second, third] = (result?.folds ?? []).map(({ split }) => split.train);
  expect([second - first, third - second]).toEqual([30, 30]);
  expect(result?.rows.map(({ values }) => values.length)).toEqual(result?.rows.map(() => 3));
  expect(result?.rows[0].name).toMatch(/^GRU/);
  const best = Math.min(...(result?.rows ?? []).map(({ values }) => values[0]));
  expect(result?.rows.find(({ values }) => values[0] === best)?.wins).toBeGreaterThan(0);
});

it("a sliding window keeps the training rows of the first fold in number", async () => {
  const time = config({ by: "time", train: 0.6, validation: 0.2, test: 0.2 });
  const result = await backtest(time, table, { folds: 3, test: 30, window: "sliding" });
  expect(new Set(result?.folds.map(({ split }) => split.train)).size).toBe(1);
});

it("folds by entity test every series once, and a split laid down by the data is refused", async () => {
  const byEntity = await backtest(config({ by: "entity", train: 0.6, validation: 0.2, test: 0.2 }, "site"), table, { folds: 3 });
  expect(byEntity?.folds.reduce((sum, { split }) => sum + split.series.test, 0)).toBe(6);
  await expect(backtest(config({ by: "column:site" }), table)).rejects.toThrow(/OST_SPLIT.*by: column:site/s);
});

it("what the split says of time holds in every fold", async () => {
  const cut = { from: { validation: "2023-11-20", test: "2023-11-22" } };
  const crossed = await backtest(config({ by: "entity", train: 0.6, validation: 0.2, test: 0.2, time: cut }, "site"), table, {
    folds: 3,
  });
  expect(crossed?.folds.every(({ split }) => (split.crossed ?? 0) > 0 && split.from !== undefined)).toBe(true);
  const instants = await backtest(config({ by: "time", ...cut }, "site"), table, { folds: 2, test: 0.2 });
  expect(instants?.folds.every(({ split }) => split.from !== undefined)).toBe(true);
  const sized = await backtest(config({ by: "time", folds: 3, fold: 1, test: 24, validation: 30 }), table);
  expect(sized?.folds.map(({ split }) => [split.validation, split.test])).toEqual([
    [30, 24],
    [30, 24],
    [30, 24],
  ]);
  await expect(
    backtest(config({ by: "entity", train: 0.6, validation: 0.2, test: 0.2 }, "site"), table, { test: 0.2 }),
  ).rejects.toThrow(/OST_SPLIT.*whole series/s);
});
