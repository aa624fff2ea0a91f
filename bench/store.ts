/**
 * @file What a durable commit costs: LMDB with a put per record, LMDB with one value per batch, and the store that is built on that.
 *
 *     npx tsx --conditions=ostinato-source bench/store.ts [--batch 1024] [--bytes 400] [--keys 10240] [--seconds 3]
 *
 * Rounds of the three by turns, medians; records a second of the clock and of the processor.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { open } from "lmdb";
import { LmdbStore } from "../src/serve/index.js";

const { values } = parseArgs({
  options: {
    batch: { type: "string", default: "1024" },
    bytes: { type: "string", default: "400" },
    keys: { type: "string", default: "10240" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
  },
});
const [batch, bytes, keys] = [Number(values.batch), Number(values.bytes), Number(values.keys)];
const limitMs = 1000 * Number(values.seconds);

interface Contestant {
  name: string;
  /** Commits one batch of records under these keys. */
  commit(keys: readonly number[], record: Buffer): Promise<void>;
  close(): Promise<void>;
}

const keyOf = (k: number) => `tenant\nmodel\nssession-${k}`;

function bare(
  name: string,
  folder: string,
  write: (database: ReturnType<typeof open>, keys: readonly number[], record: Buffer) => void,
): Contestant {
  const database = open({
    path: join(folder, name),
    encoding: "binary",
    keyEncoding: "binary",
    overlappingSync: false,
    mapSize: 8 << 30,
  });
  return {
    name,
    async commit(chosen, record) {
      database.transactionSync(() => write(database, chosen, record));
    },
    close: () => database.close(),
  };
}

async function contestants(folder: string): Promise<Contestant[]> {
  let number = 0;
  const at = (n: number) => {
    const key = Buffer.alloc(8);
    key.writeDoubleBE(n);
    return key;
  };
  const store = await LmdbStore.open({ folder: join(folder, "store"), durability: "durable" });
  const versions = new Map<number, number>();
  return [
    bare("a put per record", folder, (database, chosen, record) => {
      for (const k of chosen) {
        const key = Buffer.from(keyOf(k));
        database.getBinaryFast(key);
        database.putSync(key, record);
      }
    }),
    bare("a value per batch", folder, (database, chosen, record) => {
      database.putSync(at(++number), Buffer.alloc(chosen.length * record.length, number));
      if (number > 64) database.removeSync(at(number - 64));
    }),
    {
      name: "LmdbStore",
      async commit(chosen, record) {
        const writes = chosen.map((k) => {
          const seq = versions.get(k);
          versions.set(k, (seq ?? 0) + 1);
          const expected = seq === undefined ? null : { incarnation: 1, seq };
          return { key: keyOf(k), expected, record: { incarnation: 1, seq: (seq ?? 0) + 1, bytes: record } };
        });
        await store.commit(writes);
      },
      close: () => store.close(),
    },
  ];
}

async function measure(contestant: Contestant): Promise<{ clock: number; processor: number }> {
  const record = Buffer.alloc(bytes, 7);
  const [start, before] = [performance.now(), process.cpuUsage()];
  let records = 0;
  let next = 0;
  while (performance.now() - start < limitMs) {
    // A stride that is coprime to the number of keys visits them all, in an order that no tree likes.
    const chosen = Array.from({ length: batch }, () => (next = (next + 7919) % keys));
    await contestant.commit([...new Set(chosen)], record);
    records += batch;
  }
  const { user, system } = process.cpuUsage(before);
  return { clock: (records / (performance.now() - start)) * 1000, processor: (records / (user + system)) * 1e6 };
}

const median = (list: number[]) => [...list].sort((a, b) => a - b)[list.length >> 1];
const folder = mkdtempSync(join(tmpdir(), "ostinato-store-"));
try {
  const all = await contestants(folder);
  const results = new Map(all.map(({ name }) => [name, [] as { clock: number; processor: number }[]]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const one of all) results.get(one.name)?.push(await measure(one));
  }
  for (const one of all) await one.close();
  process.stdout.write(
    `${cpus().length} cores, ${cpus()[0].model}, Node ${process.version}; ${batch} records of ${bytes} bytes a commit, ${keys} keys\n\n`,
  );
  process.stdout.write("| durable commits by | records/s | records per second of processor |\n|---|---|---|\n");
  for (const [name, runs] of results) {
    const of = (part: "clock" | "processor") => Math.round(median(runs.map((run) => run[part]))).toLocaleString("en-US");
    process.stdout.write(`| ${name} | ${of("clock")} | ${of("processor")} |\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
