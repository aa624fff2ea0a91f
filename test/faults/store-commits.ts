/** @file Twenty commits that are to outlive a power cut, each between two lines on the standard output: `store-commits.ts <folder>`. */
import { writeSync } from "node:fs";
import { LmdbStore } from "../../src/serve/store-lmdb.js";

const store = await LmdbStore.open({ folder: process.argv[2], durability: "durable" });
for (let seq = 1; seq <= 20; seq++) {
  const expected = seq === 1 ? null : { incarnation: 1, seq: seq - 1 };
  writeSync(1, `begin ${seq}\n`);
  await store.commit([{ key: "a", expected, record: { incarnation: 1, seq, bytes: new Uint8Array(300) } }]);
  writeSync(1, `ack ${seq}\n`);
}
await store.close();
