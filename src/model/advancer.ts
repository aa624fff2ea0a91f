/**
 * @file One row each for many sessions: preprocessing row by row, then the model for all of them at once.
 *
 * A row gives no step, one, or several (a gap was resampled). All first steps go through the model together, then all second ones, so that a
 * session's steps keep their order and none waits for another's.
 */
import { OstinatoError } from "../core/errors.js";
import { type BoundaryReason, boundaryOf, laterTexts, type Preprocessing, type SessionRules, type Step } from "../data/index.js";
import type { LoadedModel } from "./load.js";
import { classValues, forecastValues, givesDistribution } from "./prediction.js";
import { pointsOf } from "./recursive-forecast.js";
import { type StepModel, stepModelOf } from "./step-model.js";
import type { Advance, StreamItem, StreamState } from "./stream.js";
import { type Belonging, type StreamRow, StreamRowReader } from "./stream-row.js";

/** A row on its way. */
interface Passage {
  /** Its place among the items. */
  readonly index: number;
  readonly steps: readonly Step[];
  readonly advance: Advance;
  /** The next step, and the model's state before it. */
  x: Float32Array;
  state: Float32Array;
}

const NO_TEXTS: readonly string[] = [];

export class Advancer {
  readonly rows: StreamRowReader;
  readonly steps: StepModel;
  readonly #preprocessing: Preprocessing;
  readonly #rules: SessionRules | null;
  readonly #numbersOf: (output: Float32Array) => Float64Array;

  constructor(loaded: LoadedModel) {
    const { header, preprocessing } = loaded;
    const { horizon, targets, classes, distribution } = header.spec;
    const scaler = preprocessing.targetScaler;
    const raw = givesDistribution(loaded);
    this.#preprocessing = preprocessing;
    this.#rules = preprocessing.derived.sessions;
    this.rows = new StreamRowReader(preprocessing);
    this.steps = stepModelOf(loaded);
    this.#numbersOf = header.detection
      ? (output) => Float64Array.from(output)
      : scaler
        ? (output) => {
            return forecastValues(raw ? pointsOf(distribution, output) : output, { horizon, targets: targets.length }, scaler);
          }
        : (output) => classValues(output, classes.length);
  }

  initialState(): StreamState {
    const { initial } = this.steps;
    return { preprocessing: this.#preprocessing.initialState(), model: initial.slice(), steps: 0, entity: null };
  }

  /** As {@link StreamModel.advance}. */
  advance(items: readonly StreamItem[]): (Advance | OstinatoError)[] {
    const results = new Array<Advance | OstinatoError>(items.length);
    let passages: Passage[] = [];
    for (let index = 0; index < items.length; index++) {
      try {
        const passage = this.#begin(items[index], index);
        results[index] = passage.advance;
        if (passage.steps.length > 0) passages.push(passage);
      } catch (error) {
        if (!(error instanceof OstinatoError)) throw error;
        results[index] = error;
      }
    }
    for (let k = 0; passages.length > 0; k++) passages = this.#step(passages, k, results);
    return results;
  }

  /** Step k of all passages that have one. @returns those with more steps to come. */
  #step(passages: readonly Passage[], k: number, results: (Advance | OstinatoError)[]): Passage[] {
    for (const passage of passages) passage.x = passage.steps[k].x;
    const stepped = this.steps.advance(passages);
    const left: Passage[] = [];
    for (let i = 0; i < passages.length; i++) {
      const passage = passages[i];
      const { index, steps, advance } = passage;
      const result = stepped[i];
      if (result instanceof OstinatoError) {
        results[index] = result;
        continue;
      }
      passage.state = result.state;
      if (result.output !== null) advance.predictions.push({ time: steps[k].time, values: this.#numbersOf(result.output) });
      if (k + 1 < steps.length) left.push(passage);
      else advance.state = { ...advance.state, model: result.state };
    }
    return left;
  }

  /** All of a row before the model: where it belongs, and the steps it completes. */
  #begin({ row, state: before }: StreamItem, index: number): Passage {
    const { rows } = this;
    const known = rows.belongingOf(before.entity);
    const series = rows.sameSeries(row, known.series);
    const sinceMs = before.steps > 0 ? row.time - before.preprocessing[0] : Number.NaN;
    const boundary = this.#rules ? this.#boundaryOf(this.#rules, row, before.steps, sinceMs, known) : null;
    const afresh = boundary !== null;
    const preprocessing = afresh ? this.#preprocessing.initialState() : before.preprocessing.slice();
    // A row that leaves its series out belongs to the one before, and is scaled as that one is.
    const named = this.#rules === null && series !== null && row.entity !== series ? { ...row, entity: series } : row;
    const steps = this.#preprocessing.advance(named, preprocessing);
    const model = afresh ? this.steps.initial : before.model;
    const texts = this.#rules ? this.#textsAfter(this.#rules, row, afresh ? NO_TEXTS : known.texts) : NO_TEXTS;
    const state: StreamState = {
      preprocessing,
      model,
      steps: afresh ? 1 : before.steps + 1,
      entity: rows.entityOf({ series, texts }),
    };
    return { index, steps, advance: { state, predictions: [], boundary, gapMs: sinceMs }, x: EMPTY, state: model };
  }

  #boundaryOf(rules: SessionRules, row: StreamRow, steps: number, sinceMs: number, known: Belonging): BoundaryReason | null {
    return boundaryOf(rules, { steps, sinceMs, texts: row.cells ?? NO_TEXTS, lastTexts: known.texts });
  }

  #textsAfter(rules: SessionRules, row: StreamRow, lastTexts: readonly string[]): readonly string[] {
    return laterTexts(rules, { texts: row.cells ?? NO_TEXTS, lastTexts });
  }
}

const EMPTY = new Float32Array(0);
