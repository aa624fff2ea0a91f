/** @file `ostinato calibrate` of a detector: chooses its threshold anew on held-back data, by another rule than training's or by newer data. */
import { readFile } from "node:fs/promises";
import { OstinatoError } from "../core/errors.js";
import { type Detection, decodeModel, encodeModel, type LoadedModel, openModel } from "../model/index.js";
import { type ExperimentConfig, fitDetection, scoreAlerts, surprisesOf } from "../tasks/index.js";
import type { CalibrateCommandOptions } from "./calibrate.js";
import { type HeldBack, heldBackData, type Quality, qualityTable } from "./held-back.js";
import { predictorName } from "./model-file.js";
import { writeWhole } from "./output-file.js";
import { figure, Terminal } from "./terminal.js";

type AlertRule = NonNullable<ExperimentConfig["detect"]>["threshold"];

export async function calibrateDetector(loaded: LoadedModel, path: string, options: CalibrateCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { out, data, json } = options;
  const { header, predictor } = loaded;
  const asked = ruleOf(options);
  const notes: string[] = [];
  const { fitted, test, spec } = await heldBackData(loaded, path, { data, notes });
  const detect = fitted.config.detect as NonNullable<ExperimentConfig["detect"]>;
  if (!asked && detect.rank !== undefined)
    throw wrong("the rank of this detector was given, and no rule says how to choose one", "no --by");
  const surprises = (part: HeldBack) => surprisesOf((batch) => predictor.predict(batch), part.batches(), spec);
  terminal.status(`  fitting on ${fitted.name}`, { always: true });
  const onFitted = surprises(fitted);
  const settings = { ...fitted.config, detect: { ...detect, rank: undefined, threshold: asked ?? detect.threshold } };
  const chosen = fitDetection(settings, fitted.prepared, "validation", onFitted);
  const after = data === undefined ? chosen : { ...chosen, rule: `${chosen.rule}; validation: ${fitted.name}` };
  const before = header.detection as Detection;
  const compared = (part: HeldBack, found: ReturnType<typeof surprises>) => ({
    part: part.short,
    before: qualityOf(part, found, before),
    after: qualityOf(part, found, after),
  });
  terminal.status(`  scoring ${(test ?? fitted).name}`, { always: true });
  const parts = [compared(fitted, onFitted), ...(test ? [compared(test, surprises(test))] : [])];
  const bytes = encodeModel({ ...header, detection: after }, decodeModel(await readFile(path)).arrays);
  const { hash } = await openModel(bytes);
  await writeWhole(out, bytes);
  terminal.clear();
  terminal.print(
    `\n  ${predictorName(loaded)}: alert above ${figure(after.threshold, 4)} (was ${figure(before.threshold, 4)}), ` +
      `${after.rule}, chosen on ${after.n} scores of ${fitted.name}`,
  );
  for (const note of notes) terminal.print(`  ${terminal.color.yellow("note")} ${note}`);
  terminal.print();
  for (const line of qualityTable(parts)) terminal.print(`  ${line}`);
  terminal.print(`\n  Written to ${out}; what uses the file applies it.`);
  if (json) terminal.json({ model: path, out, hash, detection: after, fitted: parts[0], test: parts[1] ?? null, notes });
  return 0;
}

function wrong(what: string, got: string): OstinatoError {
  return new OstinatoError("OST_USAGE", {
    what,
    expected: "--by per1000=N with N above 0, quantile=Q with Q between 0 and 1, or f1",
    got,
    where: "calibrate",
    repair: "for example --by per1000=2",
  });
}

/** Undefined: that of training. @throws OST_USAGE for what is not a detector's. */
function ruleOf({ by, temperature, threshold, conformal }: CalibrateCommandOptions): AlertRule | undefined {
  const given = Object.entries({ temperature, threshold, conformal }).find(([, value]) => value !== undefined && value !== false);
  if (given) throw wrong("a detector has a threshold of its own, above which it alerts", `--${given[0]}`);
  if (by === undefined) return undefined;
  if (by === "f1") return { metric: "f1" };
  const [name, number = ""] = by.split("=");
  const value = number.trim() === "" ? Number.NaN : Number(number);
  if (name === "per1000" && value > 0 && value <= 1000) return { per1000: value };
  if (name === "quantile" && value > 0 && value < 1) return { quantile: value };
  throw wrong("no such rule for alerts", by);
}

function qualityOf({ prepared, part }: HeldBack, surprises: ReturnType<typeof surprisesOf>, detection: Detection): Quality {
  const score = scoreAlerts(prepared, part, surprises, detection);
  if (score.kind !== "detection") return {};
  const { alertsPer1000, precision, recall, f1, falsePositiveRate } = score.metrics;
  const known = { precision, recall, F1: f1, "false-positive rate": falsePositiveRate };
  const found = Object.entries(known).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return { "alerts in 1,000": alertsPer1000, ...Object.fromEntries(found) };
}
