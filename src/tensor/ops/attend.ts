/**
 * @file Attention as one operation: scores, softmax over the valid steps of a source, and the weighted sum of its values.
 *
 *     e_us = q_u . k_s                  multiplicative (Luong, Pham & Manning 2015)
 *     e_us = v . tanh(q_u + k_s)        additive (Bahdanau, Cho & Bengio 2015), of a query and keys that are projected already
 *     w_us = exp(e_us) / sum_s' exp(e_us')         s' < length of the source
 *     c_u  = sum_s w_us m_s
 *
 * Steps of a source at or after its length are never read, so that more of them, or NaN in them, changes no bit. Every element is summed in
 * an order that depends on no other query and no other row: all steps at once give what single steps give.
 *
 * Legend: N rows of queries, U steps of each, B sources, S steps of each, K width of a key, E width of a value.
 */
import { OstinatoError } from "../../core/errors.js";
import { describeShape } from "../../core/shape.js";
import type { Kernels, Pointer } from "../../kernels/index.js";
import { type Op, type RawBuffer, wantFloat } from "../op.js";
import { allocate, release } from "../storage.js";

export interface AttendAttrs {
  /** int32 [B], 0 .. S. A source of length 0 gives a context of zeros and weights of zero. */
  lengths: RawBuffer;
  /** How many steps of each row of queries there are, [N], 0 .. U; what lies behind them is not read and gives zeros. Absent: U each. */
  steps?: Int32Array;
  /** The source of each row of queries, [N]. Absent: row n looks at source n. */
  sources?: Int32Array;
}

/**
 * inputs:  query [N, U, K], keys [B, S, K], values [B, S, E], and for the additive score its vector [K]
 * outputs: context [N, U, E], weights [N, U, S], which are zero at and after the length of a source
 */
export const attend: Op<AttendAttrs> = {
  name: "attend",
  shapes(inputs, { lengths, steps, sources }) {
    for (const input of inputs) wantFloat(input, "attend");
    const [query, keys, values, vector] = inputs;
    const [n, u, k] = query.shape;
    const [b, s, e] = values.shape;
    const fits =
      query.shape.length === 3 &&
      values.shape.length === 3 &&
      describeShape(keys.shape) === describeShape([b, s, k]) &&
      (!vector || vector.size === k) &&
      lengths.size === b &&
      (steps ? steps.length === n : true) &&
      (sources ? sources.length === n : n === b);
    if (!fits) {
      throw new OstinatoError("OST_SHAPE", {
        what: "queries, keys and values do not fit",
        expected: "query [N, U, K], keys [B, S, K], values [B, S, E], one length per source",
        got: inputs.map(({ shape }) => describeShape(shape)).join(", "),
        where: "attend",
      });
    }
    return [
      [n, u, e],
      [n, u, s],
    ];
  },
  forward(engine, [context, weights], [query, keys, values, vector], _, attrs) {
    const [U, S, E] = [query.shape[1], values.shape[1], values.shape[2]];
    const work = new Work(engine, query, keys, vector);
    context.floats().fill(0);
    weights.floats().fill(0);
    const { memory } = engine;
    const bytes = memory.bytesPerFloat;
    eachRow(query, attrs, (n, source, used, length) => {
      work.score(n, source, used, length);
      const all = memory.floats;
      const from = work.scores / bytes;
      for (let u = 0; u < used; u++) {
        const to = weights.offset + (n * U + u) * S;
        softmaxRow(all, from + u * length, length, to);
      }
      product(
        engine,
        [used, E, length],
        [weights.pointer + n * U * S * bytes, S, 1],
        [values.pointer + source * S * E * bytes, E, 1],
        context.pointer + n * U * E * bytes,
        false,
      );
    });
    work.release();
  },
  backward(engine, dInputs, [dContext, dWeights], [query, keys, values, vector], [, weights], __, attrs) {
    const [dQuery, dKeys, dValues, dVector] = dInputs;
    const [U, S, E] = [query.shape[1], values.shape[1], values.shape[2]];
    const work = new Work(engine, query, keys, vector);
    const { memory } = engine;
    const bytes = memory.bytesPerFloat;
    eachRow(query, attrs, (n, source, used, length) => {
      const place = n * U * S * bytes;
      if (dContext) {
        const dRow = dContext.pointer + n * U * E * bytes;
        const from = source * S * E * bytes;
        product(engine, [used, length, E], [dRow, E, 1], [values.pointer + from, 1, E], work.scores, false);
        if (dValues) {
          product(engine, [length, E, used], [weights.pointer + place, 1, S], [dRow, E, 1], dValues.pointer + from, true);
        }
      } else memory.floatsAt(work.scores, used * length).fill(0);
      const all = memory.floats;
      for (let u = 0; u < used; u++) {
        const at = work.scores / bytes + u * length;
        const w = weights.offset + (n * U + u) * S;
        if (dWeights) {
          const d = dWeights.offset + (n * U + u) * S;
          for (let s = 0; s < length; s++) all[at + s] += all[d + s];
        }
        let total = 0;
        for (let s = 0; s < length; s++) total += all[w + s] * all[at + s];
        for (let s = 0; s < length; s++) all[at + s] = all[w + s] * (all[at + s] - total);
      }
      work.scoreGradient(n, source, used, length, dQuery, dKeys, dVector ?? null);
    });
    work.release();
  },
};

/** Visits the rows that see anything: (row of queries, source, steps of the row, length of the source). */
function eachRow(
  { shape: [rows, U] }: RawBuffer,
  { lengths, steps, sources }: AttendAttrs,
  visit: (n: number, source: number, used: number, length: number) => void,
): void {
  const valid = lengths.ints().slice();
  for (let n = 0; n < rows; n++) {
    const source = sources ? sources[n] : n;
    const used = steps ? steps[n] : U;
    if (used > 0 && valid[source] > 0) visit(n, source, used, valid[source]);
  }
}

function softmaxRow(all: Float32Array | Float64Array, from: number, length: number, to: number): void {
  let top = Number.NEGATIVE_INFINITY;
  for (let s = 0; s < length; s++) top = Math.max(top, all[from + s]);
  let total = 0;
  for (let s = 0; s < length; s++) total += Math.exp(all[from + s] - top);
  const share = 1 / total;
  for (let s = 0; s < length; s++) all[to + s] = Math.exp(all[from + s] - top) * share;
}

type Sizes = [rows: number, columns: number, inner: number];
type Strided = [pointer: Pointer, rowStride: number, columnStride: number];

/** c (+)= a b. Written out: what is called so often must not take microseconds to name its arguments. */
function product(
  engine: Kernels,
  [rows, columns, inner]: Sizes,
  [a, aRowStride, aColumnStride]: Strided,
  [b, bRowStride, bColumnStride]: Strided,
  c: Pointer,
  accumulate: boolean,
): void {
  engine.matmul({ rows, columns, inner, a, aRowStride, aColumnStride, b, bRowStride, bColumnStride, c, accumulate });
}

/** Floats of tanh(q_u + k_s) that are held at once. */
const BLOCK = 1 << 16;

/** The scores of one row at a time, and what is needed to find them and their gradients. */
class Work {
  /** [steps, length], dense; the backward pass puts the gradients by the scores here. */
  readonly scores: Pointer;
  readonly #hidden: Pointer = 0;
  readonly #release: (() => void)[] = [];

  constructor(
    readonly engine: Kernels,
    readonly query: RawBuffer,
    readonly keys: RawBuffer,
    readonly vector: RawBuffer | undefined,
  ) {
    const [U, S, K] = [query.shape[1], keys.shape[1], query.shape[2]];
    this.scores = this.#take(U * S);
    if (vector) this.#hidden = this.#take(Math.min(Math.max(BLOCK, S * K), U * S * K));
  }

  #take(count: number): Pointer {
    const storage = allocate(this.engine.memory, count * this.engine.memory.bytesPerFloat);
    this.#release.push(() => release(storage));
    return storage.pointer;
  }

  release(): void {
    for (const free of this.#release) free();
  }

  score(n: number, source: number, used: number, length: number): void {
    const { engine, query, keys, vector } = this;
    const [U, S, K] = [query.shape[1], keys.shape[1], query.shape[2]];
    const bytes = engine.memory.bytesPerFloat;
    if (!vector) {
      product(
        engine,
        [used, length, K],
        [query.pointer + n * U * K * bytes, K, 1],
        [keys.pointer + source * S * K * bytes, 1, K],
        this.scores,
        false,
      );
      return;
    }
    this.#eachBlock(n, source, used, length, (first, count) => {
      product(
        engine,
        [count * length, 1, K],
        [this.#hidden, K, 1],
        [vector.pointer, 1, 1],
        this.scores + first * length * bytes,
        false,
      );
    });
  }

  /** Adds what the gradients in `scores` mean for query, keys and vector. */
  scoreGradient(
    n: number,
    source: number,
    used: number,
    length: number,
    dQuery: RawBuffer | null,
    dKeys: RawBuffer | null,
    dVector: RawBuffer | null,
  ): void {
    const { engine, query, keys, vector } = this;
    const [U, S, K] = [query.shape[1], keys.shape[1], query.shape[2]];
    const { memory } = engine;
    const bytes = memory.bytesPerFloat;
    const queryAt = n * U * K * bytes;
    const keysAt = source * S * K * bytes;
    if (!vector) {
      const [q, k] = [query.pointer + queryAt, keys.pointer + keysAt];
      if (dQuery) product(engine, [used, K, length], [this.scores, length, 1], [k, K, 1], dQuery.pointer + queryAt, true);
      if (dKeys) product(engine, [length, K, used], [this.scores, 1, length], [q, K, 1], dKeys.pointer + keysAt, true);
      return;
    }
    this.#eachBlock(n, source, used, length, (first, count) => {
      const scores = this.scores + first * length * bytes;
      if (dVector) {
        product(engine, [1, K, count * length], [scores, count * length, 1], [this.#hidden, K, 1], dVector.pointer, true);
      }
      const all = memory.floats;
      const v = vector.offset;
      for (let i = 0; i < count * length; i++) {
        const slope = all[scores / bytes + i];
        const at = this.#hidden / bytes + i * K;
        for (let k = 0; k < K; k++) {
          const t = all[at + k];
          all[at + k] = slope * all[v + k] * (1 - t * t);
        }
      }
      for (let i = 0; i < count; i++) {
        const block = this.#hidden + i * length * K * bytes;
        if (dQuery) engine.addColumnSums(length, K, block, dQuery.pointer + queryAt + (first + i) * K * bytes);
        if (dKeys) engine.add(length * K, block, dKeys.pointer + keysAt);
      }
    });
  }

  /** Visits the steps of a row in blocks (first, count) for which `hidden` holds tanh(q_u + k_s), [count, length, K]. */
  #eachBlock(n: number, source: number, used: number, length: number, visit: (first: number, count: number) => void): void {
    const { engine, query, keys } = this;
    const [U, S, K] = [query.shape[1], keys.shape[1], query.shape[2]];
    const { memory } = engine;
    const width = length * K;
    const most = Math.max(1, Math.floor(BLOCK / width));
    for (let first = 0; first < used; first += most) {
      const count = Math.min(most, used - first);
      const all = memory.floats;
      const k0 = keys.offset + source * S * K;
      for (let i = 0; i < count; i++) {
        const q0 = query.offset + (n * U + first + i) * K;
        const to = this.#hidden / memory.bytesPerFloat + i * width;
        for (let s = 0; s < length; s++) {
          const [from, at] = [k0 + s * K, to + s * K];
          for (let k = 0; k < K; k++) all[at + k] = all[q0 + k] + all[from + k];
        }
      }
      engine.tanh(count * width, this.#hidden, this.#hidden);
      visit(first, count);
    }
  }
}
