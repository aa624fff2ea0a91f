import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isDamaged } from "../protocol/store.js";
import { checkStore } from "../testing/check-store.js";
import { LmdbStore, type LmdbStoreOptions } from "./store-lmdb.js";

const root = mkdtempSync(join(tmpdir(), "ostinato-store-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const fresh = () => join(root, `store-${folders++}`);
const record = (seq: number, bytes = 600) => ({ incarnation: 1, seq, bytes: new Uint8Array(bytes).fill(seq) });

describe("LmdbStore", () => {
  const cases: Omit<LmdbStoreOptions, "folder">[] = [
    { durability: "durable" },
    { durability: "process" },
    { durability: "process", journalBytes: 20_000 },
    { durability: "durable", journalBytes: 1 },
  ];
  it.each(cases)("holds every law of a store: %o", async (options) => {
    let folder = "";
    const open = (at: string) => LmdbStore.open({ folder: at, ...options });
    await checkStore(
      () => {
        folder = fresh();
        return open(folder);
      },
      { reopen: () => open(folder), operations: options.durability === "durable" ? 4000 : 10_000 },
    );
  });

  it("folds the journal as it goes: memory and the time to open stay bounded, and nothing is lost", async () => {
    const folder = fresh();
    const options = { folder, durability: "process", journalBytes: 100_000 } as const;
    let store = await LmdbStore.open(options);
    for (let seq = 0; seq < 5; seq++) {
      for (let from = 0; from < 1000; from += 50) {
        const keys = Array.from({ length: 50 }, (_, i) => `key ${from + i}`);
        await store.commit(keys.map((key) => ({ key, expected: seq === 0 ? null : record(seq - 1), record: record(seq) })));
      }
      expect(store.journal.bytes).toBeLessThan(2 * options.journalBytes);
    }
    for (const again of [false, true]) {
      if (again) {
        await store.close();
        store = await LmdbStore.open(options);
      }
      const loaded = await store.load(Array.from({ length: 1000 }, (_, i) => `key ${i}`));
      expect(loaded.every((entry) => entry !== null && "seq" in entry && entry.seq === 4)).toBe(true);
      expect(await store.count()).toBe(1000);
    }
    await store.close();
  });

  it("lets one process at a time into a folder that only its user may read", async () => {
    const folder = fresh();
    const store = await LmdbStore.open({ folder, durability: "durable" });
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "sessions.mdb")).mode & 0o777).toBe(0o600);
    await expect(LmdbStore.open({ folder, durability: "durable" })).rejects.toThrow(/in use by another server/);
    await store.close();
    const again = await LmdbStore.open({ folder, durability: "durable" });
    await again.close();
  });

  it("tells of a damaged record by its key, in the table as in the journal, and lets it be replaced or given up", async () => {
    const options = { folder: fresh(), durability: "process", journalBytes: 20_000 } as const;
    let store = await LmdbStore.open(options);
    const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`);
    for (const [i, key] of keys.entries()) await store.commit([{ key, expected: null, record: record(i + 1) }]);
    expect(store.journal.batches).toBeLessThan(50);
    await store.close();
    const path = join(options.folder, "sessions.mdb");
    const file = readFileSync(path);
    // Key 3 is in the table by now, key 97 still in the journal; each begins with 600 bytes of its own number.
    for (const number of [4, 98]) {
      for (let at = file.indexOf(Buffer.alloc(600, number)); at >= 0; at = file.indexOf(Buffer.alloc(600, number), at + 1))
        file[at + 300] ^= 16;
    }
    writeFileSync(path, file);

    store = await LmdbStore.open(options);
    const loaded = await store.load(keys);
    expect(loaded.flatMap((entry, i) => (isDamaged(entry) ? [i] : []))).toEqual([3, 97]);
    expect(loaded.filter((entry) => entry !== null && "seq" in entry)).toHaveLength(98);
    expect(await store.count()).toBe(100);
    const scanned = await store.scan({ prefix: "key 3", limit: 1 });
    expect(isDamaged(scanned[0].record)).toBe(true);
    const wrong = [record(4), null].map((expected) => ({ key: "key 3", expected, record: record(9) }));
    for (const write of wrong) expect(await store.commit([write])).toEqual(["conflict"]);
    const mended = { key: "key 3", expected: "damaged" as const, record: record(9) };
    expect(await store.commit([mended, { key: "key 97", expected: "damaged", record: null }])).toEqual(["applied", "applied"]);
    for (const again of [false, true]) {
      if (again) {
        await store.close();
        store = await LmdbStore.open(options);
      }
      expect(await store.load(["key 3", "key 97"])).toMatchObject([{ seq: 9 }, null]);
      expect(await store.count()).toBe(99);
    }
    await store.close();
  });

  it("stops writing when another one took over the folder", async () => {
    const folder = fresh();
    const paused = await LmdbStore.open({ folder, durability: "durable" });
    rmSync(join(folder, "lock"));
    const successor = await LmdbStore.open({ folder, durability: "durable" });
    await successor.commit([{ key: "a", expected: null, record: record(0) }]);
    await expect(paused.commit([{ key: "a", expected: null, record: record(9) }])).rejects.toThrow(/took over/);
    expect(await successor.load(["a"])).toMatchObject([{ seq: 0 }]);
    await successor.close();
    await paused.close();
  });

  it("takes over a name that a killed process left, and says so of a file that is no store", async () => {
    const folder = fresh();
    mkdirSync(folder);
    writeFileSync(join(folder, "lock"), "");
    const store = await LmdbStore.open({ folder, durability: "process" });
    await store.close();

    const strange = fresh();
    mkdirSync(strange);
    writeFileSync(join(strange, "sessions.mdb"), "not a store at all".repeat(1000));
    await expect(LmdbStore.open({ folder: strange, durability: "process" })).rejects.toMatchObject({ code: "OST_STORE" });
  });

  it("refuses a full store and works again when sessions end", async () => {
    const options = { folder: fresh(), durability: "process", maxBytes: 8 * 2 ** 20, journalBytes: 2 ** 18 } as const;
    const store = await LmdbStore.open(options);
    let [written, refused] = [0, 0];
    while (refused === 0 && written < 20_000) {
      const write = { key: `key ${written}`, expected: null, record: record(1, 2000) };
      await store.commit([write]).then(
        () => written++,
        (error) => {
          refused++;
          expect(error).toMatchObject({ code: "OST_STORE", applied: "no" });
          expect(error.message).toMatch(/full/);
        },
      );
    }
    expect(refused).toBe(1);
    expect(await store.count()).toBe(written);
    expect((await store.load([`key ${written}`]))[0]).toBeNull();
    for (let i = 0; i < written; i++) {
      expect(await store.commit([{ key: `key ${i}`, expected: record(1), record: null }])).toEqual(["applied"]);
    }
    for (let i = 0; i < written / 2; i++) {
      expect(await store.commit([{ key: `key ${i}`, expected: null, record: record(2, 2000) }])).toEqual(["applied"]);
    }
    expect(await store.count()).toBe(Math.ceil(written / 2));
    await store.close();
  });
});
