/**
 * @file Continuations of codes and of frames: what a predictor says after true steps, when it goes on reading the truth and when it goes on
 * reading its own likeliest step.
 *
 * Codes: the likeliest one. Frames: all members that are likelier there than not. Inputs beside the target stay as they were measured.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { softplus } from "../core/softplus.js";
import { argmax } from "../core/top-index.js";
import { batches } from "../data/index.js";
import { logSumExp } from "../decode/index.js";
import { DivergenceSums, type FreeRunningRow } from "../evaluate/index.js";
import { type Predictor, type StepReader, type StepReading, targetOfFeature } from "../model/index.js";
import type { Places } from "./free-running-places.js";

/** What a step gives, and how it is read in turn. */
interface Steps {
  /** Nats that the truth of a position costs, and whether the likeliest is right; null where there is no truth. */
  judge(output: Float32Array, batch: Batch, position: number): { nll: number; right: boolean } | null;
  /** The row of x with the likeliest in place of the true target; the row stays as it is. */
  fed(output: Float32Array, row: Float32Array): Float32Array;
}

/** Undefined where the target is not among the inputs, so that nothing could be fed back. */
export function stepsOf(spec: ExampleSpec, target: string): Steps | undefined {
  return spec.targetKind === "next" ? codesOf(spec, target) : framesOf(spec);
}

function codesOf({ features, classes, codes = [] }: ExampleSpec, target: string): Steps | undefined {
  const size = classes.length;
  const coded = codes.find(({ column, size: own }) => features[column] === target && own === size);
  const first = features.findIndex((name) => name.startsWith(`${target}=`));
  if (!coded && (first < 0 || !features[first + size - 1]?.startsWith(`${target}=`))) return undefined;
  return {
    judge(output, { classes: truth = new Int32Array(0) }, position) {
      const code = truth[position];
      if (code < 0) return null;
      return { nll: logSumExp(output) - output[code], right: argmax(output) === code };
    },
    fed(output, row) {
      const own = row.slice();
      if (coded) own[coded.column] = argmax(output);
      else own.fill(0, first, first + size)[first + argmax(output)] = 1;
      return own;
    },
  };
}

function framesOf(spec: ExampleSpec): Steps | undefined {
  const columns = targetOfFeature(spec);
  const K = spec.targetFeature.length;
  if (spec.targetFeature.some((feature) => feature < 0)) return undefined;
  return {
    judge(output, { values = new Float32Array(0) }, position) {
      let nll = 0;
      let right = true;
      for (let k = 0; k < K; k++) {
        const truth = values[position * K + k];
        if (Number.isNaN(truth)) return null;
        nll += softplus(truth > 0.5 ? -output[k] : output[k]);
        if (output[k] > 0 !== truth > 0.5) right = false;
      }
      return { nll, right };
    },
    fed(output, row) {
      return row.map((value, f) => (columns[f] < 0 ? value : output[columns[f]] > 0 ? 1 : 0));
    },
  };
}

/** Whether it can be gone on with: a network that carries a state, or a baseline that needs the latest few steps alone. */
export function readerOf(predictor: Predictor, spec: ExampleSpec): StepReader | undefined {
  if (predictor.reader) return predictor.reader;
  const { history } = predictor as { history?: number };
  return history !== undefined && Number.isFinite(history) ? trailingReader(predictor, spec, Math.max(1, history)) : undefined;
}

/** Reads the latest `history` steps afresh at each step. */
function trailingReader(predictor: Predictor, spec: ExampleSpec, history: number): StepReader {
  const F = spec.features.length;
  const read = (states: readonly Float32Array[]): StepReading[] => {
    const output = predictor.predict(batchOf(spec, states));
    const width = output.length / (states.length * history);
    return states.map((state, b) => {
      const at = (b * history + state.length / F - 1) * width;
      return { output: output.slice(at, at + width), state };
    });
  };
  const batchOf = ({ targetKind, everyStep, horizon, targets }: ExampleSpec, states: readonly Float32Array[]): Batch => {
    const batchSize = states.length;
    const x = new Float32Array(batchSize * history * F);
    states.forEach((state, b) => {
      x.set(state, b * history * F);
    });
    const rows = () => new Int32Array(batchSize);
    const shape = { batchSize, time: history, features: F, x, lengths: Int32Array.from(states, ({ length }) => length / F) };
    const kind = { targetKind, everyStep, horizon, targets: targets.length };
    return { ...shape, ...kind, example: rows(), series: rows(), start: rows() };
  };
  return {
    begin: ({ batchSize, time, x, lengths }) =>
      read(
        Array.from({ length: batchSize }, (_, b) =>
          x.slice((b * time + Math.max(0, lengths[b] - history)) * F, (b * time + lengths[b]) * F),
        ),
      ),
    next: (rows) =>
      read(
        rows.map(({ x, state }) => {
          const kept = state.length / F < history ? state : state.subarray(F);
          const after = new Float32Array(kept.length + F);
          after.set(kept);
          after.set(x, kept.length);
          return after;
        }),
      ),
  };
}

/** Numbers of a batch of histories at most. */
const MOST_NUMBERS = 1 << 22;

/** What the continuations of a predictor are worth, read both ways. Null where none of the places has a truth to be held against. */
export function continuations(
  name: string,
  reader: StepReader,
  steps: Steps,
  { examples, reads }: Places,
): FreeRunningRow | null {
  const sums = { free: new StepSums(), forced: new StepSums() };
  const divergence = new DivergenceSums();
  const rows = Math.floor(MOST_NUMBERS / Math.max(1, examples.longest * examples.spec.features.length));
  for (const batch of batches(examples, { batchSize: Math.max(1, Math.min(64, rows)) })) {
    const beginnings = reader.begin(historyOf(batch, reads));
    readOn(batch, reads, beginnings, { reader, steps, sums: sums.forced, read: (_, row) => row });
    const first = readOn(batch, reads, beginnings, { reader, steps, sums: sums.free, read: steps.fed });
    for (const { judged, at } of first) if (judged > 0) divergence.add(at);
  }
  if (sums.free.total.n === 0) return null;
  return {
    name,
    forced: meansOf(sums.forced.total),
    free: meansOf(sums.free.total),
    byStep: sums.free.byStep.map((free, t) => ({
      step: t + 1,
      n: free.n,
      forced: meansOf(sums.forced.byStep[t]),
      free: meansOf(free),
    })),
    firstDivergence: divergence.result(),
  };
}

interface Sum {
  n: number;
  nll: number;
  right: number;
}

class StepSums {
  readonly total: Sum = { n: 0, nll: 0, right: 0 };
  readonly byStep: Sum[] = [];

  add(step: number, nll: number, right: boolean): void {
    this.byStep[step] ??= { n: 0, nll: 0, right: 0 };
    for (const sum of [this.total, this.byStep[step]]) {
      sum.n++;
      sum.nll += nll;
      if (right) sum.right++;
    }
  }
}

function meansOf({ n, nll, right }: Sum): { right: number; nll: number } {
  return { right: right / n, nll: nll / n };
}

/** The true steps before each place. */
function historyOf(batch: Batch, reads: Int32Array): Batch {
  return { ...batch, lengths: Int32Array.from(batch.example, (example) => reads[example]) };
}

interface ReadOnOptions {
  reader: StepReader;
  steps: Steps;
  sums: StepSums;
  /** The row that is read next, from what was said and what was measured. */
  read: (output: Float32Array, row: Float32Array) => Float32Array;
}

/** Goes on from the beginnings of a batch. @returns per row how many steps were judged, and the first that was wrong, or -1. */
function readOn(
  batch: Batch,
  reads: Int32Array,
  beginnings: readonly StepReading[],
  { reader, steps, sums, read }: ReadOnOptions,
): { judged: number; at: number }[] {
  const { time, features, x, lengths } = batch;
  const found = beginnings.map(() => ({ judged: 0, at: -1 }));
  let active = beginnings.map((reading, b) => ({ b, reading }));
  for (let step = 0; active.length > 0; step++) {
    const goOn: { b: number; x: Float32Array; state: Float32Array }[] = [];
    for (const { b, reading } of active) {
      const position = b * time + reads[batch.example[b]] + step - 1;
      const judged = steps.judge(reading.output, batch, position);
      // Behind a step without a truth nothing more is known to compare with.
      if (!judged) continue;
      sums.add(step, judged.nll, judged.right);
      if (!judged.right && found[b].at < 0) found[b].at = step;
      found[b].judged++;
      if (position + 1 >= b * time + lengths[b]) continue;
      const row = x.subarray((position + 1) * features, (position + 2) * features);
      goOn.push({ b, x: read(reading.output, row), state: reading.state });
    }
    const next = goOn.length > 0 ? reader.next(goOn) : [];
    active = goOn.map(({ b }, i) => ({ b, reading: next[i] }));
  }
  return found;
}
