import { describe, expect, it } from "vitest";
import { ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { parameter } from "../tensor/index.js";
import { RMSprop, type RMSpropOptions } from "./rmsprop.js";

const engine = new ReferenceKernels("float64");

/** A parameter with the gradient that a step is to see. */
function withGradient(values: number[], on: ConstructorParameters<typeof RMSprop>[0][number]["engine"] = engine) {
  const p = parameter(values, [values.length], { engine: on });
  p.sum().backward();
  return { p, give: (g: readonly number[]) => p.grad!.floats().set(g) };
}

describe("RMSprop", () => {
  const gradientAt = (step: number, k: number) => Math.sin(3 * step + k) * (k + 1);
  const cases: RMSpropOptions[] = [
    {},
    { momentum: 0.9, learningRate: 0.003 },
    { centered: true, weightDecay: 0.1 },
    { decay: 0.9, epsilon: 1e-4, momentum: 0.5, centered: true, weightDecay: 0.05 },
  ];

  it.each(cases)("equals its formula in float64: %j", (options) => {
    const { learningRate = 0.01, decay = 0.99, epsilon = 1e-8, momentum = 0, weightDecay = 0, centered = false } = options;
    const initial = [0, 1, 2, 3].map(Math.cos);
    const { p, give } = withGradient(initial);
    const optimizer = new RMSprop([p], options);
    // Each value by itself, with the running means written as sums over all steps.
    const expected = initial.map((value, k) => {
      let now = value;
      let velocity = 0;
      const slopes: number[] = [];
      for (let step = 1; step <= 30; step++) {
        slopes.push(0.5 * gradientAt(step, k) + weightDecay * now);
        const mean = (power: number) =>
          slopes.reduce((sum, slope, i) => sum + (1 - decay) * decay ** (slopes.length - 1 - i) * slope ** power, 0);
        const spread = mean(2) - (centered ? mean(1) ** 2 : 0);
        velocity = momentum * velocity + slopes[slopes.length - 1] / (Math.sqrt(spread) + epsilon);
        now -= learningRate * velocity;
      }
      return now;
    });
    for (let step = 1; step <= 30; step++) {
      give(initial.map((_, k) => gradientAt(step, k)));
      optimizer.step({ gradientScale: 0.5 });
    }
    p.floats().forEach((value, k) => {
      expect(Math.abs(value - expected[k])).toBeLessThan(1e-11);
    });
  });

  it.each([{}, { momentum: 0.9 }, { centered: true, momentum: 0.5 }])(
    "goes on from its saved state bit for bit: %j",
    (options) => {
      const wasm = WasmKernels.create();
      const run = (cut: boolean) => {
        const { p, give } = withGradient([1, -2, 3], wasm);
        let optimizer = new RMSprop([p], { learningRate: 0.02, ...options });
        for (let step = 0; step < 20; step++) {
          if (cut && step === 11) {
            const state = optimizer.stateDict();
            optimizer = new RMSprop([p], { ...options });
            optimizer.loadStateDict(state);
          }
          give([0, 1, 2].map((k) => gradientAt(step, k)));
          optimizer.step();
        }
        return [...p.floats()];
      };
      expect(run(true)).toEqual(run(false));
    },
  );

  it("does not divide by a variance that rounding left below zero", () => {
    const { p, give } = withGradient([1], WasmKernels.create());
    const optimizer = new RMSprop([p], { centered: true, decay: 0.5, epsilon: 1e-3 });
    for (let step = 0; step < 200; step++) {
      give([0.1]);
      optimizer.step();
      expect(Number.isFinite(p.floats()[0])).toBe(true);
    }
  });

  it("refuses options that are none, and another's state", () => {
    const { p } = withGradient([1, 2]);
    for (const bad of [{ decay: 1 }, { decay: -0.1 }, { momentum: 1 }, { momentum: Number.NaN }, { learningRate: 0 }]) {
      expect(() => new RMSprop([p], bad), JSON.stringify(bad)).toThrow(/OST_RANGE/);
    }
    expect(() => new RMSprop([p], { momentum: 0.5 }).loadStateDict(new RMSprop([p]).stateDict())).toThrow(/OST_CHECKPOINT/);
  });
});
