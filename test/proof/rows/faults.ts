/** @file What machines, disks, clocks and clients do to a server: nothing acknowledged is lost, doubled or wrong, and it heals by itself. */
import { join } from "node:path";
import { damaged } from "../bit-flip.js";
import { brokenDisk } from "../broken-disk.js";
import { jumpingClock } from "../clock-jump.js";
import { compileSource } from "../compiled-source.js";
import { connectionStorm } from "../connection-storm.js";
import { killed } from "../kill.js";
import type { Row, RowResult } from "../row.js";
import { slowClients } from "../slow-client.js";
import { crashedWorker } from "../worker-crash.js";

const FAULTS = [killed, brokenDisk, damaged, jumpingClock, crashedWorker, slowClients, connectionStorm];

const row: Row = {
  name: "faults",
  async run(options) {
    const path = await compileSource(join(options.folder, "compiled"), [
      "fault-server",
      "damage-trial",
      "../support/crashing-engine-worker",
      "../support/crashing-engine-plan",
    ]);
    const results: RowResult[] = [];
    for (const fault of FAULTS) {
      const start = performance.now();
      try {
        results.push(...(await fault(path("fault-server"), options)));
      } catch (error) {
        results.push({
          row: `faults: ${fault.name}`,
          goal: "runs to its end",
          measured: String((error as Error).stack).slice(0, 500),
          pass: false,
        });
      }
      options.log(`${fault.name} ${((performance.now() - start) / 1000).toFixed(1)} s`);
    }
    return results;
  },
};

export default row;
