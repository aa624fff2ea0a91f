/** @file What a server refused, as the error that was thrown there, with what it says of the session. */
import { ERROR_CODES, type ErrorCode, OstinatoError } from "../core/errors.js";
import type { ErrorFacts } from "../protocol/codes.js";
import type { Applied, RefusalFacts } from "../protocol/frames.js";

export class RefusedError extends OstinatoError {
  /** Whether anything of the request changed the session. */
  readonly applied: Applied;
  /** The first record that was not applied, in the request, from 0; null where the request has none. */
  readonly index: number | null;
  /** The number to go on from, where the server said it. */
  readonly expectedSeq: number | null;
  /** The server asked to be left alone for so long; null where it did not. */
  readonly retryAfterMs: number | null;

  constructor({ error, applied, index, expectedSeq, retryAfterMs }: RefusalFacts) {
    const known = Object.hasOwn(ERROR_CODES, error.code);
    const { code, message: _, ...detail } = error;
    super(known ? code : "OST_INTERNAL", known ? detail : { ...detail, what: `${code}: ${detail.what}` });
    this.applied = applied;
    this.index = index ?? null;
    this.expectedSeq = expectedSeq ?? null;
    this.retryAfterMs = retryAfterMs ?? null;
  }
}

/** A refusal by this client. */
export function refuse(
  code: ErrorCode,
  what: string,
  { applied = "no", repair }: { applied?: Applied; repair?: string } = {},
): RefusedError {
  const { message, detail } = new OstinatoError(code, { what, repair });
  return new RefusedError({ error: { code, message, ...detail }, applied });
}

/** Refusals that pass: the same request may be taken later. */
export function isPassing(error: RefusedError): boolean {
  return (
    error.code === "OST_RATE" || error.code === "OST_CAPACITY" || error.code === "OST_DEADLINE" || error.applied === "unknown"
  );
}

/** The refusal in the body of an HTTP answer, whatever the body is. */
export function refusalOf(body: string, { status, retryAfter }: { status: number; retryAfter: string | null }): RefusedError {
  const seconds = Number(retryAfter ?? "");
  const retryAfterMs = retryAfter !== null && seconds >= 0 ? seconds * 1000 : undefined;
  try {
    const {
      applied = "no",
      index,
      expectedSeq,
      ...error
    } = (JSON.parse(body) as { error: ErrorFacts & Partial<RefusalFacts> }).error;
    if (typeof error.code === "string" && typeof error.what === "string") {
      return new RefusedError({
        error,
        applied: (applied as unknown) === false ? "no" : applied,
        index,
        expectedSeq,
        retryAfterMs,
      });
    }
  } catch {}
  const code =
    status === 429
      ? "OST_RATE"
      : status === 503 || status === 502
        ? "OST_CAPACITY"
        : status === 401
          ? "OST_CREDENTIAL"
          : "OST_REQUEST";
  const applied = status === 502 || status === 504 || status === 500 ? "unknown" : "no";
  const { message, detail } = new OstinatoError(code, { what: `the server answered with status ${status}` });
  return new RefusedError({ error: { code, message, ...detail }, applied, retryAfterMs });
}
