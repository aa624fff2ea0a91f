/** @file An engine whose thread dies in the midst of its batches: all that was under way is answered, and executed exactly once. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { seed } from "../../src/core/rng.js";
import type { Outcome } from "../../src/serve/operation.js";
import { Scheduler } from "../../src/serve/scheduler.js";
import { sessionKey } from "../../src/serve/session-key.js";
import { WorkerEngine } from "../../src/serve/worker-engine.js";
import { CRASH_POINTS, type CrashPlan } from "../support/crashing-engine-plan.js";
import { probeAlone, sameBits } from "./reference.js";
import type { RowOptions, RowResult } from "./row.js";

const SESSIONS = 64;

/** @param program any compiled program of this folder: the one that dies lies beside it. */
export async function crashedWorker(program: string, options: RowOptions): Promise<RowResult[]> {
  const ways: CrashPlan["way"][] = options.quick ? ["exit"] : ["exit", "throw", "trap"];
  const sums = { deaths: 0, applied: 0, refused: 0, wrong: 0, wanted: 0 };
  for (const way of ways) {
    for (const point of CRASH_POINTS) {
      const report = await crash({ program, point, way, rounds: options.quick ? 20 : 200, options });
      for (const [name, value] of Object.entries(report)) sums[name as keyof typeof sums] += value;
    }
  }
  const { deaths, applied, refused, wrong, wanted } = sums;
  return [
    {
      row: "faults: worker crash in mid-batch",
      goal: "everything under way retried, and executed exactly once",
      measured: `${deaths} deaths at ${CRASH_POINTS.join(", ")}: ${applied} of ${wanted} steps applied once, ${refused} refused, ${wrong} wrong`,
      pass: applied === wanted && refused + wrong === 0 && deaths >= CRASH_POINTS.length * ways.length,
    },
  ];
}

async function crash({
  program,
  point,
  way,
  rounds,
  options,
}: Pick<CrashPlan, "point" | "way"> & { program: string; rounds: number; options: RowOptions }) {
  const rng = seed(options.seed + 90);
  const folder = join(options.folder, `crash-${way}-${CRASH_POINTS.indexOf(point)}`);
  mkdirSync(folder);
  const counts = new Int32Array(new SharedArrayBuffer(12));
  const programData: CrashPlan = { point, way, counts: counts.buffer as SharedArrayBuffer };
  const engine = await WorkerEngine.start({
    store: { kind: "lmdb", folder, durability: "process" },
    program: new URL("../support/crashing-engine-worker.js", pathToFileURL(program)),
    programData,
  });
  const { version } = await engine.load({ probe: true });
  await engine.route("m", { version, policy: "pin" });
  const scheduler = new Scheduler({ execute: (operations) => engine.execute(operations), maxBatch: 16 });
  const keys = Array.from({ length: SESSIONS }, (_, i) => sessionKey({ tenant: "t", model: "m", id: { text: `${i}` } }));
  const values: number[][] = keys.map(() => []);
  const answers: Promise<Outcome>[][] = keys.map(() => []);
  const submit = (i: number, more: object) => {
    const value = rng.normal();
    values[i].push(value);
    const input = { rows: Float64Array.of(value), count: 1 };
    answers[i].push(scheduler.submit({ kind: "step", key: keys[i], input, ...more }, { tenant: "t", bytes: 8, cost: 1 }));
    return answers[i][answers[i].length - 1];
  };
  const begin = {
    ...{ version, durability: "process", ttlMs: null, attributes: {}, creator: "c", onLive: "refuse" },
    limits: { tenant: 1e6, total: 1e6 },
  };
  await Promise.all(keys.map((_, i) => submit(i, { begin })));
  for (let round = 0; round < rounds; round++) {
    if (round % 10 === 3) {
      counts[0] = rng.integer(6);
      counts[1] = 1;
    }
    // Some with their number, some without: neither may be applied twice.
    await Promise.all(
      keys.flatMap((_, i) => [0, 1].map(() => submit(i, rng.integer(2) === 0 ? {} : { seq: values[i].length + 1 }))),
    );
  }
  const report = { deaths: counts[2], applied: 0, refused: 0, wrong: 0, wanted: SESSIONS * (2 * rounds + 1) };
  for (const [i, own] of answers.entries()) {
    const right = probeAlone(values[i].map((value) => Float64Array.of(value)));
    for (const [k, outcome] of (await Promise.all(own)).entries()) {
      if (outcome.error) report.refused++;
      else if (outcome.session?.seq === k + 1 && sameBits(outcome.predictions?.values ?? [], right[k])) report.applied++;
      else report.wrong++;
    }
  }
  scheduler.close();
  await engine.close();
  return report;
}
