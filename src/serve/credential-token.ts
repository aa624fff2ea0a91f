/**
 * @file Tokens of an identity provider: signed JWTs (RFC 7519), checked as RFC 8725 advises.
 *
 * The algorithm comes from the configuration and must be asymmetric: a token can neither switch the signature off (`none`) nor have a public
 * key taken for a shared secret (HS256). Issuer, audience and expiry are required.
 */
import { errors, type JWTPayload, jwtVerify } from "jose";
import { OstinatoError } from "../core/errors.js";
import { CredentialError, type Identity, isScope, isSubject, isTenant } from "./credential.js";
import { type Jwks, type JwksOptions, openJwks } from "./credential-jwks.js";
import type { Scope } from "./principal.js";

export const TOKEN_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;
export type TokenAlgorithm = (typeof TOKEN_ALGORITHMS)[number];

export interface TokenConfig {
  /** `iss`, exactly. */
  issuer: string;
  /** One of the token's `aud`. */
  audience: string;
  /** Path of a JWKS file, or an https URL whose host is in `jwksHosts`. */
  jwks: string;
  jwksHosts?: readonly string[];
  /** Permit `http://` to a loopback address for `jwks`. Default false. */
  jwksLoopbackHttp?: boolean;
  /** Default RS256, ES256, EdDSA. */
  algorithms?: readonly TokenAlgorithm[];
  /** Seconds that clocks may differ: 0..120. Default 30. */
  leewaySeconds?: number;
  /** Name of the claim that names the tenant. Default "tenant". */
  tenantClaim?: string;
  /** Name of the claim of scopes: a text with spaces between, or a list. Names that are not scopes are passed over. Default "scope". */
  scopeClaim?: string;
}

const MAX_TOKEN = 16 * 1024;

/** Whether a bearer text claims to be a token; where tokens are configured such a text is never taken for anything else. */
export function isToken(bearer: string): boolean {
  return bearer.startsWith("eyJ") || bearer.split(".").length === 3;
}

export class Tokens {
  readonly #config: Required<Omit<TokenConfig, "jwks" | "jwksHosts" | "jwksLoopbackHttp">>;
  readonly #jwks: Jwks;
  readonly #now: () => number;

  /** @throws OST_CONFIG for an algorithm or address that is not allowed. @throws OST_FILE */
  constructor(config: TokenConfig, { now = Date.now, onFault }: Pick<JwksOptions, "now" | "onFault"> = {}) {
    const { jwks, jwksHosts, jwksLoopbackHttp, issuer, audience } = config;
    const { algorithms = ["RS256", "ES256", "EdDSA"], leewaySeconds = 30, tenantClaim = "tenant", scopeClaim = "scope" } = config;
    const wrong = algorithms.find((one) => !TOKEN_ALGORITHMS.includes(one));
    if (wrong !== undefined || algorithms.length === 0)
      throw refuse(
        "algorithms",
        "an algorithm of signature that is not allowed",
        TOKEN_ALGORITHMS.join(", "),
        String(wrong ?? "none"),
      );
    if (!(leewaySeconds >= 0 && leewaySeconds <= 120))
      throw refuse("leewaySeconds", "out of range", "0 .. 120", String(leewaySeconds));
    for (const [name, value] of Object.entries({ issuer, audience, jwks, tenantClaim, scopeClaim }))
      if (typeof value !== "string" || value === "")
        throw refuse(name, "it is missing", "a text that is not empty", String(value));
    this.#config = { issuer, audience, algorithms, leewaySeconds, tenantClaim, scopeClaim };
    this.#now = now;
    this.#jwks = openJwks(jwks, { hosts: jwksHosts, loopbackHttp: jwksLoopbackHttp, now, onFault });
  }

  /** Resolves once there are keys to check with. @throws OST_CONFIG */
  ready(): Promise<void> {
    return this.#jwks.ready();
  }

  /** @throws CredentialError */
  async identify(bearer: string): Promise<Identity> {
    if (bearer.length > MAX_TOKEN) throw new CredentialError("other");
    const { issuer, audience, algorithms, leewaySeconds, tenantClaim, scopeClaim } = this.#config;
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(bearer, this.#jwks.lookup, {
        issuer,
        audience,
        algorithms: [...algorithms],
        clockTolerance: leewaySeconds,
        currentDate: new Date(this.#now()),
        requiredClaims: ["exp", "iss", "aud", "sub"],
      }));
    } catch (error) {
      throw new CredentialError(faultOf(error), { cause: error });
    }
    const tenant = own(payload, tenantClaim);
    if (!isTenant(tenant) || !isSubject(payload.sub)) throw new CredentialError("other");
    const expires = ((payload.exp as number) + leewaySeconds) * 1000;
    const recheck = () => {
      if (this.#now() >= expires) throw new CredentialError("expired");
    };
    return { principal: { tenant, subject: `jwt:${payload.sub}`, scopes: scopesOf(own(payload, scopeClaim)) }, expires, recheck };
  }
}

function own(payload: JWTPayload, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? payload[claim] : undefined;
}

function scopesOf(claim: unknown): ReadonlySet<Scope> {
  const names = typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [];
  return new Set(names.filter(isScope));
}

function faultOf(error: unknown): CredentialError["fault"] {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWKSNoMatchingKey) return "unknown";
  if (error instanceof errors.JWTClaimValidationFailed) return "other";
  return "signature";
}

function refuse(name: string, what: string, expected: string, got: string): OstinatoError {
  return new OstinatoError("OST_CONFIG", { what, expected, got, where: `jwt.${name}` });
}
