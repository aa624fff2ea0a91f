/** @file What an audit says: findings, each with its evidence, an example and a repair, and the verdict over all of them. */

/** The checks by name, in the order of the report. */
export const CHECKS = [
  "pipeline",
  "time-order",
  "time-range",
  "time-zone",
  "daylight-saving",
  "split-order",
  "entity-overlap",
  "window-overlap",
  "gap",
  "causality",
  "fit-scope",
  "duplicates",
  "target-proxy",
  "alignment",
  "id-column",
  "missing",
  "label-time",
  "length-label",
  "position-label",
  "unreachable-class",
  "constant-feature",
  "effective-windows",
  "stride",
  "shuffled-labels",
] as const;

export type CheckName = (typeof CHECKS)[number];

/**
 * pass: looked for and not found. note: worth knowing, no flaw. warning: suspicious, not proven. fault: it cannot work or measures nothing.
 * leak: proven. skipped: the check does not apply, or could not be run; `detail` says why.
 */
export type FindingStatus = "pass" | "note" | "warning" | "fault" | "leak" | "skipped";

export interface Finding {
  check: CheckName;
  /** What was found, in a few words. */
  title: string;
  status: FindingStatus;
  /** One sentence more. */
  detail: string;
  /** The numbers it rests on, thresholds included. */
  evidence: Record<string, number | string>;
  /** A row or a window, named by file and row, with the values that show it. */
  example: string | null;
  /** What to do, in the imperative. */
  repair: string | null;
}

export type AuditVerdict = "clean" | "warnings" | "faults" | "leak";

export interface AuditFacts {
  source: string;
  series: number;
  rows: number;
  features: string[];
  target: string[];
  targetKind: string;
  splitBy: string;
  /** Rows and windows of each part. */
  parts: Record<"train" | "validation" | "test", { rows: number; series: number; windows: number }>;
  checks: number;
  /** What the repeatable randomness of the audit was seeded with. */
  seed: number;
}

export interface AuditReport {
  verdict: AuditVerdict;
  findings: Finding[];
  facts: AuditFacts;
}

/** The worst status decides: leak, then fault, then warning. */
export function verdictOf(findings: readonly Finding[]): AuditVerdict {
  const has = (status: FindingStatus) => findings.some((finding) => finding.status === status);
  return has("leak") ? "leak" : has("fault") ? "faults" : has("warning") ? "warnings" : "clean";
}

/** A finding; what is left out is empty. */
export function finding(
  check: CheckName,
  status: FindingStatus,
  title: string,
  { detail = "", evidence = {}, example = null, repair = null }: Partial<Omit<Finding, "check" | "status" | "title">> = {},
): Finding {
  return { check, title, status, detail, evidence, example, repair };
}
