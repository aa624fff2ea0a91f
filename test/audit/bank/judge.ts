/**
 * @file One audit of one entry, and whether it is right: a broken pipeline must be convicted by the right check, which names what is
 * broken; an honest one must have neither leak nor fault.
 */
import { type Rng, seed as seeded } from "../../../src/core/rng.js";
import { type AuditReport, audit, type Finding } from "../../../src/data/audit/index.js";
import { type BankEntry, STATUSES, type Status } from "./entry.js";

export interface Judgement {
  name: string;
  what: string;
  /** What was expected, in words. */
  expected: string;
  seed: number;
  verdict: AuditReport["verdict"] | "crashed";
  /** The finding that decided it; null where an honest pipeline has none that is worse than a note. */
  finding: Finding | null;
  right: boolean;
  /** For an honest pipeline: not even a warning. */
  strict: boolean;
  /** All findings that are worse than a note. */
  raised: Finding[];
  /** Why it is wrong. */
  why: string;
  milliseconds: number;
}

/** The generator of an entry: seeded by its name, so that no entry's data depend on the others. */
export function rngOf(name: string, seed: number): Rng {
  let hash = seed;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0;
  return seeded(hash);
}

/** An audit never throws, whatever it is given: a crash is a miss. */
export function judge(entry: BankEntry, seed: number): Judgement {
  const before = performance.now();
  try {
    return judged(entry, seed);
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message).split("\n").slice(0, 3).join(" ") : String(error);
    const { name, what, expect } = entry;
    const expected = expect ? expect.checks.join(" or ") : "clean";
    const milliseconds = performance.now() - before;
    const base = { name, what, seed, expected, milliseconds, why };
    return { ...base, verdict: "crashed", finding: null, right: false, strict: false, raised: [] };
  }
}

function judged(entry: BankEntry, seed: number): Judgement {
  const rng = rngOf(entry.name, seed);
  const subject = entry.make(rng);
  const options = entry.options?.(rng) ?? {};
  const before = performance.now();
  const { verdict, findings } = audit(subject, { now: Date.UTC(2026, 0, 1), ...options });
  const milliseconds = performance.now() - before;
  const raised = findings.filter(({ status }) => rank(status) > rank("note")).sort((a, b) => rank(b.status) - rank(a.status));
  const base = { name: entry.name, what: entry.what, seed, verdict, raised, milliseconds };
  const { expect } = entry;
  if (expect === null) {
    const right = verdict === "clean" || verdict === "warnings";
    const finding = raised[0] ?? null;
    const why = right ? "" : `a false alarm of "${finding?.check}"`;
    return { ...base, expected: "clean", finding, right, strict: raised.length === 0, why };
  }
  const expected = `${expect.checks.join(" or ")} >= ${expect.status}`;
  const byCheck = raised.filter(({ check }) => expect.checks.includes(check));
  const grave = byCheck.filter(({ status }) => rank(status) >= rank(expect.status));
  const finding = grave.find((one) => expect.names.every((name) => name.test(textOf(one)))) ?? null;
  const why = finding
    ? ""
    : grave.length > 0
      ? `the finding does not name ${expect.names.join(", ")}`
      : byCheck.length > 0
        ? `only a ${byCheck[0].status}`
        : raised.length > 0
          ? `convicted by ${raised.map(({ check, status }) => `${check} (${status})`).join(", ")} instead`
          : "not noticed";
  return {
    ...base,
    expected,
    finding: finding ?? byCheck[0] ?? raised[0] ?? null,
    right: finding !== null,
    strict: finding !== null,
    why,
  };
}

function rank(status: Status): number {
  return STATUSES.indexOf(status);
}

/** Everything a finding says, in one text. */
export function textOf({ title, detail, evidence, example, repair }: Finding): string {
  return [title, detail, JSON.stringify(evidence), example, repair].filter(Boolean).join(" | ");
}
