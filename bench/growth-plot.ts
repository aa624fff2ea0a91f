/** @file The curves of growth as SVG: one log-log panel per size, the measured times, and a dashed line for time in proportion to work. */
import { duration } from "./table.js";

export interface Panel {
  title: string;
  points: readonly { x: number; y: number }[];
  /** The value at which the dashed line meets the curve. */
  middle: number;
  /** Work at x over work at the middle. */
  proportional(x: number): number;
}

const WIDTH = 250;
const HEIGHT = 240;
const MARGIN = { left: 54, right: 14, top: 34, bottom: 34 };
const INK = "#1f2933";
const FAINT = "#d9dee3";
const CURVE = "#0b6e99";
const GUIDE = "#8a94a0";

/** The panels side by side, with one range of times (milliseconds) for all. */
export function plot(panels: readonly Panel[], { caption }: { caption: string }): string {
  const times = panels.flatMap(({ points }) => points.map(({ y }) => y));
  const [low, high] = [Math.floor(Math.log10(Math.min(...times))), Math.ceil(Math.log10(Math.max(...times)))];
  const drawn = panels.map((panel, i) => drawPanel(panel, { low, high, left: i * WIDTH, first: i === 0 })).join("\n");
  const [width, height] = [panels.length * WIDTH, HEIGHT + 40];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="11" fill="${INK}">
<title>How the time of a training step grows</title>
<rect width="${width}" height="${height}" fill="#ffffff"/>
${drawn}
<line x1="${MARGIN.left}" x2="${MARGIN.left + 22}" y1="${HEIGHT + 19}" y2="${HEIGHT + 19}" stroke="${CURVE}" stroke-width="2"/>
<text x="${MARGIN.left + 28}" y="${HEIGHT + 23}">time per step</text>
<line x1="${MARGIN.left + 116}" x2="${MARGIN.left + 138}" y1="${HEIGHT + 19}" y2="${HEIGHT + 19}" stroke="${GUIDE}" stroke-dasharray="4 3"/>
<text x="${MARGIN.left + 144}" y="${HEIGHT + 23}">in proportion to the work</text>
<text x="${width - MARGIN.right}" y="${HEIGHT + 23}" text-anchor="end">${escapeText(caption)}</text>
</svg>
`;
}

function drawPanel(
  panel: Panel,
  { low, high, left, first }: { low: number; high: number; left: number; first: boolean },
): string {
  const { title, points, middle, proportional } = panel;
  const [from, to] = [Math.log10(points[0].x), Math.log10(points[points.length - 1].x)];
  const [right, bottom] = [left + WIDTH - MARGIN.right, HEIGHT - MARGIN.bottom];
  const x = (value: number) => left + MARGIN.left + ((Math.log10(value) - from) / (to - from)) * (right - left - MARGIN.left);
  const y = (ms: number) => bottom - ((Math.log10(ms) - low) / (high - low)) * (bottom - MARGIN.top);
  const path = (values: readonly { x: number; y: number }[]) =>
    values.map((point, i) => `${i === 0 ? "M" : "L"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join(" ");
  const grid = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map((ms) => {
    const at = y(ms).toFixed(1);
    const label = first
      ? `<text x="${left + MARGIN.left - 6}" y="${Number(at) + 4}" text-anchor="end">${duration(ms).replace(/\.0+ /, " ")}</text>`
      : "";
    return `<line x1="${left + MARGIN.left}" x2="${right}" y1="${at}" y2="${at}" stroke="${FAINT}"/>${label}`;
  });
  const every = Math.ceil(points.length / 5);
  const ticks = points.flatMap((point, i) =>
    i % every === 0 || points.length <= 5
      ? [`<text x="${x(point.x).toFixed(1)}" y="${bottom + 16}" text-anchor="middle">${point.x.toLocaleString("en-US")}</text>`]
      : [],
  );
  const reference = points.find((point) => point.x === middle)?.y ?? points[0].y;
  const guide = points
    .map((point) => ({ x: point.x, y: reference * proportional(point.x) }))
    .filter((point) => point.y >= 10 ** low && point.y <= 10 ** high);
  const dots = points.map(
    (point) => `<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="2.6" fill="${CURVE}"/>`,
  );
  return [
    `<text x="${left + MARGIN.left}" y="${MARGIN.top - 14}" font-weight="600">${escapeText(title)}</text>`,
    ...grid,
    ...ticks,
    `<path d="${path(guide)}" fill="none" stroke="${GUIDE}" stroke-dasharray="4 3"/>`,
    `<path d="${path(points)}" fill="none" stroke="${CURVE}" stroke-width="2"/>`,
    ...dots,
  ].join("\n");
}

function escapeText(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
