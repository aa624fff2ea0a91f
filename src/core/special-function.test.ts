/** @file Gamma, incomplete beta and normal functions against values of mpmath 1.3 at 40 digits, rounded to float64. */
import { describe, expect, it } from "vitest";
import { digamma, digammaRiseBeyondLog, logGamma, logGammaRise } from "./gamma.js";
import { incompleteBeta } from "./incomplete-beta.js";
import { normalCdf, normalDensity, normalQuantile } from "./normal.js";

/** Relative where the value is large, absolute near zero. */
const error = (found: number, expected: number) => Math.abs(found - expected) / Math.max(1, Math.abs(expected));
const relative = (found: number, expected: number) => Math.abs(found / expected - 1);

describe("logGamma and digamma", () => {
  const values = [
    [1e-6, 13.815509980749432, -1000000.5772140201],
    [0.003, 5.807418734725978, -333.9056249854075],
    [0.5, 0.5723649429247001, -1.9635100260214235],
    [0.9, 0.06637623973474295, -0.7549269499470513],
    [1, 0, -0.5772156649015329],
    [1.5, -0.12078223763524522, 0.03648997397857652],
    [2, 0, 0.42278433509846713],
    [3.7, 1.428072326665388, 1.1671535393615113],
    [9.99, 12.779315214350193, 2.250700372831201],
    [10, 12.801827480081469, 2.251752589066721],
    [42.25, 114.9663926542499, 3.731723353184881],
    [1234.5, 7550.550901077895, 7.118016231827998],
    [1e6, 12815504.569147611, 13.815510057964191],
    [1e12, 26631021115915.652, 27.63102111592805],
  ];
  for (const [x, log, slope] of values) {
    it(`at ${x}`, () => {
      expect(error(logGamma(x), log)).toBeLessThan(1e-14);
      expect(error(digamma(x), slope)).toBeLessThan(1e-14);
    });
  }

  it("are those of factorials", () => {
    let factorial = 1;
    for (let n = 1; n <= 20; n++) {
      expect(relative(Math.exp(logGamma(n + 1)), (factorial *= n))).toBeLessThan(1e-13);
    }
  });

  // [x, step, log Gamma(x + step) - log Gamma(x), digamma(x + step) - digamma(x) - log1p(step / x)]
  const rises = [
    [0.001, 3, -6.2131087230474575, 993.4920502784981],
    [0.5, 0.5, -0.5723649429247001, Math.LN2],
    [12.5, 0.5, 1.2528669837254405, 0.0015786488809520056],
    [1e4, 7, 64.47448214898023, 3.497668258081007e-8],
    [1e6, 25, 345.38806394665687, 1.2499691674322726e-11],
    [1e6, 4000, 55270.02959046173, 1.992032535197854e-9],
    [3e8, 0.5, 9.759646515893571, 2.777777776234568e-18],
  ];
  for (const [x, step, log, beyond] of rises) {
    it(`rise by ${step} from ${x}, keeping digits`, () => {
      expect(relative(logGammaRise(x, step), log)).toBeLessThan(1e-13);
      expect(relative(digammaRiseBeyondLog(x, step), beyond)).toBeLessThan(1e-12);
    });
  }

  it("refuse what is not positive", () => {
    for (const x of [0, -1, Number.POSITIVE_INFINITY, Number.NaN]) {
      expect(() => logGamma(x)).toThrow(/OST_RANGE.*logGamma/);
      expect(() => digamma(x)).toThrow(/OST_RANGE.*digamma/);
    }
  });
});

describe("incompleteBeta", () => {
  const values = [
    [0.2, 0.5, 0.5, 0.2951672353008666],
    [0.3, 2, 5, 0.579825],
    [0.99, 40, 3, 0.9914161462002665],
    [0.5, 1000, 1001, 0.5089195055729272],
    [0.25, 30, 0.5, 1.021925309822466e-19],
    [1e-9, 0.001, 4, 0.9812866966989077],
  ];
  for (const [x, a, b, expected] of values) {
    it(`at ${x} with ${a} and ${b}`, () => {
      expect(relative(incompleteBeta(x, 1 - x, a, b), expected)).toBeLessThan(2e-12);
      expect(error(incompleteBeta(1 - x, x, b, a), 1 - expected)).toBeLessThan(2e-12);
    });
  }

  it("is 0 and 1 at its ends", () => {
    expect(incompleteBeta(0, 1, 2, 3)).toBe(0);
    expect(incompleteBeta(1, 0, 2, 3)).toBe(1);
  });
});

describe("the normal distribution", () => {
  const values = [
    [-30, 4.906713927148187e-198],
    [-8, 6.220960574271784e-16],
    [-5, 2.866515718791939e-7],
    [-2.6, 0.004661188023718749],
    [-2.4, 0.008197535924596131],
    [-1, 0.15865525393145705],
    [-0.1, 0.460172162722971],
    [0, 0.5],
    [0.3, 0.6179114221889527],
    [2.5, 0.9937903346742238],
    [6, 0.9999999990134123],
  ];
  for (const [z, expected] of values) it(`at ${z}`, () => expect(relative(normalCdf(z), expected)).toBeLessThan(1e-13));

  it("has a quantile function that is the inverse, far into the tails", () => {
    for (const level of [1e-300, 1e-20, 1e-4, 0.02, 0.3, 0.5]) {
      expect(relative(normalCdf(normalQuantile(level)), level)).toBeLessThan(1e-12);
    }
    for (const level of [0.1, 0.4]) expect(normalQuantile(1 - level)).toBeCloseTo(-normalQuantile(level), 14);
    expect(normalQuantile(0.5)).toBeCloseTo(0, 15);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 13);
  });

  it("has the density as the slope of its distribution function", () => {
    for (const z of [-4, -2.5, -1, 0, 2]) {
      expect((normalCdf(z + 1e-5) - normalCdf(z - 1e-5)) / 2e-5).toBeCloseTo(normalDensity(z), 9);
    }
  });
});
