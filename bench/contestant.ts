/** @file The driver's side of a contender: a pinned process that takes one turn at a time. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import type { About, Refusal } from "./turn.js";

export interface Launch {
  /** As the tables call it. */
  name: string;
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  threads: number;
}

const LONGEST_TURN_MS = 600_000;

export class Contestant {
  readonly launch: Launch;
  readonly about: About;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: string[];

  private constructor(launch: Launch, about: About, process: ChildProcess, lines: AsyncIterator<string>, errors: string[]) {
    this.launch = launch;
    this.about = about;
    this.#process = process;
    this.#lines = lines;
    this.#errors = errors;
  }

  /** Starts a contender on its cores. Rejects with what it said last if it does not come up. */
  static async start(launch: Launch): Promise<Contestant> {
    const [file, ...args] = [...pinning(launch.threads), ...launch.command];
    const child = spawn(file, args, { env: { ...process.env, ...launch.env }, stdio: ["pipe", "pipe", "pipe"] });
    const errors: string[] = [];
    child.on("error", (error) => errors.push(error.message));
    child.stdin.on("error", () => {});
    createInterface({ input: child.stderr }).on("line", (line) => {
      errors.push(line);
      if (errors.length > 40) errors.shift();
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const about = JSON.parse(await nextLine(child, lines, errors)) as About;
    return new Contestant(launch, about, child, lines, errors);
  }

  /** One turn. Rejects if the contender refuses it, dies, or takes more than ten minutes. */
  async turn<T extends object>(workload: string, seconds: number): Promise<T> {
    this.#process.stdin?.write(`${workload} ${seconds}\n`);
    const answer = JSON.parse(await nextLine(this.#process, this.#lines, this.#errors)) as T | Refusal;
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) return resolve();
      this.#process.once("exit", () => resolve());
      this.#process.kill();
    });
  }
}

async function nextLine(child: ChildProcess, lines: AsyncIterator<string>, errors: readonly string[]): Promise<string> {
  const timer = setTimeout(() => child.kill(), LONGEST_TURN_MS);
  const { done, value } = await lines.next();
  clearTimeout(timer);
  if (!done) return value;
  // Standard error may arrive after the end of standard output.
  await new Promise((resolve) => setTimeout(resolve, 100));
  throw new Error(complaint(errors));
}

/** The line of a stack trace, a Python traceback or a shell that says what was wrong; of paths, only the last part. */
function complaint(errors: readonly string[]): string {
  const telling = errors.filter((line) => /^[^\s}^]/.test(line) && !/^Node\.js v/.test(line));
  const named = telling.filter((line) => /^[\w.]*(Error|Exception)\b.*: /.test(line)).at(-1);
  const line = named ?? telling.at(-1) ?? "it ended without a word";
  return line.trim().replace(/(?:file:\/\/)?(?:\/[\w.@+~-]+){2,}/g, (path) => path.slice(path.lastIndexOf("/") + 1));
}

let canPin: boolean | undefined;

/** Whether contenders can be held to their cores. */
export function pins(): boolean {
  canPin ??= spawnSync("taskset", ["-c", coresOf(1), "true"]).status === 0;
  return canPin;
}

/** The last cores of the machine: the first ones serve interrupts. */
export function coresOf(threads: number): string {
  const count = cpus().length;
  return Array.from({ length: Math.min(threads, count) }, (_, i) => count - 1 - i)
    .reverse()
    .join(",");
}

/** What to put before a command. */
export function pinning(threads: number): string[] {
  return pins() ? ["taskset", "-c", coresOf(threads)] : [];
}
