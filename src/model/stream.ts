/**
 * @file A model as a stateful stream: raw record in, prediction out, with preprocessing, model and decoding joined.
 *
 * State is a value: `push` never changes the state it is given, so a caller commits the new one or keeps the old one, bit for bit.
 *
 * Where the data are cut into sessions, so is the stream, by the same rule: the record that would begin a session in a file meets a fresh state.
 */

import { OstinatoError } from "../core/errors.js";
import type { TaskName } from "../core/task-name.js";
import type { BoundaryReason, RawRecord, Row, SessionRules } from "../data/index.js";
import { Advancer } from "./advancer.js";
import type { RowSampler } from "./batch-invariance.js";
import { type ForecastInterval, forecastInterval } from "./calibrated.js";
import type { LoadedModel } from "./load.js";
import { isCausal } from "./network.js";
import { describePrediction, type NumericPrediction, outputSizeOf, type Prediction, type PredictionFacts } from "./prediction.js";
import { RowSample } from "./row-sample.js";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.js";
import { stateSchemaOf } from "./state-schema.js";

export type { BoundaryReason, NumericPrediction, Prediction, RawRecord };

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

export interface PushResult {
  state: StreamState;
  predictions: Prediction[];
}

/** One row for one session, on its way through the model. */
export interface StreamItem {
  row: Row;
  state: StreamState;
}

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
  readonly task: TaskName;
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
  /** What was fitted on held-back data, as {@link describePrediction} takes it. */
  readonly threshold?: number;
  readonly interval?: ForecastInterval;
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
  /** The row of a record. @throws OST_RECORD for one that cannot be read. */
  readRecord(record: RawRecord): Row;
  /**
   * The row of numbers in the order of `columns`, NaN = missing, from `offset` on.
   * @throws OST_RECORD if the model needs columns that rows of numbers do not have (texts, what marks sessions), a value is infinite, or the
   *         time is none.
   */
  readValues(values: ArrayLike<number>, offset?: number): Row;
  /**
   * One row each for many sessions: `advance(items)[i]` is what `advance([items[i]])[0]` is, bit for bit, whatever the others are. What a
   * row is refused for stands in its place, and its state stays valid.
   */
  advance(items: readonly StreamItem[]): (Advance | OstinatoError)[];
  /**
   * One record for one session, its predictions by name.
   *
   * @throws OST_RECORD, OST_ORDER, OST_VALUE, OST_MISSING for a record it cannot take; OST_NAN if the new state is not finite. The given
   *         state stays valid.
   */
  push(record: RawRecord, state: StreamState): PushResult;
  /** The hidden vector of the model in a state, for display: the last layer's h, or the newest window row. */
  view(state: StreamState): Float32Array;
  /** Versioned, checksummed bytes bound to this model's hash and to an owner. */
  snapshot(state: StreamState, owner: string): Uint8Array;
  /** @throws OST_SNAPSHOT when corrupt, of another model, or of another owner. */
  restore(snapshot: Uint8Array, owner: string): StreamState;
}

/** The rules of a stream that never begins afresh by itself. */
export const NO_BOUNDARIES: BoundaryRules = { timeGapMs: null, marker: null, changed: [], maxSteps: null };

/** One record through a model: `push` by way of `advance`. */
export function pushRecord(
  model: Pick<StreamModel, "readRecord" | "advance"> & PredictionFacts,
  record: RawRecord,
  state: StreamState,
): PushResult {
  const [advance] = model.advance([{ row: model.readRecord(record), state }]);
  if (advance instanceof OstinatoError) throw advance;
  return {
    state: advance.state,
    predictions: advance.predictions.map((prediction) => describePrediction(model, prediction)),
  };
}

/**
 * A loaded model as a stream.
 *
 * @throws OST_CAUSAL if the model or its preprocessing looks ahead.
 */
export function toStream(loaded: LoadedModel): StreamModel & RowSampler {
  const { header, preprocessing, hash } = loaded;
  const { spec } = header;
  const looksAhead = loaded.network !== null && !isCausal(loaded.network);
  if (header.streaming === null || preprocessing.lookAhead > 0 || looksAhead) {
    const type = header.architecture?.type;
    // These read all of their input first, in whatever direction: no mode of training makes a stream of them.
    const whole = type === "encoderDecoder" ? "an encoder-decoder" : type === "reconstruction" ? "an autoencoder" : null;
    throw new OstinatoError("OST_CAUSAL", {
      what: "this model looks ahead and cannot be streamed",
      expected: whole ? "a network that answers row by row" : "mode: streaming or causal",
      got: whole ?? (looksAhead ? "a bidirectional network" : `mode: ${header.mode}`),
      where: header.name,
      repair: whole
        ? "use ostinato predict on whole files"
        : "train it with mode: causal and bidirectional: false, or use ostinato predict on whole files",
    });
  }
  const { roles, derived } = preprocessing;
  const advancer = new Advancer(loaded);
  const { rows, steps } = advancer;
  const sample = new RowSample(preprocessing);
  const threshold = header.calibration?.threshold;
  const interval = preprocessing.targetScaler ? forecastInterval(header, preprocessing.targetScaler) : undefined;
  const stream: StreamModel & RowSampler = {
    name: header.name,
    hash,
    task: header.task,
    streaming: header.streaming,
    windowLength: header.windowLength,
    columns: rows.columns,
    time: roles.time,
    // A detector gives a score and an alert, whatever the model underneath predicts.
    classes: header.detection ? [] : spec.classes,
    targets: header.detection ? [] : spec.targets,
    horizon: spec.horizon,
    ...(threshold !== undefined && { threshold }),
    ...(interval && { interval }),
    features: spec.features,
    textColumns: roles.categories ?? [],
    outputSize: outputSizeOf({ ...spec, task: header.task }),
    stateSchema: stateSchemaOf(loaded),
    stateSize: { preprocessing: preprocessing.stateSize, model: steps.initial.length },
    boundaries: derived.sessions ? boundaryRules(derived.sessions) : NO_BOUNDARIES,
    initialState: () => advancer.initialState(),
    readRecord: (record) => rows.readRecord(record),
    readValues: (values, offset) => rows.readValues(values, offset),
    advance: (items) => advancer.advance(items),
    push: (record, state) => pushRecord(stream, record, state),
    view: (state) => steps.view(state.model),
    snapshot: (state, owner) => encodeSnapshot(state, { model: hash, owner }),
    restore(snapshot, owner) {
      const sizes = { preprocessing: preprocessing.stateSize, state: steps.initial.length };
      const state = decodeSnapshot(snapshot, { model: hash, owner, ...sizes });
      steps.check(state.model);
      rows.belongingOf(state.entity);
      return state;
    },
    sampleRow: (rng) => sample.next(rng),
    sampleGapMs: sample.gapMs,
  };
  return stream;
}

function boundaryRules({ idleMs, maxSteps, marker, changed }: SessionRules): BoundaryRules {
  return { timeGapMs: idleMs ?? null, marker: marker ?? null, changed: changed ?? [], maxSteps: maxSteps ?? null };
}
