/**
 * Runs the bank of broken and honest pipelines through the audit and prints what it made of them; exits 1 on a miss or a false alarm.
 *
 *     tsx --conditions=ostinato-source test/audit/run-bank.ts [--seeds 3] [--only <part of a name>] [--json]
 */
import { parseArgs } from "node:util";
import { bank } from "./bank/index.js";
import { type Judgement, judge } from "./bank/judge.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "3" },
    from: { type: "string", default: "1" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => Number(values.from) + i);
const entries = bank.filter(({ name }) => values.only === undefined || name.includes(values.only));

const judged = entries.map(({ name, make, expect, ...rest }) => ({
  name,
  broken: expect !== null,
  runs: seeds.map((seed) => judge({ name, make, expect, ...rest }, seed)),
}));

const wrong = judged.flatMap(({ runs }) => runs.filter(({ right }) => !right));
const broken = judged.filter((one) => one.broken);
const clean = judged.filter((one) => !one.broken);
const all = (list: typeof judged) => list.filter(({ runs }) => runs.every(({ right }) => right)).length;
const strict = clean.filter(({ runs }) => runs.every((run) => run.strict)).length;
const summary = {
  broken: broken.length,
  convicted: all(broken),
  clean: clean.length,
  acquitted: all(clean),
  withoutWarning: strict,
  seeds,
};

if (values.json) {
  process.stdout.write(`${JSON.stringify({ summary, entries: judged }, null, 2)}\n`);
} else {
  for (const { name, broken: isBroken, runs } of judged) {
    const worst = runs.find(({ right }) => !right) ?? runs.find((run) => !run.strict) ?? runs[0];
    print(name, isBroken, runs, worst);
  }
  const { convicted, acquitted } = summary;
  process.stdout.write(
    `\n${convicted} of ${broken.length} broken pipelines convicted for the right reason; ${acquitted} of ${clean.length} honest ones ` +
      `acquitted, ${strict} of them without a warning (seeds ${seeds.join(", ")})\n`,
  );
}
process.exitCode = wrong.length > 0 ? 1 : 0;

function print(name: string, isBroken: boolean, runs: readonly Judgement[], worst: Judgement): void {
  const { finding, expected, verdict, why, what, seed } = worst;
  const mark = runs.every(({ right }) => right) ? (runs.every((run) => run.strict) ? "right" : "right*") : "WRONG";
  const score = `${runs.filter(({ right }) => right).length}/${runs.length}`;
  const lines = [`${mark.padEnd(7)}${score}  ${isBroken ? "broken" : "clean "}  ${name}: ${what}`];
  lines.push(`        expected ${expected}; verdict ${verdict}${why ? ` (seed ${seed}: ${why})` : ""}`);
  if (finding) {
    const evidence = Object.entries(finding.evidence).map(([key, value]) => `${key} ${shorten(value)}`);
    lines.push(`        ${finding.check} ${finding.status}: ${finding.title}${finding.detail ? `; ${finding.detail}` : ""}`);
    if (evidence.length > 0) lines.push(`        evidence ${evidence.join(", ")}`);
    if (finding.example) lines.push(`        example  ${finding.example}`);
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

function shorten(value: number | string): string {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
}
