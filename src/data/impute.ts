/**
 * @file What becomes of a missing value, decided once and carried out the same in files and streams.
 *
 *     refuse        an error (the default): nothing is guessed
 *     forwardFill   the last value seen, for at most `limit` rows; before the first value and beyond the limit the training mean
 *     value         `value` in the column's own unit, or the training mean
 *     interpolate   the straight line in time between its neighbours; needs the future, hence offline only
 *
 * On request every feature gets a column that says so: `<column>.missing` (0 or 1) and `<column>.sinceSeen` (log(1 + seconds since the
 * last observed value), counted from the first row while there was none). All features have them, also those never missing in
 * training: the columns of a model must not depend on the machine it was trained on.
 */
import { OstinatoError } from "../core/errors.js";
import type { Row } from "./record.js";
import {
  type FrozenTransform,
  frozen,
  observedValues,
  type Rows,
  type TrainingRows,
  type Transform,
  unsigned,
} from "./transform.js";

export const MISSING_POLICIES = ["refuse", "forwardFill", "value", "interpolate"] as const;
export type MissingPolicy = (typeof MISSING_POLICIES)[number];

export interface MissingOptions {
  policy: MissingPolicy;
  /** forwardFill: most rows in a row that one value fills, >= 1; default no limit. */
  limit?: number | null;
  /** value: what to fill in; default the training mean of the column. */
  value?: number | null;
  /** Adds `<column>.missing`. */
  flag?: boolean;
  /** Adds `<column>.sinceSeen`. */
  sinceSeen?: boolean;
}

/**
 * State, as far as the options need it: per column the last value seen (NaN = none) and the rows filled since, per column the time it
 * was seen (NaN = never), and the time of the first row.
 */
export class Impute implements Transform {
  readonly name = "impute";
  readonly lookAhead: number;
  readonly stateSize: number;
  readonly identity: boolean;
  readonly outputs: readonly string[];
  readonly policy: MissingPolicy;
  readonly fill: readonly number[];
  readonly #options: { limit: number | null; flag: boolean; sinceSeen: boolean };
  readonly #limit: number;
  readonly #seenAt: number;

  /**
   * @param inputs the features, then columns that are never missing (codes), which pass unchanged.
   * @param fill what stands in where there is nothing better, one per feature: the training means.
   */
  constructor(
    readonly inputs: readonly string[],
    { policy, limit = null, flag = false, sinceSeen = false }: Omit<MissingOptions, "value">,
    fill: readonly number[],
  ) {
    this.fill = fill.map(unsigned);
    if (!MISSING_POLICIES.includes(policy) || (limit !== null && !(Number.isInteger(limit) && limit >= 1))) {
      throw new OstinatoError("OST_RANGE", {
        what: "missing values cannot be treated so",
        expected: `a policy of ${MISSING_POLICIES.join(", ")}, and a limit of at least 1 row`,
        got: JSON.stringify({ policy, limit }),
        where: "data.missing",
      });
    }
    this.policy = policy;
    this.#options = { limit, flag, sinceSeen };
    this.#limit = limit ?? Number.POSITIVE_INFINITY;
    this.lookAhead = policy === "interpolate" ? Number.POSITIVE_INFINITY : 0;
    const n = fill.length;
    this.identity = n === 0 && !sinceSeen;
    const features = inputs.slice(0, n);
    this.#seenAt = policy === "forwardFill" ? 2 * n : 0;
    this.stateSize = this.#seenAt + (sinceSeen ? n + 1 : 0);
    this.outputs = [
      ...inputs,
      ...(flag ? features.map((name) => `${name}.missing`) : []),
      ...(sinceSeen ? features.map((name) => `${name}.sinceSeen`) : []),
    ];
  }

  static fit(training: TrainingRows, inputs: readonly string[], options: MissingOptions): Impute {
    const sums = new Float64Array(training.features);
    const counts = new Float64Array(training.features);
    observedValues(training)((column, value) => {
      sums[column] += value;
      counts[column]++;
    });
    const means = Array.from(sums, (sum, c) => (counts[c] === 0 ? 0 : sum / counts[c]));
    return new Impute(inputs, options, typeof options.value === "number" ? means.map(() => options.value as number) : means);
  }

  /** @param features how many of the inputs are features; they come first. */
  static fromJSON(json: Record<string, unknown>, inputs: readonly string[], features = inputs.length): Impute {
    return new Impute(
      inputs,
      {
        policy: frozen.choice(json.policy, MISSING_POLICIES, "impute.policy"),
        limit: json.limit === null ? null : Math.floor(frozen.number(json.limit, "impute.limit", { min: 1 })),
        flag: frozen.boolean(json.flag, "impute.flag"),
        sinceSeen: frozen.boolean(json.sinceSeen, "impute.sinceSeen"),
      },
      frozen.numbers(json.fill, features, "impute.fill"),
    );
  }

  toJSON(): FrozenTransform {
    const { limit, flag, sinceSeen } = this.#options;
    return { transform: this.name, policy: this.policy, limit, flag, sinceSeen, fill: [...this.fill] };
  }

  initialize(state: Float64Array, at: number): void {
    state.fill(Number.NaN, at, at + this.stateSize);
    if (this.policy === "forwardFill") state.fill(0, at + this.fill.length, at + 2 * this.fill.length);
  }

  push(row: Row, state: Float64Array, at: number): Row[] {
    if (this.policy === "interpolate") {
      throw new OstinatoError("OST_CAUSAL", {
        what: "interpolation needs the next value, which a stream does not have yet",
        expected: "a causal policy: refuse, forwardFill or value",
        got: "interpolate",
        where: "data.missing",
        repair: "train with data.missing: forwardFill to stream the model",
      });
    }
    return [this.#fillIn(row, state, at)];
  }

  #fillIn(row: Row, state: Float64Array, at: number, line?: Float64Array): Row {
    const { policy } = this;
    const { flag, sinceSeen } = this.#options;
    const n = this.fill.length;
    const width = this.inputs.length;
    const values = this.outputs.length === width ? row.values : new Float64Array(this.outputs.length);
    if (values !== row.values) values.set(row.values.subarray(n), n);
    const seen = at + this.#seenAt;
    if (sinceSeen && Number.isNaN(state[seen + n])) state[seen + n] = row.time;
    for (let c = 0; c < n; c++) {
      const raw = row.values[c];
      const missing = Number.isNaN(raw);
      let value = raw;
      if (missing && policy === "refuse") throw refused(this.inputs[c]);
      if (policy === "forwardFill") {
        if (missing) {
          const usable = state[at + n + c] < this.#limit && !Number.isNaN(state[at + c]);
          value = usable ? state[at + c] : this.fill[c];
          state[at + n + c] += 1;
        } else {
          state[at + c] = raw;
          state[at + n + c] = 0;
        }
      } else if (missing) {
        value = line && !Number.isNaN(line[c]) ? line[c] : this.fill[c];
      }
      values[c] = value;
      if (flag) values[width + c] = missing ? 1 : 0;
      if (sinceSeen) {
        if (!missing) state[seen + c] = row.time;
        const since = Number.isNaN(state[seen + c]) ? state[seen + n] : state[seen + c];
        values[width + (flag ? n : 0) + c] = Math.log1p((row.time - since) / 1000);
      }
    }
    return { ...row, values };
  }

  /** Interpolation of a whole series; absent for causal policies. A value of a later part is never used to fill an earlier one. */
  get whole(): ((rows: Rows, part: Uint8Array | null) => Rows) | undefined {
    return this.policy === "interpolate" ? (rows, part) => this.#interpolate(rows, part) : undefined;
  }

  #interpolate({ count, width, time, values, entity }: Rows, part: Uint8Array | null): Rows {
    const lines = new Float64Array(values.length);
    for (let c = 0; c < this.fill.length; c++) interpolateColumn(lines, values, time, part, c, width);
    const state = new Float64Array(this.stateSize);
    this.initialize(state, 0);
    const made = new Float64Array(count * this.outputs.length);
    for (let i = 0; i < count; i++) {
      const row = { time: time[i], values: values.slice(i * width, (i + 1) * width) };
      made.set(this.#fillIn(row, state, 0, lines.subarray(i * width, (i + 1) * width)).values, i * this.outputs.length);
    }
    return { count, width: this.outputs.length, time, values: made, entity };
  }
}

function interpolateColumn(
  lines: Float64Array,
  values: Float64Array,
  time: Float64Array,
  part: Uint8Array | null,
  c: number,
  width: number,
): void {
  const count = time.length;
  let left = -1;
  for (let i = 0; i < count; i++) {
    const value = values[i * width + c];
    if (!Number.isNaN(value)) {
      left = i;
      lines[i * width + c] = value;
      continue;
    }
    let right = i + 1;
    while (right < count && Number.isNaN(values[right * width + c])) right++;
    for (; i < right; i++) {
      const rightValue = right < count && (!part || part[right] === part[i]) ? values[right * width + c] : Number.NaN;
      const leftValue = left < 0 ? rightValue : values[left * width + c];
      const share = left < 0 ? 0 : (time[i] - time[left]) / (time[right] - time[left]);
      lines[i * width + c] = Number.isNaN(rightValue) ? leftValue : leftValue + (rightValue - leftValue) * share;
    }
    i--;
  }
}

/** The error of the policy `refuse`. */
export function refused(column: string, where?: string, more = ""): OstinatoError {
  return new OstinatoError("OST_MISSING", {
    what: `the value of "${column}" is missing${more}`,
    expected: "a value in every row (data.missing: refuse)",
    where,
    repair: "choose data.missing: { policy: forwardFill, flag: true }, or fill the gaps in the data",
  });
}
