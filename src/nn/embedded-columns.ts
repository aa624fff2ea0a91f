/**
 * @file The front of a network whose input holds codes: numbers pass through, and every code becomes a learned vector.
 *
 *     [x_1, code, x_2]  ->  [x_1, x_2, weight[code]]
 *
 * Parameters are those of one `Embedding` per code column: {k}.weight [size, width], standard normal at first.
 */
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import type { FloatArray, Kernels } from "../kernels/index.js";
import { apply, type Parameter, type Tensor } from "../tensor/index.js";
import { EmbeddedLayout, embedColumns, embedRows } from "../tensor/ops/embed-columns.js";
import { rowDropout } from "./dropout.js";
import { Embedding } from "./embedding.js";
import { Module } from "./module.js";

export class EmbeddedColumns extends Module {
  readonly layout: EmbeddedLayout;
  readonly #weights: readonly Parameter[];

  /**
   * @param inputSize columns of x, codes included
   * @param codes     which of them hold codes 0 .. size - 1, each column at most once
   * @throws OST_RANGE if a column is no column of x or named twice, or a size or width is no count.
   */
  constructor(inputSize: number, codes: readonly CodeColumn[], { rng, engine }: { rng: Rng; engine?: Kernels }) {
    super();
    codes.forEach((code, k) => {
      const { column, size, width } = code;
      const fits = [column, size, width].every(Number.isInteger) && column >= 0 && column < inputSize && size >= 1 && width >= 1;
      if (fits && codes.findIndex((other) => other.column === column) === k) return;
      throw new OstinatoError("OST_RANGE", {
        what: fits ? "a column is embedded twice" : "a column cannot be embedded so",
        expected: `column 0 .. ${inputSize - 1}, each once, size and width at least 1`,
        got: JSON.stringify({ column, size, width }),
        where: `embeddings[${k}]`,
      });
    });
    this.layout = new EmbeddedLayout(inputSize, codes);
    const tables = codes.map(({ size, width }) => new Embedding(size, width, { rng, engine }));
    // Under their numbers, so that they are named as a list of parts is.
    Object.assign(this, tables);
    this.#weights = tables.map(({ weight }) => weight);
  }

  /** The table of each code column, [size, width]. */
  get weights(): readonly Parameter[] {
    return this.#weights;
  }

  /** Width of its output: the numbers and the vectors. */
  get outputSize(): number {
    return this.layout.outputSize;
  }

  /**
   * @param x       [..., inputSize]; with `lengths` [batch, time, inputSize]
   * @param lengths int32 [batch], checked by the caller: steps at or after a row's length are not read and give zeros
   * @param dropout the share of codes whose vectors are zero in this call wherever they stand, and the generator that draws them
   * @returns [..., outputSize]
   * @throws OST_SHAPE if x has another width. @throws OST_RANGE if a code is no row of its table.
   */
  forward(x: Tensor, lengths?: Tensor, dropout?: { share: number; rng: Rng }): Tensor {
    const { layout } = this;
    if (x.shape.at(-1) !== layout.inputSize) {
      throw new OstinatoError("OST_SHAPE", {
        what: `the network wants features ${layout.inputSize}`,
        got: `x ${describeShape(x.shape)}`,
        where: "embedding.forward",
        repair: "did the column list change after training?",
      });
    }
    const tables = dropout ? this.#weights.map((weight) => rowDropout(weight, dropout.share, dropout.rng)) : this.#weights;
    return apply(embedColumns, [x, ...tables], { layout, lengths });
  }

  /**
   * What `forward` gives for one row, without tensors.
   *
   * @param x   [inputSize]
   * @param out [outputSize], overwritten
   * @returns false, and nothing is looked up, where a code is not finite.
   * @throws OST_RANGE if a code is no row of its table.
   */
  lookUp(x: ArrayLike<number>, out: FloatArray): boolean {
    const { layout } = this;
    for (const { column } of layout.codes) if (!Number.isFinite(x[column])) return false;
    const tables = this.#weights.map((weight) => weight.floats());
    embedRows(layout, tables, { x, first: 0, count: 1, out });
    return true;
  }
}

/** Width of a network's input behind its look-up. */
export function embeddedSize(inputSize: number, codes: readonly CodeColumn[] = []): number {
  return codes.reduce((total, { width }) => total + width - 1, inputSize);
}

/** The front of a network, or null where it reads numbers only. */
export function embeddingFront(
  inputSize: number,
  codes: readonly CodeColumn[] | undefined,
  options: { rng: Rng; engine?: Kernels },
): EmbeddedColumns | null {
  return codes && codes.length > 0 ? new EmbeddedColumns(inputSize, codes, options) : null;
}
