/** @file A server whose disk is full, whose folder may not be written, or whose descriptors are used up. */
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seed } from "../../src/core/rng.js";
import { HttpCaller } from "./carrier.js";
import type { RowOptions, RowResult } from "./row.js";
import { Served } from "./served.js";
import { Witness } from "./witness.js";

const MOUNTED_MB = 24;
const NOBODY = 65_534;
const GOAL = "no false acknowledgement, not ready meanwhile, heals by itself";

export async function brokenDisk(program: string, options: RowOptions): Promise<RowResult[]> {
  return [await fullDisk(program, options), await forbiddenFolder(program, options), await noDescriptors(program, options)];
}

async function fullDisk(program: string, { seed: seedOf, folder, quick }: RowOptions): Promise<RowResult> {
  const row = "faults: full disk";
  const data = join(folder, "full");
  mkdirSync(data);
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${MOUNTED_MB}m`, "none", data]);
  if (mount.status !== 0) return { row, goal: GOAL, measured: "skipped: no file system can be mounted here", pass: null };
  let served: Served | null = null;
  try {
    const server = { data: join(data, "server"), durability: "durable" as const };
    served = await Served.start({ program, server });
    const caller = new HttpCaller(served.addresses.http, "witness");
    const witness = new Witness({ sessions: 24, rng: seed(seedOf + 60) });
    await witness.connect(served.addresses.http);
    const { report } = witness;
    let [refusedAll, wasReadyWhileFull, healedMs] = [0, 0, 0];
    const rounds = quick ? 1 : 10;
    for (let round = 0; round < rounds; round++) {
      await witness.step(200);
      // Until nothing fits any more. A store that finds room in its own file goes on in a full disk, and may.
      let refusing = false;
      for (let tries = 0; tries < 30 && !refusing; tries++) {
        fill(join(data, "ballast"));
        const [known, refused] = [report.acknowledged, report.refused.get("OST_STORE") ?? 0];
        await witness.step(100);
        refusing = report.acknowledged === known && (report.refused.get("OST_STORE") ?? 0) > refused;
      }
      if (refusing) {
        refusedAll++;
        if ((await readiness(caller)) !== 503) wasReadyWhileFull++;
      }
      await witness.step(200);
      rmSync(join(data, "ballast"));
      const start = performance.now();
      while ((await readiness(caller)) !== 200 && performance.now() - start < 20_000) await pause(20);
      healedMs = Math.max(healedMs, performance.now() - start);
      if (!(await witness.settle(2))) report.lost++;
    }
    await served.end("SIGKILL");
    caller.close();
    served = await Served.start({ program, server });
    await witness.connect(served.addresses.http);
    if (!(await witness.settle(2))) report.lost++;
    witness.check();
    witness.disconnect();
    const { lost, doubled, wrong, refused, acknowledged, notes } = report;
    return {
      row,
      goal: GOAL,
      measured: `filled ${rounds} times, ${refusedAll} times to the last step: ${refused.get("OST_STORE") ?? 0} steps refused, ${acknowledged} acknowledged, ${lost} lost, ${doubled} doubled, ${wrong} wrong after a kill; ready while full ${wasReadyWhileFull} times; ready again after ${healedMs.toFixed(0)} ms${notes[0] ? `; ${notes[0]}` : ""}`,
      pass: lost + doubled + wrong + wasReadyWhileFull === 0 && (refused.get("OST_STORE") ?? 0) > 0 && healedMs < 10_000,
    };
  } finally {
    await served?.end("SIGKILL");
    spawnSync("umount", ["-l", data]);
  }
}

/** Takes all the room there is, to the last block. */
function fill(path: string): void {
  for (const size of [1 << 20, 4096]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }
}

async function forbiddenFolder(program: string, { seed: seedOf, folder }: RowOptions): Promise<RowResult> {
  const row = "faults: folder that may not be written";
  if (process.getuid?.() !== 0 || spawnSync("setpriv", ["--version"]).status !== 0) {
    return { row, goal: GOAL, measured: "skipped: only root can run a server as another user, by setpriv", pass: null };
  }
  chmodSync(folder, 0o755);
  const data = join(folder, "forbidden");
  mkdirSync(data);
  chownSync(data, NOBODY, NOBODY);
  const start = () =>
    Served.start({
      program,
      server: { data, durability: "durable" },
      before: `exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups -- "$0" "$@"`,
    });
  const witness = new Witness({ sessions: 8, rng: seed(seedOf + 61) });
  let served = await start();
  await witness.connect(served.addresses.http);
  await witness.settle(5);
  await served.end();
  const allow = (mode: number) => spawnSync("chmod", ["-R", mode === 0 ? "a-w" : "u+w", data]);
  allow(0);
  const refusal = await start().then(
    async (open) => {
      await open.end("SIGKILL");
      return "it started";
    },
    (error: Error) => error.message,
  );
  allow(1);
  served = await start();
  await witness.connect(served.addresses.http);
  const settled = await witness.settle(5);
  witness.check();
  witness.disconnect();
  await served.end();
  const { lost, doubled, wrong, acknowledged } = witness.report;
  const said = /OST_[A-Z]+/.exec(refusal)?.[0] ?? refusal.slice(0, 200);
  return {
    row,
    goal: "refuses to start and says why; afterwards as before",
    measured: `refused to start with ${said}; then ${acknowledged} acknowledged, ${lost} lost, ${doubled} doubled, ${wrong} wrong`,
    pass: /^OST_(STORE|AUDIT|FILE)$/.test(said) && settled && lost + doubled + wrong === 0,
  };
}

async function noDescriptors(program: string, { seed: seedOf, folder, quick }: RowOptions): Promise<RowResult> {
  const row = "faults: no descriptors left (EMFILE)";
  if (spawnSync("prlimit", ["--version"]).status !== 0) {
    return { row, goal: GOAL, measured: "skipped: prlimit is not on this machine", pass: null };
  }
  const data = join(folder, "descriptors");
  const server = { data, durability: "durable" as const };
  let served = await Served.start({ program, server });
  const limit = (most: number | string) => spawnSync("prlimit", ["--pid", String(served.pid), `--nofile=${most}:`]);
  const witness = new Witness({ sessions: 24, rng: seed(seedOf + 62) });
  await witness.connect(served.addresses.http);
  const { report } = witness;
  let [reachedMeanwhile, healedMs] = [0, 0];
  for (let round = 0; round < (quick ? 1 : 10); round++) {
    // Below all that are in use: no number is left for a new one. Whoever is there goes on; who comes finds no answer.
    limit(4);
    const load = witness.step(700);
    if ((await freshReadiness(served.addresses.http, 500)) === 200) reachedMeanwhile++;
    await load;
    limit(10_000);
    const start = performance.now();
    while ((await freshReadiness(served.addresses.http, 500)) !== 200 && performance.now() - start < 20_000) await pause(20);
    healedMs = Math.max(healedMs, performance.now() - start);
    if (!(await witness.settle(2))) report.lost++;
  }
  const crowded = await Served.start({ program, server: { ...server, data: `${data}-2` }, before: "ulimit -n 24" }).then(
    async (open) => {
      await open.end();
      return "started";
    },
    () => "refused to start",
  );
  await served.end("SIGKILL");
  served = await Served.start({ program, server });
  await witness.connect(served.addresses.http);
  if (!(await witness.settle(2))) report.lost++;
  witness.check();
  witness.disconnect();
  await served.end();
  const { lost, doubled, wrong, acknowledged, notes } = report;
  return {
    row,
    goal: "no false acknowledgement, who comes finds it not ready, heals by itself",
    measured: `${acknowledged} acknowledged, ${lost} lost, ${doubled} doubled, ${wrong} wrong after a kill; a new connection found it ready ${reachedMeanwhile} times; ready again after ${healedMs.toFixed(0)} ms; with 24 descriptors it ${crowded}${notes[0] ? `; ${notes[0]}` : ""}`,
    pass: lost + doubled + wrong + reachedMeanwhile === 0 && healedMs < 10_000,
  };
}

async function readiness(caller: HttpCaller): Promise<number> {
  return (await caller.call("GET", "/readyz")).status;
}

/** By a connection of its own; 0 if no answer comes in time. */
async function freshReadiness(address: string, timeoutMs: number): Promise<number> {
  const caller = new HttpCaller(address, "witness");
  try {
    return await Promise.race([readiness(caller), pause(timeoutMs).then(() => 0)]);
  } catch {
    return 0;
  } finally {
    caller.close();
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
