/**
 * @file Builds the page into a folder: `node studio/build.mjs [folder]`, by default `dist/studio`.
 *
 * One script, one style sheet, one document, and nothing else: the page must load without any other host.
 */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** @param {string} folder where the three files go; made if missing. */
export async function buildStudio(folder) {
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: [join(here, "live.ts")],
    outfile: join(folder, "live.js"),
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    legalComments: "inline",
    logLevel: "warning",
  });
  const charts = createRequire(import.meta.url).resolve("uplot/dist/uPlot.min.css");
  await writeFile(
    join(folder, "style.css"),
    `${await readFile(charts, "utf8")}\n${await readFile(join(here, "style.css"), "utf8")}`,
  );
  await copyFile(join(here, "index.html"), join(folder, "index.html"));
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await buildStudio(resolve(process.argv[2] ?? join(here, "..", "dist", "studio")));
}
