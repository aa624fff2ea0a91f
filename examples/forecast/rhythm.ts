import { openModel, openSession, parseConfig, renderReportText, runExperiment, tableFromRecords } from "ostinato";

// Hourly readings with a daily rhythm; the last 60 are kept back for the stream.
const readings = Array.from({ length: 1200 }, (_, hour) => ({
  time: new Date(Date.UTC(2024, 0, 1, hour)).toISOString(),
  kw: 40 + 12 * Math.sin((2 * Math.PI * hour) / 24) + 3 * Math.sin(hour * hour),
}));
const split = { by: "time", train: 0.7, validation: 0.15, test: 0.15 };
const config = parseConfig({
  task: "forecast",
  data: { source: "readings", time: "time", features: ["kw"], target: ["kw"], split },
  window: { length: 48, horizon: 6 },
  model: { cell: "gru", hiddenSize: 16 },
  train: { epochs: 6, learningRate: 5e-3 },
  evaluation: { period: 24 },
});
const result = await runExperiment(config, tableFromRecords(readings.slice(0, -60)));
if (result) console.log(renderReportText(result.report)); // against persistence, seasonal naive, ridge and others

const model = await openModel(result?.file as Uint8Array); // the bytes of one safetensors file
const session = openSession(model, { owner: "meter-17" });
let forecast: number[] | undefined; // appears with the 48th record, then with every one
for (const reading of readings.slice(-60)) forecast = session.push(reading)[0]?.forecast?.kw;
console.log("kW in the next six hours:", forecast?.map((kw) => kw.toFixed(1)).join("  "));
