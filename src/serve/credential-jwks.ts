/**
 * @file The public keys that tokens are checked with: a JWKS (RFC 7517) from a file, or from an https URL of an allowed host.
 *
 * A token chooses among these keys by its `kid`, which is compared and nothing else: never a path, never a URL. Who sends tokens with
 * unknown `kid`s makes the server fetch at most once in {@link COOLDOWN_MS}.
 */
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { OstinatoError } from "../core/errors.js";
import { CredentialFile } from "./credential-file.js";

export interface JwksOptions {
  /** Host names, with the port where it is not 443, that keys may be fetched from. */
  hosts?: readonly string[];
  /** Permit `http://` to a loopback address. Default false. */
  loopbackHttp?: boolean;
  /** Told of every fetch or change of the file that failed. */
  onFault?: (error: unknown) => void;
  /** ms since 1970. */
  now?: () => number;
}

/** Keys fetched are good so long, then fetched anew at the next use. */
const FRESH_MS = 10 * 60_000;
/** If they cannot be fetched the old ones stay so long. */
const STALE_MS = 24 * 3600_000;
/** From the beginning of one fetch to that of the next. */
export const COOLDOWN_MS = 30_000;
const TIMEOUT_MS = 5_000;
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 64;

type Lookup = ReturnType<typeof createLocalJWKSet>;

export interface Jwks {
  /** For `jwtVerify`. */
  readonly lookup: JWTVerifyGetKey;
  /** Resolves once there are keys. @throws OST_CONFIG, OST_FILE if there are none to be had. */
  ready(): Promise<void>;
}

/** @param source path of a file, or a URL. @throws OST_CONFIG for a URL that is not allowed; OST_FILE, OST_CONFIG for a file without keys. */
export function openJwks(source: string, options: JwksOptions = {}): Jwks {
  if (!/^[a-z][a-z0-9+.-]+:/i.test(source)) {
    const file = new CredentialFile(source, (text) => lookupOf(text, source), { onFault: options.onFault });
    return { lookup: (header, token) => file.value(header, token), ready: async () => {} };
  }
  return new RemoteJwks(allowedUrl(source, options), options);
}

class RemoteJwks implements Jwks {
  readonly #url: URL;
  readonly #now: () => number;
  readonly #onFault: (error: unknown) => void;
  #keys: { lookup: Lookup; fetchedAt: number } | null = null;
  #triedAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<void> | null = null;

  constructor(url: URL, { now = Date.now, onFault = () => {} }: JwksOptions) {
    this.#url = url;
    this.#now = now;
    this.#onFault = onFault;
  }

  async ready(): Promise<void> {
    if (this.#keys) return;
    await (this.#pending ?? this.#fetch());
  }

  readonly lookup: JWTVerifyGetKey = async (header, token) => {
    const age = this.#now() - (this.#keys?.fetchedAt ?? Number.NEGATIVE_INFINITY);
    if (age > FRESH_MS) {
      const refreshed = this.#refresh();
      if (age > STALE_MS) await refreshed;
    }
    const keys = this.#current();
    try {
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await this.#refresh())) throw error;
      return await this.#current()(header, token);
    }
  };

  #current(): Lookup {
    if (!this.#keys || this.#now() - this.#keys.fetchedAt > STALE_MS) throw new errors.JWKSNoMatchingKey();
    return this.#keys.lookup;
  }

  /** Fetches, or waits for the fetch under way. @returns false where it is too early, or it failed. */
  async #refresh(): Promise<boolean> {
    if (!this.#pending && this.#now() - this.#triedAt < COOLDOWN_MS) return false;
    try {
      await (this.#pending ?? this.#fetch());
      return true;
    } catch {
      return false;
    }
  }

  #fetch(): Promise<void> {
    this.#triedAt = this.#now();
    this.#pending = fetchText(this.#url)
      .then((text) => {
        this.#keys = { lookup: lookupOf(text, this.#url.href), fetchedAt: this.#now() };
      })
      .catch((error) => {
        this.#onFault(error);
        throw error;
      })
      .finally(() => {
        this.#pending = null;
      });
    return this.#pending;
  }
}

/** @throws OST_CONFIG */
function allowedUrl(source: string, { hosts = [], loopbackHttp = false }: JwksOptions): URL {
  const refuse = (what: string, expected: string) =>
    new OstinatoError("OST_CONFIG", {
      what,
      expected,
      got: source,
      where: "jwt.jwks",
      repair: "correct the URL or the list of hosts",
    });
  if (!URL.canParse(source)) throw refuse("the address of the keys is no URL", "https://HOST/PATH or the path of a file");
  const url = new URL(source);
  const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && loopback && loopbackHttp))
    throw refuse("keys are fetched over https only", "https://HOST/PATH");
  if (url.username || url.password) throw refuse("the address of the keys holds a password", "a URL without one");
  if (!hosts.includes(url.host))
    throw refuse("the host of the keys is not in the list of allowed hosts", hosts.join(", ") || "a list");
  return url;
}

/** @throws OST_CONFIG if the answer is late, large, elsewhere, or not 200. */
async function fetchText(url: URL): Promise<string> {
  const failed = (what: string, cause?: unknown) =>
    new OstinatoError(
      "OST_CONFIG",
      { what: `the keys could not be fetched: ${what}`, where: url.href, repair: "see that the address answers with a JWKS" },
      { cause },
    );
  try {
    const response = await fetch(url, {
      redirect: "error",
      headers: { accept: "application/json, application/jwk-set+json" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status !== 200 || !response.body) {
      await response.body?.cancel();
      throw failed(`the answer was ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      // Leaving the loop cancels the body.
      if (size > MAX_BYTES) throw failed(`the answer is larger than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  } catch (error) {
    throw error instanceof OstinatoError
      ? error
      : failed((error as Error).name === "TimeoutError" ? "no answer in time" : "no answer", error);
  }
}

/** Takes public keys only: a secret in the set would make forgers of all who can read it. @throws OST_CONFIG */
function lookupOf(text: string, where: string): Lookup {
  const refuse = (what: string, cause?: unknown) =>
    new OstinatoError("OST_CONFIG", { what, expected: "a JWKS: { keys: [public keys] }", where }, { cause });
  let set: JSONWebKeySet;
  try {
    set = JSON.parse(text);
  } catch (cause) {
    throw refuse("the keys are no JSON", cause);
  }
  if (!Array.isArray(set?.keys) || set.keys.length === 0 || set.keys.length > MAX_KEYS) throw refuse(`not 1 to ${MAX_KEYS} keys`);
  for (const key of set.keys) {
    if (typeof key !== "object" || key === null || !["RSA", "EC", "OKP"].includes(key.kty as string)) continue;
    if ("d" in key) throw refuse("the set holds a private key");
  }
  const keys = set.keys.filter((key) => ["RSA", "EC", "OKP"].includes(key?.kty as string) && key.use !== "enc");
  if (keys.length === 0) throw refuse("the set holds no public key");
  try {
    return createLocalJWKSet({ keys });
  } catch (cause) {
    throw refuse("the keys are no JWKS", cause);
  }
}
