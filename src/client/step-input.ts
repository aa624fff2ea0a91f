/** @file What may be given to a step, brought to one of two forms. */
import type { WireRecord } from "../protocol/event.js";
import type { NamingFacts } from "../protocol/frames.js";
import { refuse } from "./refusal.js";

/** A record by column name or several; or a row of numbers in the order of the model's columns, several, or several one after another. */
export type StepInput =
  | WireRecord
  | readonly WireRecord[]
  | readonly number[]
  | readonly (readonly number[])[]
  | Float32Array
  | Float64Array;

/** A copy of an input, as it will be sent, perhaps more than once. */
export type SentInput = { count: number } & ({ rows: Float64Array } | { records: readonly WireRecord[] });

/** @throws OST_REQUEST for an empty input, or rows of another length than the model's columns. */
export function sentInput(input: StepInput, { columns, textColumns }: NamingFacts): SentInput {
  if (ArrayBuffer.isView(input)) return rowsOf(Float64Array.from(input), columns, textColumns);
  if (!Array.isArray(input)) return { records: [input as WireRecord], count: 1 };
  const first: unknown = input[0];
  if (typeof first === "number") return rowsOf(Float64Array.from(input as number[]), columns, textColumns);
  if (!Array.isArray(first)) return checked({ records: [...(input as WireRecord[])], count: input.length });
  const odd = (input as number[][]).find((row) => row.length !== columns.length);
  if (odd) throw misfit(odd.length, columns);
  return rowsOf(Float64Array.from((input as number[][]).flat()), columns, textColumns);
}

function rowsOf(rows: Float64Array, columns: readonly string[], textColumns: readonly string[]): SentInput {
  if (rows.length % columns.length !== 0) throw misfit(rows.length, columns);
  if (textColumns.length > 0) {
    throw refuse("OST_REQUEST", `"${textColumns.join('", "')}" hold texts, which rows of numbers cannot`, {
      repair: "send records by column name",
    });
  }
  return checked({ rows, count: rows.length / columns.length });
}

function checked(input: SentInput): SentInput {
  if (input.count === 0) throw refuse("OST_REQUEST", "a step without records");
  return input;
}

function misfit(length: number, columns: readonly string[]): Error {
  return refuse(
    "OST_REQUEST",
    `a row of ${length} numbers, where the model has ${columns.length} columns: ${columns.join(", ")}`,
  );
}
