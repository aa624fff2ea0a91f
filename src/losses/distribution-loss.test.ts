import { describe, expect, it } from "vitest";
import { type Distribution, logProbability, outputsPerValue } from "../core/predictive-distribution.js";
import { seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { parameter, scope, type Tensor, tensor } from "../tensor/index.js";
import { checkOp } from "../testing/check-gradient.js";
import {
  bernoulliNll,
  binaryCrossEntropy,
  distributionLoss,
  gaussianNll,
  mae,
  negativeBinomialNll,
  quantileLoss,
  studentTNll,
} from "./index.js";

const engine = new ReferenceKernels("float64");
const levels = [0.1, 0.5, 0.9];
const reals = [0.3, -2, 4, 0.05, 30, -0.7];
const DISTRIBUTIONS: [Distribution, number[]][] = [
  [{ kind: "gaussian" }, reals],
  [{ kind: "studentT" }, reals],
  [{ kind: "negativeBinomial" }, [0, 1, 5, 40, 0, 1300]],
  [{ kind: "bernoulli" }, [0, 1, 1, 0, 0.25, 0]],
  [{ kind: "quantiles", levels }, reals],
];

for (const [distribution, targets] of DISTRIBUTIONS) {
  const { kind } = distribution;
  const M = outputsPerValue(distribution);
  const loss = (raw: Tensor, mask?: number[]) =>
    distributionLoss(distribution, raw, tensor(targets, [2, 3], { engine: raw.engine }), { mask });
  const rng = seed(4);
  const raw = Float64Array.from({ length: 6 * M }, () => rng.uniform(-2, 2));

  describe(`distributionLoss of ${kind}`, () => {
    it("has the gradient of central differences", () => {
      for (const width of [1, 3]) {
        checkOp((x) => loss(x), [{ shape: [2, 3, M], low: -width, high: width }], { tolerance: 2e-6, step: 3e-4 });
        checkOp((x) => loss(x, [1, 0, 1, 1, 0, 1]), [{ shape: [2, 3, M], low: -width, high: width }], {
          tolerance: 2e-6,
          step: 3e-4,
        });
      }
    });

    it("is the mean of what single values cost", () => {
      const mask = [1, 0, 1, 1, 0, 1];
      const costs = targets.map((target, i) => {
        const own = raw.subarray(i * M, (i + 1) * M);
        if (kind === "bernoulli" && target === 0.25) {
          return -0.25 * logProbability(distribution, own, 1) - 0.75 * logProbability(distribution, own, 0);
        }
        if (kind !== "quantiles") return -logProbability(distribution, own, target);
        return (
          levels.reduce((sum, q, l) => sum + Math.max(q * (target - own[l]), (q - 1) * (target - own[l])), 0) / levels.length
        );
      });
      const x = tensor(raw, [2, 3, M], { engine });
      expect(loss(x).item()).toBeCloseTo(costs.reduce((a, b) => a + b) / 6, 10);
      expect(loss(x, mask).item()).toBeCloseTo((costs[0] + costs[2] + costs[3] + costs[5]) / 4, 10);
    });

    it("over nothing is 0 with gradient 0, and what the mask leaves out may be NaN", () => {
      const x = parameter(raw, [2, 3, M], { engine });
      const missing = tensor(new Array(6).fill(Number.NaN), [2, 3], { engine });
      scope(() => {
        const nothing = distributionLoss(distribution, x, missing, { mask: new Uint8Array(6) });
        expect(nothing.item()).toBe(0);
        nothing.backward();
      });
      expect([...x.grad!.floats()].every((slope) => slope === 0)).toBe(true);
    });

    it("gives a value the gradient it has alone", () => {
      const gradientOf = (values: ArrayLike<number>, wanted: readonly number[]) => {
        const x = parameter(values, [wanted.length, M], { engine });
        scope(() =>
          distributionLoss(distribution, x, tensor(wanted, [wanted.length], { engine }))
            .multiply(wanted.length)
            .backward(),
        );
        return x.grad!.floats();
      };
      const whole = gradientOf(raw, targets);
      targets.forEach((target, i) => {
        const alone = gradientOf(raw.subarray(i * M, (i + 1) * M), [target]);
        for (let m = 0; m < M; m++) expect(alone[m]).toBeCloseTo(whole[i * M + m], 12);
      });
    });

    it("stays finite at raw outputs of any size", () => {
      for (const size of [-1e4, -60, 60, 1e4]) {
        const x = parameter(new Array(6 * M).fill(size), [6, M], { engine });
        scope(() => {
          const value = distributionLoss(distribution, x, tensor(targets, [6], { engine }));
          expect([size, Number.isFinite(value.item())]).toEqual([size, true]);
          value.backward();
        });
        expect([size, [...x.grad!.floats()].every(Number.isFinite)]).toEqual([size, true]);
      }
    });

    it("is computed in float64 on every engine", () => {
      const wasm = WasmKernels.create();
      const [narrow, wanted] = [Float32Array.from(raw), Float32Array.from(targets)];
      const on = (other: Kernels) =>
        distributionLoss(distribution, tensor(narrow, [6, M], { engine: other }), tensor(wanted, [6], { engine: other })).item();
      expect(on(wasm)).toBe(Math.fround(on(engine)));
    });
  });
}

describe("the named losses", () => {
  const x = (M: number) =>
    tensor(
      Float64Array.from({ length: 6 * M }, (_, i) => Math.sin(3 * i + 1)),
      [6, M],
      { engine },
    );
  const mask = [1, 1, 0, 1, 1, 1];

  it("are distributionLoss of their kind", () => {
    const cases: [(raw: Tensor, targets: Tensor) => Tensor, Distribution, readonly number[]][] = [
      [(raw, targets) => gaussianNll(raw, targets, { mask }), { kind: "gaussian" }, reals],
      [(raw, targets) => studentTNll(raw, targets, { mask }), { kind: "studentT" }, reals],
      [(raw, targets) => negativeBinomialNll(raw, targets, { mask }), { kind: "negativeBinomial" }, [0, 3, 1, 2, 9, 0]],
      [(raw, targets) => quantileLoss(raw, targets, { mask, levels }), { kind: "quantiles", levels }, reals],
    ];
    for (const [loss, distribution, targets] of cases) {
      const [raw, wanted] = [x(outputsPerValue(distribution)), tensor(targets, [6], { engine })];
      expect(loss(raw, wanted).item()).toBe(distributionLoss(distribution, raw, wanted, { mask }).item());
    }
  });

  it("know each other: the median is half the absolute error, bernoulli is binary cross-entropy", () => {
    const [raw, targets] = [x(1), tensor(reals, [6], { engine })];
    expect(quantileLoss(raw, targets, { levels: [0.5], mask }).item()).toBeCloseTo(mae(raw, targets, { mask }).item() / 2, 14);
    const flags = tensor([1, 0, 0, 1, 1, 0], [6], { engine });
    expect(distributionLoss({ kind: "bernoulli" }, raw, flags).item()).toBeCloseTo(binaryCrossEntropy(raw, flags).item(), 14);
  });

  it("gaussian: minimum at the mean and standard deviation of what is to be learned", () => {
    const [location, scale] = [2, 3];
    const values = [location - scale, location + scale];
    const raw = (m: number, s: number) => [m, Math.log(Math.expm1(s - 1e-6))];
    const at = (m: number, s: number) =>
      gaussianNll(tensor([...raw(m, s), ...raw(m, s)], [2, 2], { engine }), tensor(values, [2], { engine })).item();
    const best = at(location, scale);
    for (const [m, s] of [
      [2.1, 3],
      [1.9, 3],
      [2, 3.1],
      [2, 2.9],
    ]) {
      expect(at(m, s)).toBeGreaterThan(best);
    }
  });

  it("quantiles: the pinball loss is least at the quantile", () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1);
    const at = (q: number) =>
      quantileLoss(tensor(new Array(100).fill(q), [100, 1], { engine }), tensor(values, [100], { engine }), {
        levels: [0.9],
      }).item();
    expect(at(90.5)).toBeLessThan(at(88));
    expect(at(90.5)).toBeLessThan(at(93));
    expect(at(90)).toBeCloseTo(at(91), 12);
  });

  it("negativeBinomial keeps its gradient where it is almost Poisson's and counts are large", () => {
    const targets = (raw: Tensor) => tensor([0, 12, 950, 1010], [4], { engine: raw.engine });
    checkOp(
      (raw) => negativeBinomialNll(raw, targets(raw)),
      [{ shape: [4, 2], values: [3, -12, 14, -9, 1000, -13.5, 1000, -6] }],
      {
        tolerance: 1e-5,
        step: 1e-3,
      },
    );
  });

  it("studentT keeps its gradient at very many degrees of freedom", () => {
    checkOp(
      (raw) => studentTNll(raw, tensor([1, -3], [2], { engine: raw.engine })),
      [{ shape: [2, 3], values: [0.5, 0.2, 60, 0, 1, 300] }],
      { step: 1e-2 },
    );
  });

  describe("bernoulliNll", () => {
    const flags = [1, 0, 1, 0, 0, 1];
    const of = (x: Tensor, mask?: number[]) => bernoulliNll(x, tensor(flags, [2, 3], { engine: x.engine }), { mask });

    it("sums over the flags of a step and averages over kept steps", () => {
      const logits = [0.5, -1, 2, 0, 3, -2];
      const nats = logits.map((logit, i) => Math.log1p(Math.exp(flags[i] === 1 ? -logit : logit)));
      const x = tensor(logits, [2, 3], { engine });
      expect(of(x).item()).toBeCloseTo(nats.reduce((a, b) => a + b) / 2, 12);
      expect(of(x, [0, 1]).item()).toBeCloseTo(nats[3] + nats[4] + nats[5], 12);
      expect(of(x, [0, 0]).item()).toBe(0);
    });

    it("has the gradient of central differences", () => {
      checkOp((x) => of(x, [1, 0]), [{ shape: [2, 3] }]);
      checkOp((x) => of(x), [{ shape: [2, 3] }]);
    });

    it("refuses a mask per flag", () => {
      expect(() => of(tensor(flags, [2, 3], { engine }), [1, 1, 1, 1, 1, 1])).toThrow(/OST_SHAPE.*mask of 2/s);
    });
  });
});

describe("bad targets", () => {
  const of = (distribution: Distribution, targets: number[], mask?: number[]) => {
    const M = outputsPerValue(distribution);
    const raw = tensor(new Array(targets.length * M).fill(0.5), [targets.length, M], { engine });
    return distributionLoss(distribution, raw, tensor(targets, [targets.length], { engine }), { mask }).item();
  };

  it("are refused by name", () => {
    const counts = { kind: "negativeBinomial" } as const;
    expect(() => of(counts, [1, 2.5])).toThrow(
      /OST_TARGET.*negativeBinomial.*count.*2\.5 as target 1.*repair: leave counts unscaled/s,
    );
    expect(() => of(counts, [-1, 2])).toThrow(/OST_TARGET.*-1 as target 0/s);
    expect(() => of({ kind: "bernoulli" }, [1.5])).toThrow(/OST_TARGET.*0 \.\. 1/s);
    for (const [distribution] of DISTRIBUTIONS) {
      expect(() => of(distribution, [1, Number.NaN])).toThrow(/OST_TARGET.*NaN as target 1.*mask/s);
      expect(() => of(distribution, [Number.POSITIVE_INFINITY])).toThrow(/OST_TARGET/);
    }
    expect(of(counts, [1, 2.5], [1, 0])).toBeGreaterThan(0);
  });

  it("shapes that do not fit are refused", () => {
    const gaussian = { kind: "gaussian" } as const;
    const raw = tensor([1, 2, 3], [3], { engine });
    expect(() => distributionLoss(gaussian, raw, tensor([1], [1], { engine }))).toThrow(/OST_SHAPE.*2 outputs/);
    const pair = tensor([1, 2], [2], { engine });
    expect(() => distributionLoss(gaussian, pair, tensor([1], [1], { engine }), { mask: [1, 1] })).toThrow(
      /OST_SHAPE.*mask of 2/,
    );
    expect(() => distributionLoss({ kind: "quantiles", levels: [0.9, 0.1] }, pair, tensor([1], [1], { engine }))).toThrow(
      /OST_RANGE/,
    );
  });

  it("a network's NaN stays NaN, for training to trace", () => {
    for (const [distribution, targets] of DISTRIBUTIONS) {
      const M = outputsPerValue(distribution);
      const x = parameter(new Array(M).fill(Number.NaN), [1, M], { engine });
      scope(() => {
        const loss = distributionLoss(distribution, x, tensor([targets[1]], [1], { engine }));
        expect(loss.item()).toBeNaN();
        loss.backward();
      });
      expect([...x.grad!.floats()].every(Number.isNaN)).toBe(true);
    }
  });
});
