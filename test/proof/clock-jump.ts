/** @file A server whose wall clock jumps by a day and by ten years, forth and back, in the midst of its run and between two runs. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seed } from "../../src/core/rng.js";
import { HttpCaller } from "./carrier.js";
import type { RowOptions, RowResult } from "./row.js";
import { Served } from "./served.js";
import { Witness } from "./witness.js";

const LIBRARIES = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`);
const JUMPS = ["+1d", "-1d", "+3650d", "-3650d", "+0"];
const SHORT_TTL_SECONDS = 2;

export async function jumpingClock(program: string, { seed: seedOf, folder, quick }: RowOptions): Promise<RowResult[]> {
  const row = "faults: clock jumps";
  const goal = "of a day and of ten years: 0 wrong expiries, 0 lost";
  const library = LIBRARIES.find((path) => existsSync(path));
  if (library === undefined) return [{ row, goal, measured: "skipped: faketime is not on this machine", pass: null }];
  const clock = join(folder, "clock");
  const set = (offset: string) => writeFileSync(clock, `${offset}\n`);
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
  };
  const start = () => Served.start({ program, server: { data: join(folder, "clocks"), durability: "process" }, env });
  set("+0");
  let served = await start();
  const rng = seed(seedOf + 80);
  const lasting = new Witness({ sessions: 8, rng, name: "lasting" });
  const expiring = new Witness({ sessions: 8, rng, name: "hour", ttlSeconds: 3600 });
  const both = [lasting, expiring];
  const seen = new Set<number>();
  let unsettled = 0;
  const go = async () => {
    for (const witness of both) if (!(await witness.settle(3))) unsettled++;
  };
  // The server's own word on what year it is: that it sees the jumps at all.
  const year = async () => {
    const caller = new HttpCaller(served.addresses.http, "witness");
    const created = await caller.call("POST", "/v1/models/probe/sessions", "{}");
    seen.add(new Date(JSON.parse(created.text).createdAt).getUTCFullYear());
    await caller.call("DELETE", `/v1/models/probe/sessions/${JSON.parse(created.text).session}`);
    caller.close();
  };
  for (const witness of both) await witness.connect(served.addresses.http);
  await go();
  for (const jump of JUMPS) {
    set(jump);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await go();
    await year();
  }
  const restarts = quick ? JUMPS.slice(2, 4) : JUMPS;
  for (const jump of restarts) {
    for (const witness of both) witness.disconnect();
    await served.end(jump === "+3650d" ? "SIGKILL" : "SIGTERM");
    set(jump);
    served = await start();
    for (const witness of both) await witness.connect(served.addresses.http);
    await go();
  }
  const late = await expiries(served, set);
  for (const witness of both) {
    witness.check();
    witness.disconnect();
  }
  await served.end();
  const sum = (of: "lost" | "doubled" | "wrong" | "acknowledged") => lasting.report[of] + expiring.report[of];
  const notes = [...lasting.report.notes, ...expiring.report.notes];
  return [
    {
      row,
      goal,
      measured: `${JUMPS.length + restarts.length} jumps, years ${[...seen].sort().join(", ")}: ${sum("acknowledged")} acknowledged, ${sum("lost")} lost, ${sum("doubled")} doubled, ${sum("wrong")} wrong, ${unsettled} not answered; of 2 s to live ${late.early} expired too early and ${late.never} never${notes[0] ? `; ${notes[0]}` : ""}`,
      pass: sum("lost") + sum("doubled") + sum("wrong") + unsettled + late.early + late.never === 0 && seen.size >= 3,
    },
  ];
}

/** Sessions that live for two seconds, while the clock goes forth a day and back ten years. */
async function expiries(served: Served, set: (offset: string) => void): Promise<{ early: number; never: number }> {
  const caller = new HttpCaller(served.addresses.http, "witness");
  const ids = Array.from({ length: 8 }, (_, i) => `short-${i}`);
  const there = async (id: string) => (await caller.call("GET", `/v1/models/probe/sessions/${id}`)).status === 200;
  for (const id of ids)
    await caller.call("POST", "/v1/models/probe/sessions", JSON.stringify({ id, ttlSeconds: SHORT_TTL_SECONDS }));
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  let early = 0;
  for (const offset of ["+1d", "-3650d"]) {
    set(offset);
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const id of ids) if (!(await there(id)) && elapsed() < SHORT_TTL_SECONDS - 0.1) early++;
  }
  await new Promise((resolve) => setTimeout(resolve, 2500));
  let never = 0;
  for (const id of ids) if (await there(id)) never++;
  caller.close();
  return { early, never };
}
