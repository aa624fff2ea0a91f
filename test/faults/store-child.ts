/** @file What the fault tests of the store run in a process of its own: `node store-child.mjs <mode> <folder> <json>`. */
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readSync, rmSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { seed } from "../../src/core/rng.js";
import { isDamaged, type StoreEntry, type StoreWrite } from "../../src/protocol/store.js";
import { LmdbStore } from "../../src/serve/store-lmdb.js";

/** A record that can be recognised: its bytes follow from its key and number. */
export function recordOf(key: string, seq: number) {
  const rng = seed(seq * 1000 + Number(key.replace(/\D/g, "")));
  return { incarnation: 1 + (seq % 3), seq, bytes: Uint8Array.from({ length: 1 + rng.integer(1500) }, () => rng.integer(256)) };
}

export function isRight(key: string, entry: StoreEntry | null): boolean {
  if (entry === null || isDamaged(entry)) return false;
  const right = recordOf(key, entry.seq);
  return entry.incarnation === right.incarnation && Buffer.compare(entry.bytes, right.bytes) === 0;
}

/** Commits without end; a log beside the store says what was begun and what was acknowledged. */
async function load(folder: string, { durability, from }: { durability: "durable" | "process"; from: number }): Promise<void> {
  const store = await LmdbStore.open({ folder, durability, journalBytes: 60_000 });
  const log = openSync(join(folder, "log"), "w");
  const rng = seed(from + 1);
  for (let seq = from; ; seq++) {
    const keys = [...new Set(Array.from({ length: 1 + rng.integer(30) }, () => `k${rng.integer(150)}`))];
    const held = await store.load(keys);
    const writes = keys.map((key, i): StoreWrite => {
      const entry = held[i];
      if (entry !== null && isDamaged(entry)) throw new Error(entry.damage);
      return { key, expected: entry, record: rng.integer(8) === 0 ? null : recordOf(key, seq) };
    });
    const line = writes.map(({ key, record }) => (record ? key : `-${key}`)).join(" ");
    writeSync(log, `begin ${seq} ${line}\n`);
    const outcomes = await store.commit(writes);
    if (outcomes.includes("conflict")) throw new Error("a conflict with nobody");
    writeSync(log, `ack ${seq}\n`);
  }
}

/** Writes until there is no room, then waits for a line on stdin that says that there is again. */
async function fill(folder: string, { limitAfter = 0 }: { limitAfter?: number }): Promise<void> {
  const store = await LmdbStore.open({ folder, durability: "durable", journalBytes: 500_000 });
  const say = (text: string) => writeSync(1, `${text}\n`);
  const hear = () => readSync(0, Buffer.alloc(100));
  let written = 0;
  const errors: string[] = [];
  const put = async () => {
    try {
      const keys = Array.from({ length: 8 }, (_, i) => `k${written + i}`);
      await store.commit(keys.map((key) => ({ key, expected: null, record: recordOf(key, 1) })));
      written += keys.length;
      return true;
    } catch (error) {
      const { code, applied, message } = error as Error & { code: string; applied: string };
      errors.push(`${code} ${applied} ${message}`);
      return false;
    }
  };
  const allRight = async () => {
    const keys = Array.from({ length: written }, (_, i) => `k${i}`);
    const loaded = await store.load(keys);
    return keys.every((key, i) => isRight(key, loaded[i])) && (await store.count()) === written;
  };
  while (errors.length === 0 && written < 50_000) {
    if (written === limitAfter && limitAfter > 0) {
      say("limit");
      hear();
    }
    await put();
  }
  const rightWhenFull = await allRight();
  const absent = (await store.load([`k${written}`]))[0] === null;
  for (let i = 0; i < 5; i++) await put();
  say("full");
  hear();
  let after = 0;
  while (after < 50 && (await put())) after++;
  const rightAfter = await allRight();
  await store.close();
  const again = await LmdbStore.open({ folder, durability: "durable" });
  const countAgain = await again.count();
  await again.close();
  say(JSON.stringify({ written, errors, rightWhenFull, absent, after, rightAfter, countAgain }));
}

/** Damages copies of a store, a bit of each anywhere, in a meta page or at the head of a page, or cuts them; says what became of each. */
async function damage(folder: string, { from, to, used }: { from: number; to: number; used: number }): Promise<void> {
  const expected = new Map<string, number>(JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")));
  const log = openSync(join(folder, "outcomes"), "a");
  const keys = [...expected.keys()];
  for (let trial = from; trial < to; trial++) {
    const copy = join(folder, `copy-${trial}`);
    mkdirSync(copy);
    const path = join(copy, "sessions.mdb");
    copyFileSync(join(folder, "sessions.mdb"), path);
    const rng = seed(trial + 1);
    const what = (["bytes", "bytes", "bytes", "bytes", "bytes", "meta", "page", "cut"] as const)[trial % 8];
    if (what === "cut") truncateSync(path, rng.integer(used));
    else {
      const page = what === "meta" ? rng.integer(2) : 2 + rng.integer(used / 4096 - 2);
      flip(path, what === "bytes" ? rng.integer(used) : page * 4096 + rng.integer(what === "meta" ? 168 : 60), rng.integer(8));
    }
    writeSync(log, `${trial} ${what} `);
    writeSync(log, `${await tryStore(copy, keys, expected)}\n`);
    rmSync(copy, { recursive: true });
  }
}

function flip(path: string, at: number, bit: number): void {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] ^= 1 << bit;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

async function tryStore(folder: string, keys: string[], expected: Map<string, number>): Promise<string> {
  let store: LmdbStore;
  try {
    store = await LmdbStore.open({ folder, durability: "process", journalBytes: 60_000 });
  } catch (error) {
    return (error as { code?: string }).code === "OST_STORE" ? "refused" : `wrong: ${error}`;
  }
  let outcome = "right";
  try {
    const compare = async () => {
      for (const [i, entry] of (await store.load(keys)).entries()) {
        if (entry !== null && isDamaged(entry)) outcome = "told";
        else if (entry?.seq !== expected.get(keys[i]) || !isRight(keys[i], entry)) return `wrong: ${keys[i]} ${entry?.seq}`;
      }
      const scanned = await store.scan({ prefix: "", limit: 10_000 });
      if (scanned.length !== (await store.count())) return "wrong: a scan and the count differ";
      return null;
    };
    const before = await compare();
    if (before) return before;
    for (let i = 0; i < 40; i++) {
      await store.commit([{ key: `new ${i}`, expected: null, record: recordOf(`new ${i}`, 1) }]);
    }
    const after = await compare();
    if (after) return `${after}, after writing`;
    await store.close();
    store = await LmdbStore.open({ folder, durability: "process" });
    return (await compare()) ?? outcome;
  } catch (error) {
    return (error as { code?: string }).code === "OST_STORE" ? "failed" : `wrong: ${error}`;
  } finally {
    await store.close();
  }
}

/** Says how a folder that may not be written opens, as a user who is not root. */
async function forbidden(folder: string): Promise<void> {
  await import("lmdb");
  if (process.getuid?.() === 0) process.setuid?.(65_534);
  const said = await LmdbStore.open({ folder, durability: "durable" }).then(
    () => "opened",
    (error: Error) => error.message.replaceAll("\n", " "),
  );
  writeSync(1, `${said}\n`);
}

const modes: Record<string, (folder: string, options: never) => Promise<void>> = { load, fill, damage, forbidden };
const [mode, folder, options = "{}"] = process.argv.slice(2);
if (mode in modes) await modes[mode](folder, JSON.parse(options) as never);
