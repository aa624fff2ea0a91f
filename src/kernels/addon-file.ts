/**
 * @file The files of the native engine: where they may lie, and what becomes of each when it is loaded.
 *
 * The first folder with an addon that this process can use serves; a file that cannot be loaded, or was built from other sources than the
 * rest of this package, is refused and the next folder is looked at.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import fingerprint from "./wasm/fingerprint.js";

/** What kernels/native/addon.c exports. */
export interface NativeAddon {
  run(memory: Uint8Array, block: number, context: number): number;
  isa: string;
  /** 1 if this processor has the instruction set. */
  supported: number;
  /** Of the sources it was built from. */
  fingerprint: string;
}

export interface AddonFile {
  path: string;
  isa: string;
  /** Absent where it was refused. */
  addon?: NativeAddon;
  /** Why it was refused, in a few words. */
  fault?: string;
}

export interface AddonSearch {
  /** What this platform's addons are built for, best first; empty where there are none. */
  sets: readonly string[];
  /** Every file that was looked at, best first within a folder. */
  files: AddonFile[];
  /** In a few words why there is no file at all; absent where there is one. */
  absent?: string;
}

/** Best first, by processor family. */
const INSTRUCTION_SETS: Record<string, string[]> = {
  x64: ["avx512vnni", "avx512", "avx2", "x86-64"],
  arm64: ["neon"],
};

/** Where addons that are built on this machine go: beside the package, or where that cannot be written, the user's cache. */
export function buildFolders(): { beside: string; cache: string | null } {
  const platform = `${process.platform}-${process.arch}`;
  const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
  const caches = cacheFolder();
  return { beside: join(root, "native", platform), cache: caches && join(caches, "ostinato", fingerprint, platform) };
}

function cacheFolder(): string | null {
  if (process.env["XDG_CACHE_HOME"]) return process.env["XDG_CACHE_HOME"];
  try {
    return join(homedir(), process.platform === "darwin" ? "Library/Caches" : ".cache");
  } catch {
    // A user without a home.
    return null;
  }
}

/**
 * Where addons may lie, in the order in which they are looked for. `OSTINATO_NATIVE_FOLDER` names the only folder; else: built here, built into
 * the user's cache, installed as the package of this platform (its twin for musl where that one is installed).
 */
export function addonFolders(): string[] {
  const only = process.env["OSTINATO_NATIVE_FOLDER"];
  if (only) return [resolve(only)];
  const { beside, cache } = buildFolders();
  const require = createRequire(import.meta.url);
  const packages = ["", "-musl"].flatMap((libc) => {
    try {
      return [dirname(require.resolve(`@ostinato/native-${process.platform}-${process.arch}${libc}/package.json`))];
    } catch {
      return [];
    }
  });
  return [beside, ...(cache === null ? [] : [cache]), ...packages];
}

/** Loads what there is, folder by folder, until one has an addon that this processor runs. */
export function findAddons(): AddonSearch {
  const sets = process.platform === "win32" ? [] : (INSTRUCTION_SETS[process.arch] ?? []);
  if (sets.length === 0) return { sets, files: [], absent: `not made for ${process.platform}-${process.arch}` };
  const require = createRequire(import.meta.url);
  const files: AddonFile[] = [];
  let absent = "not built";
  for (const folder of addonFolders()) {
    const names = namesIn(folder);
    const found = sets.filter((isa) => names.includes(`ostinato-${isa}.node`));
    for (const isa of found) files.push(loadAddon(join(folder, `ostinato-${isa}.node`), isa, require));
    if (files.some(({ addon }) => addon?.supported === 1)) break;
    if (found.length === 0 && names.includes("not-built.txt")) {
      absent = `not built: ${readFileSync(join(folder, "not-built.txt"), "utf8").trim()}`;
    }
  }
  return files.length > 0 ? { sets, files } : { sets, files, absent };
}

function loadAddon(path: string, isa: string, require: NodeJS.Require): AddonFile {
  try {
    const addon = require(path) as NativeAddon;
    if (addon.fingerprint !== fingerprint) return { path, isa, fault: "was built from other sources" };
    return { path, isa, addon };
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { path, isa, fault: `cannot be loaded (${reason})` };
  }
}

/** Empty where there is no such folder, or none that may be read. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
