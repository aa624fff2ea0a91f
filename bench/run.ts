/**
 * @file The benchmark: our engines, and on request their peers, in turns on the same pinned cores.
 *
 * A shared machine drifts by a factor of two within minutes, so times of different runs say nothing about each other. Contenders therefore
 * alternate in rounds, one computing at a time, and what counts is the ratio within a round; reported is the median over the rounds.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { contest, type PeerLaunch, peerWorkload, type Row } from "./contest.js";
import { Contestant, coresOf, type Launch, pinning, pins } from "./contestant.js";
import type { Peak } from "./limit.js";
import { disturbance, machine } from "./machine.js";
import { objectionToRoot, peersUnder } from "./peers/index.js";
import { duration, percent, significant, table } from "./table.js";
import type { About } from "./turn.js";
import { WORKLOADS } from "./workloads.js";

/** What OSTINATO_ISA may name, by engine. */
const ISAS: Readonly<Record<string, readonly string[]>> = {
  native: ["avx512vnni", "avx512", "avx2", "x86-64", "neon"],
  wasm: ["relaxed-simd", "simd128"],
  reference: [],
};
const ROUNDS = { short: 5, peers: 9 };

const root = fileURLToPath(new URL("..", import.meta.url));
const options = readOptions();
const tsx = ["--import", import.meta.resolve("tsx")];
const node = [process.execPath, ...(options.built ? [] : ["--conditions=ostinato-source"]), ...tsx];
const rounds = options.rounds ?? (options.peers ? ROUNDS.peers : ROUNDS.short);
const names = workloadNames();
const host = machine();

/** What is not in the tables and should be: said at once, and again under them. */
const missing: string[] = [];
const versions: Record<string, string> = {};
const peaks: Record<string, string> = {};
const rows: Row[] = [];

note(`${host.processor}, ${host.cores} cores, ${host.vectors}, Node ${host.node}; ${rounds} rounds`);
if (!pins()) note("!! taskset is not here or not allowed: contenders are not pinned, and the numbers are worth less");
const busy = disturbance();
if (busy) note(`!! ${busy}`);
let ours: Launch[] = [];
for (const threads of options.threads) {
  const own = await ownContenders(threads);
  ours = [...ours, ...own];
  if (own.length === 0) continue;
  const peers = await peerContenders(threads);
  for (const name of names) {
    const measured = await contest(name, { own, peers, rounds, note, miss });
    rows.push(...measured);
    if (options.json) for (const row of measured) console.log(JSON.stringify(row));
  }
}
if (ours.length === 0) {
  note("no engine of ours came up");
  process.exit(1);
}
if (!options.json) report();
if (options.growth) growth(ours[0]);
if (options.out) keep();

function readOptions() {
  const list = (text: string) => text.split(",").filter(Boolean);
  const count = (text: string) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("A whole number of at least 1 is wanted.");
    return value;
  };
  const oneOf = (known: readonly string[]) => (text: string) => {
    const unknown = list(text).find((name) => !known.includes(name));
    if (unknown) throw new InvalidArgumentError(`"${unknown}" is none of ${known.join(", ")}.`);
    return list(text);
  };
  return new Command("npm run bench --")
    .description("Times our engines on the workloads, alternating on one pinned core, and compares them with their peers.")
    .option("--peers", "all workloads, against the peers under PEERS_ROOT (PEERS_PYTHON: a Python with PyTorch of your own)")
    .option("--rounds <count>", `rounds per workload (default ${ROUNDS.short}, with --peers ${ROUNDS.peers})`, count)
    .option("--workloads <names>", "which, or all; default a short list", oneOf(["all", ...Object.keys(WORKLOADS)]))
    .option("--engines <names>", "which of ours", oneOf(Object.keys(ISAS)), ["native", "wasm"])
    .option("--isa <names>", "one contender per instruction set, where an engine has it", oneOf(Object.values(ISAS).flat()), [])
    .option("--chromium", "also our WebAssembly engine in Chromium (CHROMIUM: the name of another browser of its kind)")
    .option("--threads <counts>", "one round of everything per number", (text) => list(text).map(count), [1])
    .option("--built", "measure the built package in dist/ instead of the sources")
    .option("--growth", "also how the cost of a training step grows with its sizes")
    .option("--json", "one object per row on standard output, instead of tables")
    .option("--out [file]", "keep the results (default bench/results/DATE-MACHINE.json)")
    .parse()
    .opts<{
      peers?: boolean;
      rounds?: number;
      workloads?: string[];
      engines: string[];
      isa: string[];
      chromium?: boolean;
      threads: number[];
      built?: boolean;
      growth?: boolean;
      json?: boolean;
      out?: string | true;
    }>();
}

function workloadNames(): string[] {
  const every = Object.keys(WORKLOADS).filter((name) => !name.endsWith("raw"));
  if (options.workloads) return options.workloads.includes("all") ? every : options.workloads;
  return options.peers ? every : every.filter((name) => WORKLOADS[name].short);
}

/** Starts each engine once, to see what really runs. */
async function ownContenders(threads: number): Promise<Launch[]> {
  const found: Launch[] = [];
  const kinds = options.engines.map((engine) => ({ kind: engine, engine, file: "bench/contender.ts" }));
  if (options.chromium) kinds.push({ kind: "chromium", engine: "wasm", file: "bench/chromium.ts" });
  for (const { kind, engine, file } of kinds) {
    const chosen = options.isa.filter((isa) => ISAS[engine].includes(isa));
    if (options.isa.length > 0 && chosen.length === 0 && ISAS[engine].length > 0) continue;
    for (const isa of chosen.length > 0 ? chosen : [null]) {
      const env: Record<string, string> = { OSTINATO_ENGINE: engine, OSTINATO_THREADS: String(threads), OSTINATO_ISA: isa ?? "" };
      const command = [...node, join(root, file), ...(options.built ? ["--built"] : [])];
      const launch: Launch = { name: isa ? `${kind} ${isa}` : kind, threads, env, command };
      const about = await lookAt(launch, true);
      if (!about) continue;
      if (about.engine !== engine || (isa && about.isa !== isa)) {
        miss(`${launch.name}: what runs is ${about.engine} (${about.detail})`);
        continue;
      }
      if (about.threads !== threads) note(`!! ${launch.name}: asked for ${threads} threads, it runs ${about.threads}`);
      versions["ostinato"] = about.version;
      if (about.runtime) versions["browser"] = about.runtime;
      found.push(launch);
    }
  }
  return found;
}

async function peerContenders(threads: number): Promise<PeerLaunch[]> {
  if (!options.peers) return [];
  const { PEERS_ROOT: peersRoot, PEERS_PYTHON: python } = process.env;
  const objection = objectionToRoot(peersRoot);
  if (objection) {
    miss(`the peers: ${objection}`);
    return [];
  }
  const wanted = names.map(peerWorkload);
  const found: PeerLaunch[] = [];
  for (const peer of peersUnder(peersRoot as string, { node, python, avx2: options.isa.includes("avx2") })) {
    if (!Object.keys(peer.workloads).some((name) => wanted.includes(name))) continue;
    const env = { ...peer.env, OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) };
    const launch = { name: peer.name, threads, env, command: peer.command(threads), workloads: peer.workloads };
    const about = await lookAt(launch);
    if (!about) continue;
    const complaint = peer.objection?.(about) ?? null;
    if (complaint) {
      miss(`${peer.name}: ${complaint}`);
      continue;
    }
    versions[peer.name] = `${about.version} (${about.isa})`;
    found.push(launch);
  }
  return found;
}

async function lookAt(launch: Launch, isOurs = false): Promise<About | null> {
  try {
    const contestant = await Contestant.start(launch);
    const { about } = contestant;
    if (isOurs) {
      const { gflops, how } = await contestant.turn<Peak>("peak", 0.2);
      peaks[`${engineCell(about)}, ${threadCount(about.threads)}`] = `${significant(gflops)} GFLOP/s (${how})`;
    }
    await contestant.stop();
    return about;
  } catch (error) {
    miss(`${launch.name}: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

function report(): void {
  const columns = [...new Set(rows.flatMap(({ peers }) => Object.keys(peers)))];
  const head = ["workload", "engine", "threads", "time", "p99", "GFLOP/s", "of peak", "of bandwidth", "over raw", ...columns];
  const cells = rows.map((row) => [
    row.workload,
    engineCell(row),
    String(row.threads),
    duration(row.ms),
    row.p99 === undefined ? "" : duration(row.p99),
    significant(row.gflops),
    percent(row.peakShare),
    percent(row.bandwidthShare),
    row.overRaw === undefined ? "" : `${row.overRaw < 1 ? "" : "+"}${(100 * (row.overRaw - 1)).toFixed(0)} %`,
    ...columns.map((name) => {
      const peer = row.peers[name];
      return peer ? `${duration(peer.ms)}, ${significant(peer.ratio)}x` : "";
    }),
  ]);
  const pairs = (texts: Record<string, string>, between: string) =>
    Object.entries(texts)
      .map((pair) => pair.join(between))
      .join("; ");
  console.log(`\n${table(head, cells, { left: 2 })}\n`);
  for (const name of new Set(rows.map(({ workload }) => workload))) console.log(`${name}: ${WORKLOADS[name].what}`);
  const where = pins() ? `pinned to core ${options.threads.map(coresOf).join("; ")}` : "not pinned";
  console.log(`\n${host.processor}, ${host.cores} cores, Node ${host.node}; median of ${rounds} rounds, ${where}.`);
  console.log(`Peak before the rounds: ${pairs(peaks, ": ")}.`);
  console.log(`Versions: ${pairs(versions, " ")}.`);
  if (columns.length > 0) console.log("A peer's cell is its time and the ratio of its time to ours: above 1x we are faster.");
  if (rows.some(({ runtime }) => runtime))
    console.log("A browser's clock is coarse: a stream's time there is the median of means over 0.5 ms.");
  for (const text of missing) console.log(`MISSING ${text}`);
}

function growth({ env, threads }: Launch): void {
  const flags = [...(options.json ? ["--json"] : []), ...(options.out ? ["--out"] : [])];
  const [file, ...args] = [...pinning(threads), ...node, join(root, "bench/growth.ts"), ...flags];
  const { status } = spawnSync(file, args, { env: { ...process.env, ...env }, stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}

function keep(): void {
  const date = new Date().toISOString().slice(0, 10);
  const file = typeof options.out === "string" ? options.out : join(root, "bench/results", `${date}-${host.class}.json`);
  const results = { date, machine: host, rounds, pinned: pins(), versions, peaks, missing, rows };
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
  note(`kept in ${file}`);
}

function engineCell({ engine, isa, runtime }: Pick<About, "engine" | "isa" | "runtime">): string {
  return `${engine} ${isa}${runtime ? `, ${runtime.split(" ")[0]}` : ""}`;
}

function threadCount(count: number): string {
  return count === 1 ? "1 thread" : `${count} threads`;
}

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function miss(text: string): void {
  if (missing.includes(text)) return;
  missing.push(text);
  note(`!! MISSING ${text}`);
}
