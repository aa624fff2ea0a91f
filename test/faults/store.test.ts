/** @file The store under what machines do to it: processes killed at any moment, full and forbidden disks, damaged files. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { checkStoreFile } from "../../src/serve/store-check.js";
import { LmdbStore } from "../../src/serve/store-lmdb.js";
import { isRight, recordOf } from "./store-child.js";

const KILLS = Number(process.env.OSTINATO_KILLS ?? 20);
const DAMAGES = Number(process.env.OSTINATO_DAMAGES ?? 352);
const root = mkdtempSync(join(tmpdir(), "ostinato-store-faults-"));
const program = join(root, "store-child.mjs");

/** The child as one file of plain JavaScript, so that it starts in milliseconds. */
beforeAll(async () => {
  const entry = fileURLToPath(new URL("store-child.ts", import.meta.url));
  const [bundle] = (
    await build({
      entryPoints: [entry],
      bundle: true,
      platform: "node",
      format: "esm",
      packages: "external",
      write: false,
      conditions: ["ostinato-source"],
    })
  ).outputFiles;
  const lmdb = join(dirname(createRequire(import.meta.url).resolve("lmdb")), "..", "node-index.js");
  writeFileSync(program, bundle.text.replaceAll('import("lmdb")', `import(${JSON.stringify(pathToFileURL(lmdb).href)})`));
  chmodSync(root, 0o755);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function start(mode: string, folder: string, options: object = {}, shell?: string): ChildProcess {
  const args = [program, mode, folder, JSON.stringify(options)];
  const stdio = ["pipe", "pipe", "inherit"] as const;
  if (!shell) return spawn(process.execPath, args, { stdio: [...stdio] });
  return spawn("bash", ["-c", `${shell}; exec "$0" "$@"`, process.execPath, ...args], { stdio: [...stdio] });
}

const ended = (child: ChildProcess) =>
  new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal })),
  );
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Answers each line of a child until it ends; gives its last line. */
async function converse(child: ChildProcess, answer: (line: string) => void): Promise<string> {
  let [text, last] = ["", ""];
  child.stdout?.on("data", (data) => {
    text += data;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      last = text.slice(0, end);
      text = text.slice(end + 1);
      answer(last);
    }
  });
  await ended(child);
  return text || last;
}

describe("a store whose process is killed", () => {
  it(`keeps every acknowledged commit and no torn one, ${KILLS} times`, { timeout: 60_000 + KILLS * 5000 }, async () => {
    const rng = seed(7);
    const folder = join(root, "killed");
    const acknowledged = new Map<string, number>();
    let [commits, inFlight, survived] = [0, 0, 0];
    for (let kill = 0; kill < KILLS; kill++) {
      rmSync(join(folder, "log"), { force: true });
      const durability = kill % 2 === 0 ? "durable" : "process";
      const child = start("load", folder, { durability, from: (kill + 1) * 1_000_000 });
      const end = ended(child);
      for (let waited = 0; waited < 2000 && !existsSync(join(folder, "log")); waited++) await pause(5);
      await pause(rng.integer(120));
      child.kill("SIGKILL");
      expect(await end).toEqual({ code: null, signal: "SIGKILL" });

      let begun: { seq: number; keys: string[] } | null = null;
      for (const line of readFileSync(join(folder, "log"), "utf8").split("\n").slice(0, -1)) {
        const [what, seq, ...keys] = line.split(" ");
        if (what === "begin") begun = { seq: Number(seq), keys };
        else if (begun) {
          commits++;
          apply(acknowledged, begun);
          begun = null;
        }
      }
      const store = await LmdbStore.open({ folder, durability: "durable" });
      const keys = Array.from({ length: 150 }, (_, i) => `k${i}`);
      const loaded = await store.load(keys);
      for (const [i, entry] of loaded.entries()) if (entry !== null) expect(isRight(keys[i], entry)).toBe(true);
      const found = new Map(
        keys.flatMap((key, i) => (loaded[i] === null ? [] : [[key, (loaded[i] as { seq: number }).seq] as const])),
      );
      const whole = new Map(acknowledged);
      if (begun) {
        inFlight++;
        apply(whole, begun);
        if (sameMap(found, whole)) {
          survived++;
          apply(acknowledged, begun);
        }
      }
      expect(sorted(found)).toEqual(sorted(acknowledged));
      expect(await store.count()).toBe(acknowledged.size);
      await store.close();
    }
    console.log(
      `${KILLS} kills, ${commits} acknowledged commits kept, ${inFlight} in flight, of which ${survived} were there as a whole`,
    );
    expect(commits).toBeGreaterThan(KILLS);
  });
});

describe("a store whose process is killed while it makes it", () => {
  it("opens all the same", async () => {
    const rng = seed(11);
    for (let kill = 0; kill < 10; kill++) {
      const folder = join(root, `unborn-${kill}`);
      const child = start("load", folder, { durability: "process", from: 1 });
      const end = ended(child);
      while (!existsSync(folder) && child.exitCode === null) await pause(1);
      await pause(rng.integer(25));
      child.kill("SIGKILL");
      await end;
      const store = await LmdbStore.open({ folder, durability: "process" });
      for (const { key, record } of await store.scan({ prefix: "", limit: 1000 })) expect(isRight(key, record)).toBe(true);
      await store.close();
    }
  });
});

function apply(state: Map<string, number>, { seq, keys }: { seq: number; keys: string[] }): void {
  for (const key of keys) {
    if (key.startsWith("-")) state.delete(key.slice(1));
    else state.set(key, seq);
  }
}
const sorted = (map: Map<string, number>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
const sameMap = (a: Map<string, number>, b: Map<string, number>) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));

const hasPrlimit = process.platform === "linux" && existsSync("/usr/bin/prlimit");
const limit = (child: ChildProcess, bytes: number | "unlimited") =>
  execFileSync("/usr/bin/prlimit", ["--pid", String(child.pid), `--fsize=${bytes}:`]);

describe.skipIf(!hasPrlimit)(`a store without room${hasPrlimit ? "" : " (skipped: prlimit is not on this machine)"}`, () => {
  it("refuses what it cannot keep, keeps the rest, and writes again when there is room", async () => {
    const child = start("fill", join(root, "full"), {}, "ulimit -S -f 5000");
    const report = JSON.parse(
      await converse(child, (line) => {
        if (line !== "full") return;
        limit(child, "unlimited");
        child.stdin?.write("room\n");
      }),
    );
    expect(report).toMatchObject({ rightWhenFull: true, absent: true, after: 50, rightAfter: true, countAgain: report.written });
    expect(report.errors[0]).toMatch(/^OST_STORE no .*the disk is full/);
  });

  // lmdb 3.5 writes its message about a failed write past the end of its buffer, which glibc answers by ending the process.
  it("loses nothing when LMDB itself is stopped in the midst of a commit, whether its process lives or dies", async () => {
    const folder = join(root, "stopped");
    const child = start("fill", folder, { limitAfter: 320 });
    const said = await converse(child, (line) => {
      if (line === "limit") limit(child, 200_000);
      else if (line === "full") limit(child, "unlimited");
      else return;
      child.stdin?.write("go on\n");
    });
    if (said === "limit") {
      expect(["SIGABRT", "SIGSEGV"]).toContain(child.signalCode);
      const store = await LmdbStore.open({ folder, durability: "durable" });
      const keys = Array.from({ length: await store.count() }, (_, i) => `k${i}`);
      expect(keys.length).toBeGreaterThanOrEqual(320);
      expect((await store.load(keys)).every((entry, i) => isRight(keys[i], entry))).toBe(true);
      await store.close();
      return;
    }
    const report = JSON.parse(said);
    expect(report).toMatchObject({ rightWhenFull: true, absent: true, after: 50, rightAfter: true, countAgain: report.written });
    for (const error of report.errors) expect(error).toMatch(/^OST_STORE no .*the disk is full/);
  });
});

describe("a store that may not be written", () => {
  it("says so", async () => {
    const folder = join(root, "forbidden");
    mkdirSync(folder);
    writeFileSync(join(folder, "sessions.mdb"), "");
    chmodSync(join(folder, "sessions.mdb"), 0o444);
    chmodSync(folder, 0o555);
    const said = await converse(start("forbidden", folder), () => undefined);
    expect(said).toMatch(/^OST_STORE .*cannot be (written|locked).*repair/);
  });
});

describe("a store whose file is damaged", () => {
  it(`gives right records or errors, never a wrong record, ${DAMAGES} times`, { timeout: 60_000 + DAMAGES * 500 }, async () => {
    const folder = join(root, "damaged");
    const store = await LmdbStore.open({ folder, durability: "process", journalBytes: 60_000 });
    const expected = new Map<string, number>();
    for (let seq = 0; seq < 120; seq++) {
      const keys = Array.from({ length: 6 }, (_, i) => `k${(seq * 5 + i * 31) % 300}`);
      await store.commit(
        keys.map((key) => {
          const held = expected.get(key);
          return { key, expected: held === undefined ? null : recordOf(key, held), record: recordOf(key, seq) };
        }),
      );
      for (const key of keys) expected.set(key, seq);
    }
    await store.close();
    const file = checkStoreFile(join(folder, "sessions.mdb"));
    expect(file.tables.get("records")).toBeGreaterThan(100);
    expect(file.tables.get("journal")).toBeGreaterThan(5);
    writeFileSync(join(folder, "expected.json"), JSON.stringify([...expected]));

    const outcomes = join(folder, "outcomes");
    writeFileSync(outcomes, "");
    const lines = () => readFileSync(outcomes, "utf8").split("\n").filter(Boolean);
    let [died, hung] = [0, 0];
    while (lines().length < DAMAGES) {
      const from = lines().length;
      const child = start("damage", folder, { from, to: DAMAGES, used: file.usedBytes });
      const end = ended(child);
      for (let [seen, still] = [from, 0]; child.exitCode === null && child.signalCode === null; still++) {
        await pause(50);
        const now = lines().length;
        if (now > seen) [seen, still] = [now, 0];
        if (still > 400) {
          hung++;
          child.kill("SIGKILL");
          break;
        }
      }
      await end;
      // A line that was begun and not ended is of the trial that ended its process.
      if (!readFileSync(outcomes, "utf8").endsWith("\n")) {
        died++;
        writeFileSync(outcomes, "died\n", { flag: "a" });
      }
      expect(lines().length).toBeGreaterThan(from);
    }
    const tally: Record<string, number> = {};
    for (const line of lines()) {
      const [, what, outcome] = line.split(" ");
      tally[`${what} ${outcome}`] = (tally[`${what} ${outcome}`] ?? 0) + 1;
    }
    console.log(`${DAMAGES} damaged stores:`, tally, `of the dead, ${hung} had hung`);
    expect(lines().filter((line) => line.includes("wrong"))).toEqual([]);
    expect(died).toBeLessThanOrEqual(DAMAGES / 100);
  });
});
