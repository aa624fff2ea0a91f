/**
 * @file Real credentials of every kind that a server takes, and every wrong one that it must refuse: keys with their file, tokens with their
 * signatures, made anew in each run.
 */
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import type { AuthConfig } from "../../src/serve/auth.js";
import type { CredentialFault } from "../../src/serve/credential.js";
import { type KeyEntry, makeKey } from "../../src/serve/credential-key.js";
import { SCOPES, type Scope } from "../../src/serve/principal.js";

/** A request's `Authorization`, absent where it is undefined. */
export interface Credential {
  name: string;
  authorization: string | undefined;
}

export interface WrongCredential extends Credential {
  /** What an observer is to be told. */
  fault: CredentialFault;
}

export interface Credentials {
  /** Keys and tokens together. */
  config: AuthConfig;
  /** Of the tenant {@link TENANT}, every scope. */
  key: Credential;
  token: Credential;
  /** Of another tenant, every scope: they come in, and find nothing. */
  foreign: readonly Credential[];
  /** Of {@link TENANT}, every scope but this one. */
  without(scope: Scope): Promise<readonly Credential[]>;
  /** A key of {@link TENANT}. It is in the file at once; a server that looked before sees it after its next look. */
  addKey(scopes: readonly Scope[], options?: { expires?: number; creatorOnly?: boolean }): Credential;
  /** Takes a key out of the file. */
  revoke(key: Credential): void;
  /** A token signed as the provider would. */
  sign(claims: JWTPayload, options?: { expires?: string | number; kid?: string }): Promise<string>;
  /** None of these comes in. */
  wrong: readonly WrongCredential[];
  remove(): void;
}

export const TENANT = "plant-7";
export const OTHER_TENANT = "plant-8";
const ISSUER = "https://id.example.org";
const AUDIENCE = "ostinato";

export async function makeCredentials(): Promise<Credentials> {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-credentials-"));
  const keysPath = join(folder, "keys.json");
  const jwksPath = join(folder, "jwks.json");
  const entries: KeyEntry[] = [];
  const writeKeys = () => writeFileSync(keysPath, JSON.stringify(entries, null, 2), { mode: 0o600 });
  const addKey = (tenant: string, scopes: readonly Scope[], options: { expires?: number; creatorOnly?: boolean } = {}) => {
    const { text, entry } = makeKey({ tenant, scopes, ...options });
    entries.push(entry);
    writeKeys();
    return { name: `key ${scopes.join(",")}`, authorization: `Bearer ${text}` };
  };
  const revoke = ({ authorization = "" }: Credential) => {
    const id = authorization.split("_")[1];
    entries.splice(
      entries.findIndex((entry) => entry.id === id),
      1,
    );
    writeKeys();
  };

  const rsa = await generateKeyPair("RS256", { extractable: true });
  const ec = await generateKeyPair("ES256", { extractable: true });
  const stranger = await generateKeyPair("RS256", { extractable: true });
  const rsaJwk = { ...(await exportJWK(rsa.publicKey)), kid: "rsa-1", use: "sig" };
  const jwks = { keys: [rsaJwk, { ...(await exportJWK(ec.publicKey)), kid: "ec-1", use: "sig", alg: "ES256" }] };
  writeFileSync(jwksPath, JSON.stringify(jwks), { mode: 0o600 });
  const publicPem = await exportSPKI(rsa.publicKey);

  const claims = (tenant: string, scopes: readonly Scope[] = SCOPES): JWTPayload => ({
    sub: "meter-17",
    iss: ISSUER,
    aud: AUDIENCE,
    tenant,
    scope: ["openid", ...scopes].join(" "),
  });
  const sign = (payload: JWTPayload, { expires = "10m" as string | number, kid = "rsa-1", key = rsa.privateKey } = {}) =>
    new SignJWT(payload).setProtectedHeader({ alg: "RS256", kid }).setIssuedAt().setExpirationTime(expires).sign(key);
  const bearer = (name: string, token: string): Credential => ({ name, authorization: `Bearer ${token}` });

  const key = { ...addKey(TENANT, SCOPES), name: "key" };
  const foreignKey = { ...addKey(OTHER_TENANT, SCOPES), name: "key of another tenant" };
  const expiredKey = addKey(TENANT, SCOPES, { expires: Date.now() - 1000 });
  const revokedKey = addKey(TENANT, SCOPES);
  revoke(revokedKey);
  const good = await sign(claims(TENANT));
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 600;
  const unsigned = (alg: string) => `${encode({ alg, typ: "JWT" })}.${encode({ ...claims(TENANT), exp })}.`;
  /** A token whose signature is an HMAC with a secret that everybody knows: the public key. */
  const confused = (secret: string, kid?: string) => {
    const signed = `${encode({ alg: "HS256", typ: "JWT", kid })}.${encode({ ...claims(TENANT), exp })}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  };
  // The secret that a verifier would read if it took a `kid` for a path.
  mkdirSync(join(folder, "keys"));
  writeFileSync(join(folder, "keys", "empty"), "");
  const [head, body, signature] = good.split(".");
  const otherTenantBody = encode({ ...JSON.parse(Buffer.from(body, "base64url").toString()), tenant: OTHER_TENANT });
  const noExpiry = await new SignJWT(claims(TENANT)).setProtectedHeader({ alg: "RS256", kid: "rsa-1" }).sign(rsa.privateKey);
  const notYet = await new SignJWT({ ...claims(TENANT), exp, nbf: exp - 60 })
    .setProtectedHeader({ alg: "RS256", kid: "rsa-1" })
    .sign(rsa.privateKey);
  const embedded = await new SignJWT({ ...claims(TENANT), exp })
    .setProtectedHeader({ alg: "RS256", jwk: await exportJWK(stranger.publicKey), jku: "http://127.0.0.1:9/keys" })
    .sign(stranger.privateKey);
  const keyText = (key.authorization as string).slice("Bearer ".length);
  const last = keyText.at(-1) === "A" ? "B" : "A";

  const wrong = (name: string, text: string | undefined, fault: CredentialFault): WrongCredential => ({
    name,
    authorization: text === undefined ? undefined : `Bearer ${text}`,
    fault,
  });
  return {
    config: { keys: keysPath, jwt: { issuer: ISSUER, audience: AUDIENCE, jwks: jwksPath } },
    key,
    token: bearer("token", good),
    foreign: [foreignKey, bearer("token of another tenant", await sign(claims(OTHER_TENANT)))],
    without: async (scope) => {
      const scopes = SCOPES.filter((one) => one !== scope);
      return [
        { ...addKey(TENANT, scopes), name: `key without ${scope}` },
        bearer(`token without ${scope}`, await sign(claims(TENANT, scopes))),
      ];
    },
    addKey: (scopes, options) => addKey(TENANT, scopes, options),
    revoke,
    sign: (payload, options) => sign({ ...claims(TENANT), ...payload }, options),
    wrong: [
      wrong("none", undefined, "missing"),
      { name: "an empty header", authorization: "", fault: "missing" },
      { name: "basic", authorization: `Basic ${Buffer.from("admin:admin").toString("base64")}`, fault: "other" },
      { name: "bearer without a key", authorization: "Bearer ", fault: "other" },
      { name: "two keys", authorization: `Bearer ${keyText} ${keyText}`, fault: "other" },
      wrong("garbage", "garbage", "unknown"),
      wrong("garbage of dots", "a.b.c", "signature"),
      wrong("a key of an unknown id", `ost_000000000000_${"A".repeat(43)}`, "unknown"),
      wrong("a known id with another secret", `${keyText.slice(0, 17)}${"A".repeat(43)}`, "unknown"),
      wrong("a key with its last letter changed", keyText.slice(0, -1) + last, "unknown"),
      wrong("a key cut short", keyText.slice(0, -1), "unknown"),
      wrong("the hash of a key for the key", entries[0].sha256, "unknown"),
      { ...expiredKey, name: "an expired key", fault: "expired" },
      { ...revokedKey, name: "a revoked key", fault: "unknown" },
      wrong("an expired token", await sign(claims(TENANT), { expires: exp - 3600 }), "expired"),
      wrong("a token without expiry", noExpiry, "other"),
      wrong("a token of later", notYet, "other"),
      wrong("alg none", unsigned("none"), "signature"),
      wrong("alg None", unsigned("None"), "signature"),
      wrong("a signature cut off", `${head}.${body}.`, "signature"),
      wrong("another tenant under the old signature", `${head}.${otherTenantBody}.${signature}`, "signature"),
      wrong("HS256 with the public key in PEM", confused(publicPem), "signature"),
      wrong("HS256 with the public key in PEM, trimmed", confused(publicPem.trim(), "rsa-1"), "signature"),
      wrong("HS256 with the modulus", confused(String(rsaJwk.n), "rsa-1"), "signature"),
      wrong("HS256 with nothing, kid of an empty file", confused("", "../../../../../../dev/null"), "signature"),
      wrong("kid traversal", await sign(claims(TENANT), { kid: "../../jwks.json", key: stranger.privateKey }), "unknown"),
      wrong("kid of a URL", await sign(claims(TENANT), { kid: "http://127.0.0.1:9/keys", key: stranger.privateKey }), "unknown"),
      wrong("a stranger's signature under a known kid", await sign(claims(TENANT), { key: stranger.privateKey }), "signature"),
      wrong("a key that the token brings along", embedded, "signature"),
      wrong("another issuer", await sign({ ...claims(TENANT), iss: `${ISSUER}/` }), "other"),
      wrong("another audience", await sign({ ...claims(TENANT), aud: "ostinato-test" }), "other"),
      wrong("no tenant", await sign({ ...claims(TENANT), tenant: undefined }), "other"),
      wrong("a list of tenants", await sign({ ...claims(TENANT), tenant: [TENANT] }), "other"),
      wrong("a tenant with a separator", await sign({ ...claims(TENANT), tenant: `${OTHER_TENANT}\nload` }), "other"),
      wrong("no subject", await sign({ ...claims(TENANT), sub: undefined }), "other"),
    ],
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
