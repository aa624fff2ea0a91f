/** What an acknowledged commit has behind it: the file holds it, and where it is to outlive a power cut, the disk was waited for. */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { LmdbStore } from "../../src/serve/store-lmdb.js";

const root = mkdtempSync(join(tmpdir(), "ostinato-acknowledged-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const record = (seq: number) => ({ incarnation: 1, seq, bytes: new Uint8Array(300).fill(seq) });
const traced = spawnSync("strace", ["-e", "trace=none", "true"]).status === 0;

describe("an acknowledged commit", () => {
  it("is in the file: a copy made at that moment holds it", async () => {
    const folder = join(root, "store");
    const store = await LmdbStore.open({ folder, durability: "durable", journalBytes: 2000 });
    for (let seq = 1; seq <= 12; seq++) {
      await store.commit([{ key: "a", expected: seq === 1 ? null : record(seq - 1), record: record(seq) }]);
      const copied = join(root, `copy-${seq}`);
      mkdirSync(copied);
      copyFileSync(join(folder, "sessions.mdb"), join(copied, "sessions.mdb"));
      const copy = await LmdbStore.open({ folder: copied, durability: "process" });
      expect(await copy.load(["a"])).toMatchObject([{ seq }]);
      await copy.close();
    }
    await store.close();
  });

  it.skipIf(!traced)(
    "was waited for: the disk is told to keep it between its beginning and its acknowledgement (strace)",
    { timeout: 60_000 },
    () => {
      const log = join(root, "calls");
      const program = fileURLToPath(new URL("store-commits.ts", import.meta.url));
      const node = [
        process.execPath,
        "--conditions=ostinato-source",
        "--import",
        import.meta.resolve("tsx"),
        program,
        join(root, "traced"),
      ];
      execFileSync("strace", [
        "-f",
        "-qq",
        "-s",
        "16",
        "-o",
        log,
        "-e",
        "trace=write,fdatasync,fsync,msync,sync_file_range",
        ...node,
      ]);
      const calls = readFileSync(log, "utf8").split("\n");
      const commits: number[] = [];
      let syncs = -1;
      for (const call of calls) {
        if (/write\(\d+, "begin/.test(call)) syncs = 0;
        else if (/write\(\d+, "ack/.test(call)) commits.push(syncs);
        else if (/(fdatasync|fsync|msync)\(/.test(call)) syncs++;
      }
      expect(commits.length).toBe(20);
      expect(Math.min(...commits)).toBeGreaterThanOrEqual(1);
    },
  );
});
