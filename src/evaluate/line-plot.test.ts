import { expect, it } from "vitest";
import { linePlot } from "./line-plot.js";

const names = { x: "steps <b>", y: 'share & "more"' };
const pointsOf = (svg: string) =>
  [...svg.matchAll(/ points="([^"]*)"/g)].map(([, list]) => list.split(" ").map((pair) => pair.split(",").map(Number)));

it("draws each line from left to right between the axes, upwards for more", () => {
  const svg = linePlot(
    [
      { label: "a", points: [1, 2, 3].map((x) => ({ x, y: x })) },
      { label: "b", points: [1, 3].map((x) => ({ x, y: 3 - x })), dashed: true },
    ],
    names,
  );
  const [a, b] = pointsOf(svg);
  expect(a.map(([x]) => x)).toEqual([...a.map(([x]) => x)].sort((p, q) => p - q));
  expect(a[1][0]).toBeCloseTo((a[0][0] + a[2][0]) / 2, 1);
  expect(a[2][1]).toBeLessThan(a[0][1]);
  expect(b[1][1]).toBeGreaterThan(b[0][1]);
  expect([b[0][0], b[1][0]]).toEqual([a[0][0], a[2][0]]);
  for (const [x, y] of [...a, ...b]) expect(x >= 0 && x <= 640 && y >= 0 && y <= 240).toBe(true);
});

it("escapes names, leaves out what is no number, and is nothing without points", () => {
  const svg = linePlot(
    [
      {
        label: "<script>",
        points: [
          { x: 1, y: Number.NaN },
          { x: 1, y: 2 },
          { x: 2, y: 2 },
        ],
      },
    ],
    names,
  );
  expect(svg).not.toMatch(/<script|<b>|NaN|Infinity/);
  expect(pointsOf(svg)[0]).toHaveLength(2);
  expect(linePlot([{ label: "none", points: [] }], names)).toBe("");
  expect(linePlot([{ label: "one", points: [{ x: 5, y: 0 }] }], names)).not.toContain("NaN");
});
