/**
 * @file The part of a stream that computes: steps of numbers in, outputs out, for many sessions at a time.
 *
 * A carried network keeps its hidden state; anything else keeps the last steps and reads them afresh.
 */

import { type Batch, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { normalizeWindow } from "../data/index.js";
import { flattenState, type SequenceModel, type StepRow, stepperOf } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import { tempered } from "./calibrated.js";
import { DetectorSteps } from "./detector.js";
import type { LoadedModel } from "./load.js";
import { sequenceModel } from "./network.js";

/** The state after one step, and what the model says; null where it has not seen enough to say anything. */
export interface Stepped {
  output: Float32Array | null;
  state: Float32Array;
}

export interface StepModel {
  /** The state of a fresh stream; never to be changed. */
  readonly initial: Float32Array;
  /**
   * One step each of rows that are independent; row i's bits are those it has alone. Never changes a state it is given.
   *
   * @returns per row what it gave, or OST_NAN where the new state or the output is not finite.
   */
  advance(rows: readonly StepRow[]): (Stepped | OstinatoError)[];
  /** As {@link StreamModel.view}. */
  view(state: Float32Array): Float32Array;
  /** @throws OST_SNAPSHOT for a restored state it could not have made. */
  check(state: Float32Array): void;
}

/** What computes the steps of a model file that can be streamed. */
export function stepModelOf(loaded: LoadedModel): StepModel {
  const { header, network, preprocessing } = loaded;
  const steps =
    header.streaming !== "carried" || !network
      ? new WindowedSteps(loaded)
      : new CarriedSteps(header.name, sequenceModel(network), header.calibration?.temperature);
  return header.detection ? new DetectorSteps(steps, { ...header, preprocessing, detection: header.detection }) : steps;
}

/** One step of the network per record, its hidden state carried. */
class CarriedSteps implements StepModel {
  readonly initial: Float32Array;
  readonly #name: string;
  readonly #network: SequenceModel;
  /** Where the last layer's hidden vector lies in a state. */
  readonly #hidden: { from: number; to: number };

  constructor(
    name: string,
    network: SequenceModel,
    readonly temperature: number | undefined,
  ) {
    const spec = network.stateSpec;
    const names = Object.keys(spec);
    const hidden = names.filter((part) => part.startsWith("h")).at(-1) ?? names[0];
    const from = names.slice(0, names.indexOf(hidden)).reduce((sum, part) => sum + spec[part], 0);
    this.#name = name;
    this.#network = network;
    this.#hidden = { from, to: from + spec[hidden] };
    this.initial = inference(() => flattenState(spec, network.initialState(1)));
  }

  advance(rows: readonly StepRow[]): (Stepped | OstinatoError)[] {
    const stepped = stepperOf(this.#network).stepMany(rows);
    const { temperature } = this;
    return stepped.map((row) => {
      if (row === null) return notFinite(this.#name);
      return temperature === undefined || row instanceof OstinatoError
        ? row
        : { ...row, output: tempered(row.output, temperature) };
    });
  }

  view(state: Float32Array): Float32Array {
    return state.slice(this.#hidden.from, this.#hidden.to);
  }

  check(): void {}
}

/** The last `windowLength` steps are kept and read afresh: [number of steps, then the steps, oldest first]. */
class WindowedSteps implements StepModel {
  readonly initial: Float32Array;
  readonly #loaded: LoadedModel;
  readonly #features: number;
  /** Steps without which nothing is said. */
  readonly #needed: number;

  constructor(loaded: LoadedModel) {
    const { spec, windowLength } = loaded.header;
    this.#loaded = loaded;
    this.#features = spec.features.length;
    this.#needed = isPerStep(spec.targetKind) ? 1 : Math.min(windowLength, Math.max(1, spec.length));
    this.initial = new Float32Array(1 + windowLength * this.#features);
  }

  advance(rows: readonly StepRow[]): (Stepped | OstinatoError)[] {
    return rows.map(({ x, state }) => {
      const next = this.#shifted(x, state);
      if (next[0] < this.#needed) return { output: null, state: next };
      const output = this.#read(next);
      return output.every(Number.isFinite) ? { output, state: next } : notFinite(this.#loaded.header.name);
    });
  }

  view(state: Float32Array): Float32Array {
    return state.slice(1 + Math.max(0, state[0] - 1) * this.#features, 1 + Math.max(1, state[0]) * this.#features);
  }

  check([count]: Float32Array): void {
    const { windowLength } = this.#loaded.header;
    if (Number.isInteger(count) && count >= 0 && count <= windowLength) return;
    throw new OstinatoError("OST_SNAPSHOT", {
      what: "the snapshot's window has an impossible length",
      expected: `0 .. ${windowLength}`,
      got: String(count),
      where: "snapshot",
    });
  }

  /** The window with one more step, and without the oldest where it is full. */
  #shifted(x: ArrayLike<number>, state: Float32Array): Float32Array {
    const features = this.#features;
    const next = new Float32Array(state.length);
    const count = Math.min(this.#loaded.header.windowLength, state[0] + 1);
    next[0] = count;
    next.set(state.subarray(1 + (state[0] + 1 - count) * features, 1 + state[0] * features), 1);
    next.set(x, 1 + (count - 1) * features);
    return next;
  }

  #read(state: Float32Array): Float32Array {
    const { header, predictor, preprocessing } = this.#loaded;
    const { spec, normalize } = header;
    const features = this.#features;
    const [count] = state;
    const window = state.slice(1, 1 + count * features);
    const batch = oneRow(spec, window, count);
    if (normalize !== "none") {
      const [offset, scale] = [new Float32Array(features), new Float32Array(features)];
      const { valueFeatures } = preprocessing;
      normalizeWindow(window, { length: count, features, valueFeatures, normalize, offset, scale });
      batch.normalization = { offset, scale };
    }
    const outputs = predictor.predict(batch);
    const perStep = isPerStep(spec.targetKind) || spec.everyStep;
    return perStep ? outputs.slice(outputs.length - outputs.length / count) : outputs;
  }
}

function oneRow(
  { features, targetKind, everyStep, horizon, targets }: LoadedModel["header"]["spec"],
  x: Float32Array,
  time: number,
): Batch {
  const lengths = Int32Array.of(time);
  const zero = Int32Array.of(0);
  const common = {
    batchSize: 1,
    time,
    features: features.length,
    x,
    lengths,
    targetKind,
    everyStep,
    horizon,
    targets: targets.length,
  };
  return { ...common, example: zero, series: zero, start: zero };
}

function notFinite(where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "the step gave a value that is not finite; the state is as before",
    where,
    repair: "check the record's range",
  });
}
