/** @file Starts a program of this folder in a thread of its own, from the sources or from what they were compiled to. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { type ResourceLimits, Worker } from "node:worker_threads";

export interface ThreadOptions {
  name: string;
  workerData: unknown;
  /** Default those of this process. */
  env?: NodeJS.ProcessEnv;
  resourceLimits?: ResourceLimits;
}

/** @param program a name of this folder without its ending, or a program of one's own. */
export function startThread(program: string | URL, options: ThreadOptions): Worker {
  const compiled = !import.meta.url.endsWith(".ts");
  const file = typeof program === "string" ? new URL(`./${program}.${compiled ? "js" : "ts"}`, import.meta.url) : program;
  if (!file.href.endsWith(".ts")) return new Worker(file, { ...options, execArgv: [] });
  // Sources need a compiler first, which a thread does not take over from its process.
  const [compiler, source] = [compilerUrl(), file.href].map((href) => JSON.stringify(href));
  const start = `import(${compiler}).then(({ register }) => { register(); return import(${source}); });`;
  return new Worker(start, { ...options, eval: true, execArgv: ["--conditions=ostinato-source"] });
}

/** The compiler as a module; where nothing resolves modules but `require`, what that finds, which a test runner can load too. */
function compilerUrl(): string {
  try {
    return import.meta.resolve("tsx/esm/api");
  } catch {
    return pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm/api")).href;
  }
}
