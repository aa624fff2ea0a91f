/**
 * @file Airline passengers, monthly, 1949 to 1960: the last 24 months from all before, a step at a time and a year at a time.
 *
 *     npx tsx --conditions=ostinato-source examples/forecast/airline.ts Airline.csv [seed]
 *
 * The seasons grow with the level, so the network reads and predicts logarithms, and each window is shifted by its last value; both are undone
 * by the exponential. A forecast of 12 months reads its own predictions (recursive). Nothing is fitted on a month of the test. The last line
 * is JSON; errors are in thousands of passengers.
 */
import { readFileSync } from "node:fs";
import { openModel, openSession, parseConfig, renderReportText, runExperiment, tableFromRecords } from "ostinato";

const [file = "Airline.csv", seed = "1"] = process.argv.slice(2);
const months = readFileSync(file, "utf8")
  .trim()
  .split(/\r?\n/)
  .slice(1)
  .map((line) => {
    const [month, passengers] = line.split(",");
    return { month: `${month}-01`, passengers: Number(passengers) };
  });
const TEST = 24;
const YEAR = 12;

const records = months.map(({ month, passengers }) => ({ month, log: Math.log(passengers) }));
const config = parseConfig({
  task: "forecast",
  data: {
    source: "airline",
    time: "month",
    features: ["log"],
    target: ["log"],
    split: { by: "time", rows: [months.length - 2 * TEST, TEST, TEST] },
  },
  window: { length: 24, horizon: YEAR, normalize: "last" },
  model: { cell: "gru", hiddenSize: 32 },
  forecast: { strategy: "recursive" },
  train: { epochs: 200, batchSize: 8, learningRate: 5e-3, rollout: YEAR, earlyStopping: { patience: 40 }, seed: Number(seed) },
  evaluation: { period: YEAR },
});
const startedAt = performance.now();
const result = await runExperiment(config, tableFromRecords(records));
if (!result) throw new Error("the run was stopped");
const seconds = (performance.now() - startedAt) / 1000;
console.log(renderReportText(result.report)); // of the logarithms, against ETS, AR, Theta, ridge and others

/** Forecast of the next 12 months as passengers, by the number of months known. */
const forecasts = new Map<number, number[]>();
const session = openSession(await openModel(result.file), { owner: "airline" });
records.forEach((record, i) => {
  const forecast = session.push(record)[0]?.forecast?.log;
  if (forecast) forecasts.set(i + 1, forecast.map(Math.exp));
});

const start = months.length - TEST;
/** Root of the mean squared error over all origins whose `steps` months lie in the test part. */
function rmse(steps: number, predict: (known: number, step: number) => number): number {
  let total = 0;
  let count = 0;
  for (let known = start; known + steps <= months.length; known++) {
    for (let step = 0; step < steps; step++) {
      total += (predict(known, step) - months[known + step].passengers) ** 2;
      count++;
    }
  }
  return Math.sqrt(total / count);
}
const network = (known: number, step: number) => (forecasts.get(known) as number[])[step];
const lastYear = (known: number, step: number) => months[known + step - YEAR].passengers;
const results = {
  seconds,
  oneStep: { network: rmse(1, network), seasonalNaive: rmse(1, lastYear) },
  twelveSteps: { network: rmse(YEAR, network), seasonalNaive: rmse(YEAR, lastYear) },
};
console.log(JSON.stringify(results));
