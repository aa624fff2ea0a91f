/** @file The package as `npm publish` would send it: built and packed into a folder. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs a command, and throws what it said if it fails. */
export function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): string {
  return execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
}

export function npm(args: readonly string[], cwd: string): string {
  return run("npm", [...args, "--loglevel=error"], cwd);
}

/** Installs tarballs and nothing that they would execute. */
export function install(project: string, ...tarballs: string[]): void {
  npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", ...tarballs], project);
}

/** Packs what lies in a folder. */
export function pack(folder: string): { tarball: string; files: string[] } {
  const [{ filename, files }] = JSON.parse(npm(["pack", "--json", "--ignore-scripts"], folder));
  return { tarball: join(folder, filename), files: files.map(({ path }: { path: string }) => path) };
}

/** Builds and packs this checkout in a folder that is made for it. */
export function packPackage(stage: string): { tarball: string; files: string[] } {
  mkdirSync(stage);
  run(process.execPath, ["build.mjs", join(stage, "dist")], root);
  for (const name of ["package.json", "data", "kernels", "schema", "LICENSE", "README.md", "CHANGELOG.md"])
    cpSync(join(root, name), join(stage, name), { recursive: true, filter: (path) => !path.includes("node_modules") });
  return pack(stage);
}
