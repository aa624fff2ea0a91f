/** @file Hostile input of every kind, at every endpoint and every parser: refused, soon, in little memory, and nobody else notices. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeCredentials } from "../../support/credentials.js";
import { Child } from "../child.js";
import { tryDesync, tryTricks } from "../desync.js";
import { type Flood, type FloodReport, flood, floods } from "../flood.js";
import { attackGrpc, attackHttp2, GRPC_METHODS } from "../hostile-grpc.js";
import { attackEndpoint, type EndpointReport, HOSTILE_TENANT, hostileEndpoints } from "../hostile-http.js";
import type { ParserReport } from "../hostile-reading.js";
import type { HostileServerAddresses, HostileServerFacts, HostileServerJob } from "../hostile-server.js";
import { attackWebSocket } from "../hostile-websocket.js";
import { HostileWitness } from "../hostile-witness.js";
import { tryNearIds } from "../near-id.js";
import { askMatrix } from "../ownership-matrix.js";
import type { Row, RowOptions, RowResult } from "../row.js";

const MIB = 1024 * 1024;
/** A parser that takes longer than this, and this for each case, hangs. */
const SILENCE_MS = 60_000;
const SLOWEST_CASE_MS = 5;
/** A flood that misses its goal is tried again: the machine may have had something else to do. */
const TRIES = 2;
const SIZES = {
  whole: { parser: 1_000_000, slowParser: 1_000_000, endpoint: 1_000_000, pairs: 100_000, limitMs: 10_000 },
  quick: { parser: 10_000, slowParser: 400, endpoint: 200, pairs: 500, limitMs: 800 },
};
type Size = (typeof SIZES)["quick"];

const program = (name: string) => fileURLToPath(new URL(`../${name}.ts`, import.meta.url));
const start = (name: string, job: object) => new Child(program(name), job, { execArgv: [...process.execArgv, "--expose-gc"] });
const some = (wrongs: readonly string[]) => (wrongs.length === 0 ? "" : `: ${wrongs.slice(0, 4).join("; ").slice(0, 900)}`);

const row: Row = {
  name: "hostility",
  async run(options) {
    const size = options.quick ? SIZES.quick : SIZES.whole;
    return [await parsers(options, size), ...(await attacked(options, size)), await ownership(options)];
  },
};

async function parsers({ seed, log }: RowOptions, { parser: cases, slowParser: slowCases }: Size): Promise<RowResult> {
  const child = start("hostile-reading", { cases, slowCases, seed });
  const { ready } = await child.next<{ ready: string[] }>("ready");
  const reports: ParserReport[] = [];
  let reading = "";
  let hung = false;
  for (reading of ready) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), SILENCE_MS + SLOWEST_CASE_MS * cases);
    });
    const asked = child.ask<{ report: ParserReport }>("report", { read: reading }).catch(() => null);
    const said = await Promise.race([asked, late]);
    clearTimeout(timer);
    hung = said === null;
    if (said === null) break;
    reports.push(said.report);
    const { parser, cases: done, seconds, slowestMs, crashes } = said.report;
    log(`${parser}: ${done} cases, ${Math.round(done / seconds)}/s, slowest ${slowestMs.toFixed(0)} ms${some(crashes)}`);
  }
  await child.end("SIGKILL");
  const sum = (of: (report: ParserReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  const crashes = sum(({ crashCount, slips }) => crashCount + slips);
  const slow = reports.filter(({ slowestMs }) => slowestMs > 1000);
  const slowest = reports.reduce((worst, report) => (report.slowestMs > worst.slowestMs ? report : worst), reports[0]);
  const rates = reports.map(({ cases: done, seconds }) => done / seconds);
  return {
    row: `hostility: ${reports.length} parsers`,
    goal: `>= ${cases} spoiled inputs each${slowCases < cases ? ` (${slowCases} of slow ones)` : ""}: 0 crashes, 0 rejections, none over 1 s`,
    measured: hung
      ? `hung or ended in ${reading}`
      : `${sum(({ cases: done }) => done)} inputs at ${Math.round(Math.min(...rates))} .. ${Math.round(Math.max(...rates))}/s, ${sum(({ refused }) => refused)} refused, ${crashes} crashes, slowest ${slowest.slowestMs.toFixed(0)} ms (${slowest.parser})${some(reports.flatMap(({ parser, crashes: those }) => those.map((text) => `${parser}: ${text}`)))}`,
    pass: !hung && crashes === 0 && slow.length === 0 && reports.length > 20,
  };
}

async function attacked(options: RowOptions, size: Size): Promise<RowResult[]> {
  const { folder, seed, log } = options;
  mkdirSync(join(folder, "attacked"));
  const child = start("hostile-server", {
    data: join(folder, "attacked"),
    options: { maxEventReaders: 4096 },
  } satisfies HostileServerJob);
  const { addresses } = await child.next<{ addresses: HostileServerAddresses }>("addresses");
  const { http, grpc, admin } = addresses;
  // One beside the attackers, and one who is nobody of theirs.
  const witnesses = [
    new HostileWitness(http, { tenant: HOSTILE_TENANT, id: "witness-of-the-same-tenant" }),
    new HostileWitness(http, { tenant: "witness", id: "pool-1" }),
  ];
  for (const witness of witnesses) await witness.start();
  const facts = async () => (await child.ask<{ facts: HostileServerFacts }>("facts", { collect: true })).facts;
  const slipsOf = ({ rejections, exceptions, faults }: HostileServerFacts) => [...rejections, ...exceptions, ...faults];
  const stepAll = () => Promise.all(witnesses.map((witness) => witness.step()));
  const results: RowResult[] = [];

  const reports: EndpointReport[] = [];
  const done = async (report: EndpointReport) => {
    reports.push(report);
    await stepAll();
    const { endpoint, cases, seconds, slowestMs, statuses, wrongs } = report;
    const counts = [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
    log(
      `${endpoint}: ${cases} cases, ${Math.round(cases / seconds)}/s, slowest ${slowestMs.toFixed(0)} ms, ${counts.join(", ")}${some(wrongs)}`,
    );
  };
  const shared = { cases: size.endpoint, seed, tenant: HOSTILE_TENANT };
  for (const endpoint of hostileEndpoints())
    await done(await attackEndpoint(endpoint, { port: endpoint.port === "admin" ? admin : http, ...shared }));
  await done(await attackWebSocket({ port: http, ...shared }));
  for (const method of GRPC_METHODS) await done(await attackGrpc(method, { port: grpc, ...shared }));
  await done(await attackHttp2({ port: grpc, ...shared }));
  const slips = slipsOf(await facts());
  const wrongs = [
    ...reports.flatMap(({ endpoint, wrongs: those }) => those.map((text) => `${endpoint}: ${text}`)),
    ...slips,
    ...witnesses.flatMap((witness) => witness.wrongs),
  ];
  const rates = reports.map(({ cases, seconds }) => cases / seconds);
  const slowest = reports.reduce((worst, report) => (report.slowestMs > worst.slowestMs ? report : worst), reports[0]);
  const steps = witnesses.reduce((sum, witness) => sum + witness.steps, 0);
  results.push({
    row: `hostility: ${reports.length} endpoints`,
    goal: `>= ${size.endpoint} spoiled requests each: 0 of 5xx but 503, 504, 507; 0 rejections and faults; none over 1 s; the witnesses bit for bit`,
    measured: `${reports.reduce((sum, { cases }) => sum + cases, 0)} requests at ${Math.round(Math.min(...rates))} .. ${Math.round(Math.max(...rates))}/s, slowest ${slowest.slowestMs.toFixed(0)} ms (${slowest.endpoint}), ${slips.length} slips, ${steps} steps of witnesses, ${wrongs.length} wrong${some(wrongs)}`,
    pass: wrongs.length === 0 && reports.every(({ cases }) => cases >= size.endpoint) && steps > 0,
  });

  for (const [name, report] of [
    ["desync", await tryDesync(http)],
    ["strangers' pages, hosts and paths", await tryTricks({ http, admin })],
  ] as const) {
    await stepAll();
    results.push({
      row: `hostility: ${name}`,
      goal: "0 of them work, each answered or ended within 1 s",
      measured: `${report.wrongs.length} of ${report.tricks} work, slowest ${report.slowestMs.toFixed(0)} ms${some(report.wrongs)}`,
      pass: report.wrongs.length === 0 && report.slowestMs <= 1000,
    });
  }

  const near = await tryNearIds({ http, grpc, pairs: size.pairs, seed });
  results.push({
    row: "hostility: neighbouring ids over every protocol",
    goal: `>= ${size.pairs} pairs, 0 merged`,
    measured: `${near.pairs} pairs at ${Math.round(near.pairs / near.seconds)}/s, ${near.wrong} merged or refused${some(near.wrongs)}`,
    pass: near.wrong === 0 && near.pairs >= size.pairs,
  });

  const borne: { flood: Flood; report: FloodReport; othersMs: number }[] = [];
  const misses = ({ flood: { bearable }, report: { ms, grownMib }, othersMs }: (typeof borne)[number]) =>
    (ms === null ? !bearable : ms > 1000) || othersMs > 1000 || grownMib > 32;
  for (const one of floods()) {
    for (let tried = 1; ; tried++) {
      await facts();
      const under = flood(one, {
        port: one.port === "grpc" ? grpc : http,
        pid: child.pid,
        limitMs: one.bearable ? size.limitMs : 5000,
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      const from = performance.now();
      await stepAll();
      const othersMs = performance.now() - from;
      const report = await under;
      await stepAll();
      log(
        `${one.name}: ${report.ms === null ? "borne" : `${report.ms.toFixed(0)} ms`}, +${report.grownMib.toFixed(1)} MiB for ${report.sentMib.toFixed(1)} sent, others ${othersMs.toFixed(0)} ms: ${report.answer.slice(0, 60)}`,
      );
      const result = { flood: one, report, othersMs };
      if (misses(result) && tried < TRIES) continue;
      borne.push(result);
      break;
    }
  }
  const missed = borne.filter(misses);
  const refused = borne.filter(({ report: { ms } }) => ms !== null);
  const slowestFlood = refused.reduce((worst, each) => ((each.report.ms ?? 0) > (worst.report.ms ?? 0) ? each : worst));
  const largest = borne.reduce((worst, each) => (each.report.grownMib > worst.report.grownMib ? each : worst));
  const { rss } = await facts();
  results.push({
    row: `hostility: ${borne.length} floods`,
    goal: "each refused within 1 s, or borne with others answered within 1 s; + <= 32 MiB",
    measured: `${refused.length} refused, slowest ${slowestFlood.report.ms?.toFixed(0)} ms (${slowestFlood.flood.name}); ${borne.length - refused.length} borne; most memory + ${largest.report.grownMib.toFixed(1)} MiB (${largest.flood.name}), in the end ${(rss / MIB).toFixed(0)} MiB${some(missed.map(({ flood: { name }, report, othersMs }) => `${name}: ${report.ms?.toFixed(0) ?? "no end"} ms, + ${report.grownMib.toFixed(1)} MiB, others ${othersMs.toFixed(0)} ms`))}`,
    pass: missed.length === 0,
  });

  for (const witness of witnesses) await witness.stop();
  const last = await facts();
  const slipped = [...slipsOf(last), ...witnesses.flatMap((witness) => witness.wrongs)];
  results.push({
    row: "hostility: the witnesses, to the end",
    goal: "every step as if alone, 0 rejections, exceptions, faults",
    measured: `${witnesses.reduce((sum, witness) => sum + witness.steps, 0)} steps, ${slipped.length} wrong${some(slipped)}`,
    pass: slipped.length === 0,
  });
  await child.end();
  return results;
}

async function ownership({ folder }: RowOptions): Promise<RowResult> {
  const credentials = await makeCredentials();
  mkdirSync(join(folder, "owned"));
  const child = start("hostile-server", {
    data: join(folder, "owned"),
    options: { auth: credentials.config, sentinel: false },
  } satisfies HostileServerJob);
  try {
    const { addresses } = await child.next<{ addresses: HostileServerAddresses }>("addresses");
    const { operations, asked, denied, wrongs } = await askMatrix(credentials, addresses);
    return {
      row: "hostility: the ownership matrix",
      goal: "every operation with every wrong credential: 100 % denied",
      measured: `${denied} of ${asked} denied, ${operations} operations${some(wrongs)}`,
      pass: denied === asked && wrongs.length === 0 && asked > 1000,
    };
  } finally {
    await child.end();
    credentials.remove();
  }
}

export default row;
