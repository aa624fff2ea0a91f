/**
 * @file A model as a stateful stream: raw record in, prediction out, with preprocessing, model and decoding joined.
 *
 * State is a value: `push` never changes the state it is given, so a caller commits the new one or keeps the old one, bit for bit.
 *
 * Where the data are cut into sessions, so is the stream, by the same rule: the record that would begin a session in a file meets a fresh state.
 */

import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { sessionKey } from "../data/events/index.js";
import { normalizeWindow, type Preprocessing, type RawRecord, type Row, recordToRow, type Step, sessionEnds } from "../data/index.js";
import { flattenState, stepperOf } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import type { LoadedModel } from "./load.js";
import { probabilities } from "./predictor.js";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.js";

export type { RawRecord };

/** Everything a session carries between records. */
export interface StreamState {
  /** State of the frozen preprocessing (fills, differences, resampling). */
  readonly preprocessing: Float64Array;
  /** State of the model: hidden and cell state, or the window of the last inputs. */
  readonly model: Float32Array;
  /** Records applied since the initial state, or since the data's session began. */
  readonly steps: number;
  /** The series the records are of, by the entity column (or the keys of the sessions) of the first one; null until a record names it. */
  readonly entity: string | null;
}

/** One prediction. A record gives none (a grid step is not complete), one, or several (a gap was resampled). */
export interface Prediction {
  /** Time of the step it belongs to (epoch ms), or null where the data has no time. */
  time: number | null;
  /** classify, tag: the likeliest class and its probability. */
  label?: string;
  confidence?: number;
  probabilities?: Record<string, number>;
  /** forecast: per target column the next `horizon` values, in original units. */
  forecast?: Record<string, number[]>;
}

export interface PushResult {
  state: StreamState;
  predictions: Prediction[];
}

/** One row for one session, on its way through the model. */
export interface StreamItem {
  row: Row;
  state: StreamState;
}

/** A prediction as numbers; `describePrediction` names them. */
export interface NumericPrediction {
  /** ms since 1970; NaN without a time. */
  time: number;
  /** [outputSize] Probabilities by class, or per target its next `horizon` values in original units. */
  values: Float64Array;
}

/** Why a row met a fresh state: a rule of the model file. */
export type BoundaryReason = "time_gap" | "marker" | "changed_column" | "length";

/** What one row did to one session. */
export interface Advance {
  state: StreamState;
  predictions: NumericPrediction[];
  /** The state before this row was put back to the initial one, by a rule of the model file; null if it went on. */
  boundary: BoundaryReason | null;
  /** ms between this row and the one before in the session; NaN without times or before the second row. */
  gapMs: number;
}

/** Rules by which a stream begins afresh, as its training data did. */
export interface BoundaryRules {
  timeGapMs: number | null;
  marker: { column: string; value: string } | null;
  changed: readonly string[];
  maxSteps: number | null;
}

export interface StreamModel {
  readonly name: string;
  /** sha256 of the model file, hex: snapshots are bound to it. */
  readonly hash: string;
  readonly task: "forecast" | "classify" | "tag";
  /** "carried": trained with carried state, one step per record. "windowed": each prediction reads the last `windowLength` steps afresh. */
  readonly streaming: "carried" | "windowed";
  readonly windowLength: number;
  /** Raw columns a record must have. */
  readonly columns: readonly string[];
  /** Name of the time column, or null. */
  readonly time: string | null;
  readonly classes: readonly string[];
  readonly targets: readonly string[];
  readonly horizon: number;
  /** Names of the model's input features after preprocessing. */
  readonly features: readonly string[];
  /** The categories among `columns`: texts, which rows of numbers cannot hold. */
  readonly textColumns: readonly string[];
  /** Numbers of one prediction. */
  readonly outputSize: number;
  /** sha256 (hex) of what a state is made of: preprocessing, architecture, window. Two models with the same one can go on from each other's states. */
  readonly stateSchema: string;
  /** Numbers of a state. */
  readonly stateSize: { readonly preprocessing: number; readonly model: number };
  readonly boundaries: BoundaryRules;
  initialState(): StreamState;
  /** @throws OST_RECORD, OST_VALUE as `push` does. */
  readRecord(record: RawRecord): Row;
  /**
   * The row of numbers in the order of `columns`, NaN = missing, from `offset` on.
   * @throws OST_RECORD if the model has text columns, or a value is infinite.
   */
  readValues(values: ArrayLike<number>, offset?: number): Row;
  /**
   * One row each for many sessions: `advance(items)[i]` is what `advance([items[i]])[0]` is, bit for bit, whatever the others are. What a
   * row is refused for stands in its place, and its state stays valid.
   */
  advance(items: readonly StreamItem[]): (Advance | OstinatoError)[];
  /** @throws OST_RECORD, OST_VALUE, OST_MISSING for a record it cannot take; OST_NAN if the new state is not finite. The given state stays valid. */
  push(record: RawRecord, state: StreamState): PushResult;
  /** The hidden vector of the model in a state, for display: the last layer's h, or the newest window row. */
  view(state: StreamState): Float32Array;
  /** Versioned, checksummed bytes bound to this model's hash and to an owner. */
  snapshot(state: StreamState, owner: string): Uint8Array;
  /** @throws OST_SNAPSHOT when corrupt, of another model, or of another owner. */
  restore(snapshot: Uint8Array, owner: string): StreamState;
}

/** The columns that tell one series from another in a stream. */
function keyColumns({ roles, derived }: Preprocessing): readonly string[] {
  if (derived.sessions) return derived.sessions.by ?? [];
  return roles.entity === null ? [] : [roles.entity];
}

/** The series a state belongs to after a record. @throws OST_RECORD if the record names another one, or none that can be told from others. */
function sameSeries(record: RawRecord, columns: readonly string[], known: string | null): string | null {
  const cells = columns.map((column) => (Object.hasOwn(record, column) ? cellOf(record[column], column) : ""));
  if (cells.length === 0 || cells.includes("")) return known;
  const name = sessionKey(cells);
  if (known === null || known === name) return name;
  throw new OstinatoError("OST_RECORD", {
    what: "the record belongs to another series",
    expected: `"${known}" in "${columns.join('", "')}", as in the records before`,
    got: `"${name}"`,
    repair: "open a session per series, or reset this one where a new series begins",
  });
}

/** A key as text; two that differ in the data differ here. @throws OST_RECORD for a number that several ids are rounded to. */
function cellOf(value: RawRecord[string], column: string): string {
  if (typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value === null ? "" : String(value).trim();
  throw new OstinatoError("OST_RECORD", {
    what: `the number in "${column}" is too large to tell one series from another`,
    expected: `a text, or a number of at most ${Number.MAX_SAFE_INTEGER}`,
    got: String(value),
    repair: "send the id as text, in quotes: a JSON number of this size is rounded",
  });
}

/** Whether a record at that time begins a new session of the data. */
function beginsSession({ derived: { sessions } }: Preprocessing, time: number, { steps, preprocessing }: StreamState): boolean {
  return sessions !== null && steps > 0 && sessionEnds(sessions, { steps, sinceMs: time - preprocessing[0] });
}

/** The last step's outputs and the state after it. */
interface Advance {
  output: Float32Array | null;
  state: Float32Array;
}

/**
 * A loaded model as a stream.
 *
 * @throws OST_CAUSAL if the model or its preprocessing looks ahead.
 */
export function toStream(loaded: LoadedModel): StreamModel {
  const { header, preprocessing, hash } = loaded;
  if (header.streaming === null || preprocessing.lookAhead > 0 || loaded.network?.causal === false) {
    throw new OstinatoError("OST_CAUSAL", {
      what: "this model looks ahead and cannot be streamed",
      expected: "mode: streaming or causal",
      got: loaded.network?.causal === false ? "a bidirectional network" : `mode: ${header.mode}`,
      where: header.name,
      repair: "train it with mode: causal and bidirectional: false, or use ostinato predict on whole files",
    });
  }
  const { roles } = preprocessing;
  const stepper = header.streaming === "carried" && loaded.network ? carriedStepper(loaded) : windowedStepper(loaded);
  const keys = keyColumns(preprocessing);
  const { categories = [] } = roles;
  const fresh = (): StreamState => ({
    preprocessing: preprocessing.initialState(),
    model: stepper.initial.slice(),
    steps: 0,
    entity: null,
  });
  return {
    name: header.name,
    hash,
    task: header.task,
    streaming: header.streaming,
    windowLength: header.windowLength,
    columns: [...(roles.time === null ? [] : [roles.time]), ...roles.features, ...categories],
    time: roles.time,
    classes: header.spec.classes,
    targets: header.spec.targets,
    horizon: header.spec.horizon,
    features: header.spec.features,
    initialState: fresh,
    push(record, state) {
      const row = recordToRow(record, roles);
      const entity = sameSeries(record, keys, state.entity);
      // A record that leaves its series out belongs to the one before, and is scaled as that one is.
      if (!preprocessing.derived.sessions && entity !== null) row.entity = entity;
      const before = beginsSession(preprocessing, row.time, state) ? fresh() : state;
      const carried = before.preprocessing.slice();
      const steps = preprocessing.pushRow(row, carried);
      let { model } = before;
      const predictions: Prediction[] = [];
      for (const step of steps) {
        const { output, state: next } = stepper.advance(step, model);
        model = next;
        if (output) predictions.push(decode(loaded, output, step.time));
      }
      return { state: { preprocessing: carried, model, steps: before.steps + 1, entity }, predictions };
    },
    view: (state) => stepper.view(state.model),
    snapshot: (state, owner) => encodeSnapshot(state, { model: hash, owner }),
    restore(snapshot, owner) {
      const sizes = { preprocessing: preprocessing.stateSize, state: stepper.initial.length };
      const state = decodeSnapshot(snapshot, { model: hash, owner, ...sizes });
      stepper.check?.(state.model);
      return state;
    },
  };
}

/** The part of a stream that computes: steps of numbers in, outputs out. */
interface Advancer {
  initial: Float32Array;
  /** Never changes the state it is given. @throws OST_NAN if the new state or the output is not finite. */
  advance(step: Step, state: Float32Array): Advance;
  view(state: Float32Array): Float32Array;
  /** @throws OST_SNAPSHOT for a restored state it could not have made. */
  check?(state: Float32Array): void;
}

/** One step of the network per record, its hidden state carried. */
function carriedStepper({ network, header }: LoadedModel): Advancer {
  const model = network as NonNullable<LoadedModel["network"]>;
  const stepper = stepperOf(model);
  const spec = model.stateSpec;
  const names = Object.keys(spec);
  const hidden = names.filter((name) => name.startsWith("h")).at(-1) ?? names[0];
  const before = names.slice(0, names.indexOf(hidden)).reduce((sum, name) => sum + spec[name], 0);
  return {
    initial: inference(() => flattenState(spec, model.initialState(1))),
    advance({ x }, state) {
      const next = state.slice();
      const output = stepper.step(x, next);
      if (output === null) throw notFinite(header.name);
      return { output, state: next };
    },
    view: (state) => state.slice(before, before + spec[hidden]),
  };
}

/** The last `windowLength` steps are kept and read afresh: [number of steps, then the steps, oldest first]. */
function windowedStepper({ header, predictor, preprocessing }: LoadedModel): Advancer {
  const { spec, windowLength, normalize, task } = header;
  const features = spec.features.length;
  const needed = task === "tag" ? 1 : Math.min(windowLength, Math.max(1, spec.length));
  return {
    initial: new Float32Array(1 + windowLength * features),
    advance({ x }, state) {
      const next = new Float32Array(state.length);
      const count = Math.min(windowLength, state[0] + 1);
      next[0] = count;
      next.set(state.subarray(1 + (state[0] + 1 - count) * features, 1 + state[0] * features), 1);
      next.set(x, 1 + (count - 1) * features);
      if (count < needed) return { output: null, state: next };
      const window = next.slice(1, 1 + count * features);
      const batch = oneRow(spec, window, count);
      if (normalize !== "none") {
        const offset = new Float32Array(features);
        const scale = new Float32Array(features);
        normalizeWindow(window, {
          length: count,
          features,
          valueFeatures: preprocessing.valueFeatures,
          normalize,
          offset,
          scale,
        });
        batch.normalization = { offset, scale };
      }
      const outputs = predictor.predict(batch);
      const perStep = spec.targetKind === "tags" || spec.everyStep;
      const output = perStep ? outputs.slice(outputs.length - outputs.length / count) : outputs;
      if (!output.every(Number.isFinite)) throw notFinite(header.name);
      return { output, state: next };
    },
    view: (state) => state.slice(1 + Math.max(0, state[0] - 1) * features, 1 + Math.max(1, state[0]) * features),
    check([count]) {
      if (Number.isInteger(count) && count >= 0 && count <= windowLength) return;
      throw new OstinatoError("OST_SNAPSHOT", {
        what: "the snapshot's window has an impossible length",
        expected: `0 .. ${windowLength}`,
        got: String(count),
        where: "snapshot",
      });
    },
  };
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

function decode({ header: { spec }, preprocessing }: LoadedModel, output: Float32Array, at: number): Prediction {
  const time = Number.isNaN(at) ? null : at;
  if (spec.targetKind !== "values") {
    const shares = probabilities(output, 0, spec.classes.length);
    const best = shares.indexOf(Math.max(...shares));
    return {
      time,
      label: spec.classes[best],
      confidence: shares[best],
      probabilities: Object.fromEntries(spec.classes.map((name, c) => [name, shares[c]])),
    };
  }
  const values = preprocessing.unscaleTarget(output);
  const width = spec.targets.length;
  const forecast = spec.targets.map(
    (name, k) => [name, Array.from({ length: spec.horizon }, (_, p) => values[p * width + k])] as const,
  );
  return { time, forecast: Object.fromEntries(forecast) };
}

function notFinite(where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "the step gave a value that is not finite; the state is as before",
    where,
    repair: "check the record's range",
  });
}
