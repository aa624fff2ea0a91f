/**
 * @file The verdict: which predictor to ship, in plain words. It may be a baseline.
 *
 * A win is claimed only where the 95 % interval of the difference excludes zero. Where it does not, the two cannot be told apart, and
 * a cheaper one is the one to ship: the simplest, in an order known beforehand, because the best of them on the test part would be chosen
 * by luck. What breaks the budget of alerts is not shipped, whatever it finds.
 */
import type { Comparison } from "./bootstrap.js";

/** What the comparisons are in. */
export interface VerdictMetric {
  /** As it reads after a number: "MSE", "accuracy". */
  label: string;
  higherIsBetter: boolean;
  /** A share of 1: differences are told in points (hundredths). */
  share?: boolean;
}

/** Something the model was compared with. */
export interface Rival {
  name: string;
  kind: "model" | "baseline";
  value: number;
  /** Whether it is cheaper to run than the model; baselines are unless said otherwise. */
  cheaper?: boolean;
  microsecondsPerStep?: number;
  /** Model minus rival; null where none could be made. */
  comparison: Comparison | null;
  /** How it breaks the budget, where it does, as it reads after its name: "raises 945.0 alerts per 1,000". */
  overBudget?: string;
}

export interface Verdict {
  /** Name of what to ship; "none" where all break the budget. */
  ship: string;
  text: string;
  /** Rivals the model beats, loses to, and cannot be told apart from. */
  beats: string[];
  loses: string[];
  ties: string[];
  /** Those that break the budget, the model among them if it does: then it loses to every rival that keeps it. Absent where none does. */
  overBudget?: string[];
}

interface Judged extends Rival {
  /** How much better the model is, with its interval, positive when better. */
  gain: number;
  low: number;
  high: number;
}

/** What is simple comes first; by the beginning of the name. A baseline that is not listed comes after these, networks last. */
const SIMPLEST_FIRST = [
  "majority",
  "persistence",
  "seasonalNaive",
  "drift",
  "movingAverage",
  "ridge",
  "logistic",
  "MLP window",
] as const;

/** Decides between a model and its rivals. The text starts with "Verdict:". */
export function verdict(
  model: Pick<Rival, "name" | "value" | "overBudget">,
  metric: VerdictMetric,
  rivals: readonly Rival[],
): Verdict {
  const barred = [model, ...rivals].filter(({ overBudget }) => overBudget !== undefined);
  if (barred.length === 0) return decideBetween(model, metric, rivals);
  const overBudget = barred.map(({ name }) => name);
  const warning = `${barred.map(({ name, overBudget }) => `${name} ${overBudget}`).join(", ")}: over the budget, not to be shipped.`;
  const within = rivals.filter(({ overBudget }) => overBudget === undefined);
  if (model.overBudget === undefined) {
    const outcome = decideBetween(model, metric, within);
    return { ...outcome, text: `${outcome.text} ${warning}`, overBudget };
  }
  const outcome = { beats: [], loses: within.map(({ name }) => name), ties: [], overBudget };
  const better = (a: Rival, b: Rival) => (metric.higherIsBetter ? b.value > a.value : b.value < a.value);
  const [first, ...others] = [...within].sort(bySimplicity);
  if (!first) return { ship: "none", text: `Verdict: ship none of them. ${warning}`, ...outcome };
  const { name, value } = others.reduce((found, rival) => (better(found, rival) ? rival : found), first);
  const told = `${metric.label} ${metric.share ? `${(100 * value).toFixed(1)} %` : formatDifference(value, metric)}`;
  const text = `Verdict: ship ${name}. It keeps to the budget${within.length > 1 ? `, best of the ${within.length} that do` : ""}: ${told}. ${warning}`;
  return { ship: name, text, ...outcome };
}

function decideBetween(model: Pick<Rival, "name" | "value">, metric: VerdictMetric, rivals: readonly Rival[]): Verdict {
  const judged = rivals.map((rival) => judge(rival, model.value, metric));
  const beaten = judged.filter((rival) => rival.low > 0);
  const winners = judged.filter((rival) => rival.high < 0);
  const tied = judged.filter((rival) => rival.low <= 0 && rival.high >= 0);
  const names = (list: Judged[]) => list.map(({ name }) => name);
  const outcome = { beats: names(beaten), loses: names(winners), ties: names(tied) };
  const strongestBeaten = best(beaten.filter(({ kind }) => kind === "baseline"));

  if (winners.length > 0) {
    const winner = best(winners) as Judged;
    const speed =
      winner.microsecondsPerStep === undefined ? "" : ` and runs in ${formatMicroseconds(winner.microsecondsPerStep)} a step`;
    const text = `Verdict: ship ${winner.name}. It beats ${model.name} by ${amount(winner, metric, -1)}${speed}.`;
    return { ship: winner.name, text, ...outcome };
  }
  const cheaper = tied.filter(isCheaper).sort(bySimplicity)[0];
  if (cheaper) {
    const word = cheaper.kind === "baseline" ? "simpler" : "cheaper";
    const told = `Verdict: ship ${cheaper.name}. ${model.name} cannot be told apart from it: ${difference(cheaper, metric)}, and ${cheaper.name} is the ${word}.`;
    const over = strongestBeaten
      ? ` ${model.name} does beat ${strongestBeaten.name} by ${amount(strongestBeaten, metric, 1)}.`
      : "";
    const several = tied.length > 1 ? ` It is the simplest of the ${tied.length} that tie: ${listed(names(tied))}.` : "";
    return { ship: cheaper.name, text: told + several + over, ...outcome };
  }
  const sentences: string[] = [];
  if (strongestBeaten) {
    const only = judged.filter(({ kind }) => kind === "baseline").length === 1;
    const which = only ? `${strongestBeaten.name}` : `the best baseline, ${strongestBeaten.name},`;
    sentences.push(`Verdict: ship ${model.name}. It beats ${which} by ${amount(strongestBeaten, metric, 1)}.`);
  } else {
    sentences.push(`Verdict: ship ${model.name} with care: it was compared with no baseline, so nothing says that it is needed.`);
  }
  for (const rival of tied) sentences.push(`It cannot be told apart from ${rival.name}: ${difference(rival, metric)}.`);
  for (const rival of beaten.filter((r) => r.kind === "model" && isCheaper(r))) {
    const stillWorth = !strongestBeaten || rival.gain < strongestBeaten.gain;
    sentences.push(
      `${rival.name} is cheaper and loses ${amount(rival, metric, 1)}${stillWorth ? `: if latency matters, take ${rival.name}` : ""}.`,
    );
  }
  return { ship: model.name, text: sentences.join(" "), ...outcome };
}

/** A rival without an interval can be neither beaten nor lost to. */
function judge(rival: Rival, modelValue: number, { higherIsBetter }: VerdictMetric): Judged {
  const sign = higherIsBetter ? 1 : -1;
  const interval = rival.comparison?.interval95;
  const gain = sign * (rival.comparison?.difference ?? modelValue - rival.value);
  if (!interval) return { ...rival, gain, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const [a, b] = interval;
  return { ...rival, gain, low: Math.min(sign * a, sign * b), high: Math.max(sign * a, sign * b) };
}

function isCheaper({ cheaper, kind }: Rival): boolean {
  return cheaper ?? kind === "baseline";
}

/** The simplest first; equals keep their order. */
function bySimplicity(a: Rival, b: Rival): number {
  const rank = ({ name, kind }: Rival) => {
    const known = SIMPLEST_FIRST.findIndex((start) => name.startsWith(start));
    if (known >= 0) return known;
    return kind === "baseline" ? SIMPLEST_FIRST.length - 1.5 : SIMPLEST_FIRST.length;
  };
  return rank(a) - rank(b);
}

function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/** The strongest of them: the one the model gains least on. */
function best(list: Judged[]): Judged | undefined {
  return list.reduce<Judged | undefined>(
    (strongest, rival) => (strongest && strongest.gain <= rival.gain ? strongest : rival),
    undefined,
  );
}

/** "0.031 MSE (95 % interval 0.018 to 0.044)", seen from the model (1) or from the rival (-1). */
function amount({ gain, low, high }: Judged, metric: VerdictMetric, side: 1 | -1): string {
  const [from, to] = side === 1 ? [low, high] : [-high, -low];
  const value = formatDifference(side * gain, metric);
  const unit = metric.share ? `points of ${metric.label}` : metric.label;
  return `${value} ${unit} (95 % interval ${formatDifference(from, metric)} to ${formatDifference(to, metric)})`;
}

function difference(rival: Judged, metric: VerdictMetric): string {
  if (!Number.isFinite(rival.low)) return "there are too few units for an interval";
  return `the difference is ${amount(rival, metric, 1)}, which includes zero`;
}

/** Points for shares; else three decimals, or two significant digits where three decimals would show too little. */
export function formatDifference(value: number, { share }: Pick<VerdictMetric, "share">): string {
  if (share) return (100 * value).toFixed(1);
  const size = Math.abs(value);
  return size === 0 || size >= 0.01 ? value.toFixed(size >= 100 ? 1 : 3) : Number(value.toPrecision(2)).toString();
}

/** "2.1 us", "340 us", "1.2 ms" */
export function formatMicroseconds(value: number): string {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} ms`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} us`;
}
