/** @file The figures of one predictor that a page shows beside the table: by class, span, length, step of the horizon, target, position. */
import { escapeHtml } from "../core/html.js";
import type { LengthBucket } from "./metrics/length-bucket.js";
import { figure, htmlTable, thousands } from "./report-table.js";
import type {
  ClassificationMetrics,
  DetectionMetrics,
  ForecastErrors,
  ForecastMetrics,
  Score,
  SequenceMetrics,
} from "./score.js";
import { errorRateLabel } from "./score-sequences.js";

/** Pieces of a page. */
export function reportDetail(metrics: Score["metrics"]): string[] {
  if ("firstDivergence" in metrics) return ofSequences(metrics);
  if ("labelled" in metrics) return ofAlerts(metrics);
  return "confusion" in metrics ? ofClasses(metrics) : ofForecasts(metrics);
}

/** Classes of a page's table of precision and recall, where the confusion is not shown. */
const MOST_CLASSES = 50;
/** Classes of a confusion that can be read. */
const WIDEST_CONFUSION = 40;

function ofClasses({ classes, confusion, perClass, ranking, spans, byLength, reliability }: ClassificationMetrics): string[] {
  const ranked = (name: string) => (ranking ? [figure(ranking[name]?.rocAuc), figure(ranking[name]?.averagePrecision)] : []);
  const extra = ranking ? ["ROC-AUC", "AP"] : [];
  const rates = (name: string) => {
    const { precision, recall, f1 } = perClass[name];
    return [figure(precision), figure(recall), figure(f1), ...ranked(name)];
  };
  const page: string[] = [];
  if (confusion.length > 0 && confusion.length <= WIDEST_CONFUSION) {
    page.push(
      "<h2>Confusion: row the true class, column the predicted one</h2>",
      htmlTable(
        ["", ...classes, "precision", "recall", "F1", ...extra],
        confusion.map((row, c) => [classes[c], ...row.map(thousands), ...rates(classes[c])]),
      ),
    );
  } else if (Object.keys(perClass).length > 0) {
    const commonest = Object.keys(perClass).sort((a, b) => perClass[b].support - perClass[a].support);
    page.push(
      `<h2>By class${commonest.length > MOST_CLASSES ? `, the ${MOST_CLASSES} commonest` : ""}</h2>`,
      htmlTable(
        ["", "count", "precision", "recall", "F1", ...extra],
        commonest.slice(0, MOST_CLASSES).map((name) => [name, thousands(perClass[name].support), ...rates(name)]),
      ),
    );
  }
  if (spans) {
    const line = (
      name: string,
      { support, predicted, correct, precision, recall, f1 }: typeof spans | (typeof spans.perType)[string],
    ) => [name, ...[support, predicted, correct].map(thousands), ...[precision, recall, f1].map(figure)];
    page.push(
      "<h2>Spans</h2>",
      htmlTable(
        ["", "there", "found", "right", "precision", "recall", "F1"],
        [...Object.entries(spans.perType).map(([type, score]) => line(type, score)), line("all", spans)],
      ),
    );
  }
  if (byLength) {
    page.push(
      "<h2>By length of the sequence</h2>",
      htmlTable(
        ["steps", "decisions", "accuracy", "log-loss"],
        byLength.map((bucket) => [rangeOf(bucket), thousands(bucket.n), figure(bucket.accuracy), figure(bucket.logLoss)]),
      ),
    );
  }
  page.push(
    "<h2>Reliability: how often it is right when it is so sure</h2>",
    htmlTable(
      ["confidence", "decisions", "mean confidence", "accuracy"],
      reliability.map(({ from, to, n, confidence, accuracy }) => [
        `${figure(from)} to ${figure(to)}`,
        thousands(n),
        figure(confidence),
        figure(accuracy),
      ]),
    ),
  );
  return page;
}

function ofForecasts(metrics: ForecastMetrics): string[] {
  const { byHorizon, byTarget, original, intervals, pinball } = metrics;
  const has = (key: "crps" | "nll") => byHorizon.some((row) => row[key] !== undefined);
  const ninety = ({ intervals: own }: ForecastErrors) => own?.find(({ level }) => level === 0.9);
  const more = [
    ...(has("crps") ? [{ label: "CRPS", read: (row: ForecastErrors) => row.crps }] : []),
    ...(has("nll") ? [{ label: "NLL", read: (row: ForecastErrors) => row.nll }] : []),
    ...(intervals ? [{ label: "coverage 90 %", read: (row: ForecastErrors) => ninety(row)?.coverage }] : []),
  ];
  const page = [
    "<h2>By step of the horizon, scaled</h2>",
    htmlTable(
      ["step", "MSE", "MAE", ...more.map(({ label }) => label)],
      byHorizon.map((row) => [String(row.step), figure(row.mse), figure(row.mae), ...more.map(({ read }) => figure(read(row)))]),
    ),
    "<h2>By target</h2>",
    htmlTable(
      ["", "MSE scaled", "MAE scaled", "RMSE original", "MAE original", ...more.map(({ label }) => `${label} scaled`)],
      Object.entries(byTarget).map(([name, scaled]) => {
        const own = original?.byTarget[name];
        return [
          name,
          figure(scaled.mse),
          figure(scaled.mae),
          own ? figure(own.rmse) : "",
          own ? figure(own.mae) : "",
          ...more.map(({ read }) => figure(read(scaled))),
        ];
      }),
    ),
  ];
  if (intervals) {
    page.push(
      "<h2>Central intervals, scaled</h2>",
      htmlTable(
        ["should hold", "holds", "mean width", "interval score"],
        intervals.map(({ level, coverage, meanWidth, score }) => [
          `${(100 * level).toFixed(0)} %`,
          `${(100 * coverage).toFixed(1)} %`,
          figure(meanWidth),
          figure(score),
        ]),
      ),
    );
  }
  if (pinball) {
    page.push(
      "<h2>Pinball loss, scaled</h2>",
      htmlTable(
        ["level", "loss"],
        pinball.map(({ level, value }) => [String(level), figure(value)]),
      ),
    );
  }
  return page;
}

function ofAlerts({ events, averagePrecision, rocAuc }: DetectionMetrics): string[] {
  if (!events) return [];
  const { found, falseAlarms, falseAlarmsPer1000, meanDelay, recall, precision } = events;
  return [
    "<h2>By events: runs of anomalous steps, and runs of alerts</h2>",
    htmlTable(
      ["events", "found", "recall", "alarms", "false", "precision", "false per 1,000", "mean delay", "AP", "ROC-AUC"],
      [
        [
          ...[events.events, found].map(thousands),
          figure(recall),
          ...[events.alarms, falseAlarms].map(thousands),
          ...[precision, falseAlarmsPer1000, meanDelay, averagePrecision, rocAuc].map(figure),
        ],
      ],
    ),
    ...(events.pointAdjusted
      ? [`<p>Point-adjusted F1 ${figure(events.pointAdjusted.f1)}. ${escapeHtml(events.pointAdjusted.warning)}</p>`]
      : []),
  ];
}

function ofSequences(metrics: SequenceMetrics): string[] {
  const { unitName, substitutions, deletions, insertions, referenceLength, tokenAccuracy, firstDivergence } = metrics;
  const buckets = (title: string, list: SequenceMetrics["byTargetLength"]) => [
    `<h2>${title}</h2>`,
    htmlTable(
      ["length", "sequences", "exact match", errorRateLabel(unitName)],
      list.map((bucket) => [rangeOf(bucket), thousands(bucket.n), figure(bucket.exactMatch), figure(bucket.tokenErrorRate)]),
    ),
  ];
  return [
    "<h2>Edits</h2>",
    htmlTable(
      ["substitutions", "deletions", "insertions", "of"],
      [[substitutions, deletions, insertions, referenceLength].map(thousands)],
    ),
    "<h2>Given the truth, and its own output</h2>",
    htmlTable(
      ["", "accuracy in place", "NLL", "perplexity"],
      [
        ["teacher-forced", figure(tokenAccuracy.teacherForced), figure(metrics.nll), figure(metrics.perplexity)],
        ["free-running", figure(tokenAccuracy.freeRunning), "", ""],
      ],
    ),
    "<h2>Where wrong sequences first go wrong</h2>",
    htmlTable(
      ["position", "sequences"],
      firstDivergence.histogram.map((bucket) => [rangeOf(bucket), thousands(bucket.n)]),
    ),
    ...buckets("By length of the target", metrics.byTargetLength),
    ...buckets("By length of the source", metrics.bySourceLength),
  ];
}

function rangeOf({ from, to }: LengthBucket): string {
  return from === to ? String(from) : `${from} to ${to}`;
}
