/**
 * @file Forecasts of several steps by a network of one: each predicted row is read as if it had been measured.
 *
 *     x_1 .. x_L  ->  y_1,    y_1  ->  y_2,    ...  ->  y_P
 *
 * With a distribution of the next step, paths are drawn from it and the quantiles over the paths are the forecast.
 */
import type { Batch, ExampleSpec, RecursiveForecast } from "../core/batch.js";
import { crc32 } from "../core/bytes.js";
import { type Distribution, outputsPerValue, point, sample } from "../core/predictive-distribution.js";
import { sortedQuantile } from "../core/sorted-quantile.js";
import { sequenceRng } from "../decode/index.js";
import type { SequenceModel, State } from "../nn/index.js";
import { inference, integers, type Tensor, tensor } from "../tensor/index.js";

/** The features that are predicted, as columns of x: entry f is the target that feature f is. */
export function targetOfFeature({ features, targetFeature }: Pick<ExampleSpec, "features" | "targetFeature">): Int32Array {
  const found = new Int32Array(features.length).fill(-1);
  targetFeature.forEach((feature, k) => {
    if (feature >= 0) found[feature] = k;
  });
  return found;
}

/** The row of x that predicted values are: [B, K] to [B, 1, F]; differentiable. */
export function predictedInput(values: Tensor, spec: ExampleSpec): Tensor {
  const [batchSize, K] = values.shape;
  const F = spec.features.length;
  const selection = new Float32Array(K * F);
  targetOfFeature(spec).forEach((k, f) => {
    if (k >= 0) selection[k * F + f] = 1;
  });
  return values.matmul(tensor(selection, [K, F], { engine: values.engine })).reshape([batchSize, 1, F]);
}

/**
 * Predicts a batch step by step.
 *
 * @returns [B, P, K], or [B, P, K, levels] where the spec has quantiles; per-window normalisation undone.
 */
export function recursiveForecast(network: SequenceModel, spec: ExampleSpec, batch: Batch): Float32Array {
  const recursive = spec.recursive as RecursiveForecast;
  const perRow = (recursive.distribution ? recursive.paths : 1) * spec.horizon * spec.targets.length;
  const rows = Math.max(1, Math.floor(VALUES_AT_ONCE / perRow));
  if (batch.batchSize > rows) {
    const parts: Float32Array[] = [];
    for (let from = 0; from < batch.batchSize; from += rows) {
      parts.push(recursiveForecast(network, spec, rowsOf(batch, from, Math.min(batch.batchSize, from + rows))));
    }
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => {
      all.set(part, at);
      return at + part.length;
    }, 0);
    return all;
  }
  return inference(() => {
    const { engine } = network;
    const x = tensor(batch.x, [batch.batchSize, batch.time, batch.features], { engine });
    const { last, state } = network.forward(x, { lengths: integers(batch.lengths, [batch.batchSize], { engine }) });
    const { distribution } = recursive;
    if (!distribution) return pathOf(network, spec, batch, { output: last, state, value: (raw) => raw[0], per: 1 });
    const per = outputsPerValue(distribution);
    const levels = (spec.distribution as { levels: readonly number[] }).levels;
    const size = batch.batchSize * spec.horizon * spec.targets.length;
    const seeds = rowSeeds(batch, recursive.seed);
    const drawn = Array.from({ length: recursive.paths }, (_, path) => {
      const rngs = seeds.map((own) => sequenceRng(own, path));
      const value = (raw: Float32Array, b: number) => sample(distribution, raw, rngs[b]);
      return inference(() => pathOf(network, spec, batch, { output: last, state, per, value }));
    });
    const quantiles = new Float32Array(size * levels.length);
    const values = new Float64Array(recursive.paths);
    for (let i = 0; i < size; i++) {
      for (let path = 0; path < values.length; path++) values[path] = drawn[path][i];
      values.sort();
      levels.forEach((level, q) => {
        quantiles[i * levels.length + q] = sortedQuantile(values, level);
      });
    }
    return quantiles;
  });
}

/** Values of all paths that are held at once: 16 MB. */
const VALUES_AT_ONCE = 4_194_304;

/** What a forecast reads of rows from .. to - 1. */
function rowsOf(batch: Batch, from: number, to: number): Batch {
  const { time, features, normalization } = batch;
  const cut = (list: Float32Array, width: number) => list.subarray(from * width, to * width);
  return {
    ...batch,
    batchSize: to - from,
    x: cut(batch.x, time * features),
    lengths: batch.lengths.subarray(from, to),
    ...(normalization && {
      normalization: { offset: cut(normalization.offset, features), scale: cut(normalization.scale, features) },
    }),
  };
}

/**
 * What the generators of each row's paths begin with: it depends on what the row holds alone, so that neither batch nor padding nor place in
 * a file matters, and a stream draws what a batch does.
 */
function rowSeeds({ x, batchSize, time, features, lengths }: Batch, seed: number): number[] {
  return Array.from({ length: batchSize }, (_, b) => {
    const row = x.subarray(b * time * features, (b * time + lengths[b]) * features);
    return (seed ^ crc32(new Uint8Array(row.buffer, row.byteOffset, row.byteLength))) >>> 0;
  });
}

interface Start {
  /** [B, K * M] */
  output: Tensor;
  state: State;
  /** One value from the raw outputs of one target of row b. */
  value: (raw: Float32Array, b: number) => number;
  /** Raw outputs per value, M. */
  per: number;
}

function pathOf(
  network: SequenceModel,
  spec: ExampleSpec,
  { batchSize, normalization, features }: Batch,
  { output, state, value, per }: Start,
): Float32Array {
  const { horizon, targetFeature } = spec;
  const K = targetFeature.length;
  const path = new Float32Array(batchSize * horizon * K);
  let current = output;
  let carried = state;
  for (let p = 0; p < horizon; p++) {
    const raw = current.floats() as Float32Array;
    const next = new Float32Array(batchSize * K);
    for (let b = 0; b < batchSize; b++) {
      for (let k = 0; k < K; k++) {
        const at = (b * K + k) * per;
        next[b * K + k] = value(raw.subarray(at, at + per) as Float32Array, b);
        const feature = b * features + targetFeature[k];
        path[(b * horizon + p) * K + k] = normalization
          ? next[b * K + k] * normalization.scale[feature] + normalization.offset[feature]
          : next[b * K + k];
      }
    }
    if (p + 1 === horizon) break;
    const result = network.forward(predictedInput(tensor(next, [batchSize, K], { engine: network.engine }), spec), {
      state: carried,
    });
    current = result.last;
    carried = result.state;
  }
  return path;
}

/** The point forecast of raw outputs [.., M], one value each: what a path in training reads. */
export function pointsOf(distribution: Distribution | undefined, raw: ArrayLike<number>): Float32Array {
  const per = outputsPerValue(distribution);
  if (!distribution || (per === 1 && distribution.kind !== "bernoulli")) return Float32Array.from(raw);
  const values = new Float32Array(raw.length / per);
  const own = new Float64Array(per);
  for (let i = 0; i < values.length; i++) {
    for (let m = 0; m < per; m++) own[m] = raw[i * per + m];
    values[i] = point(distribution, own);
  }
  return values;
}
