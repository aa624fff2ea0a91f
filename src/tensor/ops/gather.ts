/** @file Look-up of table rows by integer index. */
import { OstinatoError } from "../../core/errors.js";
import { type Op, wantInts } from "../op.js";

/** table [vocabSize, size], indices int32 [...] to [..., size]; a negative index gives zeros and no gradient. */
export const gather: Op = {
  name: "gather",
  shapes([table, indices]) {
    wantInts(indices, "gather");
    const vocabSize = table.shape[0];
    const values = indices.ints();
    for (let i = 0; i < values.length; i++) {
      if (values[i] >= vocabSize) {
        throw new OstinatoError("OST_RANGE", {
          what: "an index lies outside the table",
          expected: `below ${vocabSize}`,
          got: String(values[i]),
          where: `embedding, element ${i}`,
        });
      }
    }
    return [[...indices.shape, table.shape[1]]];
  },
  forward(engine, [y], [table, indices]) {
    engine.embeddingForward({
      rows: indices.size,
      size: table.shape[1],
      indices: indices.pointer,
      table: table.pointer,
      output: y.pointer,
    });
  },
  backward(engine, [dTable], [dY], [table, indices]) {
    if (!dTable || !dY) return;
    engine.embeddingBackward({
      rows: indices.size,
      size: table.shape[1],
      indices: indices.pointer,
      dTable: dTable.pointer,
      dOutput: dY.pointer,
    });
  },
};
