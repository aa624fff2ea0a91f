/**
 * @file Damages copies of a server's store, one after another, opens each as a server would, and steps every session: one line on standard
 * output tells what came of a trial. The process may die of one.
 */
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readSync, rmSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Rng, seed } from "../../src/core/rng.js";
import type { Operation } from "../../src/serve/operation.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { LmdbStore } from "../../src/serve/store-lmdb.js";

export interface DamageJob {
  folder: string;
  /** The undamaged file. */
  file: string;
  /** Bytes of it that are in use. */
  used: number;
  from: number;
  to: number;
  seed: number;
  /** Sessions by key, with the number of their last step and the answer that the next one, of the value 0.25, has to get. */
  sessions: [key: string, seq: number, right: [number, number]][];
}

/** What may come of a session in a damaged store; "wrong" and "forgotten" may not. */
export type DamageOutcome = "right" | "told" | "wrong" | "forgotten";

const NEXT = 0.25;

async function trial(job: DamageJob, number: number): Promise<string> {
  const copy = join(job.folder, `trial-${number}`);
  mkdirSync(copy);
  const path = join(copy, "sessions.mdb");
  copyFileSync(job.file, path);
  const rng = seed(job.seed + number);
  const what = damage(path, job.used, rng);
  try {
    return `${what} ${await steps(copy, job)}`;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function damage(path: string, used: number, rng: Rng): string {
  const kind = (["bit", "bit", "bit", "bit", "byte", "meta", "page", "cut"] as const)[rng.integer(8)];
  if (kind === "cut") {
    truncateSync(path, rng.integer(used));
    return kind;
  }
  const page = kind === "meta" ? rng.integer(2) : 2 + rng.integer(Math.max(1, used / 4096 - 2));
  const at = kind === "meta" || kind === "page" ? page * 4096 + rng.integer(kind === "meta" ? 168 : 60) : rng.integer(used);
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] = kind === "byte" ? rng.integer(256) : byte[0] ^ (1 << rng.integer(8));
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
  return kind;
}

/** Every second session is stepped with its number, and the others as one that trusts the server does. */
async function steps(folder: string, { sessions }: DamageJob): Promise<string> {
  let store: LmdbStore;
  let engine: SessionEngine;
  try {
    store = await LmdbStore.open({ folder, durability: "process" });
  } catch (error) {
    return codeOf(error) === "OST_STORE" ? "refused" : `fault ${error}`;
  }
  try {
    engine = await SessionEngine.open({ store });
  } catch (error) {
    await store.close().catch(() => {});
    return codeOf(error) === "OST_STORE" ? "refused" : `fault ${error}`;
  }
  try {
    await engine.load({ probe: true });
    const outcomes = await engine.execute(
      sessions.map(([key, seq], i): Operation => {
        const input = { rows: Float64Array.of(NEXT), count: 1 };
        return { kind: "step", key, input, ...(i % 2 === 0 ? { seq: seq + 1 } : {}) };
      }),
    );
    const found = outcomes.map(({ error, predictions }, i): DamageOutcome => {
      if (error) return error.code === "OST_SESSION" ? "forgotten" : error.code === "OST_INTERNAL" ? "wrong" : "told";
      const [, , right] = sessions[i];
      return predictions?.values[0] === right[0] && predictions.values[1] === right[1] ? "right" : "wrong";
    });
    const count = (outcome: DamageOutcome) => found.filter((one) => one === outcome).length;
    return `opened ${count("right")} ${count("told")} ${count("wrong")} ${count("forgotten")}`;
  } catch (error) {
    return codeOf(error) === "OST_STORE" ? "refused" : `fault ${error}`;
  } finally {
    await engine.close().catch(() => store.close().catch(() => {}));
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}

const job = JSON.parse(readFileSync(process.argv[2], "utf8")) as DamageJob;
const [from, to] = process.argv.slice(3).map(Number);
for (let number = from; number < to; number++) {
  writeSync(1, `${number} `);
  writeSync(1, `${(await trial(job, number)).replaceAll("\n", " ")}\n`);
}
process.exit(0);
