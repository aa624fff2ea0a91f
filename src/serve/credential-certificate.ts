/**
 * @file Client certificates: their subject alternative names, as far as the configuration maps them to tenants.
 *
 * A name is compared whole: no wildcard, no common name. TLS has checked the chain; the dates are checked again, since connections outlive them.
 */
import { OstinatoError } from "../core/errors.js";
import { CredentialError, type Identity, isScope, isTenant } from "./credential.js";
import type { Scope } from "./principal.js";

/** What is read of Node's `tls.PeerCertificate`, and whether TLS verified it. */
export interface PeerCertificate {
  /** True only where TLS verified the chain up to a client CA of the server. */
  authorized: boolean;
  /** Such as `DNS:meter-7.example.org, URI:spiffe://example.org/meter-7`. */
  subjectaltname?: string;
  /** Such as `Nov 22 22:11:00 2026 GMT`. */
  valid_to?: string;
}

/** Who a name stands for. */
export interface CertificateGrant {
  tenant: string;
  scopes: readonly Scope[];
}

export class Certificates {
  readonly #grants = new Map<string, CertificateGrant & { name: string }>();
  readonly #now: () => number;

  /** @param grants by name, written `URI:...` or `DNS:...`. @throws OST_CONFIG */
  constructor(grants: Readonly<Record<string, CertificateGrant>>, { now = Date.now }: { now?: () => number } = {}) {
    this.#now = now;
    for (const [name, { tenant, scopes }] of Object.entries(grants)) {
      const refuse = (what: string, expected: string, got: unknown) =>
        new OstinatoError("OST_CONFIG", { what, expected, got: String(got), where: `certificates ${name}` });
      if (!/^(URI|DNS):[\x21-\x7e]+$/.test(name) || name.includes("*"))
        throw refuse("not a name of a certificate", "URI:... or DNS:... without wildcards", name);
      if (!isTenant(tenant)) throw refuse("not a tenant", "1 to 128 of A-Z a-z 0-9 . _ -", tenant);
      const wrong = scopes.find((scope) => !isScope(scope));
      if (wrong !== undefined || scopes.length === 0) throw refuse("not a scope", "a list of scopes", wrong ?? "none");
      this.#grants.set(canonical(name), { tenant, scopes, name });
    }
  }

  /** @returns null for a certificate that was not verified or names nobody known. @throws CredentialError if it names two tenants, or has expired. */
  identify(certificate: PeerCertificate): Identity | null {
    if (certificate.authorized !== true) return null;
    const names = alternativeNames(certificate.subjectaltname ?? "");
    const found = names.flatMap((name) => this.#grants.get(canonical(name)) ?? []);
    if (found.length === 0) return null;
    const { tenant, name } = found[0];
    if (found.some((grant) => grant.tenant !== tenant)) throw new CredentialError("other");
    const expires = certificate.valid_to === undefined ? Number.POSITIVE_INFINITY : Date.parse(certificate.valid_to);
    const recheck = () => {
      if (!(this.#now() < expires)) throw new CredentialError("expired");
    };
    recheck();
    const scopes = new Set(found.flatMap((grant) => grant.scopes));
    return { principal: { tenant, subject: `cert:${name}`, scopes }, expires, recheck };
  }
}

function canonical(name: string): string {
  return name.startsWith("DNS:") ? name.toLowerCase().replace(/^dns:/, "DNS:") : name;
}

/**
 * The names in Node's text of them. A name with a comma or a quote in it is written by Node as a JSON string, so that no name can pass for two;
 * a text that breaks these rules names nobody.
 */
export function alternativeNames(text: string): string[] {
  const names: string[] = [];
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  while (entry.lastIndex < text.length) {
    const match = entry.exec(text);
    if (!match) return [];
    const [, kind, value] = match;
    if (!value.startsWith('"')) names.push(`${kind}:${value}`);
  }
  return names;
}
