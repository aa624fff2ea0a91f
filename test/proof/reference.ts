/**
 * @file What a session must have answered, from nothing but what its client sent and was told: the acknowledged records of one life, replayed
 * one at a time through a stream of its own that no other session ever touches.
 */
import { OstinatoError } from "../../src/core/errors.js";
import { openModel, probeReference, type StreamModel, toStream } from "../../src/model/index.js";

/** Rows of numbers in, the numbers of every prediction out, one entry per row. */
export type Reference = (rows: readonly Float64Array[]) => Float64Array[];

/** The probe's equations in whole numbers of any size: nothing of it is the server's own code. */
export const probeAlone: Reference = (rows) =>
  probeReference(rows.map(([value]) => value)).map((hash) => Float64Array.from(hash));

/** A stream model of its own, advanced a row at a time. */
export async function modelAlone(file: Uint8Array): Promise<Reference> {
  const model = toStream(await openModel(file));
  return (rows) => streamAlone(model, rows);
}

function streamAlone(model: StreamModel, rows: readonly Float64Array[]): Float64Array[] {
  let state = model.initialState();
  return rows.map((row) => {
    const [result] = model.advance([{ row: model.readValues(row), state }]);
    if (result instanceof OstinatoError) throw result;
    state = result.state;
    return Float64Array.from(result.predictions.flatMap(({ values }) => [...values]));
  });
}

/** Bit for bit, where a NaN is every NaN. */
export function sameBits(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
