/**
 * @file One column of 0 or 1 per code, in place of a column of codes: for few codes, where an embedding would learn little more.
 *
 * The columns of codes are taken out and the columns `<column>=<name of the code>` stand behind all others. A code outside 0 .. size - 1
 * counts as 0, missing or unknown. No state.
 */
import { OstinatoError } from "../core/errors.js";
import { appendedNames, placeOf } from "./events/appended.js";
import type { Row } from "./record.js";
import { type FrozenTransform, frozen, type Transform } from "./transform.js";

/** A column of codes; a codebook has `size` and `nameOf`. */
export interface OneHotColumn {
  name: string;
  /** Codes are 0 .. size - 1; 1 .. 4096. */
  size: number;
  /** Two codes may share a name: the later one's column is then called `<column>=<name>#<code>`. */
  nameOf(code: number): string;
}

const LARGEST_SIZE = 4096;

export class OneHot implements Transform {
  readonly name = "oneHot";
  readonly lookAhead = 0;
  readonly stateSize = 0;
  readonly outputs: readonly string[];
  /** The columns taken out, and the names of their codes. */
  readonly columns: readonly { name: string; codes: readonly string[] }[];
  readonly #kept: readonly number[];
  readonly #coded: readonly { column: number; at: number; size: number }[];

  /**
   * @throws OST_COLUMN if a column is not there or named twice, or a new name is taken.
   * @throws OST_RANGE  if a size lies outside 1 .. 4096.
   */
  constructor(inputs: readonly string[], columns: readonly OneHotColumn[]) {
    const wrong = columns.find(({ size }) => !(Number.isInteger(size) && size >= 1 && size <= LARGEST_SIZE));
    if (wrong) {
      throw new OstinatoError("OST_RANGE", {
        what: `the column "${wrong.name}" has too many codes for a column each`,
        expected: `1 .. ${LARGEST_SIZE} codes`,
        got: String(wrong.size),
        where: "oneHot",
        repair: "embed it instead",
      });
    }
    const twice = columns.find(({ name }, i) => columns.findIndex((one) => one.name === name) !== i);
    if (twice)
      throw new OstinatoError("OST_COLUMN", { what: "a column is named twice", got: `"${twice.name}"`, where: "oneHot" });
    this.columns = columns.map((column) => ({
      name: column.name,
      codes: Array.from({ length: column.size }, (_, code) => column.nameOf(code)),
    }));
    const places = columns.map(({ name }) => placeOf(name, inputs, "oneHot"));
    this.#kept = inputs.map((_, i) => i).filter((i) => !places.includes(i));
    let at = this.#kept.length;
    this.#coded = columns.map(({ size }, k) => {
      at += size;
      return { column: places[k], at: at - size, size };
    });
    this.outputs = appendedNames(
      this.#kept.map((i) => inputs[i]),
      this.columns.flatMap(({ name, codes }) => columnNames(name, codes)),
      "oneHot",
    );
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>, inputs: readonly string[]): OneHot {
    const read = frozen.list(json.columns, "oneHot.columns").map((item) => {
      const { name, codes } = frozen.object(item, "oneHot.columns");
      const names = frozen.texts(codes, "oneHot.columns.codes");
      if (names.length < 1 || names.length > LARGEST_SIZE) {
        frozen.fail("oneHot.columns.codes", `1 .. ${LARGEST_SIZE} names`, names.length);
      }
      return { name: frozen.texts([name], "oneHot.columns.name")[0], size: names.length, nameOf: (code: number) => names[code] };
    });
    frozen.names(
      read.map(({ name }) => name),
      inputs,
      "oneHot.columns",
    );
    return new OneHot(inputs, read);
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, columns: this.columns.map(({ name, codes }) => ({ name, codes: [...codes] })) };
  }

  initialize(): void {}

  push(row: Row): Row[] {
    const values = new Float64Array(this.outputs.length);
    for (let i = 0; i < this.#kept.length; i++) values[i] = row.values[this.#kept[i]];
    for (const { column, at, size } of this.#coded) {
      const code = row.values[column];
      values[at + (Number.isInteger(code) && code >= 0 && code < size ? code : 0)] = 1;
    }
    return [{ ...row, values }];
  }
}

function columnNames(column: string, codes: readonly string[]): string[] {
  const taken = new Set<string>();
  return codes.map((code, i) => {
    let name = `${column}=${code}`;
    while (taken.has(name)) name += `#${i}`;
    taken.add(name);
    return name;
  });
}
