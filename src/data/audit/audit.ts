/**
 * @file The audit: every check on one subject, and the verdict.
 *
 * Everything drawn is seeded, everything long is sampled, and what was sampled is said in the evidence.
 */
import { PARTS } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import { partCode } from "../split.js";
import { checkAlignment } from "./check-alignment.js";
import { checkCausality } from "./check-causality.js";
import { checkDuplicates } from "./check-duplicate.js";
import { checkFitted } from "./check-fitted.js";
import { checkClasses, checkConstants } from "./check-hygiene.js";
import { checkIdentity } from "./check-identity.js";
import { checkIndependence, checkStride } from "./check-independence.js";
import { checkLabelTime } from "./check-label-time.js";
import { checkMissing } from "./check-missing.js";
import { checkPermuted } from "./check-permuted.js";
import { checkPosition } from "./check-position.js";
import { checkProxy } from "./check-proxy.js";
import { checkSplit } from "./check-split.js";
import { checkTime } from "./check-time.js";
import { checkGap, checkWindows } from "./check-window.js";
import { AuditContext, type AuditOptions } from "./context.js";
import { type AuditFacts, type AuditReport, CHECKS, type CheckName, type Finding, finding, verdictOf } from "./finding.js";
import { SubjectGuard } from "./guard.js";
import type { AuditSubject } from "./subject.js";

type Check = (audit: AuditContext) => Finding[];

/** By the name a failure is reported under. */
const ALL: [CheckName, Check][] = [
  ["time-order", checkTime],
  ["split-order", checkSplit],
  ["window-overlap", checkWindows],
  ["gap", checkGap],
  ["causality", checkCausality],
  ["fit-scope", checkFitted],
  ["duplicates", checkDuplicates],
  ["target-proxy", checkProxy],
  ["alignment", checkAlignment],
  ["id-column", checkIdentity],
  ["missing", checkMissing],
  ["label-time", checkLabelTime],
  ["position-label", checkPosition],
  ["unreachable-class", checkClasses],
  ["constant-feature", checkConstants],
  ["effective-windows", checkIndependence],
  ["stride", checkStride],
  ["shuffled-labels", checkPermuted],
];

/** What asks for a label or a value of each row, and so for none where the rows themselves or the text of a series are predicted. */
const ABOUT_LABELS: readonly CheckName[] = [
  "target-proxy",
  "alignment",
  "position-label",
  "unreachable-class",
  "shuffled-labels",
];

/** Why a check says nothing of a subject; null where it does. */
function notFor(name: CheckName, { subject }: AuditContext): string | null {
  const labelled = subject.series.some(({ labels, target }) => labels || target);
  if (labelled || !(ABOUT_LABELS.includes(name) || (name === "effective-windows" && subject.targetKind !== "tokens")))
    return null;
  return subject.targetKind === "tokens"
    ? "the text of a whole series is predicted, which has no label or value per row to compare"
    : "what is predicted is the next row of an input, which has no label or value of its own to compare";
}

/**
 * Looks for what makes a result too good to be true, and proves it.
 *
 * @returns findings in the order of {@link CHECKS}; `leak` and `fault` mean that the data must not be trained on as they are.
 */
export function audit(given: AuditSubject, options: AuditOptions = {}): AuditReport {
  const guard = new SubjectGuard(given);
  const { subject } = guard;
  const context = new AuditContext(subject, options);
  const findings = (subject.faults ?? []).map(faultOf);
  // Without a series there is nothing but the error that kept it from being made.
  const checks = subject.series.length > 0 ? ALL : [];
  if (checks.length > 0) {
    options.onProgress?.("pipeline", 0, checks.length + 1);
    guard.trial();
  }
  checks.forEach(([name, check], i) => {
    options.onProgress?.(name, i + 1, checks.length + 1);
    const skipped = notFor(name, context);
    if (skipped !== null) findings.push(finding(name, "skipped", `${name} does not apply`, { detail: skipped }));
    else if (guard.deterministic || !COMPARING.includes(name)) findings.push(...guarded(name, () => check(context)));
    else findings.push(finding(name, "skipped", `${subject.pipeline.name} is not deterministic`));
  });
  options.onProgress?.("done", checks.length + 1, checks.length + 1);
  const facts = factsOf(context);
  findings.push(...guard.findings);
  const order = (one: Finding) => CHECKS.indexOf(one.check);
  findings.sort((a, b) => order(a) - order(b));
  return { verdict: verdictOf(findings), findings: toldOnce(findings), facts };
}

/** Checks that compare outputs bit for bit. */
const COMPARING: readonly CheckName[] = ["causality", "fit-scope"];

/** A fault of the configuration may be found by preparing the data and by a check: the same title is told once, by the one that says more. */
function toldOnce(findings: readonly Finding[]): Finding[] {
  const size = ({ detail, example }: Finding) => detail.length + (example?.length ?? 0);
  return findings.filter(
    (one) =>
      one.status !== "fault" || !findings.some((other) => other !== one && other.title === one.title && size(other) > size(one)),
  );
}

/** A check that cannot be run on this subject says so: what the pipeline throws is a finding too. */
function guarded(name: CheckName, check: () => Finding[]): Finding[] {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof OstinatoError)) throw error;
    return [finding(name, "skipped", `${name} could not be checked`, { detail: error.message.replaceAll("\n", " ") })];
  }
}

/** An error met while the subject was made, as the finding it is. */
function faultOf(error: OstinatoError): Finding {
  const { code, detail } = error;
  const facts = [detail.expected && `expected ${detail.expected}`, detail.got && `got ${detail.got}`].filter(Boolean).join(", ");
  return finding(checkOf(error), "fault", detail.what, {
    detail: facts,
    evidence: { code },
    example: [detail.where, detail.got].filter(Boolean).join(": ") || null,
    repair: detail.repair ?? null,
  });
}

function checkOf({ code, detail }: OstinatoError): CheckName {
  if (code === "OST_ORDER") return "time-order";
  if (code === "OST_CAUSAL") return "causality";
  if (code === "OST_MISSING") return "missing";
  if (code === "OST_TARGET") return "unreachable-class";
  if (code === "OST_SPLIT") return /two parts|two groups/.test(detail.what) ? "entity-overlap" : "split-order";
  return "pipeline";
}

function factsOf(context: AuditContext): AuditFacts {
  const { subject, options } = context;
  const { count } = context.scan;
  const parts = Object.fromEntries(
    PARTS.map((part) => {
      const code = partCode(part);
      const series = subject.parts.filter((codes) => codes.includes(code)).length;
      return [part, { rows: context.rowsOf(part), series, windows: count[part] }];
    }),
  ) as AuditFacts["parts"];
  return {
    source: subject.source,
    series: subject.series.length,
    rows: subject.series.reduce((sum, { rows }) => sum + rows, 0),
    features: [...subject.roles.features, ...(subject.roles.categories ?? [])],
    target: [...subject.roles.target],
    targetKind: subject.targetKind,
    splitBy: subject.splitBy,
    parts,
    checks: CHECKS.length,
    seed: options.seed ?? 7,
  };
}
