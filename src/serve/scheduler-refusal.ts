/** @file Answers of the scheduler itself, in the shape in which the engine answers. */
import { type ErrorCode, type ErrorDetail, OstinatoError } from "../core/errors.js";
import { type ErrorFacts, errorFacts } from "../protocol/codes.js";
import type { Applied, LifecycleChange, Outcome, SessionStatus } from "./operation.js";

/** Facts of an error are made once and shared: refusing must stay cheap when there is much to refuse. */
export function refusalFacts(code: ErrorCode, detail: ErrorDetail): ErrorFacts & { index: number } {
  return { ...errorFacts(new OstinatoError(code, detail)), index: 0 };
}

export function refusal(
  error: ErrorFacts & { index: number },
  known: { applied?: Applied; session?: SessionStatus | null; expectedSeq?: number; lifecycle?: readonly LifecycleChange[] } = {},
): Outcome {
  return {
    applied: known.applied ?? "no",
    count: 0,
    session: known.session ?? null,
    predictions: null,
    repeated: false,
    error,
    expectedSeq: known.expectedSeq ?? null,
    lifecycle: [...(known.lifecycle ?? [])],
    snapshot: null,
    view: null,
    computeMs: 0,
    commitMs: 0,
  };
}
