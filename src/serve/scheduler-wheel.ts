/**
 * @file Calls back what is due: one timer for all, which runs only while something waits.
 *
 * A hashed timing wheel: joining and leaving take constant time, and a tick looks only at what falls due near it (or whole turns later).
 * Source: Varghese & Lauck 1987, Hashed and hierarchical timing wheels.
 */

const TICK_MS = 10;
const SLOTS = 512;

export interface Due {
  /** On the wheel's clock, ms. */
  due: number;
  /** Where it hangs; -1 nowhere. The wheel's own. */
  slot: number;
}

export class Wheel<T extends Due> {
  size = 0;
  readonly #slots: (Set<T> | undefined)[] = new Array(SLOTS);
  readonly #now: () => number;
  readonly #onDue: (item: T) => void;
  #tick = 0;
  #timer: NodeJS.Timeout | null = null;

  /** `onDue` hears of an item once, at most `TICK_MS` late, after it left the wheel. */
  constructor(now: () => number, onDue: (item: T) => void) {
    this.#now = now;
    this.#onDue = onDue;
  }

  add(item: T): void {
    if (this.size === 0) this.#tick = Math.floor(this.#now() / TICK_MS);
    item.slot = Math.max(this.#tick, Math.floor(item.due / TICK_MS)) % SLOTS;
    const slot = (this.#slots[item.slot] ??= new Set());
    slot.add(item);
    this.size++;
    this.#timer ??= setTimeout(this.#turn, TICK_MS);
  }

  remove(item: T): void {
    if (item.slot < 0) return;
    this.#slots[item.slot]?.delete(item);
    item.slot = -1;
    this.size--;
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  readonly #turn = (): void => {
    this.#timer = null;
    const now = this.#now();
    const until = Math.floor(now / TICK_MS);
    const from = Math.max(this.#tick, until - SLOTS + 1);
    this.#tick = until;
    for (let tick = from; tick <= until; tick++) {
      for (const item of this.#slots[tick % SLOTS] ?? []) {
        if (item.due > now) continue;
        this.remove(item);
        this.#onDue(item);
      }
    }
    if (this.size > 0) this.#timer ??= setTimeout(this.#turn, TICK_MS);
  };
}
