/** @file A program of this folder in a process of its own, which is told and asked things one at a time. */
import { type ChildProcess, fork } from "node:child_process";

export class Child {
  readonly #process: ChildProcess;
  #error = "";

  /** @param job what the program reads from `process.argv[2]`, as JSON. */
  constructor(path: string, job: unknown, options: { execArgv?: string[] } = {}) {
    this.#process = fork(path, [JSON.stringify(job)], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: options.execArgv ?? [],
    });
    this.#process.stderr?.on("data", (text: Buffer) => {
      this.#error = (this.#error + text.toString()).slice(-2000);
    });
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  send(message: object): void {
    this.#process.send(message);
  }

  /** The next message with this field. Rejects if the program ends without one. */
  next<T extends object>(field: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const child = this.#process;
      const stop = () => {
        child.off("message", hear);
        child.off("exit", over);
      };
      const hear = (message: object) => {
        if (!(field in message)) return;
        stop();
        resolve(message as T);
      };
      const over = (code: number | null) => {
        stop();
        reject(new Error(`a program of the proof ended (${code}) without "${field}": ${this.#error.slice(-600)}`));
      };
      if (child.exitCode !== null) return over(child.exitCode);
      child.on("message", hear);
      child.on("exit", over);
    });
  }

  async ask<T extends object>(field: string, message: object): Promise<T> {
    const answer = this.next<T>(field);
    this.send(message);
    return answer;
  }

  /** Ends it, in order if it will; resolves when it is gone. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
      child.once("exit", () => {
        clearTimeout(late);
        resolve();
      });
      child.kill(signal);
    });
  }
}
