/**
 * @file Regular expressions that cannot hang: a pattern becomes a machine whose threads advance together, where backtracking may take
 * exponential time. Needed because a pattern may come from a configuration, or with a model file from a stranger, and meets every line of
 * a stream.
 *
 * Syntax and meaning are those of JavaScript without flags, on UTF-16 units, as far as they go:
 *
 *     a \. .  [a-f] [^x]  \d \D \w \W \s \S  \t \n \r  ^ $ \b \B  (ab) (?:ab)  a|b  * + ? {3} {3,} {3,5}, each also lazy: *?
 *
 * There are no back references, no look-around and no flags. `^` and `$` are the ends of the whole text. A round of a repeat that takes
 * nothing counts as a round.
 *
 * The threads of one position, in order of preference, are a state; the step from a state by a kind of unit is worked out once and kept.
 * Sources: Thompson 1968, Regular Expression Search Algorithm, Communications of the ACM 11(6); Cox 2010, Regular Expression Matching in
 * the Wild, for order of preference and the kept steps.
 */
import { compilePattern, type Instruction } from "./pattern-program.js";
import { type CharSet, isWord, parsePattern } from "./pattern-syntax.js";

/** What stands before a position. */
type Before = "start" | "word" | "other";

/** The threads at one position, before they look at what comes next. */
interface State {
  threads: readonly number[];
  before: Before;
  /** True where no unit is taken yet. */
  fresh: boolean;
  /** By kind of unit, the last kind being the end of the text. */
  steps: (Step | undefined)[];
}

interface Step {
  /** True where a match ends at the position, given what comes next. */
  matched: boolean;
  /** Null where no thread goes on. */
  next: State | null;
}

const ASCII = 128;
const LAST_UNIT = 0xffff;

/** What one text may cost: per start and position behind it, the threads and {@link BASE_WORK}. Common masks and lines take a hundredth. */
const MOST_WORK = 400_000;
const BASE_WORK = 8;
/** States kept per pattern; beyond, all are worked out anew. */
const MOST_STATES = 2048;

export class Pattern {
  readonly #program: readonly Instruction[];
  /** Where the kinds of units from 128 on begin, in order: within one, all sets of the program have all units or none. */
  readonly #kinds: readonly number[];
  readonly #kindOfEnd: number;
  /** Per unit below 128, 1 where a match may begin with it. */
  readonly #first: Uint8Array;
  #states = new Map<string, State>();
  #fresh: Record<Before, State>;
  /** Per instruction the last round that visited it. */
  readonly #seen: Float64Array;
  #round = 0;

  /** @throws OST_RANGE if the source is no pattern of this syntax, or too large. */
  constructor(readonly source: string) {
    this.#program = compilePattern(parsePattern(source), source);
    this.#kinds = kindsOf(this.#program);
    this.#kindOfEnd = ASCII + this.#kinds.length;
    this.#first = firstUnits(this.#program);
    this.#fresh = this.#freshStates();
    this.#seen = new Float64Array(this.#program.length);
  }

  /**
   * The text with every match, from left to right, replaced by `by`. Empty matches are passed over.
   *
   * The work is bounded: where a pattern and a text are made to take more, the rest of the text is left as it is. What counts as work does
   * not depend on the steps that are kept, so the same text always gives the same result.
   */
  replaceAll(text: string, by: string): string {
    let out = "";
    let copied = 0;
    let work = MOST_WORK;
    for (let start = 0; start < text.length && work > 0; ) {
      const begin = text.charCodeAt(start);
      if (begin < ASCII && this.#first[begin] === 0) {
        start++;
        continue;
      }
      let state: State | null =
        start === 0 ? this.#fresh.start : isWord(text.charCodeAt(start - 1)) ? this.#fresh.word : this.#fresh.other;
      let end = -1;
      for (let at = start; state && work > 0; at++) {
        work -= state.threads.length + BASE_WORK;
        const unit = at < text.length ? text.charCodeAt(at) : -1;
        const kind = unit >= 0 && unit < ASCII ? unit : this.#kindOf(unit);
        const step: Step = (state.steps[kind] ??= this.#step(state, unit));
        if (step.matched) end = at;
        state = step.next;
      }
      if (end < 0 || work <= 0) {
        start++;
        continue;
      }
      out += text.slice(copied, start) + by;
      copied = start = end;
    }
    return copied === 0 ? text : out + text.slice(copied);
  }

  /** The number of a unit's kind, for units from 128 on, and for -1, the end of the text. */
  #kindOf(unit: number): number {
    if (unit < 0) return this.#kindOfEnd;
    let kind = 0;
    while (kind + 1 < this.#kinds.length && this.#kinds[kind + 1] <= unit) kind++;
    return ASCII + kind;
  }

  /** @param unit the next one, -1 at the end of the text. */
  #step({ threads, before, fresh }: State, unit: number): Step {
    const program = this.#program;
    const follows = unit >= 0 && isWord(unit);
    const boundary = (before === "word") !== follows;
    const seen = this.#seen;
    const round = ++this.#round;
    const next: number[] = [];
    // Returns true once a match is reached: what would come after it is less preferred.
    const visit = (pc: number): boolean => {
      if (seen[pc] === round) return false;
      seen[pc] = round;
      const instruction = program[pc];
      switch (instruction.op) {
        case "jump":
          return visit(instruction.to);
        case "split":
          return visit(instruction.first) || visit(instruction.second);
        case "set":
          if (unit >= 0 && contains(instruction.set, unit)) next.push(pc + 1);
          return false;
        case "match":
          return !fresh;
        case "assert": {
          const holds =
            instruction.at === "^"
              ? before === "start"
              : instruction.at === "$"
                ? unit < 0
                : boundary === (instruction.at === "b");
          return holds && visit(pc + 1);
        }
      }
    };
    const matched = threads.some(visit);
    return { matched, next: next.length === 0 ? null : this.#stateOf(next, follows ? "word" : "other") };
  }

  #stateOf(threads: number[], before: Before): State {
    const key = `${before} ${threads.join(" ")}`;
    let state = this.#states.get(key);
    if (!state) {
      if (this.#states.size >= MOST_STATES) {
        this.#states = new Map();
        this.#fresh = this.#freshStates();
      }
      this.#states.set(key, (state = { threads, before, fresh: false, steps: this.#noSteps() }));
    }
    return state;
  }

  #freshStates(): Record<Before, State> {
    const fresh = (before: Before): State => ({ threads: [0], before, fresh: true, steps: this.#noSteps() });
    return { start: fresh("start"), word: fresh("word"), other: fresh("other") };
  }

  #noSteps(): (Step | undefined)[] {
    return new Array<Step | undefined>(this.#kindOfEnd + 1).fill(undefined);
  }
}

function contains({ ranges, negated }: CharSet, unit: number): boolean {
  return ranges.some(([low, high]) => unit >= low && unit <= high) !== negated;
}

function kindsOf(program: readonly Instruction[]): number[] {
  const begins = new Set([ASCII]);
  for (const instruction of program) {
    if (instruction.op !== "set") continue;
    for (const [low, high] of instruction.set.ranges) {
      if (low > ASCII) begins.add(low);
      if (high >= ASCII && high < LAST_UNIT) begins.add(high + 1);
    }
  }
  return [...begins].sort((a, b) => a - b);
}

function firstUnits(program: readonly Instruction[]): Uint8Array {
  const first = new Uint8Array(ASCII);
  const visited = new Set<number>();
  const visit = (pc: number): void => {
    if (visited.has(pc)) return;
    visited.add(pc);
    const instruction = program[pc];
    if (instruction.op === "jump") visit(instruction.to);
    else if (instruction.op === "assert") visit(pc + 1);
    else if (instruction.op === "split") {
      visit(instruction.first);
      visit(instruction.second);
    } else if (instruction.op === "set") {
      for (let unit = 0; unit < ASCII; unit++) if (contains(instruction.set, unit)) first[unit] = 1;
    }
  };
  visit(0);
  return first;
}
