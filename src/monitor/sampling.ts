/**
 * @file Every so many steps one, at distances that vary: of sessions that take turns, all are looked at, where a fixed distance could always meet
 * the same one.
 */
export class Sampling {
  #left = 1;
  /** A linear congruential generator (Numerical Recipes, 1992): a step costs a multiplication. */
  #state = 1;

  /** @param every steps from one to the next, on average. */
  constructor(readonly every: number) {
    this.#draw();
  }

  /** Whether it is this step's turn. */
  due(): boolean {
    if (--this.#left > 0) return false;
    this.#draw();
    return true;
  }

  /** 1 .. 2 every - 1, all alike. */
  #draw(): void {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    this.#left = 1 + Math.floor((this.#state / 2 ** 32) * (2 * this.every - 1));
  }
}
