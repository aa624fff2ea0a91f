/**
 * @file A recurrent encoder that reads a sequence and a recurrent decoder that writes another, one token after the other.
 *
 *     m_1 .. m_S = encoder(x)                     s_0 = bridge(final state of the encoder)
 *     s_t  = decoder(E y_{t-1}, s_{t-1})          or of [E y_{t-1}; a_{t-1}] with input feeding, a_0 = 0
 *     c_t  = attention(s_t, m)
 *     a_t  = tanh(W_c [c_t; s_t])                 a_t = s_t without attention
 *     p(y_t | y_<t, x) = softmax(W_o a_t + b_o)
 *
 * Tokens: V plain codes 0 .. V - 1; `end` = V, which the decoder may predict; `begin` = V + 1, which it only reads. So there are V + 1
 * classes and V + 2 rows of the target embedding.
 *
 * Sources: Sutskever, Vinyals & Le 2014 (arXiv 1409.3215); Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473), whose score is "additive"; the
 * place of the attention behind the step and input feeding: Luong, Pham & Manning 2015 (arXiv 1508.04025); scheduled sampling: Bengio,
 * Vinyals, Jaitly & Shazeer 2015 (arXiv 1506.03099); a tied output matrix: Press & Wolf 2017 (arXiv 1608.05859).
 *
 * Laws, bit for bit: a row does not depend on its batch; more padding of source or target changes nothing; the steps of a scorer give what
 * all steps at once give.
 *
 * Legend: B batch, S source time, U longest target, V plain target codes, H hiddenSize, E width of an encoder output, D targetEmbedding.
 */

import { OstinatoError } from "../core/errors.js";
import { logSoftmax } from "../core/log-softmax.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import { argmax } from "../core/top-index.js";
import type { FloatArray, Kernels } from "../kernels/index.js";
import {
  apply,
  concatenate,
  inference,
  integers,
  type Parameter,
  parameter,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "../tensor/index.js";
import { firstRows, tiedLinear } from "../tensor/ops/tied-linear.js";
import { PackedMatrix } from "../tensor/packed-matrix.js";
import { Attention, type AttentionKind, type AttentionMemory } from "./attention.js";
import { Bridge } from "./bridge.js";
import { dropout } from "./dropout.js";
import { type EmbeddedColumns, embeddingFront } from "./embedded-columns.js";
import { Embedding } from "./embedding.js";
import { type EncoderDecoderSpec, wantFitting } from "./encoder-decoder-spec.js";
import { GRU } from "./gru.js";
import { Linear } from "./linear.js";
import { LSTM } from "./lstm.js";
import type { ForwardOptions } from "./model.js";
import { Module } from "./module.js";
import type { RecurrentLayer } from "./recurrent-layer.js";
import { resolveLengths } from "./recurrent-op.js";
import { RNN } from "./rnn.js";
import { flattenState, type State, stateWidth, unflattenState } from "./state.js";

/** Target sequences, as batches hold them. */
export interface TargetTokens {
  /** Codes 0 .. V - 1, [B, U]; what stands at and after a row's length means nothing. */
  tokens: ArrayLike<number>;
  /** [B], 0 <= lengths[b] <= U */
  lengths: ArrayLike<number>;
}

/** What the decoder knows of a batch of sources. */
export interface Encoded {
  batchSize: number;
  /** Null without attention. */
  memory: AttentionMemory | null;
  /** The decoder's initial state. */
  initial: State;
}

export interface ScheduledSampling {
  /** With which probability, per row and step, the decoder reads its own prediction in place of the target: 0 .. 1. */
  probability: number;
  rng: Rng;
  /** "argmax" takes the likeliest code, "sample" (default) draws one from the predicted distribution. */
  choose?: "argmax" | "sample";
}

export interface TeacherForcingOptions {
  /** Turns dropout on; absent means no dropout. */
  rng?: Rng;
  /** Codes that the decoder reads in place of begin and the targets, [B, U + 1]: 0 .. V + 1. */
  feed?: ArrayLike<number>;
  /** Finds `feed` by scheduled sampling. No gradient flows through the choices, and they are made without dropout. */
  sampling?: ScheduledSampling;
}

/** One hypothesis on its way: plain numbers, never changed. */
export interface DecoderState {
  /** The decoder's, laid out as by `flattenState`. */
  readonly state: Float32Array;
  /** a_{t-1}, [H]; empty without input feeding. */
  readonly feed: Float32Array;
  /** Which source it belongs to. */
  readonly row: number;
}

/** A step of the decoder for code that searches; the shape is that of the scorers in `decode`. */
export interface DecoderScorer {
  /** V + 1 */
  readonly vocabSize: number;
  readonly initial: DecoderState;
  /**
   * Reads one token per state: `begin` first. States of any rows of the same sources go together.
   *
   * @returns `logProbabilities` [rows, V + 1] in nats, `attention` [rows, S].
   */
  advance(states: readonly DecoderState[], tokens: readonly number[]): DecoderScores;
}

export interface DecoderScores {
  logProbabilities: Float64Array;
  states: DecoderState[];
  attention?: Float32Array;
}

/** What one step of the decoder gives, as tensors. */
interface DecoderStep {
  /** [N, 1, V + 1] */
  logits: Tensor;
  state: State;
  /** [N, 1, H], null without input feeding. */
  feed: Tensor | null;
  /** [N, 1, S], null without attention. */
  weights: Tensor | null;
}

export class EncoderDecoder extends Module {
  /** Null where x holds numbers only. */
  readonly embedding: EmbeddedColumns | null;
  readonly encoder: RecurrentLayer;
  readonly bridge: Bridge;
  /** [V + 2, D] */
  readonly target: Embedding;
  readonly decoder: RecurrentLayer;
  readonly attention: Attention | null;
  /** W_c [H, E + H]; null without attention. */
  readonly combine: Linear | null;
  /** W_o, b_o; null where the matrix is the target embedding. */
  readonly head: Linear | null;
  /** b_o where the matrix is the target embedding. */
  readonly headBias: Parameter | null;
  readonly spec: EncoderDecoderSpec;
  readonly #tied = new PackedMatrix();
  #tiedView: { table: Parameter; view: ReturnType<typeof firstRows> & { version: number } } | null = null;

  /** @throws OST_CONFIG for choices that do not go together, OST_RANGE for sizes that are none. */
  constructor(spec: EncoderDecoderSpec, { rng, engine }: { rng: Rng; engine?: Kernels }) {
    super();
    wantFitting(spec);
    this.spec = spec;
    const { inputSize, hiddenSize, targetSize, targetEmbedding, merge } = spec;
    this.embedding = embeddingFront(inputSize, spec.embeddings, { rng, engine });
    this.encoder = recurrentLayer(spec, this.embedding?.outputSize ?? inputSize, spec.bidirectional, { rng, engine });
    const memorySize = this.encoder.outputSize;
    this.target = new Embedding(targetSize + 2, targetEmbedding, { rng, engine });
    this.decoder = recurrentLayer(spec, targetEmbedding + (spec.inputFeeding ? hiddenSize : 0), false, { rng, engine });
    const [from, to] = [this.encoder.stateSpec, this.decoder.stateSpec];
    this.bridge = new Bridge(spec.bridge, { encoder: from, decoder: to, merge, rng, engine });
    const attends = spec.attention !== "none";
    this.attention = attends
      ? new Attention(spec.attention as AttentionKind, { querySize: hiddenSize, memorySize, rng, engine })
      : null;
    this.combine = attends ? new Linear(memorySize + hiddenSize, hiddenSize, { rng, engine, bias: false }) : null;
    this.head = spec.tieTarget ? null : new Linear(hiddenSize, targetSize + 1, { rng, engine });
    this.headBias = spec.tieTarget ? parameter(new Float64Array(targetSize + 1), [targetSize + 1], { engine }) : null;
    // Both uses of a shared matrix want small values: standard normal rows would make logits of sqrt(H).
    if (spec.tieTarget) this.target.weight.assign(this.target.weight.floats().map((value) => value * hiddenSize ** -0.5));
  }

  /** The code that ends a target, the last class: V. */
  get end(): number {
    return this.spec.targetSize;
  }

  /** The code that the decoder reads first: V + 1. */
  get begin(): number {
    return this.spec.targetSize + 1;
  }

  /** Number of classes: V + 1. */
  get outputSize(): number {
    return this.spec.targetSize + 1;
  }

  /**
   * Reads sources.
   *
   * @param x       [B, S, inputSize], codes as whole numbers in the columns that are embedded; S may be 0
   * @param options `lengths`: int32 [B], default all S; a length of 0 is an empty source. `rng` turns dropout on.
   * @throws OST_SHAPE, OST_LENGTH; OST_RANGE if a code is no row of its table.
   */
  encode(x: Tensor, { lengths, rng }: Pick<ForwardOptions, "lengths" | "rng"> = {}): Encoded {
    if (x.shape.length !== 3) {
      throw new OstinatoError("OST_SHAPE", {
        what: "the encoder wants [batch, time, features]",
        got: `x ${describeShape(x.shape)}`,
        where: "encoderDecoder.encode",
      });
    }
    const valid = resolveLengths(x, lengths);
    const embedded = this.embedding ? this.#drop(this.embedding.forward(x, valid), rng) : x;
    const { output, state } = this.encoder.forward(embedded, { lengths: valid, rng });
    const batchSize = x.shape[0];
    const initial = this.bridge.forward(state, { batchSize, engine: x.engine });
    return { batchSize, initial, memory: this.attention?.prepare(output, valid) ?? null };
  }

  /**
   * Logits of every token and of the end, each given the tokens before it.
   *
   * Without input feeding all steps run in one call. Scheduled sampling first finds what the decoder reads, step by step and without record,
   * and then runs as if that had been given.
   *
   * @returns [B, U + 1, V + 1]; zeros behind the end of a row.
   * @throws OST_TARGET if a code is none of 0 .. V - 1; OST_SHAPE, OST_LENGTH, OST_RANGE.
   */
  teacherForced(encoded: Encoded, target: TargetTokens, { rng, feed, sampling }: TeacherForcingOptions = {}): Tensor {
    const { batchSize } = encoded;
    const given = feed ? this.#checkedFeed(encoded, target, feed) : this.feed(encoded, target, sampling);
    const steps = Int32Array.from(target.lengths, (length) => length + 1);
    const time = given.length / batchSize;
    // A code behind the end of a row is no row of the table.
    for (let b = 0; b < batchSize; b++) given.fill(-1, b * time + steps[b], (b + 1) * time);
    return this.spec.inputFeeding
      ? this.#fedSteps(encoded, given, { steps, time, rng })
      : this.#allSteps(encoded, given, { steps, time, rng });
  }

  /** The classes that `teacherForced` is to predict, [B, U + 1]: each row's tokens, `end`, then -1. @throws OST_TARGET, OST_SHAPE */
  targets(target: TargetTokens): Int32Array {
    const { batchSize, time } = this.#checkedTarget(target);
    const classes = new Int32Array(batchSize * (time + 1)).fill(-1);
    for (let b = 0; b < batchSize; b++) {
      const start = b * (time + 1);
      for (let t = 0; t < target.lengths[b]; t++) classes[start + t] = target.tokens[b * time + t];
      classes[start + target.lengths[b]] = this.end;
    }
    return classes;
  }

  /**
   * What the decoder reads, [B, U + 1]: `begin`, then each row's tokens, some of them replaced by the model's own predictions under scheduled
   * sampling. A prediction may be `end`.
   *
   * @throws OST_TARGET, OST_SHAPE; OST_RANGE for a probability that is none.
   */
  feed(encoded: Encoded, target: TargetTokens, sampling?: ScheduledSampling): Int32Array {
    const { batchSize, time } = this.#checkedTarget(target, encoded);
    const width = time + 1;
    const read = new Int32Array(batchSize * width).fill(-1);
    for (let b = 0; b < batchSize; b++) {
      read[b * width] = this.begin;
      for (let t = 0; t < target.lengths[b]; t++) read[b * width + t + 1] = target.tokens[b * time + t];
    }
    if (sampling) this.#sample(encoded, target.lengths, read, sampling);
    return read;
  }

  /**
   * The decoder of one source, step by step and outside autograd. Scorers of one `encoded` share everything but their initial state: states
   * of many rows advance together through any of them.
   *
   * @param row of `encoded`; its tensors must still be there when the scorer is used.
   * @throws OST_RANGE
   */
  scorer(encoded: Encoded, row: number): DecoderScorer {
    if (!(Number.isInteger(row) && row >= 0 && row < encoded.batchSize)) {
      throw new OstinatoError("OST_RANGE", {
        what: "no such source",
        expected: `0 .. ${encoded.batchSize - 1}`,
        got: String(row),
        where: "encoderDecoder.scorer",
      });
    }
    const { stateSpec } = this.decoder;
    const own = Object.entries(stateSpec).flatMap(([name, width]) => [
      ...encoded.initial[name].floats().subarray(row * width, (row + 1) * width),
    ]);
    const initial = {
      state: Float32Array.from(own),
      feed: new Float32Array(this.spec.inputFeeding ? this.spec.hiddenSize : 0),
      row,
    };
    return { vocabSize: this.outputSize, initial, advance: (states, tokens) => this.#advance(encoded, states, tokens) };
  }

  #advance(encoded: Encoded, states: readonly DecoderState[], tokens: readonly number[]): DecoderScores {
    const count = states.length;
    if (count === 0) return { logProbabilities: new Float64Array(0), states: [] };
    if (tokens.length !== count) {
      throw new OstinatoError("OST_SHAPE", {
        what: "one token per state is wanted",
        expected: `${count}`,
        got: `${tokens.length}`,
        where: "encoderDecoder.scorer",
      });
    }
    for (const token of tokens) this.#wantReadable(token, "encoderDecoder.scorer");
    const { engine } = this;
    const spec = this.decoder.stateSpec;
    const [width, fed] = [stateWidth(spec), states[0].feed.length];
    const flat = new Float32Array(count * width);
    const feeds = new Float32Array(count * fed);
    states.forEach(({ state, feed }, i) => {
      flat.set(state, i * width);
      feeds.set(feed, i * fed);
    });
    return inference(() => {
      const next = this.#step(encoded, {
        tokens,
        state: unflattenState(spec, flat, engine),
        feed: fed > 0 ? tensor(feeds, [count, 1, fed], { engine }) : null,
        sources: Int32Array.from(states, ({ row }) => row),
      });
      const nextFlat = flattenState(spec, next.state);
      const nextFeed = next.feed ? Float32Array.from(next.feed.floats()) : feeds;
      return {
        logProbabilities: logSoftmaxRows(next.logits.floats(), this.outputSize),
        states: states.map(({ row }, i) => ({
          state: nextFlat.slice(i * width, (i + 1) * width),
          feed: nextFeed.slice(i * fed, (i + 1) * fed),
          row,
        })),
        attention: next.weights ? Float32Array.from(next.weights.floats()) : undefined,
      };
    });
  }

  /** One step of N hypotheses. */
  #step(
    { memory }: Encoded,
    given: { tokens: ArrayLike<number>; state: State; feed: Tensor | null; sources: Int32Array },
  ): DecoderStep {
    const count = given.tokens.length;
    const embedded = this.target.forward(integers(given.tokens, [count, 1], { engine: this.engine }));
    const input = given.feed ? concatenate([embedded, given.feed], 2) : embedded;
    const { output, state } = this.decoder.forward(input, { state: given.state });
    const seen = memory && this.attention ? this.attention.forward(output, memory, { sources: given.sources }) : null;
    const hidden = this.#attentional(output, seen?.context ?? null);
    return { logits: this.#decide(hidden), state, feed: given.feed ? hidden : null, weights: seen?.weights ?? null };
  }

  #allSteps({ memory, initial }: Encoded, feed: Int32Array, { steps, time, rng }: Run): Tensor {
    const { engine } = this;
    const batch = steps.length;
    const embedded = this.#drop(this.target.forward(integers(feed, [batch, time], { engine })), rng);
    const lengths = integers(steps, [batch], { engine });
    const { output } = this.decoder.forward(embedded, { state: initial, lengths, rng });
    const context = memory && this.attention ? this.attention.forward(output, memory, { steps }).context : null;
    // Row after row and step after step, as the logits lie; only the steps that there are pay for the output matrix.
    const valid = validPlaces(steps, time);
    const rows = (value: Tensor) => pick(value.reshape([batch * time, value.shape[2]]), valid.places);
    const hidden = this.#attentional(rows(output), context && rows(context));
    return this.#spread(this.#decide(this.#drop(hidden, rng)), valid.inverse, [batch, time]);
  }

  #fedSteps({ memory, initial }: Encoded, feed: Int32Array, { steps, time, rng }: Run): Tensor {
    const { engine } = this;
    const { hiddenSize } = this.spec;
    const batch = steps.length;
    // Time first, so that the rows of one step lie together.
    const read = Int32Array.from(feed, (_, i) => feed[(i % batch) * time + Math.floor(i / batch)]);
    const embedded = this.#drop(this.target.forward(integers(read, [time * batch, 1], { engine })), rng);
    let state = initial;
    let fed = zeros([batch, 1, hiddenSize], { engine });
    const all: Tensor[] = [];
    for (let t = 0; t < time; t++) {
      const active = Int32Array.from(steps, (count) => (t < count ? 1 : 0));
      const input = concatenate([embedded.slice(0, t * batch, (t + 1) * batch), fed], 2);
      const next = this.decoder.forward(input, { state, rng, lengths: integers(active, [batch], { engine }) });
      state = next.state;
      const { context } = (this.attention as Attention).forward(next.output, memory as AttentionMemory, { steps: active });
      fed = this.#attentional(next.output, context);
      all.push(fed);
    }
    const inverse = new Int32Array(batch * time).fill(-1);
    const places: number[] = [];
    for (let b = 0; b < batch; b++) for (let t = 0; t < steps[b]; t++) inverse[b * time + t] = places.push(t * batch + b) - 1;
    const hidden = pick(concatenate(all, 0).reshape([time * batch, hiddenSize]), places);
    return this.#spread(this.#decide(this.#drop(hidden, rng)), inverse, [batch, time]);
  }

  /** a_t of decoder outputs [.., H] and contexts [.., E]. */
  #attentional(hidden: Tensor, context: Tensor | null): Tensor {
    return context && this.combine ? this.combine.forward(concatenate([context, hidden], -1)).tanh() : hidden;
  }

  /** [.., H] to logits [.., V + 1]. */
  #decide(hidden: Tensor): Tensor {
    if (this.head) return this.head.forward(hidden);
    const table = this.target.weight;
    return apply(tiedLinear, [hidden, table, this.headBias as Parameter], {
      outputs: this.outputSize,
      packed: this.#tied.refresh(this.#tiedRows()),
    });
  }

  /** The rows of the target embedding that are the output matrix, with the table's version. */
  #tiedRows() {
    const table = this.target.weight;
    if (this.#tiedView?.table !== table) {
      const view = Object.defineProperty(firstRows(table, this.outputSize), "version", { get: () => table.version });
      this.#tiedView = { table, view: view as ReturnType<typeof firstRows> & { version: number } };
    }
    return this.#tiedView.view;
  }

  /** Logits of the steps that there are, at their places among zeros. */
  #spread(logits: Tensor, inverse: Int32Array, [batch, time]: readonly [number, number]): Tensor {
    return pick(logits, inverse).reshape([batch, time, this.outputSize]);
  }

  #drop(x: Tensor, rng: Rng | undefined): Tensor {
    return rng && this.spec.dropout > 0 ? dropout(x, this.spec.dropout, rng) : x;
  }

  /** Overwrites some of what is read by the model's predictions, step after step. */
  #sample(
    encoded: Encoded,
    lengths: ArrayLike<number>,
    read: Int32Array,
    { probability, rng, choose = "sample" }: ScheduledSampling,
  ): void {
    if (!(probability >= 0 && probability <= 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "scheduled sampling has a probability",
        expected: "0 .. 1",
        got: String(probability),
        where: "teacherForced",
      });
    }
    const { batchSize } = encoded;
    const time = read.length / batchSize;
    // All coins first, so that how many are drawn does not depend on what the model predicts.
    const own = new Uint8Array(read.length);
    let last = 0;
    for (let b = 0; b < batchSize; b++) {
      for (let t = 1; t <= lengths[b]; t++) {
        if (!(rng.uniform() < probability)) continue;
        own[b * time + t] = 1;
        last = Math.max(last, t);
      }
    }
    if (last === 0) return;
    const { engine } = this;
    const classes = this.outputSize;
    const sources = Int32Array.from({ length: batchSize }, (_, b) => b);
    inference(() => {
      let carried = {
        state: encoded.initial,
        feed: this.spec.inputFeeding ? zeros([batchSize, 1, this.spec.hiddenSize], { engine }) : null,
      };
      for (let t = 0; t < last; t++) {
        carried = scope(() => {
          // What stands behind the end of a row is read as its end and decides nothing.
          const tokens = Int32Array.from(sources, (b) => Math.max(read[b * time + t], 0));
          const { logits, state, feed } = this.#step(encoded, { ...carried, tokens, sources });
          const values = logits.floats();
          for (let b = 0; b < batchSize; b++) {
            if (!own[b * time + t + 1]) continue;
            const row = values.subarray(b * classes, (b + 1) * classes);
            read[b * time + t + 1] = choose === "argmax" ? argmax(row) : draw(row, rng);
          }
          return { state, feed };
        });
      }
    });
  }

  #checkedTarget({ tokens, lengths }: TargetTokens, encoded?: Encoded): { batchSize: number; time: number } {
    const batchSize = lengths.length;
    const time = batchSize > 0 ? tokens.length / batchSize : 0;
    if (batchSize === 0 || !Number.isInteger(time) || (encoded && batchSize !== encoded.batchSize)) {
      throw new OstinatoError("OST_SHAPE", {
        what: "one target per source is wanted, all padded to one length",
        expected: encoded ? `tokens [${encoded.batchSize}, U], lengths [${encoded.batchSize}]` : "tokens [B, U], lengths [B]",
        got: `${tokens.length} tokens, ${batchSize} lengths`,
        where: "encoderDecoder, targets",
      });
    }
    for (let b = 0; b < batchSize; b++) {
      if (!(Number.isInteger(lengths[b]) && lengths[b] >= 0 && lengths[b] <= time)) {
        throw new OstinatoError("OST_LENGTH", {
          what: "the length of a target lies outside the batch",
          expected: `0 .. ${time}`,
          got: String(lengths[b]),
          where: `row ${b}`,
        });
      }
      for (let t = 0; t < lengths[b]; t++) {
        const token = tokens[b * time + t];
        if (Number.isInteger(token) && token >= 0 && token < this.spec.targetSize) continue;
        throw new OstinatoError("OST_TARGET", {
          what: "a code is no code of the target vocabulary",
          expected: `0 .. ${this.spec.targetSize - 1}`,
          got: String(token),
          where: `row ${b}, token ${t}`,
          repair: "encode targets with the vocabulary the model was made for; the end is added by the model",
        });
      }
    }
    return { batchSize, time };
  }

  #checkedFeed(encoded: Encoded, target: TargetTokens, feed: ArrayLike<number>): Int32Array {
    const { batchSize, time } = this.#checkedTarget(target, encoded);
    if (feed.length !== batchSize * (time + 1)) {
      throw new OstinatoError("OST_SHAPE", {
        what: "what the decoder reads is one code longer than the target",
        expected: `[${batchSize}, ${time + 1}]`,
        got: `${feed.length} codes`,
        where: "teacherForced, feed",
      });
    }
    for (let b = 0; b < batchSize; b++) {
      for (let t = 0; t <= target.lengths[b]; t++) this.#wantReadable(feed[b * (time + 1) + t], `teacherForced, feed, row ${b}`);
    }
    return Int32Array.from(feed);
  }

  #wantReadable(token: number, where: string): void {
    if (Number.isInteger(token) && token >= 0 && token <= this.begin) return;
    throw new OstinatoError("OST_RANGE", {
      what: "the decoder cannot read this",
      expected: `a code 0 .. ${this.begin}, of which ${this.end} is the end and ${this.begin} the beginning`,
      got: String(token),
      where,
    });
  }
}

interface Run {
  /** Steps of each row that there are, the end included, [B]. */
  steps: Int32Array;
  /** U + 1 */
  time: number;
  rng: Rng | undefined;
}

function recurrentLayer(
  { cell, hiddenSize, numLayers, dropout, merge, init, forgetBias }: EncoderDecoderSpec,
  inputSize: number,
  bidirectional: boolean,
  { rng, engine }: { rng: Rng; engine?: Kernels },
): RecurrentLayer {
  const options = { rng, engine, numLayers, bidirectional, dropout, merge: bidirectional ? merge : undefined, init };
  if (cell === "lstm") return new LSTM(inputSize, hiddenSize, { ...options, forgetBias: forgetBias ?? undefined });
  return cell === "gru" ? new GRU(inputSize, hiddenSize, options) : new RNN(inputSize, hiddenSize, options);
}

/** The places b * time + t of valid steps in order, and for each place its number among them, or -1. */
function validPlaces(steps: Int32Array, time: number): { places: number[]; inverse: Int32Array } {
  const places: number[] = [];
  const inverse = new Int32Array(steps.length * time).fill(-1);
  steps.forEach((count, b) => {
    for (let t = 0; t < count; t++) inverse[b * time + t] = places.push(b * time + t) - 1;
  });
  return { places, inverse };
}

/** Rows of a matrix by number; -1 gives zeros. */
function pick(rows: Tensor, places: ArrayLike<number>): Tensor {
  return rows.gather(integers(places, [places.length], { engine: rows.engine }));
}

/** A class drawn from the softmax of logits. */
function draw(logits: FloatArray, rng: Rng): number {
  const top = logits[argmax(logits)];
  let total = 0;
  for (let c = 0; c < logits.length; c++) total += Math.exp(logits[c] - top);
  let left = rng.uniform() * total;
  for (let c = 0; c < logits.length; c++) {
    left -= Math.exp(logits[c] - top);
    if (left < 0) return c;
  }
  return argmax(logits);
}

/** log softmax of every row, in float64. */
function logSoftmaxRows(logits: FloatArray, classes: number): Float64Array {
  const result = new Float64Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) logSoftmax(logits, start, result.subarray(start, start + classes));
  return result;
}
