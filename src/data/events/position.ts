/**
 * @file Where in its series a row stands: the boundary marker of a session, and how many rows came before.
 *
 *     session.start      1 in the first row of a series, else 0
 *     session.position   log(1 + rows before)
 *
 * State: the number of rows so far.
 */
import type { Row } from "../record.js";
import type { FrozenTransform, Transform } from "../transform.js";
import { appendedNames, appendedRow } from "./appended.js";

export class Position implements Transform {
  readonly name = "position";
  readonly lookAhead = 0;
  readonly stateSize = 1;
  readonly outputs: readonly string[];

  /** @throws OST_COLUMN if a column of that name is there already. */
  constructor(inputs: readonly string[]) {
    this.outputs = appendedNames(inputs, ["session.start", "session.position"], "position");
  }

  static fromJSON(_json: Record<string, unknown>, inputs: readonly string[]): Position {
    return new Position(inputs);
  }

  toJSON(): FrozenTransform {
    return { transform: this.name };
  }

  initialize(state: Float64Array, at: number): void {
    state[at] = 0;
  }

  push(row: Row, state: Float64Array, at: number): Row[] {
    const made = appendedRow(row, 2);
    const before = state[at]++;
    made.values[row.values.length] = before === 0 ? 1 : 0;
    made.values[row.values.length + 1] = Math.log1p(before);
    return [made];
  }
}
