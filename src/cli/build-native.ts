/** @file `ostinato build-native`: builds the native engine from the kernels' sources, here or in an installed package, and tries it. */
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { OstinatoError } from "../core/errors.js";
import { buildFolders } from "../kernels/addon-file.js";
import { describeEngine, NativeKernels } from "../kernels/index.js";
import fingerprint from "../kernels/wasm/fingerprint.js";
import { fileError, writing } from "./output-file.js";
import { PACKAGE_ROOT } from "./package-root.js";
import { describeSeconds, Terminal, type TerminalOptions } from "./terminal.js";

export interface BuildNativeCommandOptions extends TerminalOptions {
  out?: string;
}

/** What kernels/native/build.mjs gives; it is plain JavaScript, because it runs before anything is built. */
interface BuildModule {
  buildNative(options: { out: string; fingerprint: string }): Promise<{
    folder: string;
    built: string[];
    upToDate: string[];
    failed: { isa: string; reason: string }[];
    reason?: string;
    repair?: string;
    compiler?: string;
    seconds: number;
  }>;
}

/** @throws OST_ENGINE if there is no compiler, it cannot build the kernels, or what it built does not run. @throws OST_FILE */
export async function buildNativeCommand(options: BuildNativeCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { buildNative } = await loadBuild();
  const out = options.out === undefined ? writableFolder() : writableOut(resolve(options.out));
  terminal.status("  building the native engine");
  const result = await buildNative({ out, fingerprint }).catch((error: unknown) => {
    throw fileError(out, error);
  });
  terminal.clear();
  const { built, upToDate, failed, reason, repair, compiler, seconds } = result;
  if (reason !== undefined) {
    throw new OstinatoError("OST_ENGINE", {
      what: "the native engine cannot be built",
      expected: "a C compiler that builds the kernels of this package",
      got: failed[0] ? `${failed[0].isa}: ${failed[0].reason.split("\n")[0]}` : reason,
      where: "build-native",
      repair,
    });
  }
  for (const one of failed) terminal.warn(`  ${one.isa} was not built: ${one.reason}`);
  process.env["OSTINATO_NATIVE_FOLDER"] = out;
  const engine = NativeKernels.create();
  wantRight(engine, out);
  if (built.length > 0) terminal.print(`  built ${built.join(", ")} in ${describeSeconds(seconds)} with ${compiler}`);
  if (upToDate.length > 0) terminal.print(`  up to date: ${upToDate.join(", ")}`);
  terminal.print(`  in ${out}`);
  terminal.print(`  this processor runs ${describeEngine(engine)}`);
  const use = options.out === undefined ? null : `OSTINATO_NATIVE_FOLDER=${out}`;
  if (use) terminal.print(`  to use it from there, set ${use}`);
  if (options.json)
    terminal.json({ folder: out, built, upToDate, failed, compiler, seconds, engine: describeEngine(engine), use });
  return 0;
}

/** @throws OST_FILE where the package came without its kernels' sources. */
async function loadBuild(): Promise<BuildModule> {
  const path = join(PACKAGE_ROOT, "kernels/native/build.mjs");
  if (existsSync(path)) return (await import(pathToFileURL(path).href)) as BuildModule;
  throw new OstinatoError("OST_FILE", {
    what: "the sources of the native engine are not there",
    expected: "the folder kernels of the package",
    got: "ENOENT",
    where: path,
    repair: "install the package whole; a bundle does not hold them",
  });
}

/** Beside the package, or in the user's cache where that cannot be written: the engine looks in both. @throws OST_FILE */
function writableFolder(): string {
  const { beside, cache } = buildFolders();
  try {
    return writableOut(beside);
  } catch (error) {
    if (cache === null) throw error;
    return writableOut(cache);
  }
}

function writableOut(folder: string): string {
  return writing(folder, () => {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return folder;
  });
}

/** One product whose result is known: an addon that loads and computes nonsense must not be left to be found by training. */
function wantRight(engine: NativeKernels, where: string): void {
  const { memory } = engine;
  const [rows, columns, inner] = [5, 37, 19];
  const [a, b, c] = [rows * inner, inner * columns, rows * columns].map((count) => memory.allocate(4 * count));
  memory.floatsAt(a, rows * inner).set(Float32Array.from({ length: rows * inner }, (_, i) => i % 7));
  memory.floatsAt(b, inner * columns).set(Float32Array.from({ length: inner * columns }, (_, i) => i % 5));
  const strides = { aRowStride: inner, aColumnStride: 1, bRowStride: columns, bColumnStride: 1 };
  engine.matmul({ rows, columns, inner, a, b, c, accumulate: false, ...strides });
  for (let i = 0; i < rows * columns; i++) {
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += ((Math.floor(i / columns) * inner + k) % 7) * ((k * columns + (i % columns)) % 5);
    const got = memory.floats[c / 4 + i];
    if (got === sum) continue;
    throw new OstinatoError("OST_ENGINE", {
      what: "the native engine was built, and computes wrongly",
      expected: `${sum} at element ${i} of a product`,
      got: String(got),
      where,
      repair: "remove the folder, and build with another compiler: CC=clang ostinato build-native",
    });
  }
}
