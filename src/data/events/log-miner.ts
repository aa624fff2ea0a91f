/**
 * @file Drain: event types out of raw log lines, line by line, in a tree of fixed depth.
 *
 *     1  mask       parameters known by sight become `<ip>`, `<num>` ... (mask.ts)
 *     2  length     lines of different numbers of tokens are different events
 *     3  tokens     the first `depth - 3` tokens lead down the tree; one with a digit counts as `<*>`, and so does any new one where
 *                   a node has `maxChildren` children already
 *     4  groups     of the groups at the leaf the most similar one, if it is similar enough; else the line begins a group
 *     5  template   where line and template of its group differ, the template becomes `<*>`
 *
 *     similarity = tokens of the template equal to the line's at their places / tokens; `<*>` and masks do not count as equal
 *
 * Of equally similar groups the one with more `<*>` and masks is taken, then the older. Departing from the paper, a line that the template
 * fits without a change belongs to it however few of its tokens are constant: else a template of many parameters would not match the very
 * lines it came from.
 *
 * Source: He, Zhu, Zheng & Lyu 2017, Drain: An Online Log Parsing Approach with Fixed Depth Tree, ICWS. `depth` counts the levels of the
 * tree, the root and the groups included, as the authors' own implementation does: of the default 4, one is a token.
 */
import { OstinatoError } from "../../core/errors.js";
import { DEFAULT_MASKS, type Mask, Masks } from "./mask.js";

export interface LogMinerOptions {
  /** Levels of the tree, 3 .. 16; default 4, the paper's. */
  depth?: number;
  /** The least similarity of a line and its group, above 0 and at most 1; default 0.5, the paper's for HDFS. */
  similarity?: number;
  /** Most children of a node for tokens, 2 .. 10,000; default 100, the paper's. */
  maxChildren?: number;
  /** Most templates, 1 .. 65,536; default 4,096. Once there are so many, a line that fits none has no template. */
  maxTemplates?: number;
  /** Characters besides white space that part tokens and are dropped, at most 32, none of which can stand in a mask's name; default none. */
  delimiters?: string;
  /** Default {@link DEFAULT_MASKS}; put yours before them to keep both. At most 16. */
  masks?: readonly Mask[];
}

export const MINER_LIMITS = { depth: 16, children: 10_000, templates: 65_536, delimiters: 32 } as const;

/** Characters of a line that are read; the rest says nothing of its event, and bounds the time a line can take. */
export const LONGEST_LINE = 4096;
/** Tokens of a line that are read. */
export const MOST_TOKENS = 256;
export const WILDCARD = "<*>";

/** One event type. */
export interface LogGroup {
  code: number;
  /** `<*>` where its lines differ. */
  template: string[];
  /** The nodes that lead to it, from the first token on; they stay where the template changes. */
  path: readonly string[];
  /** Lines learned. */
  count: number;
}

interface TreeNode {
  children: Map<string, TreeNode>;
  groups: LogGroup[];
}

const emptyNode = (): TreeNode => ({ children: new Map(), groups: [] });

export class LogMiner {
  readonly depth: number;
  readonly similarity: number;
  readonly maxChildren: number;
  readonly maxTemplates: number;
  readonly delimiters: string;
  readonly masks: Masks;
  readonly #delimiters: ReadonlySet<string>;
  readonly #byLength = new Map<number, TreeNode>();
  readonly #groups: LogGroup[] = [];
  #unlearned = 0;

  /** @throws OST_RANGE if an option lies outside its range. */
  constructor(options: LogMinerOptions | (Omit<LogMinerOptions, "masks"> & { masks: Masks }) = {}) {
    const {
      depth = 4,
      similarity = 0.5,
      maxChildren = 100,
      maxTemplates = 4096,
      delimiters = "",
      masks = DEFAULT_MASKS,
    } = options;
    const whole = (value: number, min: number, max: number) => Number.isInteger(value) && value >= min && value <= max;
    const fits =
      whole(depth, 3, MINER_LIMITS.depth) &&
      similarity > 0 &&
      similarity <= 1 &&
      whole(maxChildren, 2, MINER_LIMITS.children) &&
      whole(maxTemplates, 1, MINER_LIMITS.templates) &&
      delimiters.length <= MINER_LIMITS.delimiters &&
      !/[<>\w]/.test(delimiters);
    if (!fits) {
      throw new OstinatoError("OST_RANGE", {
        what: "log templates cannot be mined so",
        expected: `depth 3 .. ${MINER_LIMITS.depth}, similarity above 0 and at most 1, maxChildren 2 .. ${MINER_LIMITS.children}, maxTemplates 1 .. ${MINER_LIMITS.templates}, at most ${MINER_LIMITS.delimiters} delimiters, none of them a letter, a digit, _, < or >`,
        got: JSON.stringify({ depth, similarity, maxChildren, maxTemplates, delimiters }),
        where: "templates",
      });
    }
    this.depth = depth;
    this.similarity = similarity;
    this.maxChildren = maxChildren;
    this.maxTemplates = maxTemplates;
    this.delimiters = delimiters;
    this.masks = masks instanceof Masks ? masks : new Masks(masks);
    this.#delimiters = new Set(delimiters);
  }

  /** In the order of their codes, which begin at 1. */
  get groups(): readonly LogGroup[] {
    return this.#groups;
  }

  /** Lines learned from that have no template: they were empty, or `maxTemplates` was reached. */
  get unlearned(): number {
    return this.#unlearned;
  }

  /** Learns one line. @returns the code of its group, 1 or more; 0 if it is empty, or there is no room for a new group. */
  learn(line: string): number {
    const tokens = this.tokens(line);
    const found = this.#match(tokens);
    if (found) {
      const { template } = found;
      for (let i = 0; i < tokens.length; i++) if (template[i] !== tokens[i]) template[i] = WILDCARD;
      found.count++;
      return found.code;
    }
    if (tokens.length === 0 || this.#groups.length >= this.maxTemplates) {
      this.#unlearned++;
      return 0;
    }
    return this.#add(tokens);
  }

  /** The code of the group a line belongs to, learning nothing; 0 if there is none. */
  match(line: string): number {
    return this.#match(this.tokens(line))?.code ?? 0;
  }

  /** Puts back a group that was learned before, as the next code. */
  restore({ template, path, count }: Omit<LogGroup, "code">): void {
    let node = this.#lengthNode(template.length);
    for (const token of path) node = childOf(node, token);
    const group = { code: this.#groups.length + 1, template: [...template], path: [...path], count };
    node.groups.push(group);
    this.#groups.push(group);
  }

  /** The tokens of a line, parameters masked. */
  tokens(line: string): string[] {
    // Joined anew, so that a template's tokens do not keep the whole of a long line in memory.
    const read = line.length > LONGEST_LINE ? line.slice(0, LONGEST_LINE).split("").join("") : line;
    let masked = this.masks.apply(read);
    if (this.#delimiters.size > 0) masked = Array.from(masked, (one) => (this.#delimiters.has(one) ? " " : one)).join("");
    const tokens = masked.split(/\s+/, MOST_TOKENS + 1);
    if (tokens[0] === "") tokens.shift();
    if (tokens.at(-1) === "") tokens.pop();
    if (tokens.length > MOST_TOKENS) tokens.length = MOST_TOKENS;
    return tokens;
  }

  #match(tokens: readonly string[]): LogGroup | undefined {
    let node = this.#byLength.get(tokens.length);
    const steps = this.#pathLength(tokens);
    for (let i = 0; i < steps && node; i++) node = node.children.get(tokens[i]) ?? node.children.get(WILDCARD);
    if (!node) return undefined;
    let best: LogGroup | undefined;
    let bestEqual = -1;
    let bestParameters = -1;
    let fitting: LogGroup | undefined;
    for (const group of node.groups) {
      let equal = 0;
      let parameters = 0;
      let fits = true;
      for (let i = 0; i < tokens.length; i++) {
        const token = group.template[i];
        const same = token === tokens[i];
        if (token === WILDCARD) parameters++;
        else if (this.masks.has(token)) {
          parameters++;
          if (!same) fits = false;
        } else if (same) equal++;
        else fits = false;
      }
      if (equal > bestEqual || (equal === bestEqual && parameters > bestParameters)) {
        best = group;
        bestEqual = equal;
        bestParameters = parameters;
      }
      if (fits) fitting ??= group;
    }
    return bestEqual / tokens.length >= this.similarity ? best : fitting;
  }

  #add(tokens: string[]): number {
    let node = this.#lengthNode(tokens.length);
    const path: string[] = [];
    for (const token of tokens.slice(0, this.#pathLength(tokens))) {
      let step = token;
      if (!node.children.has(token)) {
        // The last place is kept for the wildcard.
        const room = this.maxChildren - (node.children.has(WILDCARD) ? 0 : 1);
        if (/\d/.test(token) || node.children.size >= room) step = WILDCARD;
      }
      path.push(step);
      node = childOf(node, step);
    }
    const group = { code: this.#groups.length + 1, template: tokens, path, count: 1 };
    node.groups.push(group);
    this.#groups.push(group);
    return group.code;
  }

  #pathLength(tokens: readonly string[]): number {
    return Math.min(this.depth - 3, tokens.length);
  }

  #lengthNode(length: number): TreeNode {
    let node = this.#byLength.get(length);
    if (!node) this.#byLength.set(length, (node = emptyNode()));
    return node;
  }
}

function childOf(node: TreeNode, token: string): TreeNode {
  let child = node.children.get(token);
  if (!child) node.children.set(token, (child = emptyNode()));
  return child;
}
