/**
 * @file Does it tell the label whether a value is there? For tags; for classes of sequences see check-proxy.ts.
 *
 * A column that is filled in only where somebody knew the label is known later than the label is asked for. Per feature and label the
 * correlation phi of "observed" and "has this label" over all labelled rows: a warning from {@link PHI}, if at least {@link LEAST} rows are of either kind.
 * A warning too where the share of missing values differs by more than {@link DRIFT} between training and test.
 */
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";
import { withoutFeature } from "./repair.js";

const PHI = 0.9;
const LEAST = 20;
const DRIFT = 0.3;

export function checkMissing(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { features, target } = subject.roles;
  const width = features.length;
  const findings: Finding[] = [];
  let cells = 0;
  let missing = 0;
  features.forEach((name, c) => {
    const tally = tallyOf(audit, c, width);
    cells += tally.rows;
    missing += tally.missing;
    const told = subject.targetKind === "tags" ? strongest(tally) : null;
    if (told && Math.abs(told.phi) >= PHI) {
      findings.push(
        finding("missing", "warning", `whether "${name}" is missing tells the label`, {
          detail: `it is ${told.phi > 0 ? "observed" : "missing"} where "${target[0]}" is "${told.label}" and hardly anywhere else (phi = ${told.phi.toFixed(3)}): is it filled in once the label is known?`,
          evidence: { phi: told.phi, observed: tally.rows - tally.missing, missing: tally.missing, threshold: PHI },
          example: tally.first.get(told.label) ?? null,
          repair: `leave it out unless it is known before the label: ${withoutFeature(features, name)}`,
        }),
      );
    } else if (Math.abs(tally.share(1) - tally.share(3)) > DRIFT) {
      const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
      findings.push(
        finding("missing", "warning", `"${name}" is not missing alike in training and test`, {
          detail: `${percent(tally.share(1))} of its training cells are missing, ${percent(tally.share(3))} of its test cells`,
          evidence: { training: tally.share(1), test: tally.share(3), threshold: DRIFT },
          example: tally.firstMissing,
          repair: "find out what changed, or leave the column out",
        }),
      );
    }
  });
  if (findings.length > 0 || cells === 0) return findings;
  return [
    finding("missing", "pass", "missing values", {
      detail:
        missing === 0
          ? "none"
          : `${((100 * missing) / cells).toFixed(1)} % of the cells, and that they are missing tells no label`,
      evidence: { cells, missing },
    }),
  ];
}

interface Tally {
  rows: number;
  missing: number;
  /** Rows by label: observed and missing. */
  byLabel: Map<string, [observed: number, missing: number]>;
  /** An observed row of each label, in words. */
  first: Map<string, string>;
  firstMissing: string | null;
  /** Share missing in a part. */
  share: (code: number) => number;
}

function tallyOf(audit: AuditContext, c: number, width: number): Tally {
  const { subject } = audit;
  const byLabel = new Map<string, [number, number]>();
  const first = new Map<string, string>();
  const parts = [0, 1, 2, 3].map(() => ({ rows: 0, missing: 0 }));
  let firstMissing: string | null = null;
  subject.series.forEach(({ rows, features, labels }, s) => {
    for (let i = 0; i < rows; i++) {
      const absent = Number.isNaN(features[i * width + c]);
      const part = parts[subject.parts[s][i]];
      part.rows++;
      if (absent) {
        part.missing++;
        firstMissing ??= `"${subject.roles.features[c]}" is missing at ${audit.where(s, i)}`;
      }
      const label = labels?.[i] ?? "";
      if (label === "") continue;
      const counts = byLabel.get(label) ?? byLabel.set(label, [0, 0]).get(label)!;
      counts[absent ? 1 : 0]++;
      if (!first.has(label)) {
        first.set(
          label,
          `at ${audit.where(s, i)} "${subject.roles.features[c]}" is ${absent ? "missing" : features[i * width + c]}, and the label is "${label}"`,
        );
      }
    }
  });
  return {
    rows: parts.reduce((sum, { rows }) => sum + rows, 0),
    missing: parts.reduce((sum, one) => sum + one.missing, 0),
    byLabel,
    first,
    firstMissing,
    share: (code) => parts[code].missing / Math.max(1, parts[code].rows),
  };
}

/** The label that goes most with being observed. */
function strongest({ byLabel }: Tally): { label: string; phi: number } | null {
  let observed = 0;
  let missing = 0;
  for (const [here, gone] of byLabel.values()) {
    observed += here;
    missing += gone;
  }
  if (observed < LEAST || missing < LEAST) return null;
  let best: { label: string; phi: number } | null = null;
  for (const [label, [here, gone]] of byLabel) {
    const mine = here + gone;
    const others = observed + missing - mine;
    if (mine < LEAST || others < LEAST) continue;
    const phi = (here * (missing - gone) - gone * (observed - here)) / Math.sqrt(mine * others * observed * missing);
    if (!best || Math.abs(phi) > Math.abs(best.phi)) best = { label, phi };
  }
  return best;
}
