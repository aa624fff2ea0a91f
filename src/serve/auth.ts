/**
 * @file Who asks: the principal of a request, from its bearer key or token and from the certificate of its connection.
 *
 * A bearer text is taken for one kind of credential by its form and for no other: a revoked key does not become a new open tenant, a refused
 * token does not fall back to the certificate. A bearer and a known certificate must agree on the tenant.
 */
import { OstinatoError } from "../core/errors.js";
import { CredentialError, type Identity } from "./credential.js";
import { type CertificateGrant, Certificates, type PeerCertificate } from "./credential-certificate.js";
import { ApiKeys, isApiKey } from "./credential-key.js";
import { isToken, type TokenConfig, Tokens } from "./credential-token.js";
import { isLoopback } from "./loopback.js";
import type { Observer } from "./observer.js";
import { ownerOf } from "./owner.js";
import { type Principal, SCOPES, type Scope } from "./principal.js";

export interface AuthConfig {
  /**
   * Any bearer key of 1..512 visible ASCII characters is a tenant of its own. `true`: for connections from this machine only; `"anywhere"`: for
   * all. Default true where nothing else is configured, else false.
   */
  open?: boolean | "anywhere";
  /** Path of a file of API keys. */
  keys?: string;
  /** Tokens of an identity provider. */
  jwt?: TokenConfig;
  /** Who the names in client certificates stand for, by `URI:...` or `DNS:...`. */
  certificates?: Readonly<Record<string, CertificateGrant>>;
}

export interface AuthOptions {
  /** Hears of refused credentials, and of files and addresses of keys that cannot be read. */
  observer?: Pick<Observer, "authFailure" | "fault">;
  /** ms since 1970. Default the wall clock. */
  now?: () => number;
}

/** The connection a request came on. */
export interface Peer {
  /** Absent for a Unix socket, and for a connection that is already gone. */
  remoteAddress?: string;
  /** It came through a Unix socket. */
  local?: boolean;
  certificate?: PeerCertificate;
}

export interface Authenticator {
  /** Whether only known credentials come in: open keys are off. */
  readonly guarded: boolean;
  /** @throws OST_CREDENTIAL */
  authenticate(headers: { authorization?: string }, peer: Peer): Promise<Principal>;
  /** For connections that stay: whether the credential of a principal from `authenticate` is still good. @throws OST_CREDENTIAL */
  recheck(principal: Principal): void;
  /** ms since 1970 at which it ends; Infinity never. */
  expires(principal: Principal): number;
  /** Resolves once credentials can be checked. @throws OST_CONFIG if the identity provider's keys cannot be fetched. */
  ready(): Promise<void>;
}

const OPEN_SCOPES: ReadonlySet<Scope> = new Set(SCOPES.filter((scope) => scope !== "model:admin"));
const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;

/** Whether only known credentials come in. */
export function isGuarded({ open, keys, jwt, certificates }: AuthConfig): boolean {
  const known = keys !== undefined || jwt !== undefined || certificates !== undefined;
  return known && (open ?? false) === false;
}

/** @throws OST_CONFIG, OST_FILE for a configuration that cannot work. */
export function createAuthenticator(config: AuthConfig = {}, { observer, now = Date.now }: AuthOptions = {}): Authenticator {
  const onFault = (error: unknown) => observer?.fault?.(error, "auth");
  const keys = config.keys === undefined ? null : new ApiKeys(config.keys, { now, onFault });
  const tokens = config.jwt === undefined ? null : new Tokens(config.jwt, { now, onFault });
  const certificates = config.certificates === undefined ? null : new Certificates(config.certificates, { now });
  const open = config.open ?? !(keys || tokens || certificates);
  if (open === false && !(keys || tokens || certificates)) {
    throw new OstinatoError("OST_CONFIG", {
      what: "no credential could ever be accepted",
      expected: "keys, jwt or certificates",
      where: "auth",
      repair: "name a file of keys: ostinato key create makes one",
    });
  }
  const identities = new WeakMap<Principal, Identity>();

  const byBearer = async (bearer: string, { remoteAddress, local }: Peer): Promise<Identity> => {
    if (isApiKey(bearer)) {
      if (keys) return keys.identify(bearer);
    } else if (tokens && isToken(bearer)) return tokens.identify(bearer);
    const near = local === true || (remoteAddress !== undefined && isLoopback(remoteAddress));
    if (open !== "anywhere" && !(open && near)) throw new CredentialError("unknown");
    return openIdentity(bearer);
  };

  const identify = async ({ authorization }: { authorization?: string }, peer: Peer): Promise<Identity> => {
    const certified = certificates && peer.certificate ? certificates.identify(peer.certificate) : null;
    if (authorization === undefined || authorization === "") {
      if (certified) return certified;
      throw new CredentialError(peer.certificate && certificates ? "unknown" : "missing");
    }
    const bearer = BEARER.exec(authorization)?.[1];
    if (bearer === undefined) throw new CredentialError("other");
    const identity = await byBearer(bearer, peer);
    if (certified && certified.principal.tenant !== identity.principal.tenant) throw new CredentialError("other");
    return identity;
  };

  return {
    guarded: isGuarded(config),
    async authenticate(headers, peer) {
      try {
        const identity = await identify(headers, peer);
        // One object per request: two of one credential may differ in what was known of it.
        const principal = Object.freeze({ ...identity.principal });
        identities.set(principal, identity);
        return principal;
      } catch (error) {
        if (error instanceof CredentialError) observer?.authFailure?.(error.fault);
        throw error;
      }
    },
    recheck(principal) {
      const identity = identities.get(principal);
      if (!identity) throw new CredentialError("unknown");
      identity.recheck();
    },
    expires: (principal) => identities.get(principal)?.expires ?? Number.NEGATIVE_INFINITY,
    ready: async () => tokens?.ready(),
  };
}

function openIdentity(key: string): Identity {
  let tenant: string;
  try {
    tenant = ownerOf(key);
  } catch (error) {
    throw new CredentialError("other", { cause: error });
  }
  const principal = { tenant, subject: tenant.slice(0, 12), scopes: OPEN_SCOPES };
  return { principal, expires: Number.POSITIVE_INFINITY, recheck: () => {} };
}

/** @throws OST_SCOPE */
export function requireScope(principal: Principal, scope: Scope): void {
  if (principal.scopes.has(scope)) return;
  throw new OstinatoError("OST_SCOPE", {
    what: "the credential does not permit this",
    expected: `the scope ${scope}`,
    got: [...principal.scopes].join(", ") || "none",
    repair: "use a credential with that scope",
  });
}
