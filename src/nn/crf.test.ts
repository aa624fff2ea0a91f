import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../core/rng.js";
import { tagConstraint } from "../decode/tag-constraint.js";
import { viterbi } from "../decode/viterbi.js";
import { ReferenceKernels } from "../kernels/index.js";
import { Adam } from "../optim/index.js";
import { inference, integers, scope, tensor } from "../tensor/index.js";
import { checkGradient, checkOp } from "../testing/index.js";
import { ConditionalRandomField } from "./crf.js";

const NO = Number.NEGATIVE_INFINITY;
const engine = new ReferenceKernels("float64");

function numbers(rng: Rng, count: number, scale = 1): Float64Array {
  return Float64Array.from({ length: count }, () => rng.uniform(-scale, scale));
}

/** All label sequences of a length. */
function* sequences(classes: number, length: number): Generator<number[]> {
  if (length === 0) yield [];
  else for (const rest of sequences(classes, length - 1)) for (let c = 0; c < classes; c++) yield [...rest, c];
}

function make(classes: number, { scale = 1, ...options }: { scale?: number; constraint?: object } = {}): ConditionalRandomField {
  const crf = new ConditionalRandomField(classes, { rng: seed(1), engine, ...options });
  const rng = seed(2);
  for (const parameter of crf.parameters()) parameter.assign(numbers(rng, parameter.size, scale));
  return crf;
}

/** By definition: exp of the score of every sequence, one after the other. */
function scoreOf(crf: ConditionalRandomField, e: ArrayLike<number>, labels: readonly number[]): number {
  const { transitions, start, end } = crf.scores();
  let score = start[labels[0]] + end[labels[labels.length - 1]];
  labels.forEach((label, t) => {
    score += e[t * crf.classes + label] + (t > 0 ? transitions[labels[t - 1] * crf.classes + label] : 0);
  });
  return score;
}

function logSumExp(values: readonly number[]): number {
  const top = Math.max(...values);
  return top === NO ? NO : top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

const loss = (crf: ConditionalRandomField, e: Float64Array, labels: readonly number[]) =>
  inference(() =>
    crf.negativeLogLikelihood(tensor(e, [1, labels.length, crf.classes], { engine }), Int32Array.from(labels)).item(),
  );

describe("a conditional random field", () => {
  it("gives every sequence the probability of its definition, which add up to 1", () => {
    for (const [classes, length] of [
      [3, 4],
      [2, 1],
      [1, 3],
      [4, 2],
    ]) {
      const crf = make(classes);
      const e = numbers(seed(3), classes * length, 2);
      const all = [...sequences(classes, length)];
      const logZ = logSumExp(all.map((labels) => scoreOf(crf, e, labels)));
      let total = 0;
      for (const labels of all) {
        const value = loss(crf, e, labels);
        expect(value).toBeCloseTo(logZ - scoreOf(crf, e, labels), 10);
        total += Math.exp(-value);
      }
      expect(total).toBeCloseTo(1, 10);
    }
  });

  it("sums over the labels of steps that are not observed", () => {
    const crf = make(3);
    const e = numbers(seed(3), 12);
    const all = [...sequences(3, 4)];
    for (const known of [
      [-1, 2, -1, 0],
      [1, -1, -1, -1],
      [-1, -1, 0, -1],
    ]) {
      const fitting = all.filter((labels) => known.every((label, t) => label < 0 || label === labels[t]));
      const expected = -logSumExp(fitting.map((labels) => -loss(crf, e, labels)));
      expect(loss(crf, e, known)).toBeCloseTo(expected, 10);
    }
    expect(loss(crf, e, [-1, -1, -1, -1])).toBe(0);
  });

  it("has the gradients of finite differences, with lengths, padding and steps that are not observed", () => {
    const targets = Int32Array.of(1, 0, 2, -1, -1, -1, 2, -1, 0, -1, -1, -1);
    const lengths = [3, 0, 3, 2];
    const own = (on: ReferenceKernels, constraint = {}) =>
      new ConditionalRandomField(3, { rng: seed(1), engine: on, constraint });
    const report = checkOp(
      (e) => own(e.engine as ReferenceKernels).negativeLogLikelihood(e, targets, integers(lengths, [4], { engine: e.engine })),
      [{ shape: [4, 3, 3] }],
    );
    expect(report.checks).toBe(36);
    for (const constraint of [{}, { transitions: [0, 0, 0, 0, 0, NO, 0, 0, 0], end: [0, NO, 0] }]) {
      const crf = own(engine, constraint);
      const e = tensor(numbers(seed(5), 36), [4, 3, 3], { engine });
      const weights = tensor([1, 2, 0.5, -1], [4], { engine });
      checkGradient(
        () =>
          crf
            .negativeLogLikelihood(e, targets, integers(lengths, [4], { engine }))
            .multiply(weights)
            .sum(),
        crf.namedParameters(),
      );
    }
  });

  it("gives the probability of every label at every step", () => {
    const crf = make(3);
    const e = numbers(seed(3), 12);
    const marginals = crf.marginals(tensor(e, [1, 4, 3], { engine }));
    for (let t = 0; t < 4; t++) {
      for (let c = 0; c < 3; c++) {
        const fitting = [...sequences(3, 4)].filter((labels) => labels[t] === c);
        expect(marginals[t * 3 + c]).toBeCloseTo(logSumExp(fitting.map((labels) => -loss(crf, e, labels))), 10);
      }
    }
  });

  it("keeps scores apart that no exponential holds", () => {
    // Sums of exponentials of these would be 0 or infinite.
    const crf = make(3, { scale: 900 });
    const e = numbers(seed(3), 15, 900);
    const all = [...sequences(3, 5)];
    const logZ = logSumExp(all.map((labels) => scoreOf(crf, e, labels)));
    for (const labels of all.slice(0, 40)) {
      const expected = logZ - scoreOf(crf, e, labels);
      expect(Math.abs(loss(crf, e, labels) - expected)).toBeLessThan(1e-9 * Math.max(1, expected));
    }
    const marginals = crf.marginals(tensor(e, [1, 5, 3], { engine }));
    for (let t = 0; t < 5; t++) {
      const total = [0, 1, 2].reduce((sum, c) => sum + Math.exp(marginals[t * 3 + c]), 0);
      expect(total).toBeCloseTo(1, 9);
    }
    // Once at label 1, every way on is e^-800 of what is common elsewhere: products of exponentials vanish, the gradient does not.
    const steep = make(2);
    steep.transitions.assign([0, -1, -800, -802]);
    const flat = tensor(new Float64Array(8), [1, 4, 2], { engine });
    for (const known of [
      [1, -1, 1, -1],
      [1, 1, 1, 0],
      [-1, 1, -1, -1],
    ]) {
      const value = loss(steep, new Float64Array(8), known);
      const fitting = [...sequences(2, 4)].filter((labels) => known.every((label, t) => label < 0 || label === labels[t]));
      expect(value).toBeCloseTo(-logSumExp(fitting.map((labels) => -loss(steep, new Float64Array(8), labels))), 8);
      checkGradient(() => steep.negativeLogLikelihood(flat, Int32Array.from(known)).sum(), steep.namedParameters(), {
        step: 1e-2,
        tolerance: 1e-4,
      });
    }
  });

  it("gives for a batch what its rows give alone, whatever lies behind their ends", () => {
    const crf = new ConditionalRandomField(5, { rng: seed(1) });
    const [B, T] = [4, 6];
    const lengths = [6, 0, 1, 4];
    const rng = seed(3);
    const e = numbers(rng, B * T * 5);
    const targets = Int32Array.from({ length: B * T }, () => rng.integer(5));
    const run = (values: Float64Array, labels: Int32Array, time: number, valid: number[]) =>
      scope(() => {
        const emissions = tensor(values, [valid.length, time, 5]);
        const losses = crf.negativeLogLikelihood(emissions, labels, integers(valid));
        return { losses: Array.from(losses.floats()), marginals: crf.marginals(emissions, integers(valid)) };
      });
    const whole = run(e, targets, T, lengths);
    expect(whole.losses[1]).toBe(0);
    const wide = new Float64Array(B * (T + 2) * 5).fill(Number.NaN);
    const wideTargets = new Int32Array(B * (T + 2)).fill(-1);
    for (let b = 0; b < B; b++) {
      wide.set(e.subarray(b * T * 5, (b * T + lengths[b]) * 5), b * (T + 2) * 5);
      wideTargets.set(targets.subarray(b * T, b * T + lengths[b]), b * (T + 2));
      const alone = run(e.slice(b * T * 5, (b + 1) * T * 5), targets.slice(b * T, (b + 1) * T), T, [lengths[b]]);
      expect(alone.losses[0]).toBe(whole.losses[b]);
      expect(alone.marginals).toEqual(whole.marginals.slice(b * T * 5, (b + 1) * T * 5));
    }
    expect(run(wide, wideTargets, T + 2, lengths).losses).toEqual(whole.losses);
  });

  it("never allows what its constraint forbids", () => {
    const names = ["O", "B-x", "I-x"];
    const constraint = tagConstraint(names, "BIO2");
    const crf = make(3, { constraint });
    const e = numbers(seed(3), 12, 3);
    const legal = (labels: number[]) => labels.every((label, t) => label !== 2 || (t > 0 && labels[t - 1] > 0));
    const all = [...sequences(3, 4)];
    const logZ = logSumExp(all.filter(legal).map((labels) => scoreOf(crf, e, labels)));
    let best = { labels: [] as number[], score: NO };
    for (const labels of all) {
      if (!legal(labels)) {
        expect(() => loss(crf, e, labels)).toThrow(/OST_TARGET.*break the constraint/);
        continue;
      }
      expect(loss(crf, e, labels)).toBeCloseTo(logZ - scoreOf(crf, e, labels), 10);
      if (scoreOf(crf, e, labels) > best.score) best = { labels, score: scoreOf(crf, e, labels) };
    }
    expect(crf.marginals(tensor(e, [1, 4, 3], { engine }))[2]).toBe(NO);
    expect([...viterbi(e, { classes: 3, ...crf.scores() }).classes]).toEqual(best.labels);
  });

  it("names what does not fit", () => {
    const crf = make(3, { constraint: { start: [0, NO, NO] } });
    const e = new Float64Array(6);
    expect(() => loss(crf, e, [0, 3])).toThrow(/OST_TARGET.*row 0, step 1/);
    expect(() => loss(crf, e, [-2, 0])).toThrow(/OST_TARGET/);
    expect(() => loss(crf, e, [1, 0])).toThrow(/OST_TARGET[\s\S]*class 1 at the beginning/);
    expect(() => crf.negativeLogLikelihood(tensor(e, [1, 2, 3], { engine }), Int32Array.of(0))).toThrow(/OST_SHAPE/);
    expect(() => crf.negativeLogLikelihood(tensor(e, [1, 3, 2], { engine }), new Int32Array(3))).toThrow(/OST_SHAPE/);
    expect(() => crf.marginals(tensor(e, [2, 3], { engine }))).toThrow(/OST_SHAPE/);
    expect(() => new ConditionalRandomField(0, { rng: seed(1) })).toThrow(/OST_RANGE/);
    expect(() => new ConditionalRandomField(2, { rng: seed(1), constraint: { start: [0] } })).toThrow(/OST_SHAPE/);
    expect(() => new ConditionalRandomField(2, { rng: seed(1), constraint: { end: Uint8Array.of(1, 0) } })).toThrow(/OST_RANGE/);
    const blocked = make(2, { constraint: { transitions: [NO, NO, NO, NO] } });
    expect(loss(blocked, new Float64Array(2), [1])).toBeGreaterThan(0);
    expect(() => loss(blocked, new Float64Array(4), [1, 0])).toThrow(/OST_CONFIG.*no sequence/);
    expect(() => blocked.marginals(tensor(new Float64Array(4), [1, 2, 2], { engine }))).toThrow(/OST_CONFIG/);
  });

  it("learns which label follows which", () => {
    // Emissions say nothing: only the chain can know that 0, 1, 2 go round.
    const crf = new ConditionalRandomField(3, { rng: seed(1) });
    const optimizer = new Adam(crf.parameters(), { learningRate: 0.1 });
    const targets = Int32Array.from({ length: 24 }, (_, i) => ((i % 6) + Math.floor(i / 6)) % 3);
    let last = 0;
    for (let step = 0; step < 100; step++) {
      scope(() => {
        optimizer.zeroGrad();
        const total = crf.negativeLogLikelihood(tensor(new Float64Array(72), [4, 6, 3]), targets).sum();
        total.backward();
        optimizer.step();
        last = total.item();
      });
    }
    // What is left is the choice of the first label.
    expect(last).toBeLessThan(4 * Math.log(3) + 0.5);
    expect([...viterbi([5, 0, 0, ...new Array(9).fill(0)], { classes: 3, ...crf.scores() }).classes]).toEqual([0, 1, 2, 0]);
  });
});
