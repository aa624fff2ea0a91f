/** @file The bank of seeded faults: every one is caught by the suite, and those that leak by the sentinel of a live server too. */
import { join } from "node:path";
import { seed } from "../../../src/core/rng.js";
import { MUTANTS, type Mutant } from "../mutants/bank.js";
import { runLive } from "../mutants/live.js";
import { runAgain, runSuite } from "../mutants/suite.js";
import { Tree } from "../mutants/tree.js";
import type { Row, RowOptions, RowResult } from "../row.js";

const SENTINEL_MS = 60_000;
/** Of a server without a fault, in which the sentinel must see nothing. */
const CONTROL_MS = 30_000;
const SAMPLE = 3;

const row: Row = {
  name: "mutants",
  async run(options) {
    const { quick, folder, log } = options;
    const tree = new Tree(join(folder, "tree"));
    // The text of every mutant is looked for, also of those that are not run.
    for (const mutant of MUTANTS) await tree.with(mutant, async () => {});
    const mutants = quick ? sample(options) : MUTANTS;
    if (!quick) {
      const { caughtBy } = await runSuite(tree);
      if (caughtBy !== null) throw new Error(`without any mutant the suite fails: ${caughtBy}`);
    }
    const catches: string[] = [];
    const survivors: string[] = [];
    const unseen: string[] = [];
    let [leaking, slowestCatch, slowestSight] = [0, 0, 0];
    for (const mutant of mutants) {
      const { caught, sight } = await tree.with(mutant, async () => ({
        caught: await runSuite(tree, mutant.file),
        sight: mutant.leaks ? await runLive(tree, SENTINEL_MS) : null,
      }));
      if (caught.caughtBy === null) survivors.push(mutant.name);
      else catches.push(caught.caughtBy);
      slowestCatch = Math.max(slowestCatch, caught.seconds);
      log(`${mutant.name}: ${caught.caughtBy ?? "SURVIVED"}, ${caught.seconds.toFixed(1)} s`);
      if (sight === null) continue;
      leaking++;
      const told = sight.seconds !== null && !sight.ready && sight.counted > 0;
      if (!told) unseen.push(mutant.name);
      slowestSight = Math.max(slowestSight, sight.seconds ?? SENTINEL_MS / 1000);
      log(`   sentinel: ${told ? `${sight.detail}, ${sight.seconds?.toFixed(1)} s` : `NOT SEEN ${JSON.stringify(sight)}`}`);
    }
    // A test that fails without a fault too has caught nothing.
    const innocent = quick ? await runAgain(tree, catches) : null;
    if (innocent !== null) throw new Error(`without any mutant the suite fails: ${innocent}`);
    const results: RowResult[] = [
      {
        row: `mutants: the suite${quick ? ` (a sample of ${MUTANTS.length})` : ""}`,
        goal: "every seeded fault caught",
        measured: `${mutants.length - survivors.length} of ${mutants.length} caught, slowest after ${slowestCatch.toFixed(0)} s${named(survivors)}`,
        pass: survivors.length === 0,
      },
      {
        row: `mutants: the live sentinel${quick ? " (a sample)" : ""}`,
        goal: "every leaking one seen <= 60 s, the server not ready",
        measured: `${leaking - unseen.length} of ${leaking} leaking ones seen by the sentinel, slowest ${slowestSight.toFixed(1)} s${named(unseen)}`,
        pass: unseen.length === 0 && leaking > 0,
      },
    ];
    if (quick) return results;
    const control = await runLive(tree, CONTROL_MS);
    const { held, answered, seconds, detail, ready } = control;
    results.push({
      row: "mutants: the sentinel without a fault",
      goal: "no mismatch, the server ready",
      measured: `${held} comparisons held beside ${answered} answers of clients in ${CONTROL_MS / 1000} s${seconds === null ? "" : `; then: ${detail}`}`,
      pass: seconds === null && ready && held > 0 && answered > 0,
    });
    return results;
  },
};

/** At least one of them leaks. */
function sample({ seed: seedOf }: RowOptions): Mutant[] {
  const rng = seed(seedOf);
  const draw = (from: readonly Mutant[]) => from[rng.integer(from.length)];
  const drawn = new Set([draw(MUTANTS.filter(({ leaks }) => leaks))]);
  while (drawn.size < SAMPLE) drawn.add(draw(MUTANTS.filter(({ leaks }) => !leaks)));
  return [...drawn];
}

function named(names: readonly string[]): string {
  return names.length === 0 ? "" : `; not: ${names.join(", ")}`;
}

export default row;
