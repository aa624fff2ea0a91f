/** @file What a page would do with the whole library: everything from the main entry, nothing from Node. */
import { openModel, openSession, parseConfig, runExperiment, tableFromRecords } from "ostinato";
import { probe } from "./probe.js";

async function main() {
  const readings = Array.from({ length: 120 }, (_, i) => ({ step: i, v: (i % 7) / 7 }));
  const split = { by: "time" as const, train: 0.6, validation: 0.2, test: 0.2 };
  const config = parseConfig({
    task: "forecast",
    data: { source: "readings", features: ["v"], target: "v", split },
    window: { length: 8, horizon: 2 },
    model: { hiddenSize: 8 },
    train: { maxSteps: 20, batchSize: 8 },
    evaluation: { rivals: false, resamples: 100 },
  });
  const result = await runExperiment(config, tableFromRecords(readings));
  const session = openSession(await openModel(result?.file as Uint8Array), { owner: "page" });
  const forecasts = readings.slice(0, 12).flatMap((reading) => session.push({ v: reading.v }));
  const globals = { document: typeof document, process: typeof Reflect.get(globalThis, "process") };
  return { probe: probe(), streamed: forecasts.length, steps: result?.training.steps, globals };
}

const done = main().then(JSON.stringify, (error) => JSON.stringify({ error: String(error?.stack ?? error) }));
done.then((text) => {
  if (typeof document === "undefined") console.log(text);
  else document.body.textContent = text;
});
