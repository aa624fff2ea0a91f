/** @file One run of load: a server in one process, a generator in another, and what each of them took of the processor. */

import { cpus } from "node:os";
import { Child } from "./child.js";
import type { LoadJob, LoadResult } from "./load-job.js";
import type { Addresses, LoadServerJob, Usage } from "./load-server.js";

export interface LoadRun extends LoadResult {
  /** Records a second. */
  rate: number;
  /** CPU of the server, and of the generator, per record, microseconds. */
  serverMicros: number;
  clientMicros: number;
  /** Cores that neither of the two had: processes beside this measurement. */
  foreignCores: number;
}

/** CPU that all processes of the machine took since it began, seconds. */
function machineBusy(): number {
  return cpus().reduce((sum, { times }) => sum + (times.user + times.nice + times.sys + times.irq) / 1000, 0);
}

export async function runLoad(
  compiled: (program: string) => string,
  { server: served, load, execArgv }: { server: LoadServerJob; load: Omit<LoadJob, "address" | "echo">; execArgv?: string[] },
): Promise<LoadRun> {
  const loaded = new Child(compiled("load-server"), served, { execArgv });
  try {
    const { addresses } = await loaded.next<{ addresses: Addresses }>("addresses");
    const job: LoadJob = { ...load, address: addresses[load.protocol] as string, echo: served.kind !== "server" };
    const client = new Child(compiled("load-client"), job);
    const answer = client.next<{ result: LoadResult }>("result");
    await Promise.race([client.next("measuring"), answer]);
    const { usage: before } = await loaded.ask<Usage>("usage", { usage: true });
    const start = { busy: machineBusy(), at: performance.now() };
    const { result } = await answer;
    const elapsed = (performance.now() - start.at) / 1000;
    const busy = machineBusy() - start.busy;
    const { usage: after } = await loaded.ask<Usage>("usage", { usage: true });
    const records = Math.max(1, result.frames * load.records);
    const server = (after.user + after.system - before.user - before.system) / 1e6;
    return {
      ...result,
      rate: records / result.seconds,
      serverMicros: (server * 1e6) / records,
      clientMicros: (result.cpu * 1e6) / records,
      foreignCores: Math.max(0, (busy - server - result.cpu) / elapsed),
    };
  } finally {
    await loaded.end();
  }
}
