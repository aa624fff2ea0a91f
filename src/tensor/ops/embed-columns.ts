/** @file Rows of numbers and codes in one look-up: the numbers are copied, and each code becomes a row of its table. */
import type { CodeColumn } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import type { FloatArray } from "../../kernels/index.js";
import { type Op, type RawBuffer, wantFloat } from "../op.js";

export interface EmbedColumnsAttrs {
  /** Which columns of x hold codes, and of which table; the others hold numbers. */
  layout: EmbeddedLayout;
  /** int32 [batch], the first axis of x: later steps of a row are not read, give zeros and have no gradient. Absent: all are read. */
  lengths?: RawBuffer;
}

/** Where the columns of a row lie before and behind the look-up: first all numbers in their order, then the vectors of the codes. */
export class EmbeddedLayout {
  readonly inputSize: number;
  readonly outputSize: number;
  /** Columns of x that are copied, in order. */
  readonly numbers: Int32Array;
  readonly codes: readonly CodeColumn[];
  /** Where the vector of each code column begins in the output. */
  readonly starts: readonly number[];

  constructor(inputSize: number, codes: readonly CodeColumn[]) {
    const coded = new Set(codes.map(({ column }) => column));
    this.inputSize = inputSize;
    this.codes = codes;
    this.numbers = Int32Array.from(Array.from({ length: inputSize }, (_, f) => f).filter((f) => !coded.has(f)));
    let at = this.numbers.length;
    this.starts = codes.map(({ width }) => (at += width) - width);
    this.outputSize = at;
  }
}

/** x [..., F], table k [size_k, width_k] to [..., numbers + sum of widths]. No gradient flows into a code. */
export const embedColumns: Op<EmbedColumnsAttrs> = {
  name: "embedColumns",
  shapes(inputs, { layout }) {
    for (const input of inputs) wantFloat(input, "embedColumns");
    return [[...inputs[0].shape.slice(0, -1), layout.outputSize]];
  },
  forward(_, [output], [x, ...tables], __, attrs) {
    const { layout } = attrs;
    const { outputSize } = layout;
    const [from, to] = [x.floats(), output.floats()];
    const rows = tables.map((table) => table.floats());
    const { time, valid } = stepsOf(x, attrs);
    valid.forEach((steps, b) => {
      const [first, end] = [b * time, (b + 1) * time];
      embedRows(layout, rows, { x: from, first, count: steps, out: to });
      to.fill(0, (first + steps) * outputSize, end * outputSize);
    });
  },
  backward(_, [dX, ...dTables], [dOutput], [x], __, ___, attrs) {
    if (!dOutput) return;
    const { inputSize, outputSize, numbers, codes, starts } = attrs.layout;
    const codesAt = x.floats();
    const from = dOutput.floats();
    const dNumbers = dX?.floats();
    const dRows = dTables.map((table) => table?.floats());
    const { time, valid } = stepsOf(x, attrs);
    valid.forEach((steps, b) => {
      const [first, end] = [b * time, b * time + steps];
      if (dNumbers) {
        numbers.forEach((column, n) => {
          for (let i = first; i < end; i++) dNumbers[i * inputSize + column] += from[i * outputSize + n];
        });
      }
      codes.forEach(({ column, width }, k) => {
        const table = dRows[k];
        if (!table) return;
        for (let i = first; i < end; i++) {
          const row = codesAt[i * inputSize + column] * width;
          const at = i * outputSize + starts[k];
          for (let j = 0; j < width; j++) table[row + j] += from[at + j];
        }
      });
    });
  },
};

/**
 * Looks rows up: of each its numbers, then the vector of each of its codes. Column by column, so that the inner loops are long.
 *
 * @param rows `x` [.., inputSize] and `out` [.., outputSize], of which rows `first .. first + count - 1` are read and written
 * @throws OST_RANGE if a code is no row of its table.
 */
export function embedRows(
  { numbers, codes, starts, inputSize, outputSize }: EmbeddedLayout,
  tables: readonly FloatArray[],
  { x, first, count, out }: { x: ArrayLike<number>; first: number; count: number; out: FloatArray },
): void {
  const end = first + count;
  for (let n = 0; n < numbers.length; n++) {
    const column = numbers[n];
    for (let i = first; i < end; i++) out[i * outputSize + n] = x[i * inputSize + column];
  }
  for (let k = 0; k < codes.length; k++) {
    const { column, size, width } = codes[k];
    const [table, start] = [tables[k], starts[k]];
    for (let i = first; i < end; i++) {
      const code = x[i * inputSize + column];
      if (!(Number.isInteger(code) && code >= 0 && code < size)) throw notACode(code, codes[k]);
      const row = code * width;
      const to = i * outputSize + start;
      for (let j = 0; j < width; j++) out[to + j] = table[row + j];
    }
  }
}

/** Rows of x as batch and time, and how many steps of each are read. */
function stepsOf({ shape, size }: RawBuffer, { layout, lengths }: EmbedColumnsAttrs): { time: number; valid: Int32Array } {
  const rows = size / layout.inputSize;
  if (!lengths) return { time: rows, valid: Int32Array.of(rows) };
  return { time: rows / Math.max(1, shape[0]), valid: lengths.ints() };
}

function notACode(code: number, { column, size }: CodeColumn): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "a code is no row of its table",
    expected: `an integer 0 .. ${size - 1}`,
    got: String(code),
    where: `embedding, column ${column} of x`,
    repair: "encode texts with the codebook the model was trained with",
  });
}
