import { describe, expect, it } from "vitest";
import { Gaussian } from "./distribution/gaussian.js";
import { NegativeBinomial } from "./distribution/negative-binomial.js";
import { StudentT } from "./distribution/student-t.js";
import {
  affine,
  cdf,
  crps,
  type Distribution,
  logProbability,
  mean,
  outputsPerValue,
  point,
  predictiveDistribution,
  quantile,
  sample,
} from "./predictive-distribution.js";
import { seed } from "./rng.js";

const LEVELS = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95];

/** Integral by Simpson's rule on `pieces` pieces. */
function integral(f: (x: number) => number, low: number, high: number, pieces = 20_000): number {
  const step = (high - low) / pieces;
  let sum = 0;
  for (let i = 0; i < pieces; i++) {
    const x = low + i * step;
    sum += f(x) + 4 * f(x + step / 2) + f(x + step);
  }
  return (sum * step) / 6;
}

/** CRPS by its definition, the integral of (F(x) - [value <= x])^2, the tails cut where they are below 1e-7. */
function integratedCrps(of: (x: number) => number, value: number, low: number, high: number): number {
  const [from, to] = [Math.min(low, value), Math.max(high, value)];
  return integral((x) => of(x) ** 2, from, value) + integral((x) => (1 - of(x)) ** 2, value, to);
}

const CONTINUOUS: [string, Distribution, number[]][] = [
  ["gaussian", { kind: "gaussian" }, [0.7, 0.3]],
  ["gaussian, narrow", { kind: "gaussian" }, [-30, -4]],
  ["studentT", { kind: "studentT" }, [0.7, 0.3, 1]],
  ["studentT, nearly two degrees", { kind: "studentT" }, [0, 0, -3]],
  ["studentT, nearly normal", { kind: "studentT" }, [-2, 1, 400]],
];
const COUNTS: [string, Distribution, number[]][] = [
  ["few", { kind: "negativeBinomial" }, [0.5, 0]],
  ["some", { kind: "negativeBinomial" }, [6, -1]],
  ["nearly Poisson", { kind: "negativeBinomial" }, [20, -30]],
  ["rare", { kind: "negativeBinomial" }, [-4, 2]],
  ["bursts", { kind: "negativeBinomial" }, [40, 6]],
];

for (const [name, distribution, raw] of CONTINUOUS) {
  describe(name, () => {
    const asked = predictiveDistribution(distribution, raw);
    const [low, high] = [asked.quantile(1e-7), asked.quantile(1 - 1e-7)];

    it("has a density that sums to its distribution function", () => {
      const density = (x: number) => Math.exp(asked.logProbability(x));
      const start = asked.quantile(0.001);
      for (const level of [0.01, 0.2, 0.5, 0.9, 0.999]) {
        const x = asked.quantile(level);
        expect(0.001 + integral(density, start, x, 2000)).toBeCloseTo(level, 8);
        expect(asked.cdf(x)).toBeCloseTo(level, 12);
      }
    });

    it("has its mean in the middle and tails that mirror each other", () => {
      expect(asked.mean).toBe(raw[0]);
      expect(asked.point).toBe(raw[0]);
      expect(asked.cdf(raw[0])).toBeCloseTo(0.5, 14);
      for (const level of [1e-6, 0.01, 0.3]) {
        expect((asked.quantile(1 - level) + asked.quantile(level)) / 2).toBeCloseTo(raw[0], 5);
      }
    });

    it("has the CRPS of the defining integral", () => {
      for (const level of [1e-4, 0.1, 0.5, 0.8, 0.9999]) {
        const value = asked.quantile(level);
        const expected = integratedCrps((x) => asked.cdf(x), value, low, high);
        expect(Math.abs(asked.crps(value) - expected) / expected).toBeLessThan(2e-5);
      }
    });

    it("is sampled as it says", () => {
      const rng = seed(5);
      const draws = Array.from({ length: 20_000 }, () => asked.sample(rng));
      for (const level of LEVELS) {
        const share = draws.filter((draw) => draw <= asked.quantile(level)).length / draws.length;
        expect(Math.abs(share - level)).toBeLessThan(4 * Math.sqrt((level * (1 - level)) / draws.length));
      }
    });
  });
}

describe("studentT", () => {
  it("has the known quantiles of two and a half, five and thirty degrees of freedom", () => {
    // scipy 1.17: stats.t.ppf([0.9, 0.975, 0.9999], df)
    const known: [number, number[]][] = [
      [2.5, [1.7302509288071766, 3.5746548420036817, 34.867969321116306]],
      [5, [1.4758840488244815, 2.5705818356363146, 9.677566300882814]],
      [30, [1.3104150253913955, 2.0422724563012378, 4.23398595727206]],
    ];
    for (const [df, values] of known) {
      const t = new StudentT(0, 1, df);
      [0.9, 0.975, 0.9999].forEach((level, i) => {
        expect(t.quantile(level) / values[i]).toBeCloseTo(1, 10);
      });
    }
  });

  it("has the variance that its degrees of freedom give", () => {
    const t = new StudentT(0, 1, 12);
    const second = integral((x) => x * x * Math.exp(t.logProbability(x)), -200, 200);
    expect(second).toBeCloseTo(12 / 10, 9);
  });

  it("approaches the normal distribution", () => {
    const t = { kind: "studentT" } as const;
    const gaussian = { kind: "gaussian" } as const;
    const [raw, few] = [
      [0.5, 1, 1e9],
      [0.5, 1],
    ];
    for (const value of [-3, 0.5, 2]) {
      expect(logProbability(t, raw, value)).toBeCloseTo(logProbability(gaussian, few, value), 7);
      expect(cdf(t, raw, value)).toBeCloseTo(cdf(gaussian, few, value), 7);
      expect(crps(t, raw, value)).toBeCloseTo(crps(gaussian, few, value), 7);
    }
  });
});

describe("negativeBinomial", () => {
  for (const [name, distribution, raw] of COUNTS) {
    const asked = predictiveDistribution(distribution, raw) as NegativeBinomial;
    const { mean: m, dispersion } = asked;
    const limit = asked.quantile(1 - 1e-9) * 2 + 20;
    const masses = Array.from({ length: limit + 1 }, (_, k) => Math.exp(asked.logProbability(k)));

    it(`${name}: masses sum to 1, and have the mean and variance promised`, () => {
      const sum = (f: (k: number) => number) => masses.reduce((total, mass, k) => total + mass * f(k), 0);
      expect(sum(() => 1)).toBeCloseTo(1, 11);
      expect(sum((k) => k) / m).toBeCloseTo(1, 9);
      expect(sum((k) => (k - m) ** 2) / (m + dispersion * m * m)).toBeCloseTo(1, 7);
    });

    it(`${name}: the distribution function adds up the masses, and quantiles invert it`, () => {
      let total = 0;
      for (let k = 0; k <= Math.min(limit, 3000); k++) {
        total += masses[k];
        expect(Math.abs(asked.cdf(k) - total)).toBeLessThan(1e-11);
        if (masses[k] > 1e-9 && total < 1 - 1e-9) {
          expect(asked.quantile(total - masses[k] / 2)).toBe(k);
          expect(asked.cdf(k + 0.5)).toBe(asked.cdf(k));
        }
      }
      expect(asked.cdf(-0.5)).toBe(0);
    });

    it(`${name}: the CRPS is the sum over all counts`, () => {
      for (const value of [0, 1, Math.round(m), asked.quantile(0.9), limit, 3.25, -2]) {
        let [total, sum] = [0, 0];
        for (let k = 0; k <= limit; k++) {
          sum += masses[k];
          const before = Math.min(1, Math.max(0, value - k));
          total += before * sum * sum + (1 - before) * (1 - sum) * (1 - sum);
        }
        expect(Math.abs(asked.crps(value) - (total + Math.max(0, -value))) / (1 + total)).toBeLessThan(1e-9);
      }
    });

    it(`${name}: is sampled as it says`, () => {
      const rng = seed(6);
      const draws = Array.from({ length: 4000 }, () => asked.sample(rng));
      for (const level of LEVELS) {
        const at = asked.quantile(level);
        const expected = asked.cdf(at);
        const share = draws.filter((draw) => draw <= at).length / draws.length;
        expect(Math.abs(share - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / draws.length) + 1e-12);
      }
    });
  }

  it("scores large counts, almost Poisson's, as the normal distribution of their mean and variance does", () => {
    const counts = new NegativeBinomial(50_000, 1e-6);
    const near = new Gaussian(50_000, Math.sqrt(50_000 + 1e-6 * 50_000 ** 2));
    for (const value of [30_000, 49_800, 50_000, 60_000]) expect(counts.crps(value) / near.crps(value)).toBeCloseTo(1, 2);
  });

  for (const [m, dispersion] of [
    [20_000, 2],
    [100_000, 0.5],
    [3000, 30],
  ]) {
    it(`sums over very many counts, mean ${m} and dispersion ${dispersion}, as over few`, () => {
      const counts = new NegativeBinomial(m, dispersion);
      expect(counts.quantile(1 - 1e-12)).toBeGreaterThan(2 ** 18);
      const values = [0, 17, m / 10 + 0.25, m, 20 * m];
      const totals = values.map(() => 0);
      let mass = Math.exp(counts.logProbability(0));
      for (let k = 0, sum = mass; mass > 1e-18 || k <= 20 * m; k++) {
        values.forEach((value, i) => {
          const before = Math.min(1, Math.max(0, value - k));
          totals[i] += before * sum * sum + (1 - before) * (1 - sum) * (1 - sum);
        });
        mass *= ((k + 1 / dispersion) / (k + 1)) * ((m * dispersion) / (1 + m * dispersion));
        sum = Math.min(1, sum + mass);
      }
      values.forEach((value, i) => {
        expect(counts.crps(value) / totals[i]).toBeCloseTo(1, 8);
      });
    });
  }

  it("answers in no time for means of any size", () => {
    const start = performance.now();
    const counts = new NegativeBinomial(1e9, 100);
    // Of value / mean it is the gamma distribution in all but the last digits, so that scores scale with the mean.
    expect(counts.crps(1e9) / new NegativeBinomial(1e8, 100).crps(1e8)).toBeCloseTo(10, 4);
    expect(counts.cdf(counts.quantile(0.9))).toBeCloseTo(0.9, 6);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("gives no mass to what is no count", () => {
    const raw = [1, 1];
    for (const value of [-1, 0.5])
      expect(logProbability({ kind: "negativeBinomial" }, raw, value)).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe("bernoulli", () => {
  const distribution = { kind: "bernoulli" } as const;

  it("is asked like the others", () => {
    const raw = [Math.log(0.3 / 0.7)];
    expect(mean(distribution, raw)).toBeCloseTo(0.3, 15);
    expect(point(distribution, raw)).toBeCloseTo(0.3, 15);
    expect(logProbability(distribution, raw, 1)).toBeCloseTo(Math.log(0.3), 14);
    expect(logProbability(distribution, raw, 0)).toBeCloseTo(Math.log(0.7), 14);
    expect(logProbability(distribution, raw, 0.5)).toBe(Number.NEGATIVE_INFINITY);
    expect([0.2, 0.69, 0.71, 0.9].map((level) => quantile(distribution, raw, level))).toEqual([0, 0, 1, 1]);
    expect(cdf(distribution, raw, -0.1)).toBe(0);
    expect(cdf(distribution, raw, 0)).toBeCloseTo(0.7, 15);
    expect(cdf(distribution, raw, 1)).toBe(1);
    const rng = seed(7);
    const ones = Array.from({ length: 10_000 }, () => sample(distribution, raw, rng)).filter((draw) => draw === 1).length;
    expect(Math.abs(ones - 3000)).toBeLessThan(4 * Math.sqrt(10_000 * 0.21));
  });

  it("has the Brier score as its CRPS, and the defining integral elsewhere", () => {
    const raw = [Math.log(0.3 / 0.7)];
    expect(crps(distribution, raw, 1)).toBeCloseTo(0.49, 14);
    expect(crps(distribution, raw, 0)).toBeCloseTo(0.09, 14);
    expect(crps(distribution, raw, 0.25)).toBeCloseTo(0.25 * 0.49 + 0.75 * 0.09, 14);
    expect(crps(distribution, raw, 3)).toBeCloseTo(2 + 0.49, 14);
    expect(crps(distribution, raw, -3)).toBeCloseTo(3 + 0.09, 14);
  });

  it("stays finite where it is sure", () => {
    expect(logProbability(distribution, [800], 0)).toBe(-800);
    expect(logProbability(distribution, [-800], 1)).toBe(-800);
  });
});

describe("quantiles", () => {
  const levels = [0.1, 0.4, 0.6, 0.9];
  const distribution = { kind: "quantiles", levels } as const;
  const raw = [-1, 2, 4, 10];

  it("are linear between the levels, and stand still beyond them", () => {
    expect(levels.map((level) => quantile(distribution, raw, level))).toEqual(raw);
    expect(quantile(distribution, raw, 0.5)).toBeCloseTo(3, 14);
    expect(point(distribution, raw)).toBeCloseTo(3, 14);
    expect(quantile(distribution, raw, 0.25)).toBeCloseTo(0.5, 14);
    expect(quantile(distribution, raw, 0.01)).toBe(-1);
    expect(quantile(distribution, raw, 0.99)).toBe(10);
    expect(point({ kind: "quantiles", levels: [0.7, 0.8] }, [3, 4])).toBe(3);
  });

  it("have the mean and distribution function of that", () => {
    const asked = predictiveDistribution(distribution, raw);
    const inside = integral((level) => asked.quantile(level), 0.1, 0.9, 8000);
    expect(asked.mean).toBeCloseTo(0.1 * -1 + 0.1 * 10 + inside, 8);
    for (const level of [0.1, 0.2, 0.5, 0.8]) expect(asked.cdf(asked.quantile(level))).toBeCloseTo(level, 14);
    expect(asked.cdf(-1.001)).toBe(0);
    expect(asked.cdf(10)).toBe(1);
    const rng = seed(8);
    const draws = Array.from({ length: 20_000 }, () => asked.sample(rng));
    for (const level of [0.1, 0.3, 0.5, 0.7]) {
      const share = draws.filter((draw) => draw <= asked.quantile(level)).length / draws.length;
      expect(Math.abs(share - level)).toBeLessThan(4 * Math.sqrt(0.25 / draws.length));
    }
  });

  it("are sorted where they cross", () => {
    const crossed = [4, -1, 10, 2];
    for (const level of [0.05, 0.3, 0.5, 0.77]) {
      expect(quantile(distribution, crossed, level)).toBe(quantile(distribution, raw, level));
    }
    expect(crps(distribution, crossed, 5)).toBe(crps(distribution, raw, 5));
    expect(crossed).toEqual([4, -1, 10, 2]);
  });

  it("survive equal values", () => {
    const flat = [3, 3, 3, 3];
    expect(cdf(distribution, flat, 2.9)).toBe(0);
    expect(cdf(distribution, flat, 3)).toBe(1);
    expect(cdf(distribution, [1, 3, 3, 5], 3)).toBeCloseTo(0.6, 14);
    expect(mean(distribution, flat)).toBeCloseTo(3, 14);
  });

  it("have a CRPS that approaches that of the distribution they come from", () => {
    const many = Array.from({ length: 999 }, (_, i) => (i + 1) / 1000);
    const gaussian = predictiveDistribution({ kind: "gaussian" }, [1, 2]);
    const dense = many.map((level) => gaussian.quantile(level));
    for (const value of [-1, 1, 4]) {
      expect(crps({ kind: "quantiles", levels: many }, dense, value) / gaussian.crps(value)).toBeCloseTo(1, 2);
    }
    expect(crps({ kind: "quantiles", levels: [0.5] }, [2], 5)).toBe(3);
  });

  it("have no density, and refuse levels that do not rise", () => {
    expect(() => logProbability(distribution, raw, 1)).toThrow(/OST_CONFIG.*no density/);
    for (const wrong of [[], [0, 0.5], [0.5, 1], [0.5, 0.5], [0.9, 0.1]]) {
      expect(() =>
        point(
          { kind: "quantiles", levels: wrong },
          wrong.map(() => 0),
        ),
      ).toThrow(/OST_RANGE.*levels/);
    }
  });
});

describe("affine", () => {
  const cases: [Distribution, number[]][] = [
    [{ kind: "gaussian" }, [0.4, -1]],
    [{ kind: "studentT" }, [0.4, 30, 0.5]],
    [{ kind: "quantiles", levels: [0.1, 0.5, 0.9] }, [-1, 0, 2]],
  ];
  for (const [distribution, raw] of cases) {
    for (const [scale, offset] of [
      [3, -2],
      [0.01, 100],
      [-2.5, 1],
    ]) {
      it(`is the distribution of value * ${scale} + ${offset}: ${distribution.kind}`, () => {
        const changed = affine(distribution, raw, scale, offset);
        expect(changed.length).toBe(outputsPerValue(distribution));
        for (const level of [0.1, 0.3, 0.5, 0.8]) {
          const expected = quantile(distribution, raw, scale > 0 ? level : 1 - level) * scale + offset;
          expect(Math.abs(quantile(distribution, changed, level) - expected)).toBeLessThan(1e-9 * (1 + Math.abs(expected)));
        }
        for (const value of [-2, 0.1, 1.7]) {
          const found = crps(distribution, changed, value * scale + offset);
          expect(found / Math.abs(scale) / crps(distribution, raw, value)).toBeCloseTo(1, 9);
          if (distribution.kind === "quantiles") continue;
          const density = logProbability(distribution, changed, value * scale + offset);
          expect(density + Math.log(Math.abs(scale))).toBeCloseTo(logProbability(distribution, raw, value), 9);
        }
      });
    }
  }

  it("keeps to finite outputs where the spread vanishes", () => {
    for (const scale of [1e-6, 1e-12, 1e-300]) {
      const [location, spread] = affine({ kind: "gaussian" }, [1, 0], scale, 5);
      expect(location).toBeCloseTo(5, 5);
      expect(Number.isFinite(Math.fround(spread))).toBe(true);
      const asked = predictiveDistribution({ kind: "gaussian" }, [location, spread]);
      expect((asked.quantile(0.975) - 5) / 1.96).toBeLessThan(2.1e-6);
    }
  });

  it("refuses counts, flags and a scale of nothing", () => {
    expect(() => affine({ kind: "negativeBinomial" }, [0, 0], 2, 0)).toThrow(/OST_CONFIG.*counts/);
    expect(() => affine({ kind: "bernoulli" }, [0], 2, 0)).toThrow(/OST_CONFIG/);
    for (const scale of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => affine({ kind: "gaussian" }, [0, 0], scale, 0)).toThrow(/OST_RANGE/);
    }
  });
});

describe("bad input", () => {
  it("is refused by name, not turned into NaN", () => {
    const gaussian = { kind: "gaussian" } as const;
    expect(() => mean(gaussian, [1])).toThrow(/OST_SHAPE.*2 of kind gaussian/);
    expect(() => mean(gaussian, [1, Number.NaN])).toThrow(/OST_NAN.*output 1/);
    expect(() => crps(gaussian, [1, 1], Number.NaN)).toThrow(/OST_VALUE.*crps/);
    expect(() => logProbability(gaussian, [1, 1], Number.POSITIVE_INFINITY)).toThrow(/OST_VALUE/);
    expect(() => cdf(gaussian, [1, 1], Number.NaN)).toThrow(/OST_VALUE/);
    expect(cdf(gaussian, [1, 1], Number.POSITIVE_INFINITY)).toBe(1);
    expect(cdf(gaussian, [1, 1], Number.NEGATIVE_INFINITY)).toBe(0);
    for (const level of [0, 1, Number.NaN]) expect(() => quantile(gaussian, [1, 1], level)).toThrow(/OST_RANGE.*level/);
  });

  it("of extreme outputs still gives finite answers", () => {
    for (const distribution of [{ kind: "gaussian" }, { kind: "studentT" }, { kind: "negativeBinomial" }] as Distribution[]) {
      for (const size of [-1e4, -50, 50]) {
        const raw = new Array(outputsPerValue(distribution)).fill(size);
        const asked = predictiveDistribution(distribution, raw);
        const answers = [
          asked.mean,
          asked.quantile(0.1),
          asked.quantile(0.9),
          asked.logProbability(3),
          asked.cdf(3),
          asked.crps(3),
        ];
        expect([distribution.kind, size, answers.every(Number.isFinite)]).toEqual([distribution.kind, size, true]);
      }
    }
  });
});
