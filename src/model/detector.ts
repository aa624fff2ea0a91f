/**
 * @file A detector as steps of a stream: the model underneath predicts what comes, and the next record is held against it.
 *
 *     state: [the model's own][1 once it has predicted][its latest prediction][the alarm]
 *
 * A record's score so depends on the records before it, and on itself. The first one of a stream has none.
 */
import type { ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { outputsPerValue } from "../core/predictive-distribution.js";
import type { Preprocessing } from "../data/index.js";
import type { StepRow } from "../nn/index.js";
import { ALARM_SIZE, advanceAlarm, type Detection, eventRank, scoreOf, valueError } from "./detection.js";
import type { StepModel, Stepped } from "./step-model.js";

/** What came, as a step holds it: [1] the code of an event, or [K] scaled values, NaN where one is missing. */
export type ReadObservation = (x: ArrayLike<number>) => Float64Array;

/**
 * Reads what a step is judged by from the inputs themselves; or says, as it reads behind a colon, why the inputs do not hold it.
 */
export function observationReader(
  { targetKind, features, targets, targetFeature, classes }: ExampleSpec,
  { roles, refuses, codes }: Pick<Preprocessing, "roles" | "refuses" | "codes">,
): ReadObservation | string {
  if (targetKind === "next") {
    const at = features.indexOf(roles.target[0]);
    if (codes.some(({ column }) => column === at)) return (x) => Float64Array.of(x[at]);
    const first = features.indexOf(`${roles.target[0]}=${classes[0]}`);
    if (first < 0) return `the inputs do not hold "${roles.target[0]}"`;
    return (x) => {
      let best = 0;
      for (let c = 1; c < classes.length; c++) if (x[first + c] > x[first + best]) best = c;
      return Float64Array.of(best);
    };
  }
  const absent = targets.filter((_, k) => targetFeature[k] < 0);
  if (absent.length > 0)
    return `${absent.join(", ")} is predicted and not read as it is (a change or a logarithm is not the value)`;
  const flags = targets.map((name) => features.indexOf(`${name}.missing`));
  if (!refuses && flags.some((flag) => flag < 0)) {
    return "missing values are filled in and nothing says which; set data.missing: { flag: true }";
  }
  return (x) => Float64Array.from(targetFeature, (feature, k) => (flags[k] >= 0 && x[flags[k]] > 0.5 ? Number.NaN : x[feature]));
}

/** Steps of a model of task detect. */
export class DetectorSteps implements StepModel {
  readonly initial: Float32Array;
  readonly #inner: StepModel;
  readonly #detection: Detection;
  readonly #spec: ExampleSpec;
  readonly #read: ReadObservation;
  /** Where in a state its own parts begin: the flag, the prediction, the alarm. */
  readonly #at: { flag: number; prediction: number; alarm: number };

  /** @throws OST_CAUSAL if the inputs do not hold what is predicted. */
  constructor(
    inner: StepModel,
    {
      detection,
      spec,
      preprocessing,
      name,
    }: { detection: Detection; spec: ExampleSpec; preprocessing: Preprocessing; name: string },
  ) {
    const read = observationReader(spec, preprocessing);
    if (typeof read === "string") {
      throw new OstinatoError("OST_CAUSAL", {
        what: "this detector cannot hold a record against what was expected of it",
        expected: "inputs that hold what is predicted",
        got: read,
        where: name,
        repair: "use ostinato predict on whole files, or train it again with such inputs",
      });
    }
    const outputs = spec.targetKind === "next" ? spec.classes.length : spec.targets.length * outputsPerValue(spec.distribution);
    const flag = inner.initial.length;
    this.#inner = inner;
    this.#detection = detection;
    this.#spec = spec;
    this.#read = read;
    this.#at = { flag, prediction: flag + 1, alarm: flag + 1 + outputs };
    this.initial = new Float32Array(flag + 1 + outputs + ALARM_SIZE);
    this.initial.set(inner.initial);
  }

  /** The output is [score, 1 where there is an alert]; null where nothing was expected, or what came is missing. */
  advance(rows: readonly StepRow[]): (Stepped | OstinatoError)[] {
    const { flag, prediction, alarm } = this.#at;
    const stepped = this.#inner.advance(rows.map(({ x, state }) => ({ x, state: state.subarray(0, flag) })));
    return stepped.map((inner, i) => {
      if (inner instanceof OstinatoError) return inner;
      const { x, state } = rows[i];
      const next = new Float32Array(state.length);
      next.set(inner.state);
      if (inner.output) {
        next[flag] = 1;
        next.set(inner.output, prediction);
      }
      next.set(state.subarray(alarm), alarm);
      const score = state[flag] === 1 ? this.#score(state.subarray(prediction, alarm), x) : null;
      if (score === null) return { output: null, state: next };
      const alert = advanceAlarm(next, alarm, score, this.#detection);
      return { output: Float32Array.of(next[alarm + 1], alert ? 1 : 0), state: next };
    });
  }

  view(state: Float32Array): Float32Array {
    return this.#inner.view(state.subarray(0, this.#at.flag));
  }

  check(state: Float32Array): void {
    const { flag, alarm } = this.#at;
    this.#inner.check(state.subarray(0, flag));
    const [counted, , above, alerting, quiet] = state.subarray(alarm);
    const { smooth } = this.#detection;
    const counts = [counted, above, quiet].every((count) => Number.isInteger(count) && count >= 0) && counted <= smooth;
    if (counts && [state[flag], alerting].every((mark) => mark === 0 || mark === 1)) return;
    throw new OstinatoError("OST_SNAPSHOT", {
      what: "the snapshot's alarm is in a state that it cannot be in",
      expected: "counts of steps",
      got: `${counted}, ${above}, ${alerting}, ${quiet}`,
      where: "snapshot",
    });
  }

  #score(expected: Float32Array, x: ArrayLike<number>): number | null {
    const came = this.#read(x);
    const { targetKind, classes } = this.#spec;
    if (targetKind === "next") return eventRank(expected, 0, classes.length, came[0]);
    const per = expected.length / came.length;
    const errors = came.map((value, k) =>
      Number.isNaN(value) ? value : valueError(expected.subarray(k * per, (k + 1) * per), value),
    );
    return scoreOf(errors, this.#detection);
  }
}
