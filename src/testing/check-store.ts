/**
 * @file The conformance suite of `Store`: the laws that a server of sessions relies on.
 *
 * - A write applies exactly if it was made from what the store holds; a conflict changes nothing and hinders no other write.
 * - A commit is there as a whole or not at all, also when it is refused; a load after it sees it.
 * - Scans give every key once, in the order of its bytes, and page without gaps.
 * - Bytes come back as they were given, of any length and under any key; the store keeps its own copy.
 * - Thousands of random operations leave what a `Map` would hold, also after closing and opening again.
 */
import { type Rng, seed as seedRng } from "../core/rng.js";
import {
  type CommitOutcome,
  isDamaged,
  MAX_KEY_BYTES,
  type RecordVersion,
  type Store,
  type StoredRecord,
  type StoreEntry,
  type StoreWrite,
} from "../protocol/store.js";

export interface CheckStoreOptions {
  /** Opens again what a store just closed held; given, its laws are checked too. */
  reopen?: () => Promise<Store>;
  /** Default 1. */
  seed?: number;
  /** Random operations held against a Map. Default 10 000. */
  operations?: number;
}

/** Runs every law on stores that `open` gives, each of them empty. @throws Error naming the first that does not hold. */
export async function checkStore(open: () => Promise<Store>, options: CheckStoreOptions = {}): Promise<void> {
  for (const law of [checkCompareAndSet, checkRefusals, checkBytes, checkKeys, checkScan, checkConcurrent]) {
    const store = await open();
    try {
      await law(store);
    } finally {
      await store.close();
    }
  }
  await checkModel(open, options);
  await checkClosed(open);
}

async function checkCompareAndSet(store: Store): Promise<void> {
  const law = "compare and set";
  that((await store.count()) === 0, law, "a store just opened must be empty");
  that((await store.commit([])).length === 0, law, "a commit of nothing has no outcomes");
  expectOutcomes(await store.commit([put("a", null, 1, 0, [1])]), ["applied"], law, "creating an absent key");
  expectOutcomes(await store.commit([put("a", null, 1, 0, [2])]), ["conflict"], law, "creating a present key");
  const others: StoreWrite["expected"][] = [{ incarnation: 1, seq: 1 }, { incarnation: 2, seq: 0 }, "damaged"];
  for (const expected of others) {
    const outcomes = await store.commit([put("a", expected, 9, 9, [3]), put("b", expected, 9, 9, [3])]);
    expectOutcomes(outcomes, ["conflict", "conflict"], law, `writing from ${JSON.stringify(expected)}, which is not there`);
  }
  expectRecord(await only(store, "a"), { incarnation: 1, seq: 0, bytes: Uint8Array.of(1) }, law, "after conflicts");

  const mixed = await store.commit([
    put("b", null, 1, 0, [4]),
    put("a", { incarnation: 1, seq: 7 }, 1, 8, [5]),
    put("c", null, 2, 3, [6]),
    { key: "d", expected: { incarnation: 1, seq: 1 }, record: null },
    { key: "e", expected: null, record: null },
  ]);
  expectOutcomes(
    mixed,
    ["applied", "conflict", "applied", "conflict", "applied"],
    law,
    "a commit with conflicts among its writes",
  );
  that((await store.count()) === 3, law, `three records counted as ${await store.count()}`);
  const loaded = await store.load(["c", "nobody", "a", "b", "a"]);
  that(loaded.length === 5 && loaded[1] === null, law, "a load gives one entry per key, null for an absent one");
  expectRecord(loaded[0], { incarnation: 2, seq: 3, bytes: Uint8Array.of(6) }, law, "beside a conflict");
  expectRecord(loaded[2], { incarnation: 1, seq: 0, bytes: Uint8Array.of(1) }, law, "a key asked for twice");

  const deleted = await store.commit([{ key: "a", expected: { incarnation: 1, seq: 0 }, record: null }]);
  expectOutcomes(deleted, ["applied"], law, "deleting from the right version");
  that((await only(store, "a")) === null && (await store.count()) === 2, law, "a deleted record must be gone");
  const again = [put("a", { incarnation: 1, seq: 0 }, 1, 1, [7])];
  expectOutcomes(await store.commit(again), ["conflict"], law, "writing from a deleted version");
  expectOutcomes(await store.commit([put("a", null, 3, 0, [8])]), ["applied"], law, "creating after deleting");
  const [largest, smallest] = [
    { incarnation: 2 ** 32 - 1, seq: 2 ** 53 - 1 },
    { incarnation: 1, seq: 0 },
  ];
  await store.commit([put("large", null, largest.incarnation, largest.seq, []), put("small", null, 1, 0, [])]);
  expectRecord(await only(store, "large"), { ...largest, bytes: new Uint8Array(0) }, law, "the largest version");
  expectRecord(await only(store, "small"), { ...smallest, bytes: new Uint8Array(0) }, law, "the smallest version");
}

async function checkRefusals(store: Store): Promise<void> {
  const law = "refusals";
  await store.commit([put("kept", null, 1, 0, [1])]);
  const refused: [string, StoreWrite[]][] = [
    ["a key twice", [put("x", null, 1, 0, []), put("y", null, 1, 0, []), put("x", null, 1, 0, [])]],
    ["an empty key", [put("x", null, 1, 0, []), put("", null, 1, 0, [])]],
    ["a key that is too long", [put("x", null, 1, 0, []), put("k".repeat(MAX_KEY_BYTES + 1), null, 1, 0, [])]],
    ["a key too long in UTF-8 only", [put("x", null, 1, 0, []), put("é".repeat(MAX_KEY_BYTES / 2 + 1), null, 1, 0, [])]],
    ["a lone surrogate", [put("x", null, 1, 0, []), put("\ud800", null, 1, 0, [])]],
    ["incarnation 0", [put("x", null, 1, 0, []), put("y", null, 0, 0, [])]],
    ["an incarnation above 32 bits", [put("x", null, 1, 0, []), put("y", null, 2 ** 32, 0, [])]],
    ["a negative seq", [put("x", null, 1, 0, []), put("y", null, 1, -1, [])]],
    ["a fractional seq", [put("x", null, 1, 0, []), put("y", null, 1, 0.5, [])]],
  ];
  for (const [what, writes] of refused) {
    const code = await store.commit(writes).then(
      () => "nothing",
      (error: { code?: string }) => error.code,
    );
    that(code === "OST_RANGE", law, `${what} must be refused with OST_RANGE, got ${code}`);
    that((await only(store, "x")) === null, law, `a commit refused for ${what} must leave nothing behind`);
  }
  that((await store.count()) === 1, law, "refused commits must not be counted");
}

async function checkBytes(store: Store): Promise<void> {
  const law = "bytes";
  const sizes = [0, 1, 2, 3, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_000_003];
  const given = sizes.map((size) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + size) & 255));
  await store.commit(given.map((bytes, i) => put(`size ${sizes[i]}`, null, 1, i, bytes)));
  const loaded = await store.load(sizes.map((size) => `size ${size}`));
  for (const [i, entry] of loaded.entries())
    expectRecord(entry, { incarnation: 1, seq: i, bytes: given[i] }, law, `${sizes[i]} bytes`);

  const mine = Uint8Array.of(9, 1, 2, 3, 9);
  await store.commit([put("view", null, 1, 0, mine.subarray(1, 4))]);
  mine.fill(0);
  const expected = { incarnation: 1, seq: 0, bytes: Uint8Array.of(1, 2, 3) };
  expectRecord(await only(store, "view"), expected, law, "after the caller reused its array");
  const before = await only(store, "view");
  await store.commit([put("view", expected, 1, 1, [7, 7, 7])]);
  expectRecord(before, expected, law, "loaded before a later commit");
}

async function checkKeys(store: Store): Promise<void> {
  const law = "keys";
  const keys = strangeKeys();
  await store.commit(keys.map((key, i) => put(key, null, 1, i, [i & 255])));
  that((await store.count()) === keys.length, law, "keys that differ in a byte must be different records");
  const loaded = await store.load(keys);
  for (const [i, entry] of loaded.entries()) {
    expectRecord(entry, { incarnation: 1, seq: i, bytes: Uint8Array.of(i & 255) }, law, JSON.stringify(keys[i]));
  }
}

async function checkScan(store: Store): Promise<void> {
  const law = "scan";
  that((await store.scan({ prefix: "", limit: 10 })).length === 0, law, "an empty store has nothing to scan");
  const keys = [
    ...strangeKeys(),
    ...Array.from({ length: 60 }, (_, i) => `t\nm\ns${i * 37}`),
    "t",
    "t\n",
    "t\nm",
    "t\nn\ns1",
    "u",
  ];
  for (let i = 0; i < keys.length; i += 7) await store.commit(keys.slice(i, i + 7).map((key) => put(key, null, 1, 0, [1])));
  const sorted = [...keys].sort(byBytes);
  for (const prefix of ["", "t", "t\n", "t\nm\ns", "t\nm\ns1", "é", "\u{10000}", "nobody"]) {
    const expected = sorted.filter((key) => key.startsWith(prefix));
    for (const limit of [1, 2, 7, 1000]) {
      const found: string[] = [];
      let after: string | undefined;
      do {
        const page = await store.scan({ prefix, limit, ...(after === undefined ? {} : { after }) });
        that(page.length <= limit, law, `a page of ${page.length} where at most ${limit} were asked for`);
        found.push(...page.map(({ key }) => key));
        after = page.at(-1)?.key;
      } while (after !== undefined && found.length <= keys.length);
      that(
        found.length === expected.length && found.every((key, i) => key === expected[i]),
        law,
        `prefix ${JSON.stringify(prefix)}, pages of ${limit}: ${JSON.stringify(found).slice(0, 200)}, expected ${JSON.stringify(expected).slice(0, 200)}`,
      );
    }
  }
  const early = await store.scan({ prefix: "t\nm\ns", after: "a", limit: 1000 });
  that(early.length === 60, law, "a key before the prefix as `after` leaves out nothing");
  that(
    (await store.scan({ prefix: "t\nm\ns", after: "z", limit: 10 })).length === 0,
    law,
    "a key behind the prefix as `after` leaves nothing",
  );
  await store.commit([{ key: "t\nm\ns0", expected: { incarnation: 1, seq: 0 }, record: null }]);
  const [first] = await store.scan({ prefix: "t\nm\ns", limit: 1 });
  that(first?.key === "t\nm\ns1036", law, `the first key behind a deleted one: ${JSON.stringify(first?.key)}`);
}

/** Calls that do not wait for one another behave as if each were alone. */
async function checkConcurrent(store: Store): Promise<void> {
  const law = "concurrent commits";
  await store.commit([put("counter", null, 1, 0, [])]);
  const writers = Array.from({ length: 8 }, async () => {
    for (let done = 0; done < 10; ) {
      const held = await only(store, "counter");
      if (held === null || isDamaged(held)) throw new Error("checkStore: the counter is gone");
      const [outcome] = await store.commit([put("counter", held, 1, held.seq + 1, [])]);
      if (outcome === "applied") done++;
    }
  });
  await Promise.all(writers);
  const seq = ((await only(store, "counter")) as StoredRecord).seq;
  that(seq === 80, law, `80 increments of which ${seq} are left: an update was lost`);
}

async function checkModel(
  open: () => Promise<Store>,
  { reopen, seed = 1, operations = 10_000 }: CheckStoreOptions,
): Promise<void> {
  const law = `random operations, seed ${seed}`;
  const rng = seedRng(seed);
  const model = new Map<string, StoredRecord>();
  let store = await open();
  try {
    for (let done = 0; done < operations; ) {
      const size = 1 + rng.integer(rng.integer(10) === 0 ? 64 : 6);
      const keys = [...new Set(Array.from({ length: size }, () => `k${rng.integer(400)}`))];
      done += keys.length;
      const choice = rng.integer(100);
      if (choice < 60) await commitBoth(store, model, rng, keys, law);
      else if (choice < 85) await compareLoads(store, model, keys, law);
      else if (choice < 95) await compareScan(store, model, `k${rng.integer(10)}`, law);
      else that((await store.count()) === model.size, law, `${model.size} records counted as ${await store.count()}`);
      if (reopen && rng.integer(400) === 0) {
        await store.close();
        store = await reopen();
      }
    }
    if (reopen) {
      await store.close();
      store = await reopen();
      await compareLoads(store, model, [...model.keys()], `${law}, opened again`);
      that((await store.count()) === model.size, law, "the count must outlive closing");
    }
    await compareScan(store, model, "", law);
  } finally {
    await store.close();
  }
}

async function checkClosed(open: () => Promise<Store>): Promise<void> {
  const store = await open();
  await store.close();
  await store.close();
  const code = await store.load(["a"]).then(
    () => "nothing",
    (error: { code?: string }) => error.code,
  );
  that(code === "OST_STORE", "closing", `a load after close must be refused with OST_STORE, got ${code}`);
}

async function commitBoth(store: Store, model: Map<string, StoredRecord>, rng: Rng, keys: string[], law: string): Promise<void> {
  const writes = keys.map((key): StoreWrite => {
    const held = model.get(key);
    const stale = rng.integer(5) === 0;
    const expected = stale
      ? held
        ? { incarnation: held.incarnation, seq: held.seq + 1 }
        : { incarnation: 1, seq: 0 }
      : (held ?? null);
    if (rng.integer(6) === 0) return { key, expected, record: null };
    const bytes = Uint8Array.from({ length: rng.integer(rng.integer(20) === 0 ? 9000 : 200) }, () => rng.integer(256));
    return { key, expected, record: { incarnation: 1 + rng.integer(3), seq: (held?.seq ?? 0) + 1, bytes } };
  });
  const outcomes = await store.commit(writes);
  for (const [i, { key, expected, record }] of writes.entries()) {
    const held = model.get(key) ?? null;
    const applies = sameVersion(expected as RecordVersion | null, held);
    that(outcomes[i] === (applies ? "applied" : "conflict"), law, `write of ${key}: ${outcomes[i]}`);
    if (!applies) continue;
    if (record) model.set(key, record);
    else model.delete(key);
  }
}

async function compareLoads(store: Store, model: Map<string, StoredRecord>, keys: string[], law: string): Promise<void> {
  for (const [i, entry] of (await store.load(keys)).entries()) expectRecord(entry, model.get(keys[i]) ?? null, law, keys[i]);
}

async function compareScan(store: Store, model: Map<string, StoredRecord>, prefix: string, law: string): Promise<void> {
  const expected = [...model.keys()].filter((key) => key.startsWith(prefix)).sort(byBytes);
  const found = await store.scan({ prefix, limit: model.size + 1 });
  that(found.length === expected.length, law, `a scan found ${found.length} of ${expected.length}`);
  for (const [i, { key, record }] of found.entries()) {
    that(key === expected[i], law, `a scan gave ${key} for ${expected[i]}`);
    expectRecord(record, model.get(key) ?? null, law, `scanned ${key}`);
  }
}

/** Keys that a store might trim, fold, normalise, cut at a zero byte, or sort by something else than bytes. */
function strangeKeys(): string[] {
  const keys = [
    "a",
    "A",
    "a ",
    " a",
    "a\0",
    "a\0b",
    "\0",
    "\x01",
    "\x7f",
    "é",
    "e\u0301",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\u{10000}",
    "\u{10ffff}",
  ];
  return [
    ...keys,
    "x".repeat(MAX_KEY_BYTES - 1),
    "x".repeat(MAX_KEY_BYTES),
    "é".repeat(MAX_KEY_BYTES / 2),
    "\u{1f600}".repeat(MAX_KEY_BYTES / 4),
  ];
}

function byBytes(a: string, b: string): number {
  const [x, y] = [new TextEncoder().encode(a), new TextEncoder().encode(b)];
  const at = x.findIndex((byte, i) => byte !== y[i]);
  return at < 0 ? x.length - y.length : x[at] - (y[at] ?? -1);
}

function put(
  key: string,
  expected: StoreWrite["expected"],
  incarnation: number,
  seq: number,
  bytes: ArrayLike<number>,
): StoreWrite {
  return { key, expected, record: { incarnation, seq, bytes: Uint8Array.from(bytes) } };
}

async function only(store: Store, key: string): Promise<StoreEntry | null> {
  return (await store.load([key]))[0];
}

function sameVersion(a: RecordVersion | null, b: RecordVersion | null): boolean {
  return a === null || b === null ? a === b : a.incarnation === b.incarnation && a.seq === b.seq;
}

function expectOutcomes(got: CommitOutcome[], expected: CommitOutcome[], law: string, what: string): void {
  that(got.join() === expected.join(), law, `${what}: ${got.join(", ")}, expected ${expected.join(", ")}`);
}

function expectRecord(got: StoreEntry | null, expected: StoredRecord | null, law: string, what: string): void {
  if (got === null || expected === null) {
    that(got === expected, law, `${what}: ${got === null ? "absent" : "still there"}`);
    return;
  }
  if (isDamaged(got)) throw new Error(`checkStore: ${law}: ${what}: damaged: ${got.damage}`);
  that(
    sameVersion(got, expected),
    law,
    `${what}: version ${got.incarnation}/${got.seq}, expected ${expected.incarnation}/${expected.seq}`,
  );
  const same = got.bytes.length === expected.bytes.length && got.bytes.every((byte, i) => byte === expected.bytes[i]);
  that(same, law, `${what}: the bytes differ`);
}

function that(holds: boolean, law: string, what: string): void {
  if (!holds) throw new Error(`checkStore: ${law}: ${what}`);
}
