/**
 * @file A browser for tests, where one is installed: Chromium without a window, spoken to over its own pipe.
 *
 * Chrome DevTools Protocol with `--remote-debugging-pipe`: JSON messages that end in a zero byte, on file descriptors 3 and 4.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** The name of an installed Chromium, or undefined. `CHROMIUM` names another one. */
export function findChromium(): string | undefined {
  const names = process.env["CHROMIUM"] ? [process.env["CHROMIUM"]] : ["chromium", "chromium-browser", "google-chrome"];
  return names.find((name) => spawnSync(name, ["--version"]).status === 0);
}

type Json = Record<string, unknown>;

export class Browser {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, { resolve: (result: Json) => void; reject: (error: Error) => void }>();
  #id = 0;
  #page = "";
  /** Texts that the page wrote to its console as errors, and exceptions nobody caught. */
  readonly errors: string[] = [];

  private constructor(command: string) {
    this.#profile = mkdtempSync(join(tmpdir(), "ostinato-chromium-"));
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--remote-debugging-pipe",
    ];
    this.#process = spawn(command, [...flags, `--user-data-dir=${this.#profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    this.#process.on("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the browser ended"));
    });
    let text = "";
    (this.#process.stdio[4] as Readable).setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      const messages = text.split("\0");
      text = messages.pop() as string;
      for (const message of messages) this.#hear(JSON.parse(message));
    });
  }

  /** Opens an empty page of a size in CSS pixels. */
  static async open(
    command: string,
    { width, height, mobile = false }: { width: number; height: number; mobile?: boolean },
  ): Promise<Browser> {
    const browser = new Browser(command);
    const { targetId } = await browser.#send("Target.createTarget", { url: "about:blank" }, "");
    const { sessionId } = await browser.#send("Target.attachToTarget", { targetId, flatten: true }, "");
    browser.#page = sessionId as string;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await browser.#send(`${domain}.enable`);
    await browser.#send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile });
    return browser;
  }

  async goto(url: string): Promise<void> {
    await this.#send("Page.navigate", { url });
  }

  /** The value of a JavaScript expression in the page, awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  async movePointer(x: number, y: number): Promise<void> {
    await this.#send("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
  }

  async screenshot(): Promise<Buffer> {
    const { data } = await this.#send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data as string, "base64");
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    await this.#send("Browser.close", {}, "").catch(() => this.#process.kill());
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #send(method: string, params: Json = {}, sessionId = this.#page): Promise<Json> {
    const id = ++this.#id;
    const message = { id, method, params, ...(sessionId ? { sessionId } : {}) };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      (this.#process.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    });
  }

  #hear(message: { id?: number; result?: Json; error?: { message: string }; method?: string; params?: Json }): void {
    if (message.id !== undefined) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) waiting?.reject(new Error(message.error.message));
      else waiting?.resolve(message.result ?? {});
    } else if (message.method === "Runtime.exceptionThrown") {
      this.errors.push(JSON.stringify(message.params));
    } else if (message.method === "Log.entryAdded") {
      const { level, text, source } = (message.params as { entry: { level: string; text: string; source: string } }).entry;
      if (level === "error" && source !== "network") this.errors.push(text);
    }
  }
}
