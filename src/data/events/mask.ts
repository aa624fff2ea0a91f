/**
 * @file What in a log line is a parameter at sight: addresses, ids, paths and numbers, each replaced by its name, such as `<ip>`, before the
 * line is parsed. A few such patterns are what Drain's authors call domain knowledge.
 */
import { OstinatoError } from "../../core/errors.js";
import { frozen } from "../transform.js";
import { Pattern } from "./pattern.js";

export interface Mask {
  /** 1 .. 32 letters, digits or "_"; it is replaced by `<name>`. */
  name: string;
  /** See pattern.ts for the syntax. */
  pattern: string;
}

/** Applied in this order, each to what the one before left. */
export const DEFAULT_MASKS: readonly Mask[] = [
  { name: "block", pattern: "\\bblk_-?\\d+(?:_\\d+)?" },
  { name: "uuid", pattern: "\\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\b" },
  { name: "ip", pattern: "/?\\b\\d{1,3}(?:\\.\\d{1,3}){3}(?::\\d{1,5})?\\b" },
  { name: "hex", pattern: "\\b(?:0x[0-9a-fA-F]+|[0-9a-fA-F]{16,})\\b" },
  { name: "path", pattern: "\\B(?:/[\\w.+$@%~=,:<>-]+)+/?|\\b[A-Za-z]:(?:\\\\[\\w.$~-]+)+" },
  { name: "num", pattern: "(?:\\B[-+])?\\b\\d+(?:\\.\\d+)*(?:%|(?:ns|us|ms|s|[kKMGT]?i?B)?\\b)" },
];

const NAME = /^\w{1,32}$/;
const MOST_MASKS = 16;
/** A mask may be longer than what it replaces; beyond so many characters a masked line is cut. */
const LONGEST_MASKED = 16_384;

export class Masks {
  readonly list: readonly Mask[];
  readonly #compiled: readonly { pattern: Pattern; by: string }[];
  readonly #tokens: ReadonlySet<string>;

  /** @throws OST_RANGE if a name or a pattern cannot be used, or there are more than 16. */
  constructor(list: readonly Mask[]) {
    const wrong = list.find(({ name }) => !NAME.test(name));
    if (wrong || list.length > MOST_MASKS) {
      throw new OstinatoError("OST_RANGE", {
        what: wrong ? "a mask has no name that can stand in a template" : "too many masks",
        expected: wrong ? "1 .. 32 letters, digits or _" : `at most ${MOST_MASKS}`,
        got: wrong ? JSON.stringify(wrong.name) : String(list.length),
        where: "masks",
      });
    }
    this.list = list.map(({ name, pattern }) => ({ name, pattern }));
    this.#compiled = list.map(({ name, pattern }) => ({ pattern: new Pattern(pattern), by: `<${name}>` }));
    this.#tokens = new Set(this.#compiled.map(({ by }) => by));
  }

  /** @throws OST_MODEL_FILE if the JSON is no list of masks. */
  static fromJSON(json: unknown, where: string): Masks {
    const list = frozen.list(json, where).map((item) => {
      const { name, pattern } = frozen.object(item, where);
      const [readName, readPattern] = frozen.texts([name, pattern], where);
      return { name: readName, pattern: readPattern };
    });
    try {
      return new Masks(list);
    } catch (error) {
      return frozen.fail(where, "masks with usable names and patterns", error instanceof OstinatoError ? error.detail.got : list);
    }
  }

  apply(line: string): string {
    let masked = line;
    for (const { pattern, by } of this.#compiled) masked = pattern.replaceAll(masked, by).slice(0, LONGEST_MASKED);
    return masked;
  }

  /** True where a token is a mask's name and nothing else. */
  has(token: string): boolean {
    return this.#tokens.has(token);
  }
}
