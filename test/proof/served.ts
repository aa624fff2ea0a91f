/** @file A server in a process of its own, under limits and with libraries before it, that can be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { ServerOptions } from "../../src/serve/server.js";
import type { ServerAddresses } from "./carrier.js";

export interface ServedOptions {
  /** The compiled program `fault-server`. */
  program: string;
  server: Partial<Omit<ServerOptions, "models" | "logger">>;
  /** A line of bash before the server takes the place of the shell, such as `ulimit -n 40`. */
  before?: string;
  env?: Readonly<Record<string, string>>;
}

export class Served {
  /** What it wrote to standard error, its end. */
  errors = "";

  private constructor(
    readonly process: ChildProcess,
    readonly addresses: ServerAddresses,
  ) {}

  /** @throws an Error with what it said, if it ends instead of listening. */
  static async start({ program, server, before, env }: ServedOptions): Promise<Served> {
    const args = [program, JSON.stringify(server)];
    const own = { stdio: ["ignore", "pipe", "pipe"] as ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } };
    const child =
      before === undefined
        ? spawn(process.execPath, args, own)
        : spawn("bash", ["-c", `${before}; exec "$0" "$@"`, process.execPath, ...args], own);
    const addresses: ServerAddresses = { http: "", grpc: "" };
    const served = new Served(child, addresses);
    child.stderr.on("data", (text: Buffer) => {
      served.errors = (served.errors + text.toString()).slice(-4000);
    });
    let said = "";
    await new Promise<void>((resolve, reject) => {
      child.stdout.on("data", (text: Buffer) => {
        said += text.toString();
        if (said.includes("\n")) resolve();
      });
      child.once("close", (code, signal) => reject(new Error(`it ended with ${code ?? signal}: ${served.errors.slice(-600)}`)));
    });
    Object.assign(addresses, JSON.parse(said));
    return served;
  }

  get pid(): number {
    return this.process.pid as number;
  }

  get isOver(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Resolves when the process is gone. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.isOver) return;
    const over = new Promise((resolve) => this.process.once("close", resolve));
    this.process.kill(signal);
    await over;
  }

  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Resident bytes. */
  resident(): number {
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1]);
  }
}
