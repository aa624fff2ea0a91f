/**
 * @file Raw log lines as event types: the templates that Drain found in the training lines, frozen.
 *
 * A frozen line has the code of the template it would have joined while learning (log-miner.ts), and changes none: the n-th template, in
 * the order in which training met them, has code n; a line that joins none, or is empty, has code 0.
 */
import { UNKNOWN } from "../../core/batch.js";
import type { Codebook, FrozenCodebook } from "../codebook.js";
import { frozen } from "../transform.js";
import { LogMiner, type LogMinerOptions, MINER_LIMITS, MOST_TOKENS } from "./log-miner.js";
import { Masks } from "./mask.js";

export class LogTemplates implements Codebook {
  readonly kind = "templates";
  readonly several = false;
  /** Training lines per code; entry 0 those without a template. */
  readonly counts: readonly number[];
  /** Learns no more. */
  readonly #miner: LogMiner;

  private constructor(miner: LogMiner, unlearned: number) {
    this.#miner = miner;
    this.counts = [unlearned, ...miner.groups.map(({ count }) => count)];
  }

  /**
   * Learns the templates of `lines`, which must be of the training part only, in their order.
   *
   * @throws OST_RANGE if an option lies outside its range.
   */
  static fit(lines: Iterable<string>, options: LogMinerOptions = {}): LogTemplates {
    const miner = new LogMiner(options);
    for (const line of lines) miner.learn(line);
    return LogTemplates.freeze(miner);
  }

  /** The templates a miner has learned so far; what it learns later does not change them. */
  static freeze(miner: LogMiner): LogTemplates {
    const copy = new LogMiner({ ...optionsOf(miner), masks: miner.masks });
    for (const group of miner.groups) copy.restore(group);
    return new LogTemplates(copy, miner.unlearned);
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): LogTemplates {
    const whole = (value: unknown, where: string, min: number, max: number) => {
      const number = frozen.number(value, where, { min, max });
      return Number.isInteger(number) ? number : frozen.fail(where, "a whole number", value);
    };
    const depth = whole(json.depth, "templates.depth", 3, MINER_LIMITS.depth);
    const [delimiters] = frozen.texts([json.delimiters], "templates.delimiters");
    if (delimiters.length > MINER_LIMITS.delimiters || /[<>\w]/.test(delimiters)) {
      frozen.fail("templates.delimiters", `at most ${MINER_LIMITS.delimiters} characters, none of a mask's name`, delimiters);
    }
    const miner = new LogMiner({
      depth,
      similarity: frozen.number(json.similarity, "templates.similarity", { min: Number.MIN_VALUE, max: 1 }),
      maxChildren: whole(json.maxChildren, "templates.maxChildren", 2, MINER_LIMITS.children),
      maxTemplates: whole(json.maxTemplates, "templates.maxTemplates", 1, MINER_LIMITS.templates),
      delimiters,
      masks: Masks.fromJSON(json.masks, "templates.masks"),
    });
    const list = frozen.list(json.templates, "templates.templates");
    if (list.length > miner.maxTemplates) frozen.fail("templates.templates", `at most ${miner.maxTemplates}`, list.length);
    for (const item of list) {
      const { tokens, path, count } = frozen.object(item, "templates.templates");
      const template = frozen.texts(tokens, "templates.templates.tokens");
      const nodes = frozen.texts(path, "templates.templates.path");
      if (template.length < 1 || template.length > MOST_TOKENS || nodes.length !== Math.min(depth - 3, template.length)) {
        frozen.fail("templates.templates", `1 .. ${MOST_TOKENS} tokens, of which depth - 3 lead to it`, { tokens, path });
      }
      miner.restore({ template, path: nodes, count: whole(count, "templates.templates.count", 1, Number.MAX_SAFE_INTEGER) });
    }
    return new LogTemplates(miner, whole(json.unlearned, "templates.unlearned", 0, Number.MAX_SAFE_INTEGER));
  }

  get size(): number {
    return this.counts.length;
  }

  /** The template, its tokens parted by spaces; "<unknown>" for a code that stands for none. */
  nameOf(code: number): string {
    return this.#miner.groups[code - 1]?.template.join(" ") ?? UNKNOWN;
  }

  encode(text: string): readonly number[] {
    return [this.#miner.match(text)];
  }

  toJSON(): FrozenCodebook {
    return {
      transform: this.kind,
      ...optionsOf(this.#miner),
      unlearned: this.counts[0],
      templates: this.#miner.groups.map(({ template, path, count }) => ({ tokens: [...template], path: [...path], count })),
    };
  }
}

function optionsOf({ depth, similarity, maxChildren, maxTemplates, delimiters, masks }: LogMiner) {
  return { depth, similarity, maxChildren, maxTemplates, delimiters, masks: masks.list };
}
