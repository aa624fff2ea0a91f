/**
 * Builds the package: compiled library and command into a folder, and the page beside them.
 *
 *     node build.mjs [folder]        default dist
 *
 * Everything is made in a folder beside it, which takes its place at the end: whoever runs the old build meanwhile is not disturbed, and
 * a failed build leaves it as it was. No source maps: the sources are not published, and the output is as readable as they are.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, "dist"));
const partial = `${target}.${process.pid}.partial`;

function run(args) {
  const { status } = spawnSync(process.execPath, args, { cwd: here, stdio: "inherit" });
  if (status !== 0) {
    rmSync(partial, { recursive: true, force: true });
    process.exit(status ?? 1);
  }
}

const flags = ["--outDir", partial, "--sourceMap", "false", "--declarationMap", "false"];
run([join(here, "node_modules/typescript/bin/tsc"), "-p", join(here, "tsconfig.build.json"), ...flags]);
const command = join(partial, "cli/main.js");
if (existsSync(command)) chmodSync(command, 0o755);
const studio = join(here, "studio/build.mjs");
if (existsSync(studio)) run([studio, join(partial, "studio")]);
rmSync(target, { recursive: true, force: true });
renameSync(partial, target);
