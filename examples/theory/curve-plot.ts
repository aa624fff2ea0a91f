/** @file Curves of training as a picture: updates against error, with a logarithmic axis. */

export interface CurvePlot {
  title: string;
  /** Of the vertical axis. */
  unit: string;
  curves: { name: string; points: readonly (readonly [updates: number, error: number])[] }[];
  /** A dashed level: what knowing nothing gives. */
  level: { name: string; error: number };
}

const COLOURS = ["#0b6e99", "#3a7d34", "#c0392b", "#7d3c98"];
const WIDTH = 760;
const HEIGHT = 380;
const AREA = { left: 70, right: 600, top: 60, bottom: 330 };

/** A picture in SVG, readable on white. */
export function curvePlot({ title, unit, curves, level }: CurvePlot): string {
  const errors = [...curves.flatMap(({ points }) => points.map(([, error]) => error)), level.error].filter((error) => error > 0);
  const [low, high] = [Math.floor(Math.log10(Math.min(...errors))), Math.ceil(Math.log10(Math.max(...errors)))];
  const most = Math.max(...curves.flatMap(({ points }) => points.map(([updates]) => updates)));
  const x = (updates: number) => AREA.left + ((AREA.right - AREA.left) * updates) / most;
  const y = (error: number) =>
    AREA.bottom - ((AREA.bottom - AREA.top) * (Math.log10(Math.max(error, 10 ** low)) - low)) / Math.max(1, high - low);
  const text = (at: [number, number], content: string, attributes = "") =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${attributes}>${content}</text>`;

  const parts: string[] = [text([AREA.left, 24], title, 'font-size="15" font-weight="600"')];
  for (let decade = low; decade <= high; decade++) {
    const at = y(10 ** decade);
    parts.push(`<path d="M${AREA.left} ${at.toFixed(1)}H${AREA.right}" stroke="#ddd"/>`);
    parts.push(text([AREA.left - 8, at + 4], (10 ** decade).toFixed(Math.max(0, -decade)), 'text-anchor="end"'));
  }
  for (let quarter = 0; quarter <= 4; quarter++) {
    const updates = Math.round((most * quarter) / 4);
    parts.push(text([x(updates), AREA.bottom + 20], updates.toLocaleString("en"), 'text-anchor="middle"'));
  }
  parts.push(text([(AREA.left + AREA.right) / 2, AREA.bottom + 40], "updates", 'text-anchor="middle"'));
  parts.push(text([AREA.left, AREA.top - 16], unit));
  const labels: { at: number; content: string; colour: string }[] = [{ at: y(level.error), content: level.name, colour: "#555" }];
  parts.push(
    `<path d="M${AREA.left} ${y(level.error).toFixed(1)}H${AREA.right}" stroke="#555" stroke-dasharray="5 4" fill="none"/>`,
  );
  curves.forEach(({ name, points }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = points.map(([updates, error], n) => `${n === 0 ? "M" : "L"}${x(updates).toFixed(1)} ${y(error).toFixed(1)}`);
    parts.push(`<path d="${path.join("")}" stroke="${colour}" stroke-width="2" fill="none" stroke-linejoin="round"/>`);
    const [updates, error] = points[points.length - 1];
    parts.push(`<circle cx="${x(updates).toFixed(1)}" cy="${y(error).toFixed(1)}" r="3" fill="${colour}"/>`);
    labels.push({ at: y(error), content: `${name}: ${error.toPrecision(2)}`, colour });
  });
  // Labels stand at the height of what they name, moved apart where they would lie on each other.
  labels.sort((a, b) => a.at - b.at);
  let below = Number.NEGATIVE_INFINITY;
  for (const { at, content, colour } of labels) {
    below = Math.max(at, below + 17);
    parts.push(text([AREA.right + 10, below + 4], content, `fill="${colour}" font-weight="600"`));
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}
