/** @file Lines over a common axis as an inline picture of a page: no scripts, every text escaped. */
import { escapeHtml } from "../core/html.js";
import { figure } from "./report-table.js";

export interface PlottedLine {
  label: string;
  /** Rising x. Points that are not finite are left out. */
  points: readonly { x: number; y: number }[];
  dashed?: boolean;
  /** Lines of one subject have one colour; default a subject each. */
  subject?: number;
}

const WIDTH = 640;
const HEIGHT = 240;
const MARGIN = { left: 56, right: 12, top: 12, bottom: 36 };
/** Told apart without colour vision, and on light and dark ground alike (Okabe & Ito 2008). */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];

/** @param names of the axes. The y axis begins at 0, or below it where a value does. @returns an svg element; empty where there is nothing to plot */
export function linePlot(lines: readonly PlottedLine[], names: { x: string; y: string }): string {
  const drawn = lines.map((line) => ({
    ...line,
    points: line.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)),
  }));
  const all = drawn.flatMap(({ points }) => points);
  if (all.length === 0) return "";
  const range = (values: number[]) =>
    values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [values[0], values[0]]);
  const [left, right] = range(all.map(({ x }) => x));
  const [bottom, top] = range([0, ...all.map(({ y }) => y)]);
  const px = (x: number) => MARGIN.left + ((x - left) / Math.max(right - left, 1e-12)) * (WIDTH - MARGIN.left - MARGIN.right);
  const py = (y: number) =>
    HEIGHT - MARGIN.bottom - ((y - bottom) / Math.max(top - bottom, 1e-12)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const at = (value: number) => value.toFixed(1);
  const text = (x: number, y: number, value: string, anchor: string) =>
    `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}">${escapeHtml(value)}</text>`;
  const marks = [bottom, (bottom + top) / 2, top].map(
    (y) =>
      `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at(py(y))}" y2="${at(py(y))}"/>${text(MARGIN.left - 6, py(y) + 4, figure(y), "end")}`,
  );
  const strokes = drawn.map(({ points, dashed, subject }, i) => {
    const colour = COLOURS[(subject ?? i) % COLOURS.length];
    const path = points.map(({ x, y }) => `${at(px(x))},${at(py(y))}`).join(" ");
    return `<polyline fill="none" stroke="${colour}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ""} points="${path}"/>`;
  });
  const legend = drawn
    .map(({ label, dashed, subject }, i) => {
      const line = `<line x1="0" x2="24" y1="6" y2="6" stroke="${COLOURS[(subject ?? i) % COLOURS.length]}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ""}/>`;
      return `<li><svg width="24" height="12" aria-hidden="true">${line}</svg> ${escapeHtml(label)}</li>`;
    })
    .join("");
  return [
    `<figure class="plot"><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(`${names.y} by ${names.x}`)}">`,
    ...marks,
    text(px(left), HEIGHT - MARGIN.bottom + 16, String(left), "middle"),
    text(px(right), HEIGHT - MARGIN.bottom + 16, String(right), "end"),
    text((MARGIN.left + WIDTH - MARGIN.right) / 2, HEIGHT - 4, names.x, "middle"),
    ...strokes,
    `</svg><figcaption>${escapeHtml(names.y)}<ul>${legend}</ul></figcaption></figure>`,
  ].join("");
}
