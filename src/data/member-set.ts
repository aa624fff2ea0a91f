/**
 * @file Cells that hold several members at once, as a chord its keys or a basket its goods: one column of 0 and 1 per member.
 *
 * Members stand apart by white space, in any order; one named twice counts once. The empty cell is the empty set, which misses nothing. A member
 * that the set does not know has no column: inputs pass over it, and where the set is the target it is an error that names the row.
 */
import { OstinatoError } from "../core/errors.js";
import { parseNumber } from "./cell.js";
import type { Codebook, FrozenCodebook } from "./codebook.js";
import { frozen } from "./transform.js";

export interface MemberSetOptions {
  /** All members there are, in the order of their columns; default those of the training rows. */
  members?: readonly (string | number)[];
  /** All members there are, as whole numbers from the first to the last. */
  range?: readonly [first: number, last: number];
  /** Training rows below which a member has no column. 1 or more, default 1. */
  minCount?: number;
}

/** A column each: as many as one-hot columns may be. */
const MOST_MEMBERS = 4096;
/** Different members looked at while fitting. */
const MOST_DISTINCT = 1 << 20;

export class MemberSet implements Codebook {
  readonly kind = "set";
  readonly several = false;
  readonly set = true;
  /** Names of the members, by code. */
  readonly members: readonly string[];
  readonly #codes: ReadonlyMap<string, number>;

  private constructor(members: readonly string[]) {
    this.members = members;
    this.#codes = new Map(members.map((member, code) => [member, code]));
  }

  /**
   * Collects the members of `texts`, which must be of the training part only; ordered as numbers if all are, else by code unit.
   *
   * @throws OST_RANGE if an option lies outside its range, or there are none or too many members for a column each.
   */
  static fit(texts: Iterable<string>, { members, range, minCount = 1 }: MemberSetOptions = {}): MemberSet {
    if (!(Number.isInteger(minCount) && minCount >= 1)) throw wrong("minCount", "a whole number from 1", String(minCount));
    if (members && range) throw wrong("members and range", "one of them", "both");
    if (range) {
      const [first, last] = range;
      const fits = Number.isSafeInteger(first) && Number.isSafeInteger(last) && last >= first && last - first < MOST_MEMBERS;
      if (!fits) throw wrong("range", `two whole numbers, rising, of at most ${MOST_MEMBERS} members`, range.join(", "));
      return new MemberSet(Array.from({ length: last - first + 1 }, (_, i) => String(first + i)));
    }
    if (members) {
      const names = members.map(String);
      const odd = names.find((name, i) => !/^\S+$/u.test(name) || names.indexOf(name) !== i);
      if (odd !== undefined) throw wrong("members", "distinct texts without white space", JSON.stringify(odd));
      return new MemberSet(bounded(names));
    }
    const counts = new Map<string, number>();
    for (const text of texts) {
      for (const member of new Set(membersOf(text))) counts.set(member, (counts.get(member) ?? 0) + 1);
      if (counts.size > MOST_DISTINCT) bounded([...counts.keys()]);
    }
    const kept = [...counts].flatMap(([member, count]) => (count >= minCount ? [member] : []));
    const numeric = kept.every((member) => Number.isFinite(parseNumber(member) ?? Number.NaN));
    kept.sort((a, b) => (numeric && Number(a) !== Number(b) ? Number(a) - Number(b) : a < b ? -1 : 1));
    return new MemberSet(bounded(kept));
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): MemberSet {
    const members = frozen.texts(json.members, "set.members");
    const fits =
      members.length >= 1 &&
      members.length <= MOST_MEMBERS &&
      new Set(members).size === members.length &&
      members.every((member) => /^\S+$/u.test(member));
    return fits ? new MemberSet(members) : frozen.fail("set.members", `1 .. ${MOST_MEMBERS} distinct members`, members);
  }

  get size(): number {
    return this.members.length;
  }

  /** The codes of the members that are known, ascending, each once. */
  encode(text: string): readonly number[] {
    const codes = new Set<number>();
    for (const member of membersOf(text)) {
      const code = this.#codes.get(member);
      if (code !== undefined) codes.add(code);
    }
    return [...codes].sort((a, b) => a - b);
  }

  /** The first member of a text that has no column; undefined where all have. */
  unknown(text: string): string | undefined {
    return membersOf(text).find((member) => !this.#codes.has(member));
  }

  nameOf(code: number): string {
    return this.members[code] ?? "";
  }

  toJSON(): FrozenCodebook {
    return { transform: this.kind, members: [...this.members] };
  }
}

function membersOf(text: string): string[] {
  return text.match(/\S+/gu) ?? [];
}

function bounded(members: string[]): string[] {
  if (members.length >= 1 && members.length <= MOST_MEMBERS) return members;
  throw wrong("members", `1 .. ${MOST_MEMBERS} members, for a column each`, String(members.length));
}

function wrong(name: string, expected: string, got: string): OstinatoError {
  return new OstinatoError("OST_RANGE", { what: `${name} of a set out of range`, expected, got, where: "data.categories" });
}
