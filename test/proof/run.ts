/**
 * @file `npm run proof`: every claim of the server, run and printed as one table.
 *
 *     npm run proof                     the whole of it
 *     npm run proof -- --quick          the size for every change
 *     npm run proof -- --json           one object per row: { row, goal, measured, pass }
 *     npm run proof -- --only load      rows whose names begin so; several with commas
 *     npm run proof -- --seed 7
 *
 * Exit code 0 if no row failed. A row that cannot run here says so, and does not count as passed.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { Row, RowResult } from "./row.js";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write("npm run proof -- [--quick] [--json] [--only NAME,NAME] [--seed N]\n");
  process.exit(0);
}
const seed = Number(values.seed);
const wanted = values.only?.split(",");
const folder = fileURLToPath(new URL("rows/", import.meta.url));
const rows: Row[] = [];
for (const file of readdirSync(folder).sort()) {
  if (file.endsWith(".ts") && !file.endsWith(".test.ts"))
    rows.push((await import(pathToFileURL(join(folder, file)).href)).default);
}
const log = (line: string) => process.stderr.write(`${line}\n`);
const results: RowResult[] = [];
for (const row of rows) {
  if (wanted && !wanted.some((name) => row.name.startsWith(name))) continue;
  const own = mkdtempSync(join(tmpdir(), "ostinato-proof-"));
  const start = performance.now();
  log(`-- ${row.name}`);
  let found: RowResult[];
  try {
    found = await row.run({ quick: values.quick, seed, folder: own, log: (line) => log(`   ${line}`) });
  } catch (error) {
    found = [
      { row: row.name, goal: "runs to its end", measured: String((error as Error).stack ?? error).slice(0, 600), pass: false },
    ];
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
  log(`   ${((performance.now() - start) / 1000).toFixed(0)} s`);
  for (const result of found) {
    results.push(result);
    if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  }
}
const verdict = ({ pass }: RowResult) => (pass === null ? "not run" : pass ? "pass" : "FAIL");
if (!values.json) {
  const [{ model }] = cpus();
  process.stdout.write(
    `\n${cpus().length} cores, ${model}, Node ${process.version}, seed ${seed}${values.quick ? ", quick" : ""}\n\n`,
  );
  process.stdout.write("| Row | Goal | Measured | |\n|---|---|---|---|\n");
  for (const result of results) {
    const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
    process.stdout.write(`| ${cell(result.row)} | ${cell(result.goal)} | ${cell(result.measured)} | ${verdict(result)} |\n`);
  }
}
const failed = results.filter(({ pass }) => pass === false).length;
log(
  `${results.filter(({ pass }) => pass === true).length} passed, ${failed} failed, ${results.filter(({ pass }) => pass === null).length} not run`,
);
process.exit(failed === 0 ? 0 : 1);
