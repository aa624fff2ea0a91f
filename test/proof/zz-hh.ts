import { Child } from "/work/main/test/proof/child.js";
import { attackEndpoint, hostileEndpoints } from "/work/main/test/proof/hostile-http.js";
import { HostileWitness } from "/work/main/test/proof/hostile-witness.js";
import { mkdtempSync } from "node:fs";
const cases = Number(process.argv[2]); const only = process.argv[3] ?? "";
const c = new Child("/work/main/test/proof/hostile-server.ts", { data: mkdtempSync("/tmp/hh-") }, { execArgv: process.execArgv });
const { addresses } = await c.next<any>("addresses");
console.log(addresses);
const w = new HostileWitness(addresses.http, { tenant: "witness", id: "w1" }); await w.start();
const w2 = new HostileWitness(addresses.http, { tenant: "fuzz", id: "witness-in-the-same-tenant" }); await w2.start();
for (const e of hostileEndpoints()) {
  if (!e.name.includes(only)) continue;
  const r = await attackEndpoint(e, { port: addresses[e.port], cases, seed: 1 });
  console.log(r.endpoint.padEnd(60), r.cases, `${(r.cases / r.seconds).toFixed(0)}/s`, `slow ${r.slowestMs.toFixed(0)}`, JSON.stringify([...r.statuses].sort((a,b)=>a[0]-b[0])), r.wrongs.join("\n    "));
}
await w.stop(); await w2.stop();
console.log(w.steps, w.slowestMs, w.wrongs, w2.steps, w2.wrongs);
const { facts } = await c.ask<any>("facts", { collect: true });
console.log(JSON.stringify(facts, null, 1).slice(0, 6000));
await c.end();
