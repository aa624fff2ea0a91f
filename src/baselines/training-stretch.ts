/** @file The training part's series, put together again from its overlapping windows: what a model of one column is fitted on. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { inputAt, requireBatch } from "./baseline.js";

/** Consecutive steps of one series: per target column its values, NaN where there is none. */
export type Stretch = readonly Float64Array[];

export interface StretchOptions {
  /** Steps of a stretch at most, >= 1; the last of a series may be shorter. */
  length: number;
  /** At most about so many steps altogether, in stretches evenly spaced over the part; at least one stretch. */
  maxSteps: number;
  where: string;
}

/**
 * @param batches called twice: first for where the series lie, then for their values
 * @throws OST_TARGET if there are no steps.
 */
export function trainingStretches(batches: () => Iterable<Batch>, spec: ExampleSpec, options: StretchOptions): Stretch[] {
  const { length, maxSteps, where } = options;
  const extents = new Map<number, { from: number; to: number }>();
  for (const batch of batches()) {
    requireBatch(batch, spec, where);
    for (let row = 0; row < batch.batchSize; row++) {
      if (batch.lengths[row] === 0) continue;
      const [from, to] = [batch.start[row], batch.start[row] + batch.lengths[row]];
      const known = extents.get(batch.series[row]);
      extents.set(batch.series[row], {
        from: Math.min(from, known?.from ?? from),
        to: Math.max(to, known?.to ?? to),
      });
    }
  }
  const stretches: Stretch[] = [];
  const K = spec.targetFeature.length;
  /** Per series its first step, and its stretches; those left out are undefined. */
  const places = new Map<number, { from: number; cut: (Stretch | undefined)[] }>();
  let total = 0;
  for (const { from, to } of extents.values()) total += Math.ceil((to - from) / length);
  const stride = Math.max(1, Math.ceil((total * length) / Math.max(length, maxSteps)));
  let seen = 0;
  for (const series of [...extents.keys()].sort((a, b) => a - b)) {
    const { from, to } = extents.get(series) as { from: number; to: number };
    const cut = Array.from({ length: Math.ceil((to - from) / length) }, (_, i): Stretch | undefined => {
      if (seen++ % stride !== 0) return undefined;
      const steps = Math.min(length, to - from - i * length);
      const stretch = Array.from({ length: K }, () => new Float64Array(steps).fill(Number.NaN));
      stretches.push(stretch);
      return stretch;
    });
    places.set(series, { from, cut });
  }
  if (stretches.length === 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "the training part has no steps",
      expected: "at least one",
      got: "none",
      where,
      repair: "leave this baseline out",
    });
  }
  for (const batch of batches()) {
    for (let row = 0; row < batch.batchSize; row++) {
      const place = places.get(batch.series[row]);
      if (!place) continue;
      for (let step = 0; step < batch.lengths[row]; step++) {
        const at = batch.start[row] + step - place.from;
        const stretch = place.cut[Math.floor(at / length)];
        if (!stretch) continue;
        for (let k = 0; k < K; k++) stretch[k][at % length] = inputAt(batch, row, step, spec.targetFeature[k]);
      }
    }
  }
  return stretches;
}
