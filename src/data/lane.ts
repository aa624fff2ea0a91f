/**
 * @file Long series in lanes, for models whose state is carried from one batch to the next.
 *
 * Row b of every batch is lane b. A lane walks through one stretch of a series chunk by chunk, then starts the next stretch with
 * `reset[b] = 1`; when none is left its length is 0. Every step of the part is a target exactly once.
 *
 * With a `lead` (truncated backpropagation through time with k1 = chunk and k2 = lead + chunk; Williams & Peng 1990) a batch goes back `lead`
 * steps before the chunk it is about, so that the gradient of each target has some way to go. Those steps were targets before and are none
 * now. What is carried is the state `chunk` steps into the batch, from where the next one reads: see `truncated` in train/truncated.ts. The
 * first batch of a stretch has no chunk before it, and all its steps are targets.
 */
import type { Batch, Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { emptyBatch, fillRow, type SeriesRows } from "./batch.js";
import { type BatchSequence, batchSequence } from "./batch-sequence.js";
import type { PreparedSeries } from "./prepare.js";
import type { Preprocessing } from "./preprocessing.js";
import { partCode, runsOf } from "./split.js";

export interface LaneOptions {
  /** Lanes at most, >= 1; there are no more than stretches. The first batch says how many, and all have as many. */
  batchSize: number;
  /** Steps from one batch to the next, >= 1: k1. */
  chunk: number;
  /** Steps that a batch reads again before its chunk, >= 0: k2 - k1. A batch has lead + chunk steps. Default 0. */
  lead?: number;
  part: Part;
  /** Shuffles the order of the stretches; absent keeps that of the series. */
  rng?: Rng;
  /** Forecasts: steps predicted from every step, >= 1. Default 1. Values outside the part or the series are NaN. */
  horizon?: number;
  /** Cuts stretches into pieces of at most so many steps, each with a fresh state, so that few long series fill many lanes. */
  maxLength?: number;
}

/** A batch of lanes. */
export interface LaneBatch extends Batch {
  /** Steps at its beginning that rows with reset[b] = 0 have read before, and whose targets are missing. Absent: none. */
  lead?: number;
}

/** What of prepared data lanes are made from; a worker holds no more. */
export interface LaneData {
  source: string;
  series: readonly (SeriesRows & Pick<PreparedSeries, "copy">)[];
  preprocessing: Pick<Preprocessing, "targetKind" | "spec">;
}

interface Stretch {
  index: number;
  series: number;
  from: number;
  to: number;
}

/**
 * The part as lanes of [batchSize, lead + chunk], for tags and for forecasts from every step. `batch.example` is the number of the stretch in
 * the order of the series.
 *
 * @throws OST_RANGE  if an option lies outside its range, or the target is one class per series.
 * @throws OST_WINDOW if the part has no steps.
 */
export function lanes(prepared: LaneData, options: LaneOptions): BatchSequence {
  const { batchSize, chunk, part, rng, lead = 0, horizon = 1, maxLength = Number.POSITIVE_INFINITY } = options;
  const { preprocessing, series } = prepared;
  const forecast = preprocessing.targetKind === "values";
  for (const [name, value] of Object.entries({ batchSize, chunk, horizon, maxLength })) {
    if (value >= 1 && (Number.isInteger(value) || (name === "maxLength" && value === Number.POSITIVE_INFINITY))) continue;
    throw new OstinatoError("OST_RANGE", { what: `${name} is no whole number >= 1`, got: String(value), where: "lanes" });
  }
  if (!(Number.isInteger(lead) && lead >= 0)) {
    throw new OstinatoError("OST_RANGE", { what: "lead is no whole number >= 0", got: String(lead), where: "lanes" });
  }
  const { targetKind } = preprocessing;
  if (targetKind === "class" || targetKind === "tokens") {
    throw new OstinatoError("OST_RANGE", {
      what: `one ${targetKind === "class" ? "class" : "target sequence"} per series cannot be learned chunk by chunk`,
      expected: "a class per step, or a forecast",
      got: `targetKind ${targetKind}`,
      where: "lanes",
      repair: "use batches(sequences(prepared, { part }), ...)",
    });
  }
  const queue = stretchesOf(prepared, part, maxLength);
  if (queue.length === 0) {
    throw new OstinatoError("OST_WINDOW", {
      what: `the part "${part}" has no steps`,
      where: prepared.source,
      repair: "change data.split",
    });
  }
  rng?.shuffle(queue);
  const spec = preprocessing.spec({ length: 0, horizon: forecast ? horizon : 0, everyStep: forecast });
  const lane = Array.from({ length: Math.min(batchSize, queue.length) }, (): { stretch: Stretch | null; at: number } => ({
    stretch: null,
    at: 0,
  }));
  let next = 0;
  /** Where each lane stands in the next batch; null when none has a step left. */
  const advance = (): Uint8Array | null => {
    const reset = new Uint8Array(lane.length);
    lane.forEach((one, b) => {
      // All up to at + lead were targets.
      if (one.stretch && one.at + lead < one.stretch.to) return;
      one.stretch = next < queue.length ? queue[next++] : null;
      if (!one.stretch) return;
      one.at = one.stretch.from;
      reset[b] = 1;
    });
    return lane.some(({ stretch }) => stretch !== null) ? reset : null;
  };
  const stepsOf = ({ stretch, at }: (typeof lane)[number]) => (stretch ? Math.min(lead + chunk, stretch.to - at) : 0);
  return batchSequence({
    next() {
      const reset = advance();
      if (!reset) return null;
      const batch: LaneBatch = emptyBatch(spec, {
        lengths: Int32Array.from(lane, stepsOf),
        series: Int32Array.from(lane, ({ stretch }) => stretch?.series ?? -1),
        start: Int32Array.from(lane, ({ stretch, at }) => (stretch ? at : 0)),
        time: lead + chunk,
      });
      batch.reset = reset;
      if (lead > 0) batch.lead = lead;
      lane.forEach((one, b) => {
        if (!one.stretch) return;
        batch.example[b] = one.stretch.index;
        fillRow(batch, b, series[one.stretch.series], partCode(part));
        if (!reset[b]) dropTargets(batch, b, lead);
        one.at += chunk;
      });
      return batch;
    },
    skip(count) {
      for (let i = 0; i < count; i++) {
        if (!advance()) return i;
        for (const one of lane) one.at += chunk;
      }
      return count;
    },
  });
}

/** The first `lead` steps of row b have no targets. */
function dropTargets({ values, classes, time, horizon, targets }: Batch, b: number, lead: number): void {
  const width = horizon * targets;
  values?.fill(Number.NaN, b * time * width, (b * time + lead) * width);
  classes?.fill(-1, b * time, b * time + lead);
}

function stretchesOf({ series }: Pick<LaneData, "series">, part: Part, maxLength: number): Stretch[] {
  const stretches: Stretch[] = [];
  series.forEach((one, s) => {
    if (one.copy && part !== "train") return;
    for (const [from, end] of runsOf(one.part, partCode(part))) {
      for (let at = from; at < end; at += maxLength) {
        stretches.push({ index: stretches.length, series: s, from: at, to: Math.min(end, at + maxLength) });
      }
    }
  });
  return stretches;
}
