/** @file A server under load that is killed at random points, and started again on the same folder. */
import { join } from "node:path";
import { seed } from "../../src/core/rng.js";
import type { RowOptions, RowResult } from "./row.js";
import { Served } from "./served.js";
import { Witness } from "./witness.js";

export async function killed(program: string, { quick, seed: seedOf, folder, log }: RowOptions): Promise<RowResult[]> {
  const kills = quick ? 10 : 100;
  const rng = seed(seedOf + 50);
  const witness = new Witness({ sessions: 48, rng });
  const data = join(folder, "killed");
  let slowest = 0;
  for (let kill = 0; kill <= kills; kill++) {
    const start = performance.now();
    const served = await Served.start({ program, server: { data, durability: kill % 2 === 0 ? "durable" : "process" } });
    slowest = Math.max(slowest, performance.now() - start);
    await witness.connect(served.addresses.http);
    if (kill === kills) {
      if (!(await witness.settle(3))) witness.report.lost++;
      witness.disconnect();
      await served.end();
      break;
    }
    const load = witness.step(60_000);
    await new Promise((resolve) => setTimeout(resolve, 20 + rng.integer(300)));
    await served.end("SIGKILL");
    await load;
  }
  witness.check();
  const { acknowledged, repeated, lost, doubled, wrong, refused, notes } = witness.report;
  log(`killed: refused ${JSON.stringify([...refused])}, slowest start ${slowest.toFixed(0)} ms`);
  return [
    {
      row: "faults: kill -9 under load",
      goal: `${kills} kills, 0 acknowledged steps lost or doubled, every next output right`,
      measured: `${kills} kills, ${acknowledged} acknowledged steps: ${lost} lost, ${doubled} doubled, ${wrong} wrong; ${repeated} in flight found applied${notes[0] ? `; ${notes[0]}` : ""}`,
      pass: lost + doubled + wrong === 0 && acknowledged > 10 * kills,
    },
  ];
}
