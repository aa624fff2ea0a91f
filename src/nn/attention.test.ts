import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { applyAll, inference, integers, scope, type Tensor, tensor } from "../tensor/index.js";
import { attend } from "../tensor/ops/attend.js";
import { checkGradient, checkOp } from "../testing/index.js";
import { Attention, type AttentionKind } from "./attention.js";

const KINDS: AttentionKind[] = ["additive", "dot", "general"];
const sizes = (kind: AttentionKind) => ({ querySize: 4, memorySize: kind === "dot" ? 4 : 6, attentionSize: 5 });

function numbers(count: number, seedValue: number): Float64Array {
  const rng = seed(seedValue);
  return Float64Array.from({ length: count }, () => rng.uniform(-1, 1));
}

/** Context and weights of one query over the first `length` steps of a source, by the formulas, in plain numbers. */
function naive(attention: Attention, query: number[], source: number[][]): { context: number[]; weights: number[] } {
  const weights = (name: string) => Array.from(attention.namedParameters().get(name)?.floats() ?? []);
  const times = (matrix: number[], x: number[]) =>
    Array.from({ length: matrix.length / x.length }, (_, o) =>
      x.reduce((sum, value, i) => sum + matrix[o * x.length + i] * value, 0),
    );
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const scores = source.map((m) => {
    if (attention.kind === "dot") return dot(query, m);
    if (attention.kind === "general") return dot(times(weights("query.weight"), query), m);
    const [q, k, b] = [times(weights("query.weight"), query), times(weights("key.weight"), m), weights("key.bias")];
    return dot(
      weights("vector"),
      q.map((value, i) => Math.tanh(value + k[i] + b[i])),
    );
  });
  const exps = scores.map((score) => Math.exp(score));
  const total = exps.reduce((a, b) => a + b, 0);
  const shares = exps.map((value) => value / total);
  return { weights: shares, context: source[0].map((_, e) => shares.reduce((sum, w, s) => sum + w * source[s][e], 0)) };
}

describe.each(KINDS)("%s attention", (kind) => {
  const { querySize: H, memorySize: E } = sizes(kind);
  const [B, U, S] = [4, 3, 5];
  const lengths = [5, 0, 1, 3];
  const query = numbers(B * U * H, 1);
  const values = numbers(B * S * E, 2);

  it("computes its formula", () => {
    const engine = new ReferenceKernels("float64");
    const attention = new Attention(kind, { ...sizes(kind), rng: seed(3), engine });
    const memory = attention.prepare(tensor(values, [B, S, E], { engine }), integers(lengths, [B], { engine }));
    const { context, weights } = attention.forward(tensor(query, [B, U, H], { engine }), memory);
    for (let b = 0; b < B; b++) {
      const source = Array.from({ length: lengths[b] }, (_, s) => [...values.subarray((b * S + s) * E, (b * S + s + 1) * E)]);
      for (let u = 0; u < U; u++) {
        const at = b * U + u;
        const got = { c: context.floats().subarray(at * E, (at + 1) * E), w: weights.floats().subarray(at * S, (at + 1) * S) };
        const expected =
          lengths[b] === 0
            ? { context: new Array(E).fill(0), weights: [] }
            : naive(attention, [...query.subarray(at * H, (at + 1) * H)], source);
        for (let e = 0; e < E; e++) expect(got.c[e]).toBeCloseTo(expected.context[e], 12);
        for (let s = 0; s < S; s++) expect(got.w[s]).toBeCloseTo(expected.weights[s] ?? 0, 12);
      }
    }
  });

  it("has the gradients of finite differences, by queries, source and parameters", () => {
    const engine = new ReferenceKernels("float64");
    const attention = new Attention(kind, { ...sizes(kind), rng: seed(3), engine });
    const both = (q: Tensor, v: Tensor) => {
      // checkOp has an engine of its own: the layer is made anew on it.
      const own = new Attention(kind, { ...sizes(kind), rng: seed(3), engine: q.engine });
      const memory = own.prepare(v, integers(lengths, [B], { engine: q.engine }));
      const { context, weights } = own.forward(q, memory, { steps: Int32Array.of(3, 2, 3, 1) });
      return [context, weights];
    };
    checkOp(both, [{ shape: [B, U, H] }, { shape: [B, S, E] }]);
    if (kind === "dot") return;
    const [q, v] = [tensor(query, [B, U, H], { engine }), tensor(values, [B, S, E], { engine })];
    const report = checkGradient(() => {
      const { context } = attention.forward(q, attention.prepare(v, integers(lengths, [B], { engine })));
      return context.multiply(tensor(numbers(context.size, 4), context.shape, { engine })).sum();
    }, attention.namedParameters());
    expect(report.checks).toBe(attention.parameterCount());
  });

  const attention = new Attention(kind, { ...sizes(kind), rng: seed(3) });
  const run = (
    q: ArrayLike<number>,
    v: ArrayLike<number>,
    given: { rows?: number; u?: number; s?: number; lengths: number[]; steps?: Int32Array; sources?: Int32Array },
  ) =>
    inference(() => {
      const { rows = B, u = U, s = S } = given;
      const memory = attention.prepare(tensor(v, [given.lengths.length, s, E]), integers(given.lengths));
      const result = attention.forward(tensor(q, [rows, u, H]), memory, given);
      return { context: Array.from(result.context.floats()), weights: Array.from(result.weights.floats()) };
    });
  const whole = run(query, values, { lengths });

  it("never reads a source behind its end: more of it, or NaN, changes no bit", () => {
    for (const filler of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      const wide = new Float64Array(B * (S + 4) * E).fill(filler);
      for (let b = 0; b < B; b++) wide.set(values.subarray(b * S * E, (b * S + lengths[b]) * E), b * (S + 4) * E);
      const padded = run(query, wide, { s: S + 4, lengths });
      expect(padded.context).toEqual(whole.context);
      for (let i = 0; i < B * U; i++) {
        expect(padded.weights.slice(i * (S + 4), (i + 1) * (S + 4))).toEqual([
          ...whole.weights.slice(i * S, (i + 1) * S),
          0,
          0,
          0,
          0,
        ]);
      }
    }
  });

  it("gives a gradient that padding of NaN does not reach", () => {
    const wide = new Float64Array(B * (S + 1) * E).fill(Number.NaN);
    for (let b = 0; b < B; b++) wide.set(values.subarray(b * S * E, (b * S + lengths[b]) * E), b * (S + 1) * E);
    const gradients = (v: Float64Array, s: number) => {
      for (const { grad } of attention.parameters()) grad?.floats().fill(0);
      scope(() => {
        const memory = attention.prepare(tensor(v, [B, s, E]), integers(lengths));
        const loss = attention
          .forward(tensor(query, [B, U, H]), memory)
          .context.square()
          .sum();
        if (loss.requiresGrad) loss.backward();
      });
      return attention.parameters().map((parameter) => Array.from(parameter.grad?.floats() ?? []));
    };
    const [clean, dirty] = [gradients(values, S), gradients(wide, S + 1)];
    expect(dirty.flat().every(Number.isFinite)).toBe(true);
    dirty.forEach((gradient, i) => {
      gradient.forEach((value, k) => {
        expect(value).toBeCloseTo(clean[i][k], 5);
      });
    });
  });

  it("gives for a batch what its rows give alone, for all steps what each gives alone, and for steps left out zeros", () => {
    for (let b = 0; b < B; b++) {
      const v = values.subarray(b * S * E, (b + 1) * S * E);
      const alone = run(query.subarray(b * U * H, (b + 1) * U * H), v, { rows: 1, lengths: [lengths[b]] });
      expect(alone.context).toEqual(whole.context.slice(b * U * E, (b + 1) * U * E));
      for (let u = 0; u < U; u++) {
        const q = query.subarray((b * U + u) * H, (b * U + u + 1) * H);
        const step = run(q, values, { rows: 1, u: 1, lengths, sources: Int32Array.of(b) });
        expect(step.context).toEqual(whole.context.slice((b * U + u) * E, (b * U + u + 1) * E));
        expect(step.weights).toEqual(whole.weights.slice((b * U + u) * S, (b * U + u + 1) * S));
      }
    }
    const shorter = run(query, values, { lengths, steps: Int32Array.of(1, 3, 0, 2) });
    for (let i = 0; i < B * U; i++) {
      const used = i % U < [1, 3, 0, 2][Math.floor(i / U)];
      expect(shorter.context.slice(i * E, (i + 1) * E)).toEqual(
        used ? whole.context.slice(i * E, (i + 1) * E) : new Array(E).fill(0),
      );
    }
  });
});

describe("attention", () => {
  it("shares a source between rows, and adds their gradients up", () => {
    checkOp(
      (q, v) =>
        applyAll(attend, [q, v, v], { lengths: integers([2, 3], [2], { engine: q.engine }), sources: Int32Array.of(1, 0, 1) }),
      [{ shape: [3, 2, 3] }, { shape: [2, 3, 3] }],
    );
  });

  it("has the additive score's gradients where its steps come in several blocks", () => {
    // 40 x 2 x 1000 floats of the hidden layer are more than one block holds.
    const [U, S, K] = [40, 2, 1000];
    const run = (parts: number) => {
      const q = tensor(numbers(U * K, 1), [1, U, K]);
      const k = tensor(numbers(S * K, 2), [1, S, K]);
      const v = tensor(numbers(K, 3), [K]);
      const width = U / parts;
      return Array.from({ length: parts }, (_, i) =>
        applyAll(attend, [q.slice(1, i * width, (i + 1) * width), k, k, v], { lengths: integers([S]) }).map((t) =>
          Array.from(t.floats()),
        ),
      );
    };
    const [whole] = inference(() => run(1));
    const parts = inference(() => run(10));
    expect(parts.flatMap(([context]) => context)).toEqual(whole[0]);
  });

  it("takes a source of no steps at all", () => {
    const attention = new Attention("additive", { querySize: 2, memorySize: 3, rng: seed(1) });
    const { context, weights } = attention.forward(tensor([1, 2], [1, 1, 2]), attention.prepare(tensor([], [1, 0, 3])));
    expect([...context.floats()]).toEqual([0, 0, 0]);
    expect(weights.shape).toEqual([1, 1, 0]);
  });

  it("refuses widths that dot cannot multiply, and queries that fit no source", () => {
    expect(() => new Attention("dot", { querySize: 2, memorySize: 4, rng: seed(1) })).toThrow(OstinatoError);
    const attention = new Attention("dot", { querySize: 2, memorySize: 2, rng: seed(1) });
    const memory = attention.prepare(tensor(new Float64Array(4), [1, 2, 2]));
    expect(() => attention.forward(tensor(new Float64Array(4), [2, 1, 2]), memory)).toThrow(
      /queries, keys and values do not fit/,
    );
    expect(() => attention.forward(tensor(new Float64Array(3), [1, 1, 3]), memory)).toThrow(/OST_SHAPE/);
  });
});
