/**
 * @file `ostinato demo`: the whole way on the telemetry that ships with the package, from data to a live session. Trains, judges, serves,
 * and streams this machine's own telemetry into a session over HTTP.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import { telemetry } from "../data/telemetry.js";
import { defaultEngine, describeEngine } from "../kernels/index.js";
import { loadModel } from "../model/load-file.js";
import type { SessionFacts, StepAnswer, WirePrediction } from "../protocol/index.js";
import { createServer, type Server } from "../serve/index.js";
import { runExperiment } from "../tasks/index.js";
import { auditTable, closing } from "./audit.js";
import { loadConfig } from "./config-file.js";
import { fingerprintOf, portableConfig, readExperimentFiles } from "./data-file.js";
import { banner, ExperimentView } from "./experiment-view.js";
import { type Interrupt, takeInterrupts } from "./interrupt.js";
import { writing } from "./output-file.js";
import { PACKAGE_ROOT } from "./package-root.js";
import { RUN_FILES, type RunSummary, writeConfig, writeResult } from "./run-folder.js";
import { describeBytes, Terminal, type TerminalOptions } from "./terminal.js";

export interface DemoCommandOptions extends TerminalOptions {
  once?: boolean;
  port: number;
  /** The configuration; default the one that ships. */
  config?: string;
}

const CONFIG = join(PACKAGE_ROOT, "data/host-telemetry/tag.yaml");
const FOLDER = join("runs", "demo");
const SESSION = "this-machine";
/** The rate the data set was recorded at: a model that reads rows knows no other. */
const INTERVAL_MS = 250;
const ONCE_STEPS = 10;
const PORTS_TRIED = 20;
/** Where no line can be rewritten, one is printed so often, and whenever the answer changes. */
const LINE_SECONDS = 10;

/** @returns 0, also when it was ended by Ctrl-C. */
export async function demoCommand(options: DemoCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const interrupt = takeInterrupts({ exit: 0, onFirst: () => terminal.status("  stopping", { always: true }) });
  let live: { server: Server; url: string } | undefined;
  try {
    const summary = await trainDemo(terminal, options, interrupt);
    if (!summary) return goodbye(terminal);
    live = await serveDemo(terminal, summary.model, options.port);
    const steps = await streamThisMachine(terminal, live.url, interrupt, options);
    if (options.json && options.once) terminal.json({ ...summary, url: live.url, session: SESSION, ...steps });
    if (!options.once) goodbye(terminal);
    return 0;
  } finally {
    terminal.clear();
    await live?.server.close();
    interrupt.release();
  }
}

/** Data, Train and Judge. Null when it was stopped. */
async function trainDemo(
  terminal: Terminal,
  { config: path = CONFIG }: DemoCommandOptions,
  { signal }: Interrupt,
): Promise<RunSummary | null> {
  if (!existsSync(path)) {
    throw new OstinatoError("OST_FILE", {
      what: "the data set of the demo is not there",
      where: path,
      repair: "install the package whole: data/host-telemetry belongs to it",
    });
  }
  const { config } = await loadConfig(path);
  const engine = defaultEngine();
  terminal.print(`\n  ${terminal.color.bold(banner(engine))}\n`);
  const { table, hashes } = await readExperimentFiles(config);
  const view = new ExperimentView(terminal, config, table.rows);
  const result = await runExperiment(portableConfig(config), table, {
    engine,
    dataHashes: hashes,
    signal,
    onEvent: (event) => {
      view.onEvent(event);
      if (event.kind !== "data") return;
      const { findings, verdict, facts } = auditTable(config, table).report;
      view.line(`audit · ${closing(findings, verdict, facts.rows)}`);
    },
    onLog: view.onLog,
  });
  if (!result) return null;
  view.judgement(result.report);
  writing(FOLDER, () => {
    mkdirSync(FOLDER, { recursive: true });
    rmSync(join(FOLDER, RUN_FILES.baselines), { recursive: true, force: true });
  });
  await writeConfig(FOLDER, config);
  const summary = await writeResult(FOLDER, result, { fingerprint: fingerprintOf(config, hashes), hashes });
  view.section(4, "Serve", [`model written to ${summary.model} (${describeBytes(result.file.length)})`]);
  return summary;
}

async function serveDemo(terminal: Terminal, path: string, port: number): Promise<{ server: Server; url: string }> {
  const bytes = await readFile(path);
  const { name } = (await loadModel(path)).header;
  const engineName = describeEngine(defaultEngine());
  for (let tried = 0; ; tried++) {
    const wanted = port === 0 || tried === PORTS_TRIED ? 0 : port + tried;
    const models = new Map([[name, new Uint8Array(bytes)]]);
    const server = await createServer({ models, port: wanted > 65535 ? 0 : wanted, engineName, logger: { level: "error" } });
    try {
      return { server, url: (await server.listen()).http };
    } catch (error) {
      await server.close();
      if (!(error instanceof OstinatoError) || error.code !== "OST_PORT" || wanted === 0) throw error;
      terminal.status(`  port ${wanted} is taken`);
    }
  }
}

interface LiveSteps {
  /** From the start of the program to the first answer of the session. */
  secondsToFirstPrediction: number | null;
  predictions: { label: string; confidence: number }[];
}

/** Pushes this machine's telemetry record by record, as any other client would, until Ctrl-C or ten steps. */
async function streamThisMachine(
  terminal: Terminal,
  url: string,
  { signal }: Interrupt,
  { once = false, json = false }: DemoCommandOptions,
): Promise<LiveSteps> {
  const key = randomBytes(24).toString("base64url");
  const client = new DemoClient(url, key, signal);
  const live: LiveSteps = { secondsToFirstPrediction: null, predictions: [] };
  try {
    const { models } = await client.ask<{ models: { name: string }[] }>("GET", "/v1/models");
    const sessions = `/v1/models/${encodeURIComponent(models[0].name)}/sessions`;
    await client.ask<SessionFacts>("POST", sessions, { id: SESSION });
    terminal.print(`${" ".repeat(14)}${terminal.color.bold(url)} · session "${SESSION}" · streaming your machine now`);
    terminal.print(
      `${" ".repeat(14)}watch it: ${terminal.color.underline(`${url}/#${new URLSearchParams({ session: SESSION, key })}`)}\n`,
    );
    let shown = { label: "", at: 0 };
    for await (const record of telemetry({ intervalMs: INTERVAL_MS, signal })) {
      const answer = await client.ask<StepAnswer>("POST", `${sessions}/${SESSION}/steps`, { record });
      for (const prediction of answer.predictions) {
        if (live.secondsToFirstPrediction === null) {
          live.secondsToFirstPrediction = Number(process.uptime().toFixed(1));
          terminal.print(
            `${" ".repeat(14)}first live prediction ${Math.round(live.secondsToFirstPrediction)} s after the start\n`,
          );
        }
        const label = prediction.label ?? "";
        if (once) live.predictions.push({ label, confidence: prediction.confidence ?? 0 });
        if (json && !once) terminal.json(prediction);
        const line = describeLive(prediction);
        const due = label !== shown.label || performance.now() - shown.at > LINE_SECONDS * 1000;
        if (terminal.live) terminal.status(`${line}     Ctrl-C to stop`, { always: true });
        else if (once || due) terminal.print(line);
        if (due) shown = { label, at: performance.now() };
      }
      if (once && live.predictions.length >= ONCE_STEPS) break;
    }
    if (once && terminal.live) terminal.print(`  ${ONCE_STEPS} live steps done.`);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return live;
}

/** "What is this machine doing?   compile  0.93   (idle 0.04, compress 0.02)" */
export function describeLive({
  label = "",
  confidence = 0,
  probabilities = {},
}: Pick<WirePrediction, "label" | "confidence" | "probabilities">): string {
  const others = Object.entries(probabilities)
    .filter(([name]) => name !== label)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 2)
    .map(([name, share]) => `${name} ${share.toFixed(2)}`);
  return `  What is this machine doing?   ${label}  ${confidence.toFixed(2)}   (${others.join(", ")})`;
}

/** Speaks to the demo's own server. */
class DemoClient {
  constructor(
    readonly url: string,
    readonly key: string,
    readonly signal: AbortSignal,
  ) {}

  /** @throws the server's refusal as the error it is. */
  async ask<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: this.signal,
    });
    const answer = (await response.json()) as T & { error?: { code: ErrorCode; what: string; repair?: string } };
    if (answer.error) throw new OstinatoError(answer.error.code, { ...answer.error, where: `${method} ${path}` });
    return answer;
  }
}

function goodbye(terminal: Terminal): 0 {
  terminal.print(`\n  Stopped. Again: ostinato demo`);
  return 0;
}
