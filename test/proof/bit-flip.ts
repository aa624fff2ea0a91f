/** @file A server's store with bits flipped, bytes changed and its end cut off: each session gives the right bits, an error, or no server. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { seed } from "../../src/core/rng.js";
import type { Operation } from "../../src/serve/operation.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { sessionKey } from "../../src/serve/session-key.js";
import { checkStoreFile } from "../../src/serve/store-check.js";
import { LmdbStore } from "../../src/serve/store-lmdb.js";
import type { DamageJob } from "./damage-trial.js";
import { probeAlone } from "./reference.js";
import type { RowOptions, RowResult } from "./row.js";

const SESSIONS = 60;
const HUNG_MS = 10_000;

export async function damaged(program: string, options: RowOptions): Promise<RowResult[]> {
  const trials = options.quick ? 100 : 2000;
  const job = await makeStore(options);
  const jobFile = join(job.folder, "job.json");
  writeFileSync(jobFile, JSON.stringify(job));
  const lines: string[] = [];
  let [died, hung] = [0, 0];
  while (lines.length < trials) {
    const { said, wasHung } = await runTrials(join(dirname(program), "damage-trial.js"), [
      jobFile,
      String(lines.length),
      String(trials),
    ]);
    const begun = said.split("\n");
    const last = begun.pop() as string;
    lines.push(...begun);
    if (lines.length >= trials) break;
    died++;
    if (wasHung) hung++;
    lines.push(`${last.trim()} unknown died`);
  }
  const tally = new Map<string, number>();
  const sums = { right: 0, told: 0, wrong: 0, forgotten: 0 };
  let faults = 0;
  for (const line of lines) {
    const [, what, outcome, ...counts] = line.split(" ");
    if (outcome === "fault") faults++;
    tally.set(`${what} ${outcome}`, (tally.get(`${what} ${outcome}`) ?? 0) + 1);
    if (outcome !== "opened") continue;
    const [right, told, wrong, forgotten] = counts.map(Number);
    sums.right += right;
    sums.told += told;
    sums.wrong += wrong;
    sums.forgotten += forgotten;
  }
  options.log(
    `damaged: ${[...tally]
      .sort()
      .map(([what, count]) => `${what} ${count}`)
      .join(", ")}`,
  );
  const count = (outcome: string) => lines.filter((line) => line.split(" ")[2] === outcome).length;
  const worst = lines.find((line) => line.includes("fault")) ?? "";
  return [
    {
      row: "faults: damaged store",
      goal: `${trials} flips, changes and cuts: 0 silent wrong states`,
      measured: `${lines.length} stores: ${count("opened")} opened, ${count("refused")} refused, ${died} ended the process (${hung} hung), ${faults} faults${worst && ` (${worst.slice(0, 160)})`}; of their sessions ${sums.right} right, ${sums.told} told as damaged, ${sums.wrong} wrong, ${sums.forgotten} forgotten`,
      pass: sums.wrong + sums.forgotten + faults + hung === 0 && sums.right > 0 && died <= trials / 50,
    },
  ];
}

/** A store as a server leaves it that was ended in order. */
async function makeStore({ seed: seedOf, folder }: RowOptions): Promise<DamageJob> {
  const own = join(folder, "damaged");
  mkdirSync(own);
  const store = await LmdbStore.open({ folder: own, durability: "process", journalBytes: 20_000 });
  const engine = await SessionEngine.open({ store });
  const { version } = await engine.load({ probe: true });
  const rng = seed(seedOf + 70);
  const values: number[][] = Array.from({ length: SESSIONS }, () => []);
  const keys = values.map((_, i) => sessionKey({ tenant: `tenant-${i % 3}`, model: "probe", id: { text: `session-${i}` } }));
  const begin = {
    ...{ version, durability: "process" as const, ttlMs: null, attributes: {}, creator: "c", onLive: "refuse" as const },
    limits: { tenant: 1e6, total: 1e6 },
  };
  for (let round = 0; round < 40; round++) {
    const operations: Operation[] = [];
    for (const [i, key] of keys.entries()) {
      if (round > 0 && rng.integer(3) > 0) continue;
      const value = rng.normal();
      values[i].push(value);
      operations.push({
        kind: "step",
        key,
        input: { rows: Float64Array.of(value), count: 1 },
        ...(round === 0 ? { begin } : {}),
      });
    }
    await engine.execute(operations);
  }
  await engine.close();
  const file = join(own, "sessions.mdb");
  const sessions = keys.map((key, i): DamageJob["sessions"][number] => {
    const right = probeAlone([...values[i], 0.25].map((value) => Float64Array.of(value))).at(-1) as Float64Array;
    return [key, values[i].length, [right[0], right[1]]];
  });
  return { folder: own, file, used: checkStoreFile(file).usedBytes, from: 0, to: 0, seed: seedOf * 1000, sessions };
}

function runTrials(program: string, args: readonly string[]): Promise<{ said: string; wasHung: boolean }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  let wasHung = false;
  const hang = () => {
    wasHung = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(hang, HUNG_MS);
  child.stdout.on("data", (text: Buffer) => {
    said += text.toString();
    clearTimeout(timer);
    timer = setTimeout(hang, HUNG_MS);
  });
  return new Promise((resolve) => {
    child.once("close", () => {
      clearTimeout(timer);
      resolve({ said, wasHung });
    });
  });
}
