/**
 * @file Every command of the guides, run as a reader would: one after the other, in one empty folder, against the built command.
 *
 * Takes minutes, so it runs with OSTINATO_E2E=1 only. A block marked `sh server` runs in the background until its page is done; one marked with
 * a file's name, such as `yaml plant.yaml`, is that file, and lies in the folder before the page's first command.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const enabled = process.env["OSTINATO_E2E"] === "1";
const GUIDES = [
  "first-minutes",
  "tasks",
  "layers",
  "decoding",
  "data-without-the-future",
  "training",
  "honest-evaluation",
  "streaming",
  "serving",
  "model-file",
  "data",
  "audit",
];
const MINUTES = 60_000;
/** A Python that has safetensors and numpy; `PYTHON` names another one. */
const python = process.env["PYTHON"] ?? "python3";
const hasSafetensors = spawnSync(python, ["-c", "import safetensors.numpy"]).status === 0;
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

interface Block {
  kind: "sh" | "sh server";
  text: string;
}

function blocksOf(guide: string): Block[] {
  const page = readFileSync(join(root, "docs/guide", `${guide}.md`), "utf8");
  return [...page.matchAll(/^```(sh(?: server)?)\n([\s\S]*?)^```$/gm)].map(([, kind, text]) => ({
    kind: kind as Block["kind"],
    text,
  }));
}

/** Blocks that are files, by name. */
function filesOf(guide: string): [name: string, text: string][] {
  const page = readFileSync(join(root, "docs/guide", `${guide}.md`), "utf8");
  return [...page.matchAll(/^```(?:yaml|js) ([\w.-]+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [name, text]);
}

describe.skipIf(!enabled)("the commands of the guides (OSTINATO_E2E=1)", () => {
  let folder: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ostinato-guide-"));
    const bin = join(folder, "bin");
    const build = join(folder, "build");
    mkdirSync(bin);
    mkdirSync(build);
    execFileSync(process.execPath, ["build.mjs", join(build, "dist")], { cwd: root, stdio: "pipe" });
    for (const name of ["package.json", "data"]) execFileSync("cp", ["-r", join(root, name), build]);
    execFileSync("ln", ["-s", join(root, "node_modules"), join(build, "node_modules")]);
    // `npx ostinato` without a look into the registry.
    writeFileSync(
      join(bin, "npx"),
      `#!/bin/sh\n[ "$1" = ostinato ] || exit 97\nshift\nexec "${process.execPath}" "${join(build, "dist/cli/main.js")}" "$@"\n`,
    );
    chmodSync(join(bin, "npx"), 0o755);
    environment = { ...process.env, PATH: `${bin}:${process.env["PATH"]}`, NODE_OPTIONS: "", NO_COLOR: "1" };
    mkdirSync(join(folder, "work"));
  }, 2 * MINUTES);

  afterAll(() => {
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it.each(GUIDES)("work: %s", { timeout: 5 * MINUTES }, async (guide) => {
    const blocks = blocksOf(guide);
    expect(blocks.length).toBeGreaterThan(0);
    for (const [name, text] of filesOf(guide)) writeFileSync(join(folder, "work", name), text);
    const servers: ChildProcess[] = [];
    try {
      for (const { kind, text } of blocks) {
        const lines = text.trim().split("\n");
        if (kind === "sh server") {
          for (const line of lines) servers.push(await startServer(line));
          continue;
        }
        for (const line of lines) {
          if (line.startsWith("curl") && !hasCurl) continue;
          const { status, stderr } = spawnSync("bash", ["-o", "pipefail", "-c", line], {
            cwd: join(folder, "work"),
            env: environment,
            encoding: "utf8",
            maxBuffer: 1 << 28,
          });
          expect({ line, status, stderr: status === 0 ? "" : stderr }).toEqual({ line, status: 0, stderr: "" });
        }
      }
    } finally {
      await Promise.all(servers.map(stop));
    }
  });

  it("left what the guides say: a model, a report, baselines, predictions", () => {
    const files = [
      "model.safetensors",
      "report.html",
      "report.json",
      "log.ndjson",
      "config.yaml",
      "baselines/ridge-96.safetensors",
    ].map((name) => `runs/load/${name}`);
    for (const path of [...files, "predictions.csv", "meter-17.state", "meter-17.json", "metrics.txt", "model.json"])
      expect(existsSync(join(folder, "work", path)), path).toBe(true);
    const predictions = readFileSync(join(folder, "work/predictions.ndjson"), "utf8").trim().split("\n");
    expect(predictions).toHaveLength(200);
    expect(JSON.parse(predictions[199]).predictions[0].forecast.kw).toHaveLength(24);
  });

  it.skipIf(!hasSafetensors)("open a model file in Python (needs python3 with safetensors)", () => {
    const page = readFileSync(join(root, "docs/guide/model-file.md"), "utf8");
    const blocks = [...page.matchAll(/^```python\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
    expect(blocks).toHaveLength(2);
    const show =
      'print(sorted((name, list(value.shape)) for name, value in weights.items())[0], header["task"], header["streaming"])';
    const output = execFileSync(python, ["-c", [...blocks, show].join("")], { cwd: join(folder, "work"), encoding: "utf8" });
    expect(output.trim()).toBe("('head.bias', [24]) forecast windowed");
  });

  async function startServer(line: string): Promise<ChildProcess> {
    const server = spawn("bash", ["-c", `exec ${line}`], { cwd: join(folder, "work"), env: environment, stdio: "ignore" });
    const port = /--port (\d+)/.exec(line)?.[1] ?? "8787";
    for (let tries = 0; tries < 200; tries++) {
      if (await isReady(line.includes("--tls-cert") ? "https" : "http", port)) return server;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await stop(server);
    throw new Error(`the server did not start: ${line}`);
  }
});

/** Whoever signed a guide's certificate: it was made a moment ago. */
function isReady(scheme: "http" | "https", port: string): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, path: "/readyz", rejectUnauthorized: false };
    const request = (scheme === "https" ? https : http).get(options, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on("error", () => resolve(false));
  });
}

async function stop(server: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGINT");
  await ended;
}
