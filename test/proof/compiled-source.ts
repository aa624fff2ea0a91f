/**
 * @file The sources as they are at this moment, compiled into a folder: what is measured runs as it is published, without a compiler in
 * its process. Takes a second.
 */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What the programs of the load are made of. */
const PROGRAMS = [
  "load-server",
  "load-client",
  "load-job",
  "load-clock",
  "load-websocket",
  "load-http",
  "load-grpc",
  "load-model",
];
const PARTS = [...PROGRAMS, "inference-definition", "latency"].map((name) => join("test/proof", `${name}.ts`));

/**
 * @param more programs of this folder, beside those of the load
 * @returns the path of a compiled program of this folder, by its name without an ending
 */
export async function compileSource(folder: string, more: readonly string[] = []): Promise<(program: string) => string> {
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !/\.(test|d)\.ts$/.test(file))
    .map((file) => join("src", file));
  await build({
    absWorkingDir: root,
    entryPoints: [...sources, ...PARTS, ...more.map((name) => join("test/proof", `${name}.ts`))],
    outdir: folder,
    outbase: ".",
    format: "esm",
    target: "es2022",
    logLevel: "error",
  });
  const imports = { "#platform": "./src/kernels/platform-node.js" };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", imports }));
  for (const part of ["node_modules", "native"]) symlinkSync(join(root, part), join(folder, part));
  return (program) => join(folder, "test/proof", `${program}.js`);
}
