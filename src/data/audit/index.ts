export { audit } from "./audit.js";
export type { AuditOptions } from "./context.js";
export {
  type AuditFacts,
  type AuditReport,
  type AuditVerdict,
  CHECKS,
  type CheckName,
  type Finding,
  type FindingStatus,
} from "./finding.js";
export { type AuditPageOptions, renderAuditHtml } from "./page.js";
export type { QuickExamples, QuickModel } from "./quick-model.js";
export type { AuditSubject, Pipeline, PipelineOutput, WindowRows } from "./subject.js";
export { type SubjectWindow, subjectOf } from "./subject-of.js";
