/**
 * @file The signed logarithm for columns of wide range: v -> sign(v) * log(1 + |v|), which keeps zero and the sign. No state.
 */
import type { Row } from "./record.js";
import { type FrozenTransform, frozen, type Transform } from "./transform.js";

export class LogTransform implements Transform {
  readonly name = "log";
  readonly lookAhead = 0;
  readonly stateSize = 0;
  readonly outputs: readonly string[];
  readonly #columns: number[];

  /** @param columns names among `inputs`; each is renamed `<column>.log`. */
  constructor(
    inputs: readonly string[],
    readonly columns: readonly string[],
  ) {
    this.#columns = columns.map((name) => inputs.indexOf(name));
    this.outputs = inputs.map((name) => (columns.includes(name) ? `${name}.log` : name));
  }

  static fromJSON(json: Record<string, unknown>, inputs: readonly string[]): LogTransform {
    return new LogTransform(inputs, frozen.names(json.columns, inputs, "log.columns"));
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, columns: [...this.columns] };
  }

  initialize(): void {}

  push(row: Row): Row[] {
    for (const c of this.#columns) row.values[c] = Math.sign(row.values[c]) * Math.log1p(Math.abs(row.values[c]));
    return [row];
  }
}
