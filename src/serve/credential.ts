/** @file What all kinds of credentials share: what a refusal tells, and how tenants and scopes are written. */
import { OstinatoError } from "../core/errors.js";
import type { Observer } from "./observer.js";
import { type Principal, SCOPES, type Scope } from "./principal.js";

/** Why a credential was refused, for those who count; the one who asked is not told. */
export type CredentialFault = Parameters<NonNullable<Observer["authFailure"]>>[0];

/** A refusal: its text is the same for every fault but a missing credential, so that an answer tells nothing about what exists. */
export class CredentialError extends OstinatoError {
  readonly fault: CredentialFault;

  constructor(fault: CredentialFault, options?: ErrorOptions) {
    super(
      "OST_CREDENTIAL",
      {
        what: fault === "missing" ? "the request holds no credential" : "the credential is not accepted",
        expected: "Authorization: Bearer KEY_OR_TOKEN, or a client certificate that the server knows",
        repair: "send a valid credential; one that was valid has expired or was revoked",
      },
      options,
    );
    this.fault = fault;
  }
}

/** A principal that may be kept to the sessions it created, whatever the server does with others. */
export interface KnownPrincipal extends Principal {
  readonly creatorOnly?: boolean;
}

/** Who a credential stands for, and until when. */
export interface Identity {
  principal: KnownPrincipal;
  /** ms since 1970; Infinity never. */
  expires: number;
  /** Asked of a connection that outlives its first request: throws {@link CredentialError} once the credential is not good any more. */
  recheck(): void;
}

export const TENANT = /^[A-Za-z0-9._-]{1,128}$/;

/** Tenants of open keys look like this; no other credential may name one. */
export const OPEN_TENANT = /^[0-9a-f]{64}$/;

/** A tenant that a key file, a token or a certificate may name. */
export function isTenant(value: unknown): value is string {
  return typeof value === "string" && TENANT.test(value) && !OPEN_TENANT.test(value);
}

export function isScope(value: unknown): value is Scope {
  return (SCOPES as readonly unknown[]).includes(value);
}

/** For audit logs and creators: what no terminal and no line of a log is harmed by. */
export function isSubject(value: unknown): value is string {
  return (
    typeof value === "string" && value.length >= 1 && value.length <= 255 && !/[\p{Cc}\p{Surrogate}\u2028\u2029]/u.test(value)
  );
}
