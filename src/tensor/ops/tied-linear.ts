/** @file A linear layer whose weight is the upper part of an embedding table, so that both share one matrix (Press & Wolf 2017). */
import { OstinatoError } from "../../core/errors.js";
import { describeShape } from "../../core/shape.js";
import type { Pointer } from "../../kernels/index.js";
import { type Op, RawBuffer } from "../op.js";
import { linear } from "./matmul.js";

export interface TiedLinearAttrs {
  /** O: how many rows of the table are outputs. */
  outputs: number;
  /** These rows in the engine's layout, or null for a table that is used once. */
  packed: Pointer | null;
}

/** x [..., I], table [R, I] with R >= O, bias [O] to x (first O rows of the table)^T + bias [..., O]. */
export const tiedLinear: Op<TiedLinearAttrs> = {
  name: "tiedLinear",
  shapes(inputs, { outputs, packed }) {
    const [x, table, bias] = inputs;
    if (outputs > table.shape[0]) {
      throw new OstinatoError("OST_SHAPE", {
        what: "the table has too few rows",
        expected: `at least ${outputs}`,
        got: describeShape(table.shape),
        where: "tiedLinear",
      });
    }
    return linear.shapes([x, firstRows(table, outputs), bias], { packed });
  },
  forward(engine, results, [x, table, bias], saved, { outputs, packed }) {
    linear.forward(engine, results, [x, firstRows(table, outputs), bias], saved, { packed });
  },
  backward(engine, [dX, dTable, dBias], dOutputs, [x, table, bias], results, saved, { outputs, packed }) {
    const dInputs = [dX, dTable && firstRows(dTable, outputs), dBias];
    linear.backward(engine, dInputs, dOutputs, [x, firstRows(table, outputs), bias], results, saved, { packed });
  },
};

/** The same memory, seen as its first rows. */
export function firstRows({ engine, storage, shape, dtype }: RawBuffer, rows: number): RawBuffer {
  return new RawBuffer(engine, storage, [rows, ...shape.slice(1)], dtype);
}
