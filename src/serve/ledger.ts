/**
 * @file What an engine remembers beside its sessions, in the same store and the same commits: how many there are, the next incarnation, its
 * own clock, and how the last run ended.
 *
 * Its keys begin with "!", which no session's key does.
 */
import { OstinatoError } from "../core/errors.js";
import { isDamaged, type RecordVersion, type Store, type StoreEntry, type StoreWrite } from "../protocol/store.js";
import { HIDDEN, parseSessionKey } from "./session-key.js";
import { decodeSession } from "./session-record.js";

export const LEDGER_PREFIX = "!";
const PREFIX = LEDGER_PREFIX;
const INCARNATIONS = 65_536;
const LAST_INCARNATION = 4_294_967_295;
/** What is counted of sessions: an entry that comes down to zero is deleted, for tenants come and go. */
const COUNTED = /^(sessions$|quarantined$|expiring$|tenant\/|version\/)/;

interface Entry {
  value: number;
  /** What the store holds of it; null nothing. */
  stored: RecordVersion | "damaged" | null;
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
      const value = readValue(name, record);
      if (value === null) damaged.push(name);
      entries.set(name, { value: value ?? 0, stored: versionOf(record) });
    }
    const ledger = new Ledger(entries, now);
    // They are overwritten with what is counted instead, in the first commit: until then a next start finds the damage again.
    for (const name of damaged) ledger.#changed.add(name);
    if (damaged.length > 0) await ledger.#recount(store);
    return ledger;
  }

  /** Counts the sessions there are, as nothing else tells it any more, and draws new numbers above all that are in use. */
  async #recount(store: Store): Promise<void> {
    for (const name of this.#entries.keys()) if (COUNTED.test(name)) this.#set(name, 0);
    let highest = 0;
    for await (const { key, record } of everyEntry(store, "")) {
      if (key.startsWith(PREFIX)) continue;
      const { tenant } = parseSessionKey(key);
      const isCounted = !tenant.startsWith(HIDDEN);
      if (isCounted) {
        this.add("sessions", 1);
        this.add(`tenant/${tenant}`, 1);
      }
      if (isDamaged(record)) continue;
      highest = Math.max(highest, record.incarnation);
      try {
        const { version, quarantined, ttlMs, boot, usedAt } = decodeSession(record.bytes);
        this.boot = Math.max(this.boot, boot + 1);
        this.#base = Math.max(this.#base, usedAt);
        if (!isCounted) continue;
        this.add(`version/${version}`, 1);
        if (quarantined) this.add("quarantined", 1);
        if (ttlMs !== null) this.add("expiring", 1);
      } catch {}
    }
    // Sessions that have ended may have had higher ones than those that are left.
    this.#nextIncarnation = Math.min(LAST_INCARNATION, Math.max(this.#nextIncarnation, highest + INCARNATIONS));
    this.#reserved = this.#nextIncarnation - 1;
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
      const { value, stored } = this.#entries.get(name) as Entry;
      const isOver = value === 0 && COUNTED.test(name);
      if (isOver && stored === null) {
        this.#entries.delete(name);
        this.#changed.delete(name);
        continue;
      }
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, value, true);
      const seq = stored === null || stored === "damaged" ? 1 : stored.seq + 1;
      writes.push({ key: PREFIX + name, expected: stored, record: isOver ? null : { incarnation: 1, seq, bytes } });
    }
    return writes;
  }

  /** After a commit of `writes()`. */
  committed(writes: readonly StoreWrite[]): void {
    for (const { key, record } of writes) {
      const name = key.slice(PREFIX.length);
      this.#changed.delete(name);
      if (record === null) this.#entries.delete(name);
      else (this.#entries.get(name) as Entry).stored = { incarnation: record.incarnation, seq: record.seq };
    }
  }

  /** After a commit of which nobody knows whether it was applied: what the store holds of one of its entries. Counts are what the store says. */
  settle(key: string, found: StoreEntry | null): void {
    const name = key.slice(PREFIX.length);
    const held = found === null ? 0 : readValue(name, found);
    const value = COUNTED.test(name) && held !== null ? held : this.value(name);
    this.#entries.set(name, { value, stored: found && versionOf(found) });
    if (value === held) this.#changed.delete(name);
    else this.#changed.add(name);
  }

  #set(name: string, value: number): void {
    const entry = this.#entries.get(name);
    if (entry?.value === value) return;
    if (entry === undefined) this.#entries.set(name, { value, stored: null });
    else entry.value = value;
    this.#changed.add(name);
  }
}

/** What an entry says; null if that cannot be told. */
function readValue(name: string, entry: StoreEntry): number | null {
  if (isDamaged(entry) || entry.bytes.length !== 8) return null;
  const { buffer, byteOffset, byteLength } = entry.bytes;
  const value = new DataView(buffer, byteOffset, byteLength).getFloat64(0, true);
  return isPossible(name, value) ? value : null;
}

function versionOf(entry: StoreEntry): RecordVersion | "damaged" {
  return isDamaged(entry) ? "damaged" : { incarnation: entry.incarnation, seq: entry.seq };
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
