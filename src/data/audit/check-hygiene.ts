/**
 * @file Columns that say nothing and classes that cannot be learned. Counting only: there is nothing statistical about a constant.
 */
import { PARTS } from "../../core/batch.js";
import type { AuditContext } from "./context.js";
import { short } from "./figure.js";
import { type Finding, finding } from "./finding.js";
import { withoutFeature } from "./repair.js";

/** Features without a value, without two values, or without either in training. */
export function checkConstants(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const names = subject.roles.features;
  const findings: Finding[] = [];
  let observed = 0;
  names.forEach((name, c) => {
    const column = columnFacts(audit, c);
    const repair = `leave it out: ${withoutFeature(names, name)}`;
    const evidence = { trainingRows: column.trainRows, trainingValues: column.train, otherValues: column.other };
    if (column.train + column.other === 0) {
      findings.push(
        finding("constant-feature", "warning", `feature "${name}" is never observed`, {
          detail: "every cell is missing",
          evidence,
          example: `"${name}" at ${audit.where(column.firstAt[0], column.firstAt[1])} is missing, as everywhere`,
          repair,
        }),
      );
    } else if (column.train === 0) {
      findings.push(
        finding("constant-feature", "warning", `feature "${name}" is never observed in training`, {
          detail: `it has ${column.other.toLocaleString("en")} values in other rows, of which a model can have learned nothing`,
          evidence,
          example: `its first value is ${short(column.otherValue)} at ${audit.where(...column.otherAt)}, in ${audit.partName(...column.otherAt)}`,
          repair,
        }),
      );
    } else if (column.trainConstant) {
      findings.push(
        finding("constant-feature", "warning", `feature "${name}" is constant in training`, {
          detail: column.otherVaries ? "and varies in other rows, where a model meets what it never saw" : "it says nothing",
          evidence: { ...evidence, value: column.trainValue },
          example: `"${name}" is ${short(column.trainValue)} at ${audit.where(...column.trainAt)} and in all ${column.train.toLocaleString("en")} training cells${column.otherVaries ? `; ${short(column.otherValue)} at ${audit.where(...column.otherAt)}` : ""}`,
          repair,
        }),
      );
    } else observed++;
  });
  if (findings.length > 0 || names.length === 0) return findings;
  return [
    finding("constant-feature", "pass", "features", {
      detail: observed === 1 ? "the only one varies in training" : `all ${observed} vary in training`,
      evidence: { features: observed },
    }),
  ];
}

function columnFacts({ subject }: AuditContext, c: number) {
  const facts = {
    trainRows: 0,
    train: 0,
    other: 0,
    trainValue: Number.NaN,
    trainConstant: true,
    otherValue: Number.NaN,
    otherVaries: false,
    firstAt: [0, 0] as [number, number],
    trainAt: [0, 0] as [number, number],
    otherAt: [0, 0] as [number, number],
  };
  const width = subject.roles.features.length;
  subject.series.forEach(({ rows, features }, s) => {
    for (let i = 0; i < rows; i++) {
      const value = features[i * width + c];
      const training = subject.parts[s][i] === 1;
      if (training) facts.trainRows++;
      if (Number.isNaN(value)) continue;
      if (training) {
        if (facts.train++ === 0) {
          facts.trainValue = value;
          facts.trainAt = [s, i];
        } else if (value !== facts.trainValue) facts.trainConstant = false;
      } else {
        facts.other++;
        const differs = !Number.isNaN(facts.trainValue) && value !== facts.trainValue;
        if (facts.other === 1 || (differs && !facts.otherVaries)) {
          facts.otherValue = value;
          facts.otherAt = [s, i];
          facts.otherVaries = differs;
        }
      }
    }
  });
  // Rows of a later series may have been seen before the training value was.
  if (facts.train > 0 && facts.other > 0) facts.otherVaries = facts.otherValue !== facts.trainValue;
  return facts;
}

/** Classes of validation or test that training never shows, and the reverse. */
export function checkClasses(audit: AuditContext): Finding[] {
  const { subject } = audit;
  if (subject.targetKind === "values") return [];
  const counts = new Map<string, number[]>();
  const first = new Map<string, [number, number]>();
  subject.series.forEach(({ labels, rows }, s) => {
    for (let i = 0; i < rows; i++) {
      const label = labels?.[i] ?? "";
      const code = subject.parts[s][i];
      if (label === "" || code === 0 || (subject.targetKind === "class" && i > 0 && subject.parts[s][i - 1] === code)) continue;
      const list = counts.get(label) ?? counts.set(label, [0, 0, 0, 0]).get(label)!;
      list[code]++;
      if (list[1] === 0 && !first.has(label)) first.set(label, [s, i]);
    }
  });
  const unit = subject.targetKind === "class" ? "sequences" : "rows";
  const findings: Finding[] = [];
  for (const [label, [, train, validation, test]] of counts) {
    const evidence = { train, validation, test };
    if (train === 0) {
      findings.push(
        finding("unreachable-class", "fault", `the class "${label}" does not occur in training`, {
          detail: `no model can ever say it: ${validation} ${unit} of validation and ${test} of test are lost beforehand`,
          evidence,
          example: `${audit.where(...first.get(label)!)} is "${label}" and in ${audit.partName(...first.get(label)!)}`,
          repair: "split so that every class occurs in training, or leave the rows out",
        }),
      );
    } else if (test === 0 && audit.rowsOf("test") > 0) {
      findings.push(
        finding("unreachable-class", "note", `the class "${label}" does not occur in test`, {
          detail: `${train} ${unit} of training have it; how well it is told is not measured`,
          evidence,
        }),
      );
    }
  }
  const known = [...counts].filter(([, list]) => list[1] > 0);
  if (known.length === 1 && audit.rowsOf("train") > 0) {
    findings.push(
      finding("unreachable-class", "fault", "all training rows have the same class", {
        detail: `"${known[0][0]}" is all there is to learn`,
        evidence: { train: known[0][1][1] },
        example: `all ${known[0][1][1]} ${unit} of training are "${known[0][0]}"`,
        repair: "choose another data.target, or split so that training holds every class",
      }),
    );
  }
  if (findings.some(({ status }) => status === "fault")) return findings;
  return [
    finding("unreachable-class", "pass", "classes", {
      detail: `${counts.size} classes, all of them in training`,
      evidence: { classes: counts.size, parts: PARTS.length },
    }),
    ...findings,
  ];
}
