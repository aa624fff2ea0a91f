/** @file A line that one can stand in once at a time and leave from anywhere, all in constant time: the links are the members' own. */

export interface InLine<T> {
  previous: T | null;
  next: T | null;
}

export class Line<T extends InLine<T>> {
  first: T | null = null;
  size = 0;
  #last: T | null = null;

  /** Joins at the end. The member stands in no line yet. */
  push(member: T): void {
    member.previous = this.#last;
    if (this.#last === null) this.first = member;
    else this.#last.next = member;
    this.#last = member;
    this.size++;
  }

  /** Leaves. The member stands in this line. */
  remove(member: T): void {
    const { previous, next } = member;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    member.previous = null;
    member.next = null;
    this.size--;
  }
}
