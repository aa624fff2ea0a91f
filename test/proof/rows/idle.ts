/** @file A million sessions that nobody uses: what they take of memory and of the processor, and how soon a server is back with them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Child } from "../child.js";
import { compileSource } from "../compiled-source.js";
import { loadModelFile } from "../load-model.js";
import type { Addresses, LoadServerJob, Usage } from "../load-server.js";
import type { Row } from "../row.js";

const [WHOLE, QUICK] = [
  { sessions: 1_000_000, settleSeconds: 20, idleSeconds: 30 },
  { sessions: 20_000, settleSeconds: 1, idleSeconds: 5 },
];
const [MOST_BYTES, MOST_SECONDS, MOST_SHARE] = [650, 10, 0.02];

const idle: Row = {
  name: "idle",
  async run({ quick, seed, folder, log }) {
    const { sessions, settleSeconds, idleSeconds } = quick ? QUICK : WHOLE;
    const compiled = await compileSource(join(folder, "compiled"));
    const model = join(folder, "load.safetensors");
    writeFileSync(model, loadModelFile(seed));
    const job: LoadServerJob = { kind: "server", data: join(folder, "data"), model };
    const begin = async () => {
      const start = performance.now();
      const server = new Child(compiled("load-server"), job);
      const { addresses } = await server.next<{ addresses: Addresses }>("addresses");
      while (!(await fetch(`http://${addresses.http}/readyz`)).ok) await pause(50);
      return { server, seconds: (performance.now() - start) / 1000 };
    };
    const usage = (server: Child) => server.ask<Usage>("usage", { usage: true });

    const { server, seconds: empty } = await begin();
    const before = await usage(server);
    const start = performance.now();
    await server.ask("filled", { fill: sessions });
    log(`${sessions} sessions, each begun and stepped once, in ${((performance.now() - start) / 1000).toFixed(0)} s`);
    await pause(settleSeconds * 1000);
    const full = await usage(server);
    await pause(idleSeconds * 1000);
    const after = await usage(server);
    const share = (after.usage.user + after.usage.system - full.usage.user - full.usage.system) / 1e6 / idleSeconds;
    const anonymous = (after.anonymous - before.anonymous) / sessions;
    const resident = (after.resident - before.resident) / sessions;
    await server.end();
    const second = await begin();
    await second.server.end("SIGKILL");
    const third = await begin();
    const back = await usage(third.server);
    await third.server.end();

    const each = `${Math.round(anonymous)} bytes each of its own, ${Math.round(resident)} with the pages of the store that are mapped`;
    const fresh = Math.round((back.anonymous - before.anonymous) / sessions);
    const smaller = quick
      ? ` (of ${sessions.toLocaleString("en")}, where what a server has anyway weighs more: judged by the whole run)`
      : "";
    const restart = Math.max(second.seconds, third.seconds);
    return [
      {
        row: `idle: memory of ${sessions.toLocaleString("en")} sessions`,
        goal: `<= ${MOST_BYTES} bytes each resident${smaller}`,
        measured: `${each}; ${fresh} of its own after a restart`,
        pass: quick || anonymous <= MOST_BYTES,
      },
      {
        row: `idle: restart with ${sessions.toLocaleString("en")} sessions`,
        goal: `ready in <= ${MOST_SECONDS} s`,
        measured: `${second.seconds.toFixed(1)} s after an end in order, ${third.seconds.toFixed(1)} s after kill -9 (${empty.toFixed(1)} s without a session)`,
        pass: restart <= MOST_SECONDS,
      },
      {
        row: `idle: processor with ${sessions.toLocaleString("en")} sessions`,
        goal: `< ${MOST_SHARE * 100} % of a core`,
        measured: `${(share * 100).toFixed(2)} % over ${idleSeconds} s, leak sentinel and timers included`,
        pass: share < MOST_SHARE,
      },
    ];
  },
};

export default idle;
