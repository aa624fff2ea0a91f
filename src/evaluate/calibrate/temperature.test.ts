import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { applyTemperature, fitTemperature } from "./temperature.js";

/** Labels that are drawn from the softmax of logits, and the same logits made `sharper` times as sure. */
function drawn(value: number, n: number, sharper: number, classes = 4) {
  const rng = seed(value);
  const honest = Array.from({ length: n * classes }, () => 1.5 * rng.normal());
  const labels = Array.from({ length: n }, (_, i) => {
    const weights = honest.slice(i * classes, (i + 1) * classes).map(Math.exp);
    let left = rng.uniform() * weights.reduce((sum, w) => sum + w, 0);
    let c = 0;
    while (c < classes - 1 && (left -= weights[c]) > 0) c++;
    return c;
  });
  return { logits: honest.map((z) => z * sharper), labels, classes };
}

function nll({ logits, labels, classes }: ReturnType<typeof drawn>, temperature: number): number {
  let sum = 0;
  labels.forEach((label, i) => {
    const row = logits.slice(i * classes, (i + 1) * classes).map((z) => z / temperature);
    sum += Math.log(row.reduce((total, z) => total + Math.exp(z), 0)) - row[label];
  });
  return sum / labels.length;
}

describe("temperature scaling", () => {
  it("finds how much too sure a classifier was made", () => {
    for (const sharper of [0.4, 1, 3]) {
      const { temperature, bounded, ece } = fitTemperature(drawn(1, 8000, sharper));
      expect(Math.abs(temperature / sharper - 1)).toBeLessThan(0.05);
      expect(bounded).toBe(false);
      expect(ece.after).toBeLessThan(0.02);
    }
  });

  it("stands where the likelihood is best: a little hotter or colder is worse, and what it states is so", () => {
    const data = drawn(2, 300, 2.5);
    const found = fitTemperature(data);
    expect(found.nll.after).toBeCloseTo(nll(data, found.temperature), 10);
    expect(found.nll.before).toBeCloseTo(nll(data, 1), 10);
    for (const factor of [0.99, 0.999, 1.001, 1.01]) {
      expect(nll(data, found.temperature * factor)).toBeGreaterThan(found.nll.after);
    }
  });

  it("does not change when the logits of an example move together, and changes no label", () => {
    const data = drawn(3, 200, 2);
    const moved = { ...data, logits: data.logits.map((z, i) => z + Math.floor(i / 4)) };
    expect(fitTemperature(moved).temperature).toBeCloseTo(fitTemperature(data).temperature, 8);
    const scaled = applyTemperature(data.logits, 7);
    const best = (list: ArrayLike<number>, i: number) => {
      const row = Array.from({ length: 4 }, (_, c) => list[4 * i + c]);
      return row.indexOf(Math.max(...row));
    };
    for (let i = 0; i < 200; i++) expect(best(scaled, i)).toBe(best(data.logits, i));
  });

  it("stops at its bounds where every example is right, and where all are wrong", () => {
    expect(fitTemperature({ logits: [2, 0, 0, 2], labels: [0, 1], classes: 2 })).toMatchObject({
      temperature: 0.01,
      bounded: true,
    });
    expect(fitTemperature({ logits: [2, 0, 0, 2], labels: [1, 0], classes: 2 })).toMatchObject({
      temperature: 100,
      bounded: true,
    });
  });

  it("stays at 1 where the logits say nothing, and leaves out what has no label", () => {
    expect(fitTemperature({ logits: [1, 1, 3, 3], labels: [0, 1], classes: 2 })).toMatchObject({
      temperature: 1,
      bounded: false,
    });
    const data = drawn(4, 50, 2);
    const more = { ...data, logits: [...data.logits, Number.NaN, 0, 0, 0], labels: [...data.labels, -1] };
    expect(fitTemperature(more)).toEqual(fitTemperature(data));
  });

  it("refuses what does not fit, what is no number, and nothing at all", () => {
    expect(() => fitTemperature({ logits: [1, 2, 3], labels: [0, 1], classes: 2 })).toThrow(/OST_SHAPE/);
    expect(() => fitTemperature({ logits: [1, Number.NaN], labels: [0], classes: 2 })).toThrow(/OST_NAN/);
    expect(() => fitTemperature({ logits: [1, 2], labels: [2], classes: 2 })).toThrow(/OST_RANGE/);
    expect(() => fitTemperature({ logits: [1, 2], labels: [-1], classes: 2 })).toThrow(/OST_TARGET/);
    for (const temperature of [0, -1, Number.NaN]) expect(() => applyTemperature([1], temperature)).toThrow(/OST_RANGE/);
  });
});
