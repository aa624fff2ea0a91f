/** @file A tagger that says which column is the largest, for tests of those who read rows and name classes by a session's version. */
import { ProbeModel, type StreamItem, type StreamModel } from "../../src/model/index.js";

/** Its classes are its columns: their order is all that two of these differ by. A prediction is 1 at the class of the largest value, else 0. */
export function columnModel(columns: readonly string[]): StreamModel {
  const readValues = (values: ArrayLike<number>, offset = 0) => ({
    time: Number.NaN,
    values: Float64Array.from(columns, (_, c) => values[offset + c]),
  });
  const probe: StreamModel = new ProbeModel(`columns ${columns.join()}`);
  const own: Partial<StreamModel> = {
    task: "tag",
    columns,
    features: columns,
    targets: [],
    horizon: 1,
    classes: columns,
    outputSize: columns.length,
    readValues,
    readRecord: (record) => readValues(columns.map((column) => Number(record[column]))),
    advance: (items: readonly StreamItem[]) =>
      items.map(({ row: { values }, state }) => {
        const largest = values.indexOf(Math.max(...values));
        return {
          state: { ...state, steps: state.steps + 1 },
          predictions: [{ time: Number.NaN, values: values.map((_, c) => Number(c === largest)) }],
          boundary: null,
          gapMs: Number.NaN,
        };
      }),
  };
  return Object.assign(Object.create(probe), own);
}
