/**
 * @file The package as others get it: built, packed, installed into an empty project, type-checked, run in Node, bundled for a browser.
 *
 * Takes a minute and needs the package registry, so it runs with OSTINATO_E2E=1 only; the part in a browser also needs Chromium.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Browser, findChromium } from "../support/chromium.js";
import { install, packPackage, run } from "../support/packed-package.js";
import type { Probe } from "./consumer/probe.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const enabled = process.env["OSTINATO_E2E"] === "1";
const chromium = findChromium();
const MINUTES = 60_000;

interface PageResult {
  probe: Probe;
  streamed: number;
  steps: number;
  globals: Record<string, string>;
  error?: string;
}

/** What test/e2e/consumer/threads.ts tells. */
interface Threads {
  isolated?: boolean;
  cores?: number;
  auto: string;
  memory: string;
  refused?: string;
  detail?: string;
  same?: boolean;
  values?: number;
  calls?: number;
  threads?: number;
  bits?: string;
  error?: string;
}

/** Waits for a page to show its result. */
const RESULT = `new Promise((resolve) => { const look = () => document.body?.textContent.startsWith("{") ? resolve(document.body.textContent) : setTimeout(look, 50); look(); })`;

describe.skipIf(!enabled)("the packed package (OSTINATO_E2E=1)", () => {
  let folder: string;
  let project: string;
  let bundle: string;
  let packed: string[];
  let inNode: { steps: number; labels: string[]; path: string; probe: Probe };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ostinato-package-"));
    const { tarball, files } = packPackage(join(folder, "stage"));
    packed = files;

    project = join(folder, "project");
    cpSync(join(root, "test/e2e/consumer"), project, { recursive: true });
    writeFileSync(
      join(project, "package.json"),
      JSON.stringify({ name: "consumer", version: "1.0.0", private: true, type: "module" }),
    );
    install(project, tarball);
  }, 5 * MINUTES);

  afterAll(() => {
    if (folder) rmSync(folder, { recursive: true, force: true });
    if (inNode) rmSync(join(inNode.path, ".."), { recursive: true, force: true });
  });

  it("holds what it needs: the command, the page, the schema, the data, the licence; no sources, no tests, no maps", () => {
    for (const path of [
      "dist/index.js",
      "dist/cli/main.js",
      "dist/studio/index.html",
      "schema/config.json",
      "kernels/run.c",
      "kernels/native/build.mjs",
      "LICENSE",
      "README.md",
    ])
      expect(packed).toContain(path);
    expect(packed.filter((path) => /^data\/.*\.csv$/.test(path))).not.toEqual([]);
    expect(packed.filter((path) => /^src\/|\.test\.|\.map$|\.partial$|(?<!\.d)\.ts$/.test(path))).toEqual([]);
  });

  it("has a file behind every entry and condition that a consumer can reach", () => {
    const manifest = JSON.parse(readFileSync(join(project, "node_modules/ostinato/package.json"), "utf8"));
    const targets = Object.values({ ...manifest.exports, ...manifest.imports } as Record<string, string | Record<string, string>>)
      .flatMap((entry) =>
        typeof entry === "string"
          ? [entry]
          : Object.entries(entry)
              .filter(([name]) => name !== "ostinato-source")
              .map(([, path]) => path),
      )
      .concat(Object.values(manifest.bin as Record<string, string>));
    expect(targets.length).toBeGreaterThan(30);
    expect(targets.map((path) => path.replace("./", "")).filter((path) => !packed.includes(path))).toEqual([]);
  });

  it("type-checks in a consumer under NodeNext, every entry, and without Node's types for a bundler", {
    timeout: 2 * MINUTES,
  }, () => {
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const base = { target: "ES2022", lib: ["ES2022", "DOM", "DOM.Iterable"], strict: true, rootDir: ".", outDir: "out" };
    const nodeNext = { ...base, module: "NodeNext", moduleResolution: "NodeNext", types: ["node"], skipLibCheck: true };
    const options = { compilerOptions: { ...nodeNext, typeRoots: [join(root, "node_modules/@types")] }, include: ["*.ts"] };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify(options));
    const bundler = { ...base, module: "ESNext", moduleResolution: "bundler", types: [], skipLibCheck: false, noEmit: true };
    writeFileSync(join(project, "tsconfig.page.json"), JSON.stringify({ compilerOptions: bundler, files: ["browser.ts"] }));
    for (const config of ["tsconfig.json", "tsconfig.page.json"]) {
      const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", config], { cwd: project, encoding: "utf8" });
      expect(stdout).toBe("");
      expect(status).toBe(0);
    }
    expect(readdirSync(join(project, "out"))).toContain("train.js");
  });

  it("trains, writes a model file, opens it and streams in plain Node", { timeout: 2 * MINUTES }, () => {
    inNode = JSON.parse(run(process.execPath, ["out/train.js"], project));
    expect(inNode.steps).toBe(20);
    expect(inNode.labels).toHaveLength(10);
    expect(inNode.labels.every((label) => label === "low" || label === "high")).toBe(true);
    for (const engine of ["reference", "simd128"]) expect(inNode.probe[engine]?.learned, engine).toBe(true);
  });

  it("has a command that says its version from anywhere", { timeout: MINUTES }, () => {
    const help = run(join(project, "node_modules/.bin/ostinato"), ["--version"], project);
    expect(help.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it("bundles for a browser without anything of Node", async () => {
    bundle = join(project, "page.js");
    const { metafile, warnings } = await build({
      entryPoints: [join(project, "browser.ts")],
      outfile: bundle,
      bundle: true,
      minify: true,
      format: "iife",
      platform: "browser",
      target: "es2022",
      metafile: true,
      logLevel: "silent",
    });
    expect(warnings).toEqual([]);
    const inputs = Object.keys(metafile.inputs);
    const packages = new Set(inputs.map((path) => /node_modules\/([^/]+)/.exec(path)?.[1]).filter((name) => name !== undefined));
    expect([...packages].sort()).toEqual(["@huggingface", "ostinato", "zod"]);
    expect(inputs.filter((path) => /platform-node|\/read\/|load-file|checkpoint-file|telemetry/.test(path))).toEqual([]);
    expect(inputs.some((path) => path.endsWith("kernels/platform-browser.js"))).toBe(true);
    const external = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
    expect(external).toEqual([]);
  });

  it("computes the same bits in the bundle, without Node's platform file, as in Node", { timeout: 2 * MINUTES }, () => {
    const page: PageResult = JSON.parse(run(process.execPath, [bundle], project));
    expect(page.error).toBeUndefined();
    expect(page).toMatchObject({ steps: 20, streamed: 5 });
    expect(page.probe["reference"]).toEqual(inNode.probe["reference"]);
    expect(page.probe["simd128"]).toEqual(inNode.probe["simd128"]);
  });

  it.skipIf(!chromium)("computes the same bits in Chromium as in Node (needs Chromium)", { timeout: 2 * MINUTES }, async () => {
    const html = join(project, "page.html");
    writeFileSync(html, '<!doctype html><meta charset="utf-8"><title>probe</title><body><script src="page.js"></script>');
    const browser = await Browser.open(chromium as string, { width: 400, height: 300 });
    try {
      await browser.goto(pathToFileURL(html).href);
      const page: PageResult = JSON.parse(await browser.evaluate<string>(RESULT));
      expect(page.error).toBeUndefined();
      expect(page.globals).toEqual({ document: "object", process: "undefined" });
      expect(page).toMatchObject({ steps: 20, streamed: 5 });
      expect(browser.errors).toEqual([]);
      for (const engine of ["reference", "simd128", "relaxed"]) {
        if (inNode.probe[engine]) expect(page.probe[engine], engine).toEqual(inNode.probe[engine]);
      }
    } finally {
      await browser.close();
    }
  });

  describe("on two threads", () => {
    let alone: string | undefined;
    const holds = (told: Threads) => {
      expect(told.error).toBeUndefined();
      expect(told).toMatchObject({ same: true, threads: 2, memory: "ArrayBuffer" });
      expect(told.detail).toMatch(/, 2 threads$/);
      expect(told.values).toBeGreaterThan(30_000);
      expect(told.calls).toBeGreaterThan(20);
    };

    it("trains to the same bits as on one, in plain Node", { timeout: 2 * MINUTES }, () => {
      const told: Threads = JSON.parse(run(process.execPath, ["out/threads.js"], project));
      holds(told);
      alone = told.bits;
    });

    it.skipIf(!chromium)(
      "and in a page of Chromium that is cross-origin isolated, else says why not (needs Chromium)",
      {
        timeout: 2 * MINUTES,
      },
      async () => {
        const options = {
          bundle: true,
          minify: true,
          write: false,
          format: "iife",
          platform: "browser",
          target: "es2022",
        } as const;
        const { outputFiles } = await build({ entryPoints: [join(project, "threads.ts")], ...options });
        const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
        const html =
          '<!doctype html><meta charset="utf-8"><title>threads</title><link rel="icon" href="data:,"><body><script src="page.js"></script>';
        const server = createServer(({ url = "" }, response) => {
          const script = url.endsWith(".js");
          response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
          if (url.startsWith("/isolated/"))
            for (const [name, value] of Object.entries(isolation)) response.setHeader(name, value);
          response.end(script ? outputFiles[0].contents : html);
        });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const { port } = server.address() as AddressInfo;
        const browser = await Browser.open(chromium as string, { width: 400, height: 300 });
        const visit = async (path: string): Promise<Threads> => {
          await browser.goto(`http://127.0.0.1:${port}/${path}/`);
          return JSON.parse(await browser.evaluate<string>(RESULT));
        };
        try {
          const isolated = await visit("isolated");
          holds(isolated);
          expect(isolated.isolated).toBe(true);
          if (isolated.detail === "relaxed-simd, 2 threads") expect(isolated.bits).toBe(alone);
          const open = await visit("open");
          expect(open).toMatchObject({ isolated: false, memory: "ArrayBuffer" });
          expect(open.refused).toMatch(/OST_ENGINE.*expected 2 threads, got the page is not cross-origin isolated/);
          const why = (open.cores as number) > 1 ? "; one thread: the page is not cross-origin isolated" : "";
          expect(open.auto).toMatch(new RegExp(`^(relaxed-simd|simd128)${why}$`));
          expect(browser.errors).toEqual([]);
        } finally {
          await browser.close();
          server.close();
        }
      },
    );
  });
});
