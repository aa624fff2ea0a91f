/**
 * @file How many independent answers do the windows ask for, and do they ask where something happens?
 *
 * Independence. Windows that overlap are nearly one. Forecasts: the change of the target over the horizon, which is the error of the simplest
 * forecast, has the autocorrelation time tau = 1 + 2 sum rho_k (until the first rho_k < 0.05, at most a quarter of the rows); rows / tau of them
 * are independent (Sokal 1997). Tags: stretches of one label. Classes: sequences. A warning below {@link TRAINING} in training or
 * {@link JUDGED} in validation or test.
 *
 * Stride. Changes of label (or of a target with at most three values) in training rows that no training window predicts: a warning from 5 % and at
 * least five, a fault from half of them.
 */
import { isPerStep, PARTS, type Part } from "../../core/batch.js";
import { partCode, runsOf } from "../split.js";
import type { AuditContext } from "./context.js";
import { short } from "./figure.js";
import { type Finding, finding } from "./finding.js";

const TRAINING = 20;
const JUDGED = 5;

export function checkIndependence(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { count } = audit.scan;
  const noun = {
    values: "forecasts",
    tags: "stretches of one label",
    class: "sequences",
    next: "runs of rows",
    tokens: "sequences",
  }[subject.targetKind];
  const effective = Object.fromEntries(PARTS.map((part) => [part, independent(audit, part)])) as Record<
    Part,
    { count: number; time: number }
  >;
  const facts = PARTS.map((part) => `${Math.round(effective[part].count).toLocaleString("en")} ${part}`).join(", ");
  const evidence: Record<string, number | string> = { leastTraining: TRAINING, leastJudged: JUDGED };
  for (const part of PARTS) {
    evidence[`${part}Windows`] = count[part];
    evidence[`${part}Independent`] = Number(effective[part].count.toPrecision(3));
  }
  const few = PARTS.filter((part) => count[part] > 0 && effective[part].count < (part === "train" ? TRAINING : JUDGED));
  if (few.length === 0) {
    return [
      finding("effective-windows", "pass", "independent windows", { detail: `about ${facts} independent ${noun}`, evidence }),
    ];
  }
  const [part] = few;
  const first = audit.scan.sample[part][0];
  const tau = effective[part].time;
  return [
    finding("effective-windows", "warning", `few independent windows in ${listed(few)}`, {
      detail: `about ${facts} independent ${noun}; the ${count[part].toLocaleString("en")} ${part} windows are nearly the same few, and so are their errors`,
      evidence: { ...evidence, autocorrelationTime: Number(tau.toPrecision(3)) },
      example: first
        ? `the first ${part} window reads ${audit.range(first.series, first.input[0], first.input[1])}; an independent one begins about ${tau < 1.5 ? "a row" : `${Math.round(tau)} rows`} later`
        : null,
      repair: "take more data or a larger part, or a shorter horizon, and read every difference with its interval",
    }),
  ];
}

function listed(parts: readonly Part[]): string {
  return parts.length < 3 ? parts.join(" and ") : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

function independent(audit: AuditContext, part: Part): { count: number; time: number } {
  const { subject } = audit;
  const code = partCode(part);
  if (subject.targetKind === "class" || subject.targetKind === "tokens") {
    const count = subject.parts.filter((codes) => codes.includes(code)).length;
    return { count, time: 1 };
  }
  let count = 0;
  let rows = 0;
  subject.series.forEach(({ target, labels }, s) => {
    for (const [from, to] of runsOf(subject.parts[s], code)) {
      rows += to - from;
      if (labels) {
        let before = "";
        for (let i = from; i < to; i++) {
          if (labels[i] !== "" && labels[i] !== before) count++;
          if (labels[i] !== "") before = labels[i];
        }
      } else if (target) {
        const width = subject.roles.target.length;
        const horizon = Math.max(1, subject.horizon);
        const changes: number[] = [];
        for (let i = from + horizon; i < to; i++) {
          const change = target[i * width] - target[(i - horizon) * width];
          if (!Number.isNaN(change)) changes.push(change);
        }
        if (changes.length > 0) count += changes.length / autocorrelationTime(changes);
      }
    }
  });
  return { count, time: count > 0 ? rows / count : 1 };
}

/** 1 + 2 sum of the autocorrelations until the first below 0.05; of at most 20,000 values. */
function autocorrelationTime(values: readonly number[]): number {
  const n = Math.min(values.length, 20_000);
  let mean = 0;
  for (let i = 0; i < n; i++) mean += values[i] / n;
  let variance = 0;
  for (let i = 0; i < n; i++) variance += (values[i] - mean) ** 2;
  if (!(variance > 0)) return 1;
  let time = 1;
  for (let lag = 1; lag <= n / 4; lag++) {
    let sum = 0;
    for (let i = 0; i + lag < n; i++) sum += (values[i] - mean) * (values[i + lag] - mean);
    if (sum / variance < 0.05) break;
    time += (2 * sum) / variance;
  }
  return time;
}

export function checkStride(audit: AuditContext): Finding[] {
  const { subject } = audit;
  if (subject.targetKind === "class" || subject.targetKind === "tokens") return [];
  const covered = audit.scan.targets.train;
  const kindOf = valueKinds(audit);
  let rows = 0;
  let missedRows = 0;
  let changes = 0;
  let missed = 0;
  let example: string | null = null;
  subject.series.forEach((_, s) => {
    for (const [from, to] of runsOf(subject.parts[s], 1)) {
      // What comes before the first target has had no window yet.
      let first = from;
      while (first < to && covered[s][first] === 0) first++;
      for (let i = first; i < to; i++) {
        rows++;
        if (covered[s][i] === 0) missedRows++;
        if (i === first || kindOf === null) continue;
        const [before, here] = [kindOf(s, i - 1), kindOf(s, i)];
        if (before === "" || here === "" || before === here) continue;
        changes++;
        if (covered[s][i] > 0) continue;
        missed++;
        example ??= `${audit.where(s, i)} changes from "${before}" to "${here}", and no training window predicts it`;
      }
    }
  });
  if (rows === 0) return [finding("stride", "skipped", "there are no training targets")];
  const evidence = { rows, missedRows, changes, missedChanges: missed, stride: subject.stride, warningAt: 0.05, faultAt: 0.5 };
  const share = missed / Math.max(1, changes);
  if (missed >= 5 && share >= 0.05) {
    return [
      finding("stride", share >= 0.5 ? "fault" : "warning", `the stride misses ${missed} of ${changes} changes`, {
        detail: `training windows of ${subject.length} rows every ${subject.stride} leave ${short((100 * missedRows) / rows)} % of the rows unlearned`,
        evidence,
        example,
        repair: `let the windows follow each other without holes: --set window.stride=${Math.max(1, isPerStep(subject.targetKind) ? subject.length : subject.horizon)}`,
      }),
    ];
  }
  return [
    finding("stride", "pass", "stride", {
      detail:
        missedRows === 0
          ? "every training row is predicted by a window"
          : `${short((100 * missedRows) / rows)} % of the training rows are predicted by no window`,
      evidence,
    }),
  ];
}

/** The label of a row, or the value of a target that has at most three; null for targets that change all the time. */
function valueKinds({ subject }: AuditContext): ((s: number, i: number) => string) | null {
  if (subject.targetKind === "tags") return (s, i) => subject.series[s].labels?.[i] ?? "";
  const width = subject.roles.target.length;
  const kinds = new Set<number>();
  for (const { target } of subject.series) {
    for (let i = 0; target && i < target.length; i += width) {
      if (!Number.isNaN(target[i])) kinds.add(target[i]);
      if (kinds.size > 3) return null;
    }
  }
  return (s, i) => {
    const value = subject.series[s].target?.[i * width] ?? Number.NaN;
    return Number.isNaN(value) ? "" : String(value);
  };
}
