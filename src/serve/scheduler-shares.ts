/**
 * @file Whose turn it is: deficit round robin over tenants, first come first served within one.
 *
 * Each turn gives a tenant `weight` records of credit, and what it takes is charged against it, so a tenant with twenty times the sessions
 * gets no more records than one with a few, as long as those have something ready. A tenant with nothing ready keeps no credit. The quantum
 * is one record, not the longest operation: a tenant with few sessions has them all under way after a long turn, and would lose the rest of
 * it. The price is that an operation of n records takes n / weight turns to come by.
 * Source: Shreedhar & Varghese 1995, Efficient fair queuing using deficit round robin.
 */
import { type InLine, Line } from "./scheduler-line.js";

/** One who shares: exists while anything of it waits or runs. */
export class Share<T extends Sharing<T>> implements InLine<Share<T>> {
  previous: Share<T> | null = null;
  next: Share<T> | null = null;
  readonly ready = new Line<T>();
  credit = 0;
  /** Whether the credit of this turn was given. */
  begun = false;
  /** Bytes and operations of it that wait or run. */
  bytes = 0;
  operations = 0;

  constructor(
    readonly tenant: string,
    readonly weight: number,
  ) {}
}

export interface Sharing<T extends Sharing<T>> extends InLine<T> {
  readonly share: Share<T>;
  /** Of what it does next, in records. */
  readonly cost: number;
}

export class Shares<T extends Sharing<T>> {
  /** Ready members of all tenants. */
  size = 0;
  readonly #turns = new Line<Share<T>>();

  add(member: T): void {
    const { share } = member;
    if (share.ready.size === 0) this.#turns.push(share);
    share.ready.push(member);
    this.size++;
  }

  remove(member: T): void {
    const { share } = member;
    share.ready.remove(member);
    this.size--;
    if (share.ready.size > 0) return;
    this.#turns.remove(share);
    share.credit = 0;
    share.begun = false;
  }

  /** Takes out the member whose turn it is and charges its cost; null when nobody is ready. */
  take(): T | null {
    for (;;) {
      const share = this.#turns.first;
      if (share === null) return null;
      const member = share.ready.first as T;
      // Alone, a tenant takes all there is and owes nothing to one who comes later.
      if (this.#turns.size > 1) {
        if (!share.begun) {
          share.credit += share.weight;
          share.begun = true;
        }
        if (member.cost > share.credit) {
          this.#turns.remove(share);
          this.#turns.push(share);
          share.begun = false;
          continue;
        }
        share.credit -= member.cost;
      }
      this.remove(member);
      return member;
    }
  }
}
