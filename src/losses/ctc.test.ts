import { describe, expect, it } from "vitest";
import { ctcLogProbability, ctcSteps } from "../core/ctc-alignment.js";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { inference, parameter, scope, type Tensor, tensor } from "../tensor/index.js";
import { checkOp, sameBits } from "../testing/check-gradient.js";
import { type CtcLossOptions, ctcLoss } from "./ctc.js";

const engine = new ReferenceKernels("float64");
const rng = seed(3);
const noise = (size: number, width = 2) => Float64Array.from({ length: size }, () => rng.uniform(-width, width));

function logSoftmax(logits: ArrayLike<number>, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, row) => {
    const values = Array.from({ length: classes }, (_, k) => logits[row * classes + k]);
    const sum = values.reduce((total, value) => total + Math.exp(value), 0);
    return values.map((value) => value - Math.log(sum));
  }).flat();
}

/** Every labelling of the steps, kept if it collapses to the target. */
function enumerated(logs: readonly number[], classes: number, tokens: readonly number[], blank: number): number {
  const time = logs.length / classes;
  let total = 0;
  for (let code = 0; code < classes ** time; code++) {
    const path = Array.from({ length: time }, (_, t) => Math.floor(code / classes ** t) % classes);
    const collapsed = path.filter((label, t) => label !== blank && label !== path[t - 1]);
    if (collapsed.join() === tokens.join()) total += Math.exp(path.reduce((sum, k, t) => sum + logs[t * classes + k], 0));
  }
  return Math.log(total);
}

/** All sequences of up to `most` tokens. */
function sequences(tokens: readonly number[], most: number): number[][] {
  const all: number[][] = [[]];
  for (let i = 0; i < all.length; i++) if (all[i].length < most) for (const token of tokens) all.push([...all[i], token]);
  return all;
}

const targets = (rows: readonly (readonly number[])[], lengths: readonly number[], width = 0, padding = -1) => {
  const longest = Math.max(width, ...rows.map(({ length }) => length));
  return {
    lengths,
    tokens: rows.flatMap((row) => [...row, ...new Array(longest - row.length).fill(padding)]),
    tokenLengths: rows.map(({ length }) => length),
  };
};

describe("the probability of a target", () => {
  for (const [classes, blank] of [
    [3, 2],
    [3, 0],
    [4, 1],
  ]) {
    for (const time of [0, 1, 2, 3, 5]) {
      it(`equals the sum over all alignments: ${time} steps, ${classes} classes, blank ${blank}`, () => {
        const logits = noise(time * classes);
        const logs = logSoftmax(logits, classes);
        const symbols = Array.from({ length: classes }, (_, k) => k).filter((k) => k !== blank);
        let sum = 0;
        for (const tokens of sequences(symbols, Math.min(time + 1, 5))) {
          const expected = enumerated(logs, classes, tokens, blank);
          const found = ctcLogProbability(logs, { classes, tokens, blank });
          if (expected === Number.NEGATIVE_INFINITY) expect(found).toBe(expected);
          else expect(found).toBeCloseTo(expected, 12);
          expect(found === Number.NEGATIVE_INFINITY).toBe(ctcSteps(tokens) > time);
          const loss = inference(() =>
            ctcLoss(tensor(logits, [1, time, classes], { engine }), targets([tokens], [time]), {
              blank,
              impossible: "infinite",
            }).item(),
          );
          if (time > 0) expect(loss).toBeCloseTo(-expected, 12);
          else expect(loss).toBe(tokens.length === 0 ? 0 : Number.POSITIVE_INFINITY);
          sum += Math.exp(found);
        }
        // Whatever is said has at most as many tokens as steps: the probabilities of all targets are a distribution.
        expect(sum).toBeCloseTo(1, 12);
      });
    }
  }

  it("is -Infinity where a class that it needs is impossible, and NaN passes through", () => {
    const logs = [Math.log(0.5), Number.NEGATIVE_INFINITY, Math.log(0.5), Math.log(0.5), Number.NEGATIVE_INFINITY, Math.log(0.5)];
    expect(ctcLogProbability(logs, { classes: 3, tokens: [1] })).toBe(Number.NEGATIVE_INFINITY);
    expect(ctcLogProbability(logs, { classes: 3, tokens: [0] })).toBeCloseTo(Math.log(0.75), 12);
    expect(ctcLogProbability([Number.NaN, -1, -1], { classes: 3, tokens: [0] })).toBeNaN();
  });

  it("stays finite over a thousand steps of improbable classes", () => {
    const logs = new Array(2000).fill(0).map((_, i) => (i % 2 === 0 ? -700 : Math.log1p(-Math.exp(-700))));
    expect(ctcLogProbability(logs, { classes: 2, tokens: new Array(400).fill(0) })).toBeLessThan(-400 * 690);
    expect(ctcLogProbability(logs, { classes: 2, tokens: new Array(400).fill(0) })).toBeGreaterThan(-400 * 700);
  });

  it("refuses rows that are not whole, blanks among the tokens and classes that are not there", () => {
    expect(() => ctcLogProbability([-1, -1, -1, -1], { classes: 3, tokens: [0] })).toThrow(/OST_SHAPE/);
    expect(() => ctcLogProbability([-1, -1, -1], { classes: 3, tokens: [2] })).toThrow(/OST_TARGET.*blank/s);
    expect(() => ctcLogProbability([-1, -1, -1], { classes: 3, tokens: [3] })).toThrow(/OST_RANGE/);
    expect(() => ctcLogProbability([-1, -1, -1], { classes: 3, tokens: [0], blank: 3 })).toThrow(/OST_RANGE.*blank/s);
  });
});

it("needed steps are the tokens and a blank between equal neighbours", () => {
  expect([[], [1], [1, 1], [1, 2, 1], [1, 1, 1, 2, 2]].map(ctcSteps)).toEqual([0, 1, 3, 3, 8]);
});

describe("the loss", () => {
  const rows = [[0, 1, 1], [], [2, 0], [1], []];
  const lengths = [5, 3, 2, 6, 0];
  const [B, T, C] = [5, 6, 4];
  const logits = noise(B * T * C);
  const lossesOf = (values: ArrayLike<number>, shape: number[], ...rest: [Parameters<typeof ctcLoss>[1], CtcLossOptions?]) => {
    const x = parameter(values, shape, { engine });
    const losses = scope(() => {
      const result = ctcLoss(x, rest[0], { reduction: "none", ...rest[1] });
      result.sum().backward();
      return result.toArray();
    });
    return { losses: Float64Array.from(losses), gradient: Float64Array.from(x.grad!.floats()) };
  };
  const whole = lossesOf(logits, [B, T, C], targets(rows, lengths));

  for (const reduction of ["none", "mean", "perToken"] as const) {
    it(`has the gradient of central differences, reduction ${reduction}`, () => {
      checkOp((x: Tensor) => ctcLoss(x, targets(rows, lengths), { reduction }), [{ shape: [B, T, C], low: -2, high: 2 }]);
      checkOp(
        (x: Tensor) => ctcLoss(x, targets([[1, 3, 3]], [6]), { blank: 2, reduction }),
        [{ shape: [1, 6, 4], low: -5, high: 5 }],
      );
    });
  }

  it("of an empty target is that of blanks alone, and over no steps at all it is 0", () => {
    const logs = logSoftmax(logits.subarray(T * C, T * C + 3 * C), C);
    expect(whole.losses[1]).toBeCloseTo(-(logs[3] + logs[7] + logs[11]), 12);
    expect(Object.is(whole.losses[4], 0)).toBe(true);
  });

  it("reduces to means", () => {
    const x = tensor(logits, [B, T, C], { engine });
    const sum = whole.losses.reduce((a, b) => a + b);
    expect(ctcLoss(x, targets(rows, lengths)).item()).toBeCloseTo(sum / B, 12);
    const perToken = whole.losses.reduce((total, loss, b) => total + loss / Math.max(1, rows[b].length), 0);
    expect(ctcLoss(x, targets(rows, lengths), { reduction: "perToken" }).item()).toBeCloseTo(perToken / B, 12);
    expect(ctcLoss(tensor([], [0, 0, 4], { engine }), targets([], [])).item()).toBe(0);
  });

  it("of a batch is that of its examples, bit for bit, whether recorded or not", () => {
    rows.forEach((row, b) => {
      const own = logits.subarray(b * T * C, (b + 1) * T * C);
      const solo = lossesOf(own, [1, T, C], targets([row], [lengths[b]]));
      expect(sameBits(solo.losses, whole.losses.slice(b, b + 1))).toBe(true);
      expect(sameBits(solo.gradient, whole.gradient.slice(b * T * C, (b + 1) * T * C))).toBe(true);
    });
    const plain = inference(() =>
      ctcLoss(tensor(logits, [B, T, C], { engine }), targets(rows, lengths), { reduction: "none" }).toArray(),
    );
    expect(sameBits(plain, whole.losses)).toBe(true);
  });

  it("does not see padding, of steps or of tokens, and gives it no gradient", () => {
    const longer = new Float64Array(B * (T + 3) * C).fill(Number.NaN);
    rows.forEach((_, b) => {
      for (let i = 0; i < lengths[b] * C; i++) longer[b * (T + 3) * C + i] = logits[b * T * C + i];
    });
    const padded = lossesOf(longer, [B, T + 3, C], targets(rows, lengths, 7, 99));
    expect(sameBits(padded.losses, whole.losses)).toBe(true);
    rows.forEach((_, b) => {
      const own = padded.gradient.slice(b * (T + 3) * C, (b + 1) * (T + 3) * C);
      const used = lengths[b] * C;
      expect(sameBits(own.slice(0, used), whole.gradient.slice(b * T * C, b * T * C + used))).toBe(true);
      expect(own.slice(used).every((slope) => slope === 0)).toBe(true);
    });
  });

  it("gives every step a gradient that sums to 0 over the classes", () => {
    for (let row = 0; row < B * T; row++) {
      const sum = whole.gradient.slice(row * C, (row + 1) * C).reduce((a, b) => a + b);
      expect(Math.abs(sum)).toBeLessThan(1e-13);
    }
  });

  it("keeps NaN to the example it came from", () => {
    const broken = logits.slice();
    broken[0] = Number.NaN;
    const { losses, gradient } = lossesOf(broken, [B, T, C], targets(rows, lengths));
    expect(losses[0]).toBeNaN();
    expect(sameBits(losses.slice(1), whole.losses.slice(1))).toBe(true);
    expect(sameBits(gradient.slice(T * C), whole.gradient.slice(T * C))).toBe(true);
  });

  it("has a finite gradient at logits of every size", () => {
    const { losses, gradient } = lossesOf(noise(B * T * C, 1e4), [B, T, C], targets(rows, lengths));
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(gradient.every(Number.isFinite)).toBe(true);
  });

  describe("of an impossible target", () => {
    const impossible = targets([[0, 0, 0], [1], [1, 2]], [4, 0, 2]);
    const values = noise(3 * 5 * C);

    it("is refused, with example, needed and available steps", () => {
      const x = tensor(values, [3, 5, C], { engine });
      expect(() => ctcLoss(x, impossible)).toThrow(
        /OST_TARGET.*example 0: its 3 tokens need 5 steps and 4 are there \(and 1 more\).*repair/s,
      );
      expect(() => ctcLoss(x, targets([[0], [1, 1], [2]], [1, 2, 1]))).toThrow(
        /example 1: its 2 tokens need 3 steps and 2 are there\)/,
      );
    });

    it("is +Infinity with gradient zero where that is asked for, and the others are as ever", () => {
      const { losses, gradient } = lossesOf(values, [3, 5, C], impossible, { impossible: "infinite" });
      expect([...losses].map(Number.isFinite)).toEqual([false, false, true]);
      expect(losses[0]).toBe(Number.POSITIVE_INFINITY);
      expect(gradient.slice(0, 10 * C).every((slope) => Object.is(slope, 0))).toBe(true);
      const solo = lossesOf(values.subarray(10 * C), [1, 5, C], targets([[1, 2]], [2]));
      expect(sameBits(solo.gradient, gradient.slice(10 * C))).toBe(true);
    });
  });

  it("refuses what does not fit", () => {
    const x = tensor(noise(2 * 3 * C), [2, 3, C], { engine });
    const fit = targets([[0], [1]], [3, 3]);
    const cases: [() => Tensor, RegExp][] = [
      [() => ctcLoss(x.reshape([6, C]), fit), /OST_SHAPE/],
      [() => ctcLoss(x, { ...fit, lengths: [3] }), /OST_SHAPE/],
      [() => ctcLoss(x, { ...fit, tokens: [0, 1, 2] }), /OST_SHAPE/],
      [() => ctcLoss(x, { ...fit, lengths: [3, 4] }), /OST_LENGTH.*length of example 1.*0 \.\. 3.*got 4/s],
      [() => ctcLoss(x, { ...fit, tokenLengths: [2, 1] }), /OST_LENGTH.*target length of example 0/s],
      [() => ctcLoss(x, { ...fit, tokens: [0, C] }), /OST_RANGE.*example 1/s],
      [() => ctcLoss(x, { ...fit, tokens: [0, -1] }), /OST_RANGE.*example 1/s],
      [() => ctcLoss(x, { ...fit, tokens: [0, C - 1] }), /OST_TARGET.*example 1.*blank/s],
      [() => ctcLoss(x, fit, { blank: C }), /OST_RANGE.*blank/s],
    ];
    for (const [call, message] of cases) expect(call).toThrow(message);
  });
});
