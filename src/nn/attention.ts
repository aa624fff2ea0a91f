/**
 * @file Attention over the steps of a source: what a decoder looks at before it decides.
 *
 *     dot       e_us = q_u . m_s
 *     general   e_us = (W q_u) . m_s                              query.weight [E, H]
 *     additive  e_us = v . tanh(W_q q_u + W_m m_s + b)            query.weight [A, H], key.weight [A, E], key.bias [A], vector [A]
 *
 * The weights are the softmax of e over the valid steps of the source, the context is the sum of m_s under them. A source of length 0 gives
 * a context of zeros.
 *
 * Sources: additive, Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473); dot and general, Luong, Pham & Manning 2015 (arXiv 1508.04025).
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import { apply, applyAll, type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { attend } from "../tensor/ops/attend.js";
import { validSteps } from "../tensor/ops/valid-steps.js";
import { uniformInit } from "./init.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { resolveLengths } from "./recurrent-op.js";

/** "additive" (Bahdanau 2015), "dot" and "general" (Luong 2015). */
export const ATTENTION_KINDS = ["additive", "dot", "general"] as const;
export type AttentionKind = (typeof ATTENTION_KINDS)[number];

export interface AttentionOptions {
  /** H, width of a query. */
  querySize: number;
  /** E, width of a step of the source; "dot" wants it equal to H. */
  memorySize: number;
  /** A, width of the additive score's hidden layer; default H. */
  attentionSize?: number;
  rng: Rng;
  engine?: Kernels;
}

/** A source, with what can be worked out before any query is known. */
export interface AttentionMemory {
  /** [B, S, E] */
  values: Tensor;
  /** [B, S, K]; the values themselves where nothing is projected. */
  keys: Tensor;
  /** int32 [B] */
  lengths: Tensor;
}

export interface AttendOptions {
  /** Valid steps of each row of queries, [N]; what lies behind is not read and gives zeros. Default all. */
  steps?: Int32Array;
  /** The source of each row of queries, [N]; default row n looks at source n. */
  sources?: Int32Array;
}

export class Attention extends Module {
  readonly kind: AttentionKind;
  /** Not of "dot". */
  readonly query: Linear | null = null;
  /** "additive" only. */
  readonly key: Linear | null = null;
  /** "additive" only: [A]. */
  readonly vector: Parameter | null = null;

  /** @throws OST_CONFIG for no kind of attention, and for "dot" where query and memory differ in width. */
  constructor(kind: AttentionKind, { querySize, memorySize, attentionSize = querySize, rng, engine }: AttentionOptions) {
    super();
    this.kind = kind;
    if (!ATTENTION_KINDS.includes(kind)) {
      throw new OstinatoError("OST_CONFIG", {
        what: "no such attention",
        expected: ATTENTION_KINDS.join(", "),
        got: String(kind),
        where: "attention",
      });
    }
    if (kind === "dot" && querySize !== memorySize) {
      throw new OstinatoError("OST_CONFIG", {
        what: "dot attention multiplies a query with a step of the source: both have one width",
        expected: `a source of width ${querySize}`,
        got: `${memorySize}`,
        where: "attention",
        repair: 'use attention "general" or "additive", or merge the two directions of the encoder by "sum" or "mean"',
      });
    }
    if (kind === "general") this.query = new Linear(querySize, memorySize, { rng, engine, bias: false });
    if (kind === "additive") {
      this.query = new Linear(querySize, attentionSize, { rng, engine, bias: false });
      this.key = new Linear(memorySize, attentionSize, { rng, engine });
      this.vector = parameter(uniformInit(rng, attentionSize, attentionSize ** -0.5), [attentionSize], { engine });
    }
  }

  /**
   * @param values  [B, S, E]; steps at or after a row's length are never read
   * @param lengths int32 [B], default all S
   * @throws OST_LENGTH, OST_SHAPE
   */
  prepare(values: Tensor, lengths?: Tensor): AttentionMemory {
    const valid = resolveLengths(values, lengths);
    const keys = this.key ? this.key.forward(apply(validSteps, [values], { lengths: valid })) : values;
    return { values, keys, lengths: valid };
  }

  /**
   * @param query  [N, U, H]
   * @param memory of `prepare`
   * @returns `context` [N, U, E]; `weights` [N, U, S], of which those of a step sum to 1, or are all 0 where the source is empty.
   * @throws OST_SHAPE
   */
  forward(
    query: Tensor,
    { values, keys, lengths }: AttentionMemory,
    { steps, sources }: AttendOptions = {},
  ): { context: Tensor; weights: Tensor } {
    const asked = this.query?.forward(query) ?? query;
    const inputs = this.vector ? [asked, keys, values, this.vector] : [asked, keys, values];
    const [context, weights] = applyAll(attend, inputs, { lengths, steps, sources });
    return { context, weights };
  }
}
