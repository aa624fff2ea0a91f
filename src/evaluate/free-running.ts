/**
 * @file What becomes of a model that reads its own output, beside what it says when it reads what was measured (teacher forcing): as data, in
 * words, and as pieces of a page. A model is trained on the truth alone, so the two part (exposure bias: Ranzato et al. 2016, ICLR).
 */
import { escapeHtml } from "../core/html.js";
import { linePlot } from "./line-plot.js";
import type { FirstDivergence } from "./metrics/first-divergence.js";
import { figure, htmlTable, thousands } from "./report-table.js";

/** Continuations of codes, or of frames: sets of things that are there at once. */
export interface FreeRunningSteps {
  kind: "codes" | "frames";
  /** What one step gives: "character", "word", "code", "frame". */
  unitName: string;
  /** Places of the part that were gone on from, steps from each at most, and true steps read before at most. */
  places: number;
  steps: number;
  history: number;
  /** The model, then the best baseline that can be gone on with. */
  rows: FreeRunningRow[];
}

export interface FreeRunningRow {
  name: string;
  /** Over all steps. `right`: share of steps whose code, or whole set, is the true one; `nll`: nats that the true one costs. */
  forced: { right: number; nll: number };
  free: { right: number; nll: number };
  /** By steps ahead, from 1, where both read the truth. */
  byStep: { step: number; n: number; forced: { right: number; nll: number }; free: { right: number; nll: number } }[];
  /** Where what it makes by itself first differs from the truth. */
  firstDivergence: FirstDivergence;
}

/** Recursive forecasts, all on the same windows. Errors in the scaled space of the targets. */
export interface FreeRunningForecast {
  kind: "forecast";
  windows: number;
  name: string;
  mse: { forced: number; free: number };
  /** By steps ahead, from 1. */
  byStep: { step: number; n: number; forced: number; free: number }[];
  /** Naive forecasts, and the first step at which the free-running forecast is worse; null where it is at none. */
  naive: { name: string; mse: number[]; worseFrom: number | null }[];
}

export type FreeRunning = FreeRunningSteps | FreeRunningForecast;

/** In words, a sentence per predictor. */
export function describeFreeRunning(found: FreeRunning): string[] {
  return found.kind === "forecast" ? [forecastSentence(found)] : stepSentences(found);
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

function stepSentences({ kind, unitName, places, steps, rows }: FreeRunningSteps): string[] {
  return rows.map(({ name, forced, free, byStep, firstDivergence }, i) => {
    const where =
      i === 0
        ? ` from ${thousands(places)} ${places === 1 ? "place" : "places"} on, up to ${thousands(steps)} ${unitName}s each`
        : "";
    const { diverged, n, median, mean } = firstDivergence;
    // Further on, so few go on that a share says little.
    const last = byStep.filter((one) => 2 * one.n >= byStep[0].n).pop() ?? byStep[0];
    const fall =
      last.step > 1 ? ` (${percent(byStep[0].free.right)} at step 1, ${percent(last.free.right)} at step ${last.step})` : "";
    // A frame is right if all of it is; frame accuracy counts what is in it.
    const right = kind === "frames" ? "wholly right" : "right";
    const costs = kind === "frames" ? ` and ${figure(free.nll)} nats` : "";
    const parting =
      diverged === 0
        ? "none goes wrong"
        : `${thousands(diverged)} of ${thousands(n)} go wrong, first at ${unitName} ${median} (median), ${figure(mean)} (mean)`;
    return (
      `${name}${where}: teacher-forced ${percent(forced.right)} of ${unitName}s ${right} and ${figure(forced.nll)} nats per ${unitName}; ` +
      `free-running ${percent(free.right)} ${right}${costs}${fall}; ${parting}.`
    );
  });
}

function forecastSentence({ name, windows, mse, byStep, naive }: FreeRunningForecast): string {
  const last = byStep[byStep.length - 1];
  const worse = naive.map(({ name: rival, worseFrom }) =>
    worseFrom === null ? `no worse than ${rival} at any step` : `worse than ${rival} from step ${worseFrom} on`,
  );
  return (
    `${name} on ${thousands(windows)} ${windows === 1 ? "window" : "windows"}: MSE ${figure(mse.forced)} reading what was measured, ` +
    `${figure(mse.free)} reading its own predictions (${figure(last.forced)} and ${figure(last.free)} at step ${last.step})` +
    `${worse.length > 0 ? `; ${worse.join(", ")}` : ""}.`
  );
}

/** Pieces of a page: a plot and a table. */
export function freeRunningPage(found: FreeRunning): string[] {
  return found.kind === "forecast" ? forecastPage(found) : stepPage(found);
}

function stepPage({ kind, unitName, rows }: FreeRunningSteps): string[] {
  const both = kind === "frames";
  const plotted = (row: FreeRunningRow, way: "free" | "forced") =>
    row.byStep.map((one) => ({ x: one.step, y: both ? one[way].nll : one[way].right }));
  const label = both ? `NLL per ${unitName}` : `share of ${unitName}s right`;
  return [
    "<h2>Reading the truth, and reading its own output</h2>",
    linePlot(
      rows.flatMap((row, subject) => [
        { label: `${row.name} teacher-forced`, points: plotted(row, "forced"), dashed: true, subject },
        { label: `${row.name} free-running`, points: plotted(row, "free"), subject },
      ]),
      { x: "steps ahead", y: label },
    ),
    ...rows.flatMap((row) => [
      `<h3>${escapeHtml(row.name)}</h3>`,
      htmlTable(
        ["steps ahead", "continuations", "right, forced", "right, free", "NLL, forced", "NLL, free"],
        [
          ...shown(row.byStep).map(({ step, n, forced, free }) => [
            String(step),
            thousands(n),
            ...[forced.right, free.right, forced.nll, free.nll].map(figure),
          ]),
          ["all", "", ...[row.forced.right, row.free.right, row.forced.nll, row.free.nll].map(figure)],
        ],
      ),
    ]),
  ];
}

function forecastPage({ name, mse, byStep, naive }: FreeRunningForecast): string[] {
  return [
    "<h2>Reading what was measured, and reading its own predictions</h2>",
    linePlot(
      [
        {
          label: `${name} teacher-forced`,
          points: byStep.map(({ step, forced }) => ({ x: step, y: forced })),
          dashed: true,
          subject: 0,
        },
        { label: `${name} free-running`, points: byStep.map(({ step, free }) => ({ x: step, y: free })), subject: 0 },
        ...naive.map((rival, i) => ({
          label: rival.name,
          subject: i + 1,
          points: byStep.map(({ step }, p) => ({ x: step, y: rival.mse[p] })),
        })),
      ],
      { x: "steps ahead", y: "MSE, scaled" },
    ),
    htmlTable(
      ["steps ahead", "values", "MSE, forced", "MSE, free", ...naive.map((rival) => rival.name)],
      [
        ...shown(byStep.map((one, p) => ({ ...one, rivals: naive.map((rival) => rival.mse[p]) }))).map((one) => [
          String(one.step),
          thousands(one.n),
          ...[one.forced, one.free, ...one.rivals].map(figure),
        ]),
        ["all", "", figure(mse.forced), figure(mse.free), ...naive.map(() => "")],
      ],
    ),
  ];
}

/** Rows of a table by step at most. */
const MOST_ROWS = 16;

/** The first steps, then ever fewer, and the last. */
function shown<T extends { step: number }>(steps: readonly T[]): T[] {
  if (steps.length <= MOST_ROWS) return [...steps];
  const kept = new Set([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, steps[steps.length - 1].step]);
  return steps.filter(({ step }) => kept.has(step));
}
