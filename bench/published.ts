/**
 * @file The published tables: runs every row of `bench/published/*.ts` with several seeds and prints ours beside the published figure.
 *
 *     npm run bench:published -- [--only name,name] [--seeds 3] [--out published.json]
 *
 * OSTINATO_DATA names the folder of the data sets, by default ../shared/data. A row whose data are missing is skipped by name. Results are
 * kept in --out as they come, and rows that stand there already are not run again.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Outcome, ResultRow } from "./published/row.js";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seeds: { type: "string", default: "3" },
    out: { type: "string", default: "published.json" },
  },
});
const data = process.env["OSTINATO_DATA"] ?? "../shared/data";
const only = values.only?.split(",");
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
const done: Record<string, Outcome> = existsSync(values.out) ? JSON.parse(readFileSync(values.out, "utf8")) : {};

const rows: ResultRow[] = [];
for (const file of readdirSync(new URL("./published/", import.meta.url)).sort()) {
  if (!file.endsWith(".ts") || file === "row.ts") continue;
  rows.push(...((await import(new URL(`./published/${file}`, import.meta.url).href)) as { rows: ResultRow[] }).rows);
}

const shown = (value: number) => {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.01 ? 3 : 4);
};
console.log("| row | metric | ours (mean of seeds) | spread | bar | met | published | baseline | seconds |");
console.log("|---|---|---|---|---|---|---|---|---|");
for (const row of rows) {
  if (only && !only.some((name) => row.name.startsWith(name))) continue;
  if (!existsSync(`${data}/${row.data}`)) {
    console.error(`${row.name}: skipped, no ${row.data} in ${data}`);
    continue;
  }
  const outcomes: Outcome[] = [];
  for (const seed of seeds) {
    const key = `${row.name} ${seed}`;
    if (!done[key]) {
      console.error(`${row.name}, seed ${seed}`);
      done[key] = await row.run({ data: `${data}/${row.data}`, seed });
      writeFileSync(values.out, `${JSON.stringify(done, null, 1)}\n`);
    }
    outcomes.push(done[key]);
  }
  const ours = outcomes.map(({ value }) => value);
  const mean = ours.reduce((sum, value) => sum + value, 0) / ours.length;
  const { bar, higherIsBetter } = row;
  const met = bar === undefined ? "" : (higherIsBetter ? mean >= bar : mean <= bar) ? "yes" : "no";
  // Of the fastest seed, since others may have run beside something else.
  const seconds = Math.min(...outcomes.map(({ trainSeconds }) => trainSeconds));
  const cells = [
    row.name,
    row.metric,
    shown(mean),
    `${shown(Math.min(...ours))} .. ${shown(Math.max(...ours))}`,
    bar === undefined ? "reported" : `${higherIsBetter ? ">=" : "<="} ${bar}`,
    met,
    row.published,
    outcomes[0].baseline ?? row.baseline ?? "",
    seconds.toFixed(0),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
