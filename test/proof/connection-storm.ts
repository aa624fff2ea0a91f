/** @file Thousands of connections at once, each doing a little of everything, and what is left of them on the server. */
import { connect, type Socket } from "node:net";
import { HttpCaller } from "./carrier.js";
import { FrameClient } from "./frame-client.js";
import type { RowOptions, RowResult } from "./row.js";
import { Served } from "./served.js";

const KEY = "storm";
const AT_ONCE = 200;

export async function connectionStorm(program: string, options: RowOptions): Promise<RowResult[]> {
  const connections = options.quick ? 1000 : 10_000;
  const served = await Served.start({ program, server: { sentinel: false }, before: "ulimit -n $(ulimit -H -n)" });
  const address = served.addresses.http;
  const caller = new HttpCaller(address, KEY);
  const sessions = async () => JSON.parse((await caller.call("GET", "/startupz")).text).sessions as number;
  // What the server opens once and keeps is there before it is counted.
  await visit(address, 0);
  await visit(address, 1);
  const before = { descriptors: served.descriptors(), sessions: await sessions() };
  const start = performance.now();
  // All open at the same time first, silent.
  const silent: Socket[] = [];
  for (let i = 0; i < connections; i += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, connections - i) }, () => tcp(address));
    silent.push(...(await Promise.all(some)).filter((socket) => socket !== null));
  }
  await pause(100);
  const peak = served.descriptors();
  for (const [i, socket] of silent.entries()) {
    if (i % 2 === 0) socket.destroy();
    else socket.resetAndDestroy();
  }
  let failed = 0;
  for (let i = 0; i < connections; i += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, connections - i) }, (_, k) =>
      visit(address, i + k).catch(() => failed++),
    );
    await Promise.all(some);
  }
  const seconds = (performance.now() - start) / 1000;
  let after = { descriptors: 0, sessions: 0 };
  for (let tries = 0; tries < 200; tries++) {
    after = { descriptors: served.descriptors(), sessions: await sessions() };
    if (after.descriptors <= before.descriptors + 2 && after.sessions === before.sessions) break;
    await pause(50);
  }
  const ready = (await caller.call("GET", "/readyz")).status;
  caller.close();
  await served.end();
  return [
    {
      row: "faults: storm of connections",
      goal: `${connections} at once and ${connections} visits: descriptors and sessions back to base`,
      measured: `${silent.length} open at once (${peak} descriptors), ${connections - failed} visits done, ${failed} failed, in ${seconds.toFixed(1)} s; descriptors ${before.descriptors}, then ${after.descriptors}; sessions ${before.sessions}, then ${after.sessions}`,
      pass:
        silent.length === connections &&
        failed === 0 &&
        ready === 200 &&
        after.descriptors <= before.descriptors + 2 &&
        after.sessions === before.sessions,
    },
  ];
}

/** One connection: asks whether the server lives, or begins a session over one of the protocols, steps and ends it, or leaves at once. */
async function visit(address: string, number: number): Promise<void> {
  const caller = new HttpCaller(address, KEY);
  const id = `visit-${number}`;
  try {
    switch (number % 4) {
      case 0: {
        await caller.call("POST", "/v1/models/probe/sessions", JSON.stringify({ id }));
        const { status } = await caller.call("DELETE", `/v1/models/probe/sessions/${id}`);
        if (status !== 200) throw new Error(`${status}`);
        return;
      }
      case 1: {
        const client = await FrameClient.open(address, KEY);
        await client.attach(1, { model: "probe", id, onDisconnect: "end" });
        const { refused } = await client.step(1, 1, [number]);
        client.close();
        if (refused) throw new Error(refused.error.message);
        return;
      }
      case 2:
        if ((await caller.call("GET", "/livez")).status !== 200) throw new Error("not alive");
        return;
      default:
        (await tcp(address))?.resetAndDestroy();
    }
  } finally {
    caller.close();
  }
}

function tcp(address: string): Promise<Socket | null> {
  const at = address.lastIndexOf(":");
  return new Promise((resolve) => {
    const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)) });
    socket.once("connect", () => resolve(socket));
    socket.on("error", () => resolve(null));
  });
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
