/** @file One life of one session as its client knows it: what was acknowledged since its state began, and what came back. */
import { type Reference, sameBits } from "./reference.js";

/** Sums of what was compared, over all lives. */
export interface Tally {
  lives: number;
  /** Answers compared. */
  steps: number;
  /** Answers that differ from the replay. */
  wrong: number;
  /** The first few of them, in words. */
  wrongs: string[];
}

export function newTally(): Tally {
  return { lives: 0, steps: 0, wrong: 0, wrongs: [] };
}

export class Life {
  /** Acknowledged records, from the initial state on. */
  readonly rows: Float64Array[];
  /** Answers to them; those before `from` were given to another life. */
  readonly answers: Float64Array[] = [];
  readonly #from: number;

  /** @param rows what the state it begins with has seen: those of the life that a snapshot was taken of. */
  constructor(
    readonly name: string,
    rows: readonly Float64Array[] = [],
  ) {
    this.rows = [...rows];
    this.#from = rows.length;
  }

  acknowledge(row: Float64Array, answer: Float64Array): void {
    this.rows.push(row);
    this.answers.push(answer);
  }

  /** Replays it and compares every answer. */
  check(reference: Reference, tally: Tally): void {
    tally.lives++;
    tally.steps += this.answers.length;
    if (this.answers.length === 0) return;
    const right = reference(this.rows);
    this.answers.forEach((answer, i) => {
      const expected = right[this.#from + i];
      if (sameBits(answer, expected)) return;
      tally.wrong++;
      if (tally.wrongs.length < 3)
        tally.wrongs.push(`${this.name}, step ${this.#from + i}: ${answer.join(" ")} for ${expected.join(" ")}`.slice(0, 300));
    });
  }
}
