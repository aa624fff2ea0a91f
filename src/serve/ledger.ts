/**
 * @file What an engine remembers beside its sessions, in the same store and the same commits: how many there are, the next incarnation, its
 * own clock, and how the last run ended.
 *
 * Its keys begin with "!", which no session's key does.
 */
import { OstinatoError } from "../core/errors.js";
import { isDamaged, type Store, type StoreEntry, type StoreWrite } from "../protocol/store.js";
import { parseSessionKey } from "./session-key.js";
import { decodeSession } from "./session-record.js";

export const LEDGER_PREFIX = "!";
const PREFIX = LEDGER_PREFIX;
const INCARNATIONS = 65_536;
const LAST_INCARNATION = 4_294_967_295;

interface Entry {
  value: number;
  /** Commits of this entry so far: its version in the store, 0 before the first. */
  writes: number;
}

export class Ledger {
  readonly #entries: Map<string, Entry>;
  readonly #changed = new Set<string>();
  readonly #now: () => number;
  /** What `now` was when the engine's clock read `#base`. */
  readonly #start: number;
  #base: number;
  #nextIncarnation: number;
  #reserved: number;
  /** Starts of servers on this store, this one included. */
  boot: number;
  /** The last start that did not end in order; 0 none. */
  lastUnclean: number;

  private constructor(entries: Map<string, Entry>, now: () => number) {
    this.#entries = entries;
    this.#now = now;
    this.#start = now();
    this.#base = this.value("clock");
    this.boot = this.value("boot") + 1;
    const unclean = this.boot > 1 && this.value("clean") !== this.boot - 1;
    this.lastUnclean = unclean ? this.boot - 1 : this.value("unclean");
    this.#nextIncarnation = this.value("incarnation") + 1;
    this.#reserved = this.#nextIncarnation - 1;
    this.#set("boot", this.boot);
    this.#set("unclean", this.lastUnclean);
  }

  /** @param now a clock in ms that never goes back. @throws OST_STORE. */
  static async open(store: Store, now: () => number): Promise<Ledger> {
    const entries = new Map<string, Entry>();
    const damaged: string[] = [];
    for await (const { key, record } of everyEntry(store, PREFIX)) {
      const name = key.slice(PREFIX.length);
      const value = isDamaged(record) || record.bytes.length !== 8 ? Number.NaN : valueOf(record.bytes);
      if (isDamaged(record) || !isPossible(name, value)) {
        damaged.push(name);
        const expected = isDamaged(record) ? "damaged" : { incarnation: record.incarnation, seq: record.seq };
        await store.commit([{ key, expected, record: null }]);
        continue;
      }
      entries.set(name, { value, writes: record.seq });
    }
    const ledger = new Ledger(entries, now);
    if (damaged.length > 0) await ledger.#recount(store);
    return ledger;
  }

  /** Counts the sessions there are, as nothing else tells it any more, and draws new numbers above all that are in use. */
  async #recount(store: Store): Promise<void> {
    for (const name of this.#entries.keys())
      if (/^(sessions|tenant\/|version\/|quarantined|expiring)/.test(name)) this.#set(name, 0);
    for await (const { key, record } of everyEntry(store, "")) {
      if (key.startsWith(PREFIX) || isDamaged(record)) continue;
      this.#nextIncarnation = Math.max(this.#nextIncarnation, record.incarnation + 1);
      this.#reserved = this.#nextIncarnation - 1;
      try {
        const { version, quarantined, ttlMs, boot, usedAt } = decodeSession(record.bytes);
        this.add("sessions", 1);
        this.add(`tenant/${parseSessionKey(key).tenant}`, 1);
        this.add(`version/${version}`, 1);
        if (quarantined) this.add("quarantined", 1);
        if (ttlMs !== null) this.add("expiring", 1);
        this.boot = Math.max(this.boot, boot + 1);
        this.#base = Math.max(this.#base, usedAt);
      } catch {}
    }
    this.lastUnclean = this.boot - 1;
    this.#set("boot", this.boot);
    this.#set("unclean", this.lastUnclean);
  }

  /** The time sessions live by, ms: it stands still while no server runs, and no change of the wall clock moves it. */
  clock(): number {
    return this.#base + this.#now() - this.#start;
  }

  value(name: string): number {
    return this.#entries.get(name)?.value ?? 0;
  }

  add(name: string, difference: number): void {
    this.#set(name, this.value(name) + difference);
  }

  /** The entries whose names begin so, without the beginning; zeros are left out. */
  *values(beginning: string): Generator<[string, number]> {
    for (const [name, { value }] of this.#entries)
      if (value !== 0 && name.startsWith(beginning)) yield [name.slice(beginning.length), value];
  }

  /** A number that no state of this store ever had. It is used only once `writes()` are committed. */
  nextIncarnation(): number {
    if (this.#nextIncarnation > this.#reserved) {
      this.#reserved = Math.min(LAST_INCARNATION, this.#nextIncarnation + INCARNATIONS);
      this.#set("incarnation", this.#reserved);
    }
    if (this.#nextIncarnation > LAST_INCARNATION) {
      throw new OstinatoError("OST_CAPACITY", {
        what: "the store's incarnations are used up",
        repair: "begin a new data folder",
      });
    }
    return this.#nextIncarnation++;
  }

  /** Notes the clock; true if it is time for that. */
  noteClock(everyMs: number): boolean {
    const clock = this.clock();
    if (clock - this.value("clock") < everyMs) return false;
    this.#set("clock", clock);
    return true;
  }

  markClean(): void {
    this.#set("clock", this.clock());
    this.#set("clean", this.boot);
  }

  /** What has changed since it was last committed. */
  writes(): StoreWrite[] {
    const writes: StoreWrite[] = [];
    for (const name of this.#changed) {
      const { value, writes: before } = this.#entries.get(name) as Entry;
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, value, true);
      const expected = before === 0 ? null : { incarnation: 1, seq: before };
      writes.push({ key: PREFIX + name, expected, record: { incarnation: 1, seq: before + 1, bytes } });
    }
    return writes;
  }

  /** After a commit of `writes()`. */
  committed(writes: readonly StoreWrite[]): void {
    for (const { key } of writes) {
      const name = key.slice(PREFIX.length);
      (this.#entries.get(name) as Entry).writes++;
      this.#changed.delete(name);
    }
  }

  #set(name: string, value: number): void {
    const entry = this.#entries.get(name);
    if (entry?.value === value) return;
    if (entry === undefined) this.#entries.set(name, { value, writes: 0 });
    else entry.value = value;
    this.#changed.add(name);
  }
}

function valueOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat64(0, true);
}

/** Whether an entry can ever have held it: all but the clock count something. */
function isPossible(name: string, value: number): boolean {
  const most = name === "incarnation" ? LAST_INCARNATION : Number.MAX_SAFE_INTEGER;
  return value >= 0 && value <= most && (name === "clock" || Number.isInteger(value));
}

async function* everyEntry(store: Store, prefix: string): AsyncGenerator<{ key: string; record: StoreEntry }> {
  const limit = 1000;
  for (let after: string | undefined; ; ) {
    const page = await store.scan({ prefix, after, limit });
    yield* page;
    if (page.length < limit) return;
    after = page[page.length - 1].key;
  }
}
