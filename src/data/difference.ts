/**
 * @file The change since the row before, for columns whose level means little. The first row of a series has change 0.
 *
 * State: the value before, one per column; NaN before the first row.
 */
import type { Row } from "./record.js";
import { type FrozenTransform, frozen, type Transform } from "./transform.js";

export class Difference implements Transform {
  readonly name = "difference";
  readonly lookAhead = 0;
  readonly stateSize: number;
  readonly outputs: readonly string[];
  readonly #columns: number[];

  /** @param columns names among `inputs`; each is renamed `<column>.difference`. */
  constructor(
    inputs: readonly string[],
    readonly columns: readonly string[],
  ) {
    this.#columns = columns.map((name) => inputs.indexOf(name));
    this.outputs = inputs.map((name) => (columns.includes(name) ? `${name}.difference` : name));
    this.stateSize = columns.length;
  }

  static fromJSON(json: Record<string, unknown>, inputs: readonly string[]): Difference {
    return new Difference(inputs, frozen.names(json.columns, inputs, "difference.columns"));
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, columns: [...this.columns] };
  }

  initialize(state: Float64Array, at: number): void {
    state.fill(Number.NaN, at, at + this.stateSize);
  }

  push(row: Row, state: Float64Array, at: number): Row[] {
    for (let k = 0; k < this.#columns.length; k++) {
      const c = this.#columns[k];
      const value = row.values[c];
      const before = state[at + k];
      row.values[c] = Number.isNaN(before) ? 0 : value - before;
      state[at + k] = value;
    }
    return [row];
  }
}
