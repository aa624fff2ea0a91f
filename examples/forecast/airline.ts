/**
 * @file Airline passengers, monthly, 1949 to 1960: the last 24 months from all before, a step at a time and a year at a time.
 *
 *     npx tsx --conditions=ostinato-source examples/forecast/airline.ts Airline.csv [seed]
 *
 * The network reads and predicts how the logarithm differs from that of a year before, since seasons grow with the level; each window is shifted
 * by its last value. A forecast of 12 months reads its own predictions (recursive), and is turned back into passengers with months that are
 * known. Nothing is fitted on a month of the test; settings were chosen on the 24 months before it. The last line is JSON; errors are in
 * thousands of passengers.
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

const logs = months.map(({ passengers }) => Math.log(passengers));
const records = months.slice(YEAR).map(({ month }, i) => ({ month, growth: logs[i + YEAR] - logs[i] }));
const config = parseConfig({
  task: "forecast",
  data: {
    source: "airline",
    time: "month",
    features: ["growth"],
    target: ["growth"],
    split: { by: "time", rows: [records.length - 2 * TEST, TEST, TEST] },
  },
  window: { length: 24, horizon: YEAR, normalize: "last" },
  model: { cell: "gru", hiddenSize: 16 },
  forecast: { strategy: "recursive" },
  train: { epochs: 200, batchSize: 8, learningRate: 5e-3, rollout: YEAR, earlyStopping: { patience: 40 }, seed: Number(seed) },
  evaluation: { period: YEAR },
});
const startedAt = performance.now();
const result = await runExperiment(config, tableFromRecords(records));
if (!result) throw new Error("the run was stopped");
const seconds = (performance.now() - startedAt) / 1000;
console.log(renderReportText(result.report)); // of the yearly growth, against ETS, AR, Theta, ridge and others

/** Forecast of the next 12 months as passengers, by the number of months known. */
const forecasts = new Map<number, number[]>();
const session = openSession(await openModel(result.file), { owner: "airline" });
records.forEach((record, i) => {
  const growth = session.push(record)[0]?.forecast?.growth;
  // The year before months known .. known + 11 is known.
  const known = i + 1 + YEAR;
  if (growth)
    forecasts.set(
      known,
      growth.map((change, step) => Math.exp(logs[known + step - YEAR] + change)),
    );
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
