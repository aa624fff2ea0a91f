/**
 * @file The ways the native engine reaches a user: the package of the platform, `ostinato build-native` in an installed package, and what
 * happens without a compiler.
 *
 * All but the last needs the package registry and a C compiler and takes a minute or two, so it runs with OSTINATO_E2E=1 only.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { install, pack, packPackage, run } from "../support/packed-package.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const compiler = process.env["CC"] || "cc";
const possible = process.platform !== "win32" && spawnSync(compiler, ["--version"]).status === 0;
const enabled = process.env["OSTINATO_E2E"] === "1" && possible;
const MINUTES = 60_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-native-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!enabled)(`the native engine, installed (OSTINATO_E2E=1 and a C compiler, ${compiler})`, () => {
  let project: string;
  let platform: string;
  const installed = (name: string) => join(project, "node_modules", ...name.split("/"));
  const ostinato = (args: string[], env: NodeJS.ProcessEnv = {}) => {
    const main = join(installed("ostinato"), "dist/cli/main.js");
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OSTINATO_")));
    const cache = { XDG_CACHE_HOME: join(folder, "cache") };
    const done = spawnSync(process.execPath, [main, ...args], {
      cwd: project,
      encoding: "utf8",
      env: { ...own, ...cache, ...env },
    });
    return { code: done.status, out: done.stdout, err: done.stderr };
  };
  const engine = (env: NodeJS.ProcessEnv = {}) => {
    const { out, err } = ostinato(["inspect", "--engine", "--json"], env);
    return { ...JSON.parse(out), warned: err.split("\n").filter((line) => line.startsWith("ostinato:")) };
  };

  beforeAll(() => {
    const { tarball } = packPackage(join(folder, "stage"));
    platform = join(folder, "platform");
    run(process.execPath, ["kernels/native/package.mjs", "--out", platform], root);
    project = join(folder, "project");
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "consumer", version: "1.0.0", private: true }));
    install(project, tarball, pack(platform).tarball);
  }, 10 * MINUTES);

  it("has a package for this platform alone, with addons for every processor of it, and nothing to execute", () => {
    const manifest = JSON.parse(readFileSync(join(platform, "package.json"), "utf8"));
    const main = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(manifest).toMatchObject({ version: main.version, license: main.license, os: [process.platform], cpu: [process.arch] });
    expect(manifest.name).toMatch(new RegExp(`^@ostinato/native-${process.platform}-${process.arch}(-musl)?$`));
    expect([manifest.scripts, manifest.main, manifest.dependencies]).toEqual([undefined, undefined, undefined]);
    const files = readdirSync(installed(manifest.name)).sort();
    expect(files).toEqual(expect.arrayContaining(["LICENSE", "README.md", "package.json"]));
    expect(files.filter((name) => name.endsWith(".node")).length).toBe(process.arch === "x64" ? 4 : 1);
  });

  it("runs from that package, computes, and says so", () => {
    const found = engine();
    expect([found.engine, found.warned]).toEqual(["native", []]);
    writeFileSync(
      join(project, "add.mjs"),
      'import { defaultEngine, tensor } from "ostinato";\n' +
        'console.log(defaultEngine().name, tensor([1, 2], [2]).add(tensor([3, 4], [2])).toArray().join(" "));\n',
    );
    expect(run(process.execPath, ["add.mjs"], project).trim()).toBe("native 4 6");
    expect(engine({ OSTINATO_ENGINE: "wasm" }).engine).toBe("wasm");
  });

  it("is not there without that package: WebAssembly computes, and the engine line says the repair", () => {
    rmSync(installed("@ostinato"), { recursive: true });
    const found = engine();
    expect([found.engine, found.warned]).toEqual(["wasm", []]);
    const reasons = found.engines.filter((one: { engine: string }) => one.engine === "native");
    expect(reasons.length).toBeGreaterThan(0);
    for (const { reason } of reasons) expect(reason).toBe("not built");
    expect(ostinato(["inspect", "--engine"]).out).toMatch(/repair: ostinato build-native/);
  });

  it("is built by build-native beside the package, and a second time nothing is left to do", { timeout: 5 * MINUTES }, () => {
    const first = ostinato(["build-native", "--json"]);
    expect([first.code, JSON.parse(first.out)]).toMatchObject([
      0,
      { folder: join(installed("ostinato"), "native", `${process.platform}-${process.arch}`), upToDate: [], failed: [] },
    ]);
    expect(JSON.parse(first.out).built.length).toBeGreaterThan(0);
    expect(engine().engine).toBe("native");
    const second = JSON.parse(ostinato(["build-native", "--json"]).out);
    expect([second.built, second.upToDate]).toEqual([[], JSON.parse(first.out).built]);
  });

  it("is built into the user's cache where the package cannot be written, and found there", { timeout: 5 * MINUTES }, () => {
    const native = join(installed("ostinato"), "native");
    rmSync(native, { recursive: true });
    // A file in the way of the folder: it stops root too, which no permission does.
    writeFileSync(native, "");
    const built = ostinato(["build-native", "--json"]);
    expect(built.code).toBe(0);
    expect(JSON.parse(built.out).folder.startsWith(join(folder, "cache", "ostinato"))).toBe(true);
    expect(engine().engine).toBe("native");
    expect(engine({ XDG_CACHE_HOME: join(folder, "elsewhere") }).engine).toBe("wasm");
  });

  it("is refused when it was built from other sources: a warning with the repair, and WebAssembly computes", () => {
    const [file] = readdirSync(join(folder, "cache"), { recursive: true, withFileTypes: true }).filter(({ name }) =>
      name.endsWith(".node"),
    );
    const stale = join(folder, "stale");
    mkdirSync(stale);
    const bytes = readFileSync(join(file.parentPath, file.name));
    const { fingerprint } = JSON.parse(readFileSync(join(platform, "package.json"), "utf8"));
    expect(bytes.includes(fingerprint)).toBe(true);
    bytes.write("0000000000000000", bytes.indexOf(fingerprint), "latin1");
    writeFileSync(join(stale, file.name), bytes);
    const found = engine({ OSTINATO_NATIVE_FOLDER: stale });
    expect([found.engine, found.warned]).toEqual([
      "wasm",
      [expect.stringMatching(/built from other sources; ostinato build-native/)],
    ]);
  });

  it("cannot be built without a compiler, or where nothing can be written: one error each, nothing left behind", () => {
    const none = ostinato(["build-native", "--json"], { CC: "no-such-compiler" });
    expect([none.code, JSON.parse(none.out)]).toMatchObject([
      3,
      {
        error: {
          code: "OST_ENGINE",
          got: "no C compiler found (`no-such-compiler`)",
          repair: expect.stringMatching(/install gcc/),
        },
      },
    ]);
    const taken = join(folder, "taken");
    writeFileSync(taken, "");
    const unwritable = ostinato(["build-native", "--out", join(taken, "inside"), "--json"]);
    expect([unwritable.code, JSON.parse(unwritable.out).error.code]).toEqual([2, "OST_FILE"]);
  });
});

describe("npm ci without a C compiler", () => {
  it("goes on, says why there is no native engine and what helps, and leaves the reason for inspect --engine", () => {
    const out = join(folder, "prepared");
    const build = join(root, "kernels/native/build.mjs");
    const { status, stderr } = spawnSync(process.execPath, [build, "--prepare", "--out", out], {
      encoding: "utf8",
      env: { ...process.env, CC: "no-such-compiler" },
    });
    expect(status).toBe(0);
    expect(existsSync(join(out, "not-built.txt"))).toBe(true);
    expect(stderr).toMatch(/native engine: not built, the WebAssembly engine is used: .+\n {2}repair: /);
    const { prepare } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).scripts;
    expect(prepare).toBe("npm run build && node kernels/native/build.mjs --prepare");
  });
});
