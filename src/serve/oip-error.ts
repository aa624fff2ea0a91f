/** @file Refusals as the Open Inference Protocol says them: one text, an HTTP status or a gRPC status. */
import type { ErrorCode } from "../core/errors.js";
import { type Applied, errorBody, httpStatus } from "../protocol/codes.js";

/** gRPC's status codes, by their names. */
export const GRPC_STATUS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

const BY_HTTP_STATUS: Record<number, number> = {
  400: GRPC_STATUS.INVALID_ARGUMENT,
  401: GRPC_STATUS.UNAUTHENTICATED,
  403: GRPC_STATUS.PERMISSION_DENIED,
  404: GRPC_STATUS.NOT_FOUND,
  409: GRPC_STATUS.FAILED_PRECONDITION,
  422: GRPC_STATUS.INVALID_ARGUMENT,
  429: GRPC_STATUS.RESOURCE_EXHAUSTED,
  503: GRPC_STATUS.UNAVAILABLE,
  504: GRPC_STATUS.DEADLINE_EXCEEDED,
  507: GRPC_STATUS.UNAVAILABLE,
};

/** A refusal, for every form of the protocol. */
export interface OipError {
  code: ErrorCode;
  /** All facts in up to three lines. */
  text: string;
  /** Whether anything of the request changed the session. */
  applied: Applied;
  /** Where numbers are the matter: the one to go on from. */
  expectedSeq?: number;
  http: number;
  grpc: number;
}

/** Never a stack, never the text of an error that is not ours. */
export function oipError(error: unknown): OipError {
  const { code, message, applied, expectedSeq } = errorBody(error).error;
  const http = httpStatus(code);
  const grpc = code === "OST_EXISTS" ? GRPC_STATUS.ALREADY_EXISTS : (BY_HTTP_STATUS[http] ?? GRPC_STATUS.INTERNAL);
  return { code, text: message, applied, http, grpc, ...(expectedSeq === undefined ? {} : { expectedSeq }) };
}
