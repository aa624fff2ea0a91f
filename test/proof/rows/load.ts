/**
 * @file Steps a second over every protocol, beside an echo server of the same framework in the same rounds: GRU 16->64, every step durable,
 * server and generator on the same cores.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileSource } from "../compiled-source.js";
import type { LoadJob } from "../load-job.js";
import { loadModelFile } from "../load-model.js";
import { type LoadRun, runLoad } from "../load-run.js";
import type { Row, RowResult } from "../row.js";

interface Case {
  row: string;
  load: Pick<LoadJob, "protocol" | "connections" | "sessions" | "inFlight" | "records">;
  /** Of its echo's rate at least. */
  share: number | null;
  /** Steps a second at least. */
  rate: number | null;
}

const CASES: readonly Case[] = [
  {
    row: "load: WebSocket, one step per frame",
    load: { protocol: "websocket", connections: 256, sessions: 10_240, inFlight: 24, records: 1 },
    share: 0.4,
    rate: 50_000,
  },
  {
    row: "load: WebSocket, 16 steps per frame",
    load: { protocol: "websocket", connections: 256, sessions: 10_240, inFlight: 8, records: 16 },
    share: null,
    rate: 150_000,
  },
  {
    row: "load: gRPC stream",
    load: { protocol: "grpc", connections: 8, sessions: 2048, inFlight: 128, records: 1 },
    share: 0.5,
    rate: null,
  },
  {
    row: "load: HTTP JSON",
    load: { protocol: "http", connections: 256, sessions: 1024, inFlight: 1, records: 1 },
    share: 0.6,
    rate: null,
  },
];

const [WHOLE, QUICK] = [
  { rounds: 3, warmSeconds: 4, seconds: 8, part: 1 },
  { rounds: 1, warmSeconds: 1, seconds: 2, part: 4 },
];

const load: Row = {
  name: "load",
  async run({ quick, seed, folder, log }) {
    const { rounds, warmSeconds, seconds, part } = quick ? QUICK : WHOLE;
    const compiled = await compileSource(join(folder, "compiled"));
    const model = join(folder, "load.safetensors");
    writeFileSync(model, loadModelFile(seed));
    const runs = CASES.map(() => ({ ours: [] as LoadRun[], echo: [] as LoadRun[] }));
    for (let round = 0; round < rounds; round++) {
      for (const [i, { row, load: whole, share }] of CASES.entries()) {
        const { connections, sessions } = whole;
        const job = {
          ...whole,
          connections: Math.ceil(connections / part),
          sessions: Math.ceil(sessions / part),
          warmSeconds,
          seconds,
        };
        const data = join(folder, "data");
        const ours = await runLoad(compiled, { server: { kind: "server", data, model }, load: job });
        rmSync(data, { recursive: true });
        runs[i].ours.push(ours);
        log(`${row}: ${inWords(ours)}`);
        if (share === null) continue;
        const echo = await runLoad(compiled, { server: { kind: whole.protocol }, load: job });
        runs[i].echo.push(echo);
        log(`${row}, echo: ${inWords(echo)}`);
      }
    }
    return CASES.map((one, i) => judge(one, { ...runs[i], quick }));
  },
};

export default load;

function judge(
  { row, share, rate }: Case,
  { ours, echo, quick }: { ours: LoadRun[]; echo: LoadRun[]; quick: boolean },
): RowResult {
  const mine = median(ours);
  const errors = ours.reduce((sum, run) => sum + run.errors, 0);
  const goals: string[] = [];
  let pass = errors === 0 && mine.frames > 0;
  let measured = inWords(mine);
  if (rate !== null) {
    goals.push(`>= ${rate.toLocaleString("en")} steps/s`);
    pass &&= quick || mine.rate >= rate;
  }
  if (share !== null) {
    const other = median(echo);
    const part = mine.rate / other.rate;
    goals.unshift(`>= ${share} of its echo`);
    measured = `${part.toFixed(2)} of its echo: ${measured}; echo ${inWords(other)}`;
    pass &&= quick || part >= share;
  }
  if (errors > 0) measured += `; ${errors} errors, the first: ${ours.find((run) => run.errors > 0)?.firstError}`;
  const judged = quick ? "every answer right (speeds are judged by the whole run: " : "";
  return { row, goal: `${judged}${goals.join(" and ")}${quick ? ")" : ""}`, measured, pass };
}

/** The run in the middle by its rate. */
function median(runs: readonly LoadRun[]): LoadRun {
  return [...runs].sort((a, b) => a.rate - b.rate)[runs.length >> 1];
}

function inWords({ rate, p50Ms, p99Ms, serverMicros, clientMicros, foreignCores }: LoadRun): string {
  const cpu = `${serverMicros.toFixed(1)} + ${clientMicros.toFixed(1)} us CPU each, server + client`;
  const foreign = foreignCores > 0.1 ? `; other processes had ${foreignCores.toFixed(1)} cores meanwhile` : "";
  return `${Math.round(rate).toLocaleString("en")} steps/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms (${cpu}${foreign})`;
}
