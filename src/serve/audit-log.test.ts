/** @file The audit log: every tampering is found, every crash is survived, nothing is told before it is on the disk. */
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rng, seed } from "../core/rng.js";
import { type AuditEntry, checkAuditLine, GENESIS, MAX_LINE_BYTES, writeAuditLine } from "./audit-line.js";
import { AuditLog, type AuditLogOptions, auditObserver } from "./audit-log.js";
import { auditFiles, headPath, verifyAuditLog } from "./audit-verify.js";
import { sessionKey } from "./session-key.js";

let root: string;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ostinato-audit-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const fresh = () => join(root, String(folders++), "audit.jsonl");
const entry = (seq: number, change: Partial<AuditEntry> = {}): AuditEntry => ({
  actor: "key:3f9a",
  tenant: "plant-7",
  key: `plant-7\nload\nsmeter-${seq % 5}`,
  event: "reset",
  reason: "time_gap",
  from: seq,
  to: seq + 1,
  seq,
  version: "9c41",
  ...change,
});

async function written(path: string, count: number, options: AuditLogOptions = {}): Promise<AuditLog> {
  const log = await AuditLog.open(path, { durable: false, ...options });
  for (let i = 0; i < count; i++) log.append(entry(i));
  await log.close();
  return log;
}

const lines = async (path: string) => (await readFile(path, "utf8")).split("\n").slice(0, -1);

describe("an audit log", () => {
  it("holds what happened, in order, without the session's id, and verifies", async () => {
    const path = fresh();
    const log = await AuditLog.open(path, { now: () => Date.UTC(2026, 0, 2) });
    const observer = auditObserver(log);
    const key = sessionKey({ tenant: "plant-7", model: "load", id: { text: "secret-meter" } });
    const change = { key, version: "9c41", incarnation: { from: 3, to: 4 }, seq: 17, steps: 17, attributes: {} };
    observer.lifecycle?.({ ...change, kind: "reset", reason: "time_gap" }, "key:3f9a");
    observer.model?.("swapped", { name: "load", version: "aa01", policy: "pin", actor: "key:root" });
    await log.flushed();
    const [first, second] = (await lines(path)).map((line) => JSON.parse(line));
    expect(first).toEqual({
      n: 1,
      time: "2026-01-02T00:00:00.000Z",
      actor: "key:3f9a",
      tenant: "plant-7",
      key: expect.stringMatching(/^[0-9a-f]{16}$/),
      event: "reset",
      reason: "time_gap",
      from: 3,
      to: 4,
      seq: 17,
      version: "9c41",
      previous: GENESIS.hash,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(second).toMatchObject({ n: 2, event: "model_swapped", reason: "load:pin", key: null, previous: first.hash });
    expect(await readFile(path, "utf8")).not.toContain("secret-meter");
    expect(await verifyAuditLog(path)).toEqual({ ok: true, lines: 2, head: { n: 2, hash: second.hash } });
    await log.close();
    expect(() => log.append(entry(0))).toThrow(expect.objectContaining({ code: "OST_FILE" }));
  });

  it("has its lines on the disk when flushed resolves, whoever waits", async () => {
    const path = fresh();
    const log = await AuditLog.open(path);
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, i % 7));
        const { hash } = log.append(entry(i));
        await log.flushed();
        expect(await readFile(path, "utf8")).toContain(hash);
        expect((await verifyAuditLog(path, { head: hash, headFile: true })).ok).toBe(true);
      }),
    );
    await log.close();
    expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: 200, head: log.head });
  });

  it("goes on where it was after every opening, also over full files", async () => {
    const path = fresh();
    for (let round = 1; round <= 12; round++) {
      await written(path, 7, { maxBytes: 2000 });
      expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: round * 7 });
    }
    const files = await auditFiles(path);
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) expect((await stat(file)).size).toBeLessThan(2000 + MAX_LINE_BYTES);
    expect(await verifyAuditLog(files)).toMatchObject({ ok: true, lines: 84 });
    expect(await verifyAuditLog([...files].reverse())).toMatchObject({ ok: false });
  });

  it("can give up its oldest files, and then verifies from the hash that was noted", async () => {
    const path = fresh();
    await written(path, 60, { maxBytes: 3000 });
    const [oldest] = await auditFiles(path);
    const last = JSON.parse((await lines(oldest)).at(-1) as string);
    await rm(oldest);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: false, firstBad: { line: 1 } });
    expect(await verifyAuditLog(path, { since: last.hash })).toMatchObject({ ok: true, lines: 60 - last.n });
    expect((await verifyAuditLog(path, { since: "0".repeat(64) })).ok).toBe(false);
    await written(path, 5, { maxBytes: 3000 });
    expect(await verifyAuditLog(path, { since: last.hash })).toMatchObject({ ok: true, lines: 65 - last.n });
  });

  it("never writes a line longer than a reader takes, whatever it is told", () => {
    const worst = "\u0001".repeat(100_000);
    const change = { actor: worst, tenant: worst, key: worst, event: worst, reason: worst, version: worst };
    const big = Number.MAX_SAFE_INTEGER;
    const { text } = writeAuditLine(entry(big, { ...change, from: big, to: big }), { n: big - 1, hash: GENESIS.hash }, 0);
    expect(Buffer.byteLength(text)).toBeLessThan(MAX_LINE_BYTES);
    expect(checkAuditLine(Buffer.from(text), { n: big - 1, hash: GENESIS.hash })).toMatchObject({ n: big });
  });
});

describe("tampering", () => {
  const COUNT = 40;
  type Tamper = (bytes: Buffer, rng: Rng) => Buffer;
  const below = (rng: Rng, n: number) => Math.floor(rng.uniform() * n);
  const byLine = (change: (lines: string[], rng: Rng) => void): Tamper => {
    return (bytes, rng) => {
      const all = bytes.toString("latin1").split("\n").slice(0, -1);
      change(all, rng);
      return Buffer.from(all.map((line) => `${line}\n`).join(""), "latin1");
    };
  };
  const TAMPERS: Record<string, Tamper> = {
    "edit a byte": (bytes, rng) => {
      const copy = Buffer.from(bytes);
      copy[below(rng, copy.length)] ^= 1 + below(rng, 255);
      return copy;
    },
    "insert a byte": (bytes, rng) => {
      const at = below(rng, bytes.length + 1);
      return Buffer.concat([bytes.subarray(0, at), Buffer.of(below(rng, 256)), bytes.subarray(at)]);
    },
    "take a byte out": (bytes, rng) => {
      const at = below(rng, bytes.length);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    },
    "drop lines": byLine((all, rng) => all.splice(below(rng, all.length), 1 + below(rng, 3))),
    "duplicate a line": byLine((all, rng) => {
      const at = below(rng, all.length);
      all.splice(below(rng, all.length + 1), 0, all[at]);
    }),
    "swap two lines": byLine((all, rng) => {
      const [a, step] = [below(rng, all.length), 1 + below(rng, all.length - 1)];
      const b = (a + step) % all.length;
      [all[a], all[b]] = [all[b], all[a]];
    }),
    truncate: (bytes, rng) => bytes.subarray(0, below(rng, bytes.length)),
    "another value and a hash that fits it": byLine((all, rng) => {
      const at = below(rng, all.length);
      const { n, previous, seq } = JSON.parse(all[at]);
      all[at] = writeAuditLine(entry(seq, { actor: "somebody else" }), { n: n - 1, hash: previous }, 0).text;
    }),
    "a line of another log with a chain that fits": byLine((all, rng) => {
      const at = 1 + below(rng, all.length - 1);
      const { n, hash } = JSON.parse(all[at - 1]);
      all.splice(at, 0, writeAuditLine(entry(7), { n, hash }, 0).text);
    }),
    "another end, its chain written anew": byLine((all, rng) => {
      const at = below(rng, all.length);
      let previous = at === 0 ? GENESIS : { n: at, hash: JSON.parse(all[at - 1]).hash };
      for (let i = at; i < all.length; i++) {
        const line = writeAuditLine(entry(i, { reason: "client" }), previous, 1);
        previous = line.head;
        all[i] = line.text;
      }
    }),
  };

  it("is found in 2,000 of 2,000 random tampers, with the head file and with a head noted elsewhere", async () => {
    const path = fresh();
    const { head } = await written(path, COUNT);
    const original = await readFile(path);
    const rng = seed(20261122);
    const missed: string[] = [];
    const names = Object.keys(TAMPERS);
    for (let i = 0; i < 2000; i++) {
      const name = names[i % names.length];
      const changed = TAMPERS[name](original, rng);
      if (changed.equals(original)) throw new Error(`${name} changed nothing`);
      await writeFile(path, changed);
      const byFile = await verifyAuditLog(path);
      const byHead = await verifyAuditLog(path, { head: head.hash });
      if (byFile.ok || !byFile.firstBad) missed.push(`${i} ${name} by the head file`);
      // A line inserted behind the noted one is news to it.
      if (byHead.ok) missed.push(`${i} ${name} by the noted head`);
    }
    expect(missed).toEqual([]);
    await writeFile(path, original);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: COUNT });
  }, 120_000);

  it("names the first line that does not fit", async () => {
    const path = fresh();
    await written(path, 10);
    const all = await lines(path);
    for (const at of [0, 4, 9]) {
      const changed = all.map((line, i) => (i === at ? line.replace("time_gap", "operator") : line));
      await writeFile(path, changed.map((line) => `${line}\n`).join(""));
      expect(await verifyAuditLog(path)).toMatchObject({ ok: false, lines: at, firstBad: { line: at + 1 } });
    }
  });

  it("is found in the files between, in the head file, and where the whole log and its head were written anew", async () => {
    const path = fresh();
    const { head } = await written(path, 60, { maxBytes: 3000 });
    const [, second, third] = await auditFiles(path);
    await rename(second, `${second}.away`);
    expect((await verifyAuditLog(path)).ok).toBe(false);
    await rename(third, second);
    expect((await verifyAuditLog(path)).ok).toBe(false);
    await rename(second, third);
    await rename(`${second}.away`, second);
    expect((await verifyAuditLog(path)).ok).toBe(true);

    const kept = await readFile(headPath(path), "utf8");
    for (const text of [
      "",
      "{}",
      kept.replace(/\d+/, "59"),
      kept.replace(/[0-9a-f]{64}/, "f".repeat(64)),
      `${kept.slice(0, 20)}`,
    ]) {
      await writeFile(headPath(path), text);
      expect((await verifyAuditLog(path)).ok, text).toBe(false);
    }
    await rm(headPath(path));
    expect((await verifyAuditLog(path)).ok).toBe(false);
    expect((await verifyAuditLog(path, { head: head.hash })).ok).toBe(true);
    await writeFile(headPath(path), kept);
    await appendFile(path, `${writeAuditLine(entry(60), head, 0).text}\n`);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: false, lines: 61 });

    const forged = fresh();
    await written(forged, 60);
    expect((await verifyAuditLog(forged)).ok).toBe(true);
    expect((await verifyAuditLog(forged, { head: head.hash })).ok).toBe(false);
  });

  it("is refused at the next opening, up to the head", async () => {
    for (const tamper of ["truncate", "edit", "head", "all"]) {
      const path = fresh();
      await written(path, 10);
      const { size } = await stat(path);
      if (tamper === "truncate") await truncate(path, size - 1);
      if (tamper === "edit") await writeFile(path, (await readFile(path, "utf8")).replace('"seq":7', '"seq":8'));
      if (tamper === "head") await rm(headPath(path));
      if (tamper === "all") await rm(path);
      await expect(AuditLog.open(path), tamper).rejects.toMatchObject({ code: "OST_AUDIT" });
    }
  });
});

describe("a crash", () => {
  it("in the middle of a write leaves half a line that is moved aside and recorded", async () => {
    const path = fresh();
    await written(path, 10);
    const half = writeAuditLine(entry(10), JSON.parse((await lines(path))[9]), 0).text;
    for (const torn of [half, half.slice(0, 40), "{", "\0\0\0\0\0", `${half.replace("time", "tame")}\n`, `\n${half}`]) {
      const before = (await verifyAuditLog(path)).lines;
      await appendFile(path, torn);
      expect((await verifyAuditLog(path)).ok).toBe(false);
      const log = await AuditLog.open(path);
      await log.close();
      expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: before + 1 });
      expect(JSON.parse((await lines(path)).at(-1) as string)).toMatchObject({
        event: "recovered",
        actor: "audit-log",
        reason: `torn:audit.jsonl.torn-${before + 1}`,
      });
      expect(await readFile(`${path}.torn-${before + 1}`, "latin1")).toBe(torn);
    }
  });

  it("after the lines and before their head loses nothing", async () => {
    const path = fresh();
    await written(path, 10);
    const head = await readFile(headPath(path));
    await written(path, 5);
    await writeFile(headPath(path), head);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: false, lines: 15, firstBad: { line: 16 } });
    await written(path, 1);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: 17 });
    expect(JSON.parse((await lines(path))[15])).toMatchObject({ event: "recovered", reason: "unconfirmed:11-15" });
  });

  it("in the middle of putting a full file aside loses nothing", async () => {
    const path = fresh();
    await written(path, 10);
    await rename(path, `${path}.000000000001`);
    await written(path, 3);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: 13 });
    await writeFile(`${path}.note`, "no file of the log");
    expect(await auditFiles(path)).toEqual([`${path}.000000000001`, path]);
    // The next file was begun, and holds half a line.
    const empty = fresh();
    await written(empty, 10);
    await rename(empty, `${empty}.000000000001`);
    await writeFile(empty, '{"n":11,"ti');
    await written(empty, 3);
    expect(await verifyAuditLog(empty)).toMatchObject({ ok: true, lines: 14 });
  });

  it("in the very first opening, before there is a head, is as if it had never been opened", async () => {
    const path = fresh();
    await written(path, 0);
    await rm(headPath(path));
    await written(path, 2);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: 2 });
  });
});

describe("a log that cannot be written", () => {
  it("says so to whoever waits, keeps the lines, and writes them when it can again", async () => {
    const path = fresh();
    const faults: unknown[] = [];
    const log = await AuditLog.open(path, { maxPending: 3, onFault: (error) => faults.push(error) });
    log.append(entry(0));
    await log.flushed();
    // The head cannot be replaced while a folder stands where it is written.
    const blocked = `${headPath(path)}.partial`;
    await mkdir(blocked);
    log.append(entry(1));
    await expect(log.flushed()).rejects.toMatchObject({ code: "OST_FILE" });
    log.append(entry(2));
    await expect(log.flushed()).rejects.toMatchObject({ code: "OST_FILE" });
    log.append(entry(3));
    expect(() => log.append(entry(4))).toThrow(expect.objectContaining({ code: "OST_CAPACITY" }));
    const observer = auditObserver(log);
    const loaded = () => observer.model?.("loaded", { name: "load", version: "aa01", actor: "key:root" });
    for (let i = 0; i < 5; i++) loaded();
    await rm(blocked, { recursive: true });
    await log.flushed();
    loaded();
    await log.close();
    expect(faults).toEqual([expect.objectContaining({ code: "OST_FILE" })]);
    expect(await verifyAuditLog(path)).toMatchObject({ ok: true, lines: 6, head: log.head });
    const last = (await lines(path)).slice(-2).map((line) => JSON.parse(line));
    expect(last).toMatchObject([{ event: "lost", reason: "lines:5" }, { event: "model_loaded" }]);
  });

  it("notices another writer, or a cut, below it", async () => {
    for (const change of ["append", "truncate"]) {
      const path = fresh();
      const log = await AuditLog.open(path);
      log.append(entry(0));
      await log.flushed();
      if (change === "append") await appendFile(path, "more\n");
      else await truncate(path, 0);
      log.append(entry(1));
      await expect(log.flushed()).rejects.toMatchObject({ code: "OST_AUDIT" });
      await log.close().catch(() => {});
    }
  });

  it("cannot be opened where there is no folder to be made", async () => {
    const path = fresh();
    await written(path, 1);
    await expect(AuditLog.open(join(path, "audit.jsonl"))).rejects.toMatchObject({ code: "OST_FILE" });
    await expect(verifyAuditLog(`${path}-absent`)).rejects.toMatchObject({ code: "OST_FILE" });
    expect((await readdir(join(path, ".."))).sort()).toEqual(["audit.jsonl", "audit.jsonl.head"]);
  });
});
