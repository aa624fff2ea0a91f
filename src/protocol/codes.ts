/**
 * @file Errors on the wire: the HTTP status of every code, and the one body that every refusal has, whatever the protocol.
 *
 * A refused step was not applied: the session's state is the one before it, bit for bit, so a client may repair the record and send it
 * again. Each refusal says so in `applied`: "no", or "unknown" where the store broke down in the middle of a commit. Of a request with
 * several records those before the refused one were applied: its answer is 200 and holds their predictions, their count, and the error with
 * the refused record's index.
 */
import { type ErrorCode, type ErrorDetail, OstinatoError } from "../core/errors.js";

/**
 * The HTTP status of each code that a server may answer with; every other code is a fault of the server, 500.
 * `OST_REQUEST` is 400 unless the server knows a closer one: 404 unknown path, 405, 413 body too large, 415 not JSON.
 */
export const HTTP_STATUS: Partial<Record<ErrorCode, number>> = {
  OST_REQUEST: 400,
  OST_START: 400,
  OST_OWNER: 401,
  OST_CREDENTIAL: 401,
  OST_SCOPE: 403,
  OST_MODEL: 404,
  OST_SESSION: 404,
  OST_STATE_LOST: 404,
  OST_EXISTS: 409,
  OST_STALE: 409,
  OST_GAP: 409,
  OST_QUARANTINE: 409,
  OST_VERSION: 409,
  OST_SNAPSHOT: 409,
  OST_CAUSAL: 409,
  OST_COLUMN: 422,
  OST_VALUE: 422,
  OST_MISSING: 422,
  OST_ORDER: 422,
  OST_RECORD: 422,
  OST_MODEL_FILE: 422,
  OST_RANGE: 422,
  OST_NAN: 422,
  OST_CONFLICT: 422,
  OST_RATE: 429,
  OST_CAPACITY: 503,
  OST_DEADLINE: 504,
  OST_STORE: 507,
};

export function httpStatus(code: ErrorCode): number {
  return HTTP_STATUS[code] ?? 500;
}

/** An error as it travels. */
export interface ErrorFacts extends ErrorDetail {
  code: ErrorCode;
  /** All the facts in up to three lines, as the command line prints them. */
  message: string;
}

/** Whether anything of a request changed the session. */
export type Applied = "yes" | "no" | "unknown";

/** What a refused request answers with. */
export interface ErrorBody {
  error: ErrorFacts & {
    /** "unknown" only where the store would not say whether it wrote: send the request again with its seq, or look at the session. */
    applied: Applied;
    /** Where numbers are the matter: the one to go on from. */
    expectedSeq?: number;
    /** Where rates are: when to try again. */
    retryAfterMs?: number;
  };
}

/** An error of a session's operation, with what became of the session. */
export class SessionError extends OstinatoError {
  readonly applied: Applied;
  readonly expectedSeq: number | null;
  readonly retryAfterMs: number | null;

  constructor(
    facts: ErrorFacts,
    {
      applied = "no",
      expectedSeq = null,
      retryAfterMs = null,
    }: { applied?: Applied; expectedSeq?: number | null; retryAfterMs?: number | null } = {},
  ) {
    const { code, what, expected, got, where, repair } = facts;
    super(code, { what, expected, got, where, repair });
    this.applied = applied;
    this.expectedSeq = expectedSeq;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The facts of an error for the wire: never a stack, never the text of an error that is not ours. */
export function errorFacts(error: unknown): ErrorFacts {
  const known =
    error instanceof OstinatoError
      ? error
      : new OstinatoError("OST_INTERNAL", {
          what: "a fault of the server",
          repair: "see the server's log; the session is as it was before",
        });
  return { code: known.code, message: known.message, ...known.detail };
}

/** The body of a refusal. */
export function errorBody(error: unknown): ErrorBody {
  const { applied = "no", expectedSeq, retryAfterMs } = error instanceof SessionError ? error : {};
  return {
    error: {
      ...errorFacts(error),
      applied,
      ...(typeof expectedSeq === "number" ? { expectedSeq } : {}),
      ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
    },
  };
}
