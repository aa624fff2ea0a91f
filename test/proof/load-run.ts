/** @file One run of load: a server in one process, a generator in another, and what each of them took of the processor. */
import { Child } from "./child.js";
import type { LoadJob, LoadResult } from "./load-job.js";
import type { Addresses, LoadServerJob } from "./load-server.js";

export interface LoadRun extends LoadResult {
  /** Records a second. */
  rate: number;
  /** CPU of the server, and of the generator, per record, microseconds. */
  serverMicros: number;
  clientMicros: number;
}

interface Usage {
  usage: NodeJS.CpuUsage;
}

export async function runLoad(
  compiled: (program: string) => string,
  { server, load, execArgv }: { server: LoadServerJob; load: Omit<LoadJob, "address" | "echo">; execArgv?: string[] },
): Promise<LoadRun> {
  const loaded = new Child(compiled("load-server"), server, { execArgv });
  try {
    const { addresses } = await loaded.next<{ addresses: Addresses }>("addresses");
    const job: LoadJob = { ...load, address: addresses[load.protocol] as string, echo: server.kind !== "server" };
    const client = new Child(compiled("load-client"), job);
    const answer = client.next<{ result: LoadResult }>("result");
    await Promise.race([client.next("measuring"), answer]);
    const { usage: before } = await loaded.ask<Usage>("usage", { usage: true });
    const { result } = await answer;
    const { usage: after } = await loaded.ask<Usage>("usage", { usage: true });
    const records = Math.max(1, result.frames * load.records);
    return {
      ...result,
      rate: records / result.seconds,
      serverMicros: (after.user + after.system - before.user - before.system) / records,
      clientMicros: (result.cpu * 1e6) / records,
    };
  } finally {
    await loaded.end();
  }
}
