/** @file Airline passengers: the last 24 months, by an example script. */
import { type ResultRow, scripted } from "./row.js";

interface Printed {
  seconds: number;
  oneStep: Errors;
  twelveSteps: Errors;
}

interface Errors {
  network: number;
  seasonalNaive: number;
}

/** The bar is the seasonal naive forecast on the same months. */
const row = (name: string, of: "oneStep" | "twelveSteps", bar: number): ResultRow => ({
  name,
  data: "forecast-small-classics",
  metric: "RMSE, thousands",
  higherIsBetter: false,
  bar,
  published: "none for recurrent networks on this split",
  run({ data, seed }) {
    const printed = scripted<Printed>("examples/forecast/airline.ts", [`${data}/Airline.csv`, String(seed)]);
    const { network, seasonalNaive } = printed[of];
    return { value: network, trainSeconds: printed.seconds, baseline: `seasonalNaive(12) ${seasonalNaive.toFixed(2)}` };
  },
});

export const rows: ResultRow[] = [row("airline-1-step", "oneStep", 49.98), row("airline-12-steps", "twelveSteps", 53.36)];
