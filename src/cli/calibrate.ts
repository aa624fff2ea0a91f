/**
 * @file `ostinato calibrate`: fits a temperature, a threshold or intervals on held-back data and writes a new model file that applies them wherever it is
 * used. The test part is never fitted on; it only shows what the fit is worth.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { nearest, OstinatoError } from "../core/errors.js";
import { outputsPerValue, predictiveDistribution } from "../core/predictive-distribution.js";
import {
  chooseThreshold,
  evaluate,
  fitConformal,
  fitTemperature,
  heldBackLogits,
  IntervalSums,
  type ThresholdRule,
} from "../evaluate/index.js";
import {
  type Calibration,
  decodeModel,
  encodeModel,
  givesDistribution,
  type LoadedModel,
  openModel,
  pointsOf,
  probabilities,
} from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { calibrateDetector } from "./calibrate-detector.js";
import { type HeldBack, heldBackData, type Quality, qualityTable } from "./held-back.js";
import { predictorName } from "./model-file.js";
import { wantWritable, writeWhole } from "./output-file.js";
import { counted, figure, Terminal, type TerminalOptions } from "./terminal.js";

export interface CalibrateCommandOptions extends TerminalOptions {
  out: string;
  /** Fits on all of this file; default the validation part of the model's own data. */
  data?: string;
  temperature?: boolean;
  /** The class that is decided above a threshold. */
  threshold?: string;
  /** f1, precision=0.9 or per1000=5; of a detector f1, quantile=0.999 or per1000=5. */
  by?: string;
  /** The share that intervals are to hold. */
  conformal?: number;
}

/** What is fitted. */
interface Plan {
  temperature: boolean;
  threshold: { class: number; rule: ThresholdRule } | null;
  conformal: number | null;
}

export async function calibrateCommand(path: string, options: CalibrateCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { out, data, json } = options;
  if (existsSync(out)) {
    throw new OstinatoError("OST_USAGE", {
      what: "the file exists, and nothing is overwritten",
      where: `--out ${out}`,
      repair: "choose another --out: the model that was calibrated stays as it is",
    });
  }
  wantWritable(out);
  const loaded = await loadModel(path);
  if (loaded.header.task === "detect") return calibrateDetector(loaded, path, options);
  const plan = planOf(loaded, options);
  const { header, arrays } = decodeModel(await readFile(path));
  const { calibration: older, ...plain } = header;
  const raw = await openModel(encodeModel(plain, arrays));
  const notes: string[] = [];
  const { fitted, test, spec } = await heldBackData(loaded, path, { data, notes });
  terminal.status(`  fitting on ${fitted.name}`, { always: true });
  const calibration = calibrationOf(raw, spec, plan, { fitted, older, notes });
  const bytes = encodeModel({ ...plain, calibration }, arrays);
  const calibrated = await openModel(bytes);
  const compared = (part: HeldBack) => {
    terminal.status(`  scoring ${part.name}`, { always: true });
    const named = plan.threshold && spec.classes[plan.threshold.class];
    return {
      part: part.short,
      before: qualityOf(loaded, part, spec, { named, coverage: plan.conformal }),
      after: qualityOf(calibrated, part, spec, { named, coverage: plan.conformal }),
    };
  };
  const onFitted = compared(fitted);
  const onTest = test && compared(test);
  await writeWhole(out, bytes);
  terminal.clear();
  terminal.print(
    `\n  ${predictorName(loaded)}: ${describe(calibration, spec, plan.threshold?.class)}, fitted on ${counted(calibration.n, "example")} of ${fitted.name}`,
  );
  for (const note of notes) terminal.print(`  ${terminal.color.yellow("note")} ${note}`);
  terminal.print();
  for (const line of qualityTable([onFitted, ...(onTest ? [onTest] : [])])) terminal.print(`  ${line}`);
  terminal.print(`\n  Written to ${out}; what uses the file applies it.`);
  if (json) {
    terminal.json({
      model: path,
      out,
      hash: calibrated.hash,
      calibration,
      ...(plan.threshold && { decides: decides(calibration.threshold as number, spec, plan.threshold.class) }),
      fitted: onFitted,
      test: onTest,
      notes,
    });
  }
  return 0;
}

function usage(what: string, expected: string, got: string, repair: string): OstinatoError {
  return new OstinatoError("OST_USAGE", { what, expected, got, where: "calibrate", repair });
}

/** @throws OST_USAGE for what does not fit the model. @throws OST_CONFIG for a model that nothing can be fitted to. */
function planOf({ header, predictor }: LoadedModel, options: CalibrateCommandOptions): Plan {
  const { spec, task } = header;
  const { temperature = false, threshold, by, conformal } = options;
  const values = spec.targetKind === "values";
  if (spec.targetKind === "tokens" || spec.distribution?.kind === "bernoulli") {
    throw new OstinatoError("OST_CONFIG", {
      what: "there is nothing to calibrate",
      expected: "a model of task: forecast, classify, tag, detect or language over codes",
      got: `task: ${task}`,
      where: header.name,
      repair: "choose another model",
    });
  }
  if (values && (temperature || threshold !== undefined)) {
    throw usage("temperature and threshold are of classes", "--conformal for a forecast", `task: ${task}`, "use --conformal 0.9");
  }
  if (!values && conformal !== undefined) {
    throw usage(
      "intervals are of numeric forecasts",
      "--temperature or --threshold for classes",
      `task: ${task}`,
      "use --temperature",
    );
  }
  if (by !== undefined && threshold === undefined) {
    throw usage("there is no threshold to be chosen", "--by beside --threshold CLASS", "--by alone", "add --threshold CLASS");
  }
  if (values) return { temperature: false, threshold: null, conformal: conformal ?? COVERAGE };
  if (threshold === undefined) return { temperature: true, threshold: null, conformal: null };
  const index = spec.classes.indexOf(threshold);
  if (index < 0) {
    const near = nearest(threshold, spec.classes);
    throw usage(
      "there is no such class",
      spec.classes.slice(0, 12).join(", "),
      threshold,
      near ? `did you mean "${near}"?` : "name one of them",
    );
  }
  if (spec.classes.length !== 2 || spec.targetKind === "next") {
    throw usage(
      "a threshold decides between two classes",
      "two",
      `${spec.classes.length} classes`,
      "use --temperature, or decision.costs in training",
    );
  }
  if (predictor.labels && header.calibration?.threshold === undefined) {
    throw usage(
      "the labels of this model are decided together, not each above a threshold",
      "labels that stand alone",
      "a conditional random field or a scheme of spans",
      "use --temperature",
    );
  }
  return { temperature, threshold: { class: index, rule: ruleOf(by) }, conformal: null };
}

const COVERAGE = 0.9;

/** @throws OST_USAGE */
function ruleOf(text = "f1"): ThresholdRule {
  if (text === "f1") return { by: "f1" };
  const [name, number = ""] = text.split("=");
  const value = number.trim() === "" ? Number.NaN : Number(number);
  if (name === "precision" && value > 0 && value <= 1) return { by: "precision", precision: value };
  if (name === "per1000" && value >= 0 && value <= 1000) return { by: "alertBudget", per1000: value };
  throw usage(
    "no such rule",
    "f1, precision=P with P above 0, at most 1, or per1000=N with N from 0 to 1000",
    text,
    "for example --by precision=0.9",
  );
}

/** @param options `older`: what was fitted before; what is not fitted anew stays. */
function calibrationOf(
  raw: LoadedModel,
  spec: ExampleSpec,
  plan: Plan,
  { fitted, older, notes }: { fitted: HeldBack; older: Calibration | undefined; notes: string[] },
): Calibration {
  const source = fitted.name;
  if (plan.conformal !== null) {
    const { coverage, halfWidth, n } = fitConformal(pointForecast(raw), fitted.batches(), spec, { coverage: plan.conformal });
    return { n: Math.max(...n.flat()), source, conformal: { coverage, halfWidth } };
  }
  const { logits, labels, classes } = heldBackLogits((batch) => raw.predictor.predict(batch), fitted.batches(), spec);
  let temperature = older?.temperature;
  if (plan.temperature) {
    const found = fitTemperature({ logits, labels, classes });
    temperature = found.temperature;
    if (found.bounded) {
      notes.push(
        "the best temperature lies beyond 0.01 .. 100: every held-back example is right, or the model knows nothing of them; do not trust its confidences.",
      );
    }
  }
  const kept: Calibration = { n: labels.length, source, ...(temperature !== undefined && { temperature }) };
  if (!plan.threshold) {
    if (older?.threshold === undefined) return kept;
    notes.push("the threshold of before is left out: it was chosen at another temperature; add --threshold CLASS.");
    return kept;
  }
  const { class: wanted, rule } = plan.threshold;
  const scores = Float64Array.from({ length: labels.length }, (_, i) => {
    const own = [logits[2 * i] / (temperature ?? 1), logits[2 * i + 1] / (temperature ?? 1)];
    return probabilities(own, 0, 2)[wanted];
  });
  const positive = Uint8Array.from(labels, (label) => (label === wanted ? 1 : 0));
  const { threshold } = chooseThreshold(scores, positive, rule);
  return { ...kept, threshold: ofSecond(threshold, wanted) };
}

/** The two probabilities add up to 1 within this. */
const ROUNDING = 1e-12;

/** The threshold of the second class that decides as one of class `wanted` does. */
function ofSecond(threshold: number, wanted: number): number {
  return Math.min(1, Math.max(0, wanted === 1 ? threshold : 1 - threshold - ROUNDING));
}

function decides(threshold: number, { classes }: ExampleSpec, wanted: number): { class: string; above: number } {
  return { class: classes[wanted], above: wanted === 1 ? threshold : 1 - threshold };
}

/** The points of a forecast, scaled. */
function pointForecast(model: LoadedModel): (batch: Batch) => ArrayLike<number> {
  const { predictor, header } = model;
  if (!givesDistribution(model)) return (batch) => predictor.predict(batch);
  return (batch) => pointsOf(header.spec.distribution, predictor.predict(batch));
}

function qualityOf(
  model: LoadedModel,
  part: HeldBack,
  spec: ExampleSpec,
  { named, coverage }: { named: string | null; coverage: number | null },
): Quality {
  if (coverage !== null) return intervalQuality(model, part, spec, coverage);
  const score = evaluate(model.predictor, part.batches(), spec, { unitName: "token" });
  if (score.kind !== "classification") return {};
  const { logLoss, ece, accuracy, meanConfidence, perClass, n } = score.metrics;
  const own = named === null ? undefined : perClass[named];
  const wanted = named === null ? -1 : spec.classes.indexOf(named);
  const alerts = score.units.label.reduce((sum, label) => sum + (label === wanted ? 1 : 0), 0);
  return {
    NLL: logLoss,
    ECE: ece,
    accuracy,
    "mean confidence": meanConfidence,
    ...(own && {
      [`precision of ${named}`]: own.precision,
      [`recall of ${named}`]: own.recall,
      [`F1 of ${named}`]: own.f1,
      [`${named} in 1,000`]: (1000 * alerts) / n,
    }),
  };
}

/** How many values lie in the calibrated intervals, or where there are none in those of the forecast's own distribution. */
function intervalQuality(model: LoadedModel, part: HeldBack, spec: ExampleSpec, coverage: number): Quality {
  const { header, predictor } = model;
  const conformal = header.calibration?.conformal;
  const distribution = givesDistribution(model) ? header.spec.distribution : undefined;
  if (!conformal && !distribution) return {};
  const { horizon: P, targets } = spec;
  const K = targets.length;
  const M = outputsPerValue(distribution);
  const all = new IntervalSums(coverage);
  const byStep = Array.from({ length: P }, () => new IntervalSums(coverage));
  for (const batch of part.batches()) {
    const { values = new Float32Array(0), lengths, batchSize } = batch;
    const output = predictor.predict(batch);
    const perRow = values.length / batchSize;
    const perStep = P * K;
    for (let i = 0; i < values.length; i++) {
      const row = Math.floor(i / perRow);
      const step = Math.floor((i % perRow) / perStep);
      if (Number.isNaN(values[i]) || (batch.everyStep && step >= lengths[row]) || lengths[row] === 0) continue;
      const [p, k] = [Math.floor(i / K) % P, i % K];
      const asked = distribution ? predictiveDistribution(distribution, output.subarray(i * M, (i + 1) * M)) : null;
      const point = asked ? asked.point : output[i];
      const half = conformal?.halfWidth[p][k];
      const tail = (1 - coverage) / 2;
      const [lower, upper] =
        half !== undefined ? [point - half, point + half] : [asked!.quantile(tail), asked!.quantile(1 - tail)];
      all.add(values[i], lower, upper);
      byStep[p].add(values[i], lower, upper);
    }
  }
  const whole = all.result();
  const steps = byStep.map((sums) => sums.result().coverage).filter((share) => !Number.isNaN(share));
  return {
    coverage: whole.coverage,
    "mean width (scaled)": whole.meanWidth,
    "interval score": whole.score,
    ...(P > 1 && { "lowest coverage of a step": Math.min(...steps), "highest coverage of a step": Math.max(...steps) }),
  };
}

function describe({ temperature, threshold, conformal }: Calibration, spec: ExampleSpec, wanted = 1): string {
  const decided = threshold === undefined ? null : decides(threshold, spec, wanted);
  const told = [
    temperature === undefined ? null : `temperature ${figure(temperature)}`,
    decided && `"${decided.class}" above ${figure(decided.above)}`,
    conformal === undefined ? null : `${figure(100 * conformal.coverage, 1)} % intervals`,
  ];
  return told.filter((one) => one !== null).join(", ");
}
