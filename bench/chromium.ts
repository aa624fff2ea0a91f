/**
 * @file Our contender in Chromium: drives a page that runs the workloads, and passes each turn on. The page gets the variables that choose the
 * engine, and is isolated from other origins, for its clock (5 microseconds instead of 100) and for threads. "read:BYTES SECONDS" is answered
 * here, on the same core, by the same probe as in Node.
 *
 * `--built` bundles the built package in dist/ instead of the sources.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Browser, findChromium } from "../test/support/chromium.js";
import { type Bandwidth, type Peak, readTurns } from "./limit.js";
import type { OwnTurn } from "./own-turn.js";
import { type About, type Refusal, takeTurns } from "./turn.js";

const LONGEST_LOAD_MS = 30_000;

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const command = findChromium();
if (!command) throw new Error(`${process.env["CHROMIUM"] ?? "chromium, chromium-browser or google-chrome"} is not here`);
const runtime = /\S+ [\d.]+/.exec(spawnSync(command, ["--version"], { encoding: "utf8" }).stdout)?.[0] ?? command;
const { version } = JSON.parse(readFileSync(file("../package.json"), "utf8"));

const fromSources = { conditions: ["ostinato-source"], alias: { "#platform": file("../src/kernels/platform-browser.ts") } };
const { outputFiles } = await build({
  entryPoints: [file("chromium-page.ts")],
  bundle: true,
  write: false,
  format: "iife",
  globalName: "contender",
  platform: "browser",
  target: "es2022",
  ...(process.argv.includes("--built") ? {} : fromSources),
});

const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const server = createServer((_, response) => {
  response.writeHead(200, { ...isolated, "Content-Type": "text/html" }).end("<!doctype html><title>bench</title>");
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
server.unref();
const browser = await Browser.open(command, { width: 400, height: 300 });
process.once("SIGTERM", () => void browser.close().finally(() => process.exit()));
try {
  await browser.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  for (const start = Date.now(); !(await browser.evaluate("globalThis.crossOriginIsolated")); ) {
    if (Date.now() - start > LONGEST_LOAD_MS) throw new Error(`${runtime} did not isolate the page`);
  }
  const { OSTINATO_ENGINE, OSTINATO_ISA, OSTINATO_THREADS } = process.env;
  await browser.evaluate(`process = ${JSON.stringify({ env: { OSTINATO_ENGINE, OSTINATO_ISA, OSTINATO_THREADS } })}; 0`);
  await browser.evaluate(outputFiles[0].text);
  const about = await ask<Omit<About, "version">>("about()");
  const read = readTurns();
  await takeTurns<OwnTurn | Peak | Bandwidth>({ ...about, version, runtime }, (name, seconds) =>
    name.startsWith("read:") ? read(name, seconds) : ask<OwnTurn | Peak>(`turn(${JSON.stringify(name)}, ${seconds})`),
  );
} finally {
  await browser.close();
}

/** What a call of the page's contender comes to. */
async function ask<T extends object>(call: string): Promise<T> {
  const answer = await browser.evaluate<T | Refusal>(
    `(async () => contender.${call})().catch(({ message }) => ({ error: message }))`,
  );
  if ("error" in answer) throw new Error(answer.error);
  return answer;
}
