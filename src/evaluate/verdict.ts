/**
 * @file The verdict: which predictor to ship, in plain words. It may be a baseline.
 *
 * A win is claimed only where the 95 % interval of the difference excludes zero. Where it does not, the two cannot be told apart, and
 * the cheaper one is the one to ship.
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
}

export interface Verdict {
  /** Name of what to ship. */
  ship: string;
  text: string;
  /** Rivals the model beats, loses to, and cannot be told apart from. */
  beats: string[];
  loses: string[];
  ties: string[];
}

interface Judged extends Rival {
  /** How much better the model is, with its interval, positive when better. */
  gain: number;
  low: number;
  high: number;
}

/** Decides between a model and its rivals. The text starts with "Verdict:". */
export function verdict(model: { name: string; value: number }, metric: VerdictMetric, rivals: readonly Rival[]): Verdict {
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
  const cheaper = best(tied.filter(isCheaper));
  if (cheaper) {
    const word = cheaper.kind === "baseline" ? "simpler" : "cheaper";
    const told = `Verdict: ship ${cheaper.name}. ${model.name} cannot be told apart from it: ${difference(cheaper, metric)}, and ${cheaper.name} is the ${word}.`;
    const over = strongestBeaten
      ? ` ${model.name} does beat ${strongestBeaten.name} by ${amount(strongestBeaten, metric, 1)}.`
      : "";
    return { ship: cheaper.name, text: told + over, ...outcome };
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
