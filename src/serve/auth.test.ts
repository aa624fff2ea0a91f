/** @file Who comes in: every wrong credential is refused with one text, every right one reaches its own tenant with its own scopes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Credentials, makeCredentials, OTHER_TENANT, TENANT } from "../../test/support/credentials.js";
import { type AuthConfig, createAuthenticator, isGuarded, requireScope } from "./auth.js";
import type { CredentialFault } from "./credential.js";
import { ownerOf } from "./owner.js";
import { SCOPES } from "./principal.js";

let credentials: Credentials;
let folder: string;
beforeAll(async () => {
  credentials = await makeCredentials();
  folder = mkdtempSync(join(tmpdir(), "ostinato-auth-"));
});
afterAll(() => {
  credentials.remove();
  rmSync(folder, { recursive: true, force: true });
});

const LOCAL = { remoteAddress: "127.0.0.1" };

describe("known credentials", () => {
  it("bring their tenant, their name and their scopes", async () => {
    const auth = createAuthenticator(credentials.config);
    expect(auth.guarded).toBe(true);
    const byKey = await auth.authenticate(credentials.key, LOCAL);
    expect(byKey).toMatchObject({ tenant: TENANT, subject: expect.stringMatching(/^key:[0-9a-f]{12}$/) });
    expect([...byKey.scopes].sort()).toEqual([...SCOPES].sort());
    const byToken = await auth.authenticate(credentials.token, LOCAL);
    expect(byToken).toMatchObject({ tenant: TENANT, subject: "jwt:meter-17" });
    expect([...byToken.scopes].sort()).toEqual([...SCOPES].sort());
    for (const foreign of credentials.foreign) expect((await auth.authenticate(foreign, LOCAL)).tenant).toBe(OTHER_TENANT);
  });

  it("are refused in every wrong form, with one text, and the observer hears why", async () => {
    const heard: CredentialFault[] = [];
    const auth = createAuthenticator(credentials.config, { observer: { authFailure: (fault) => heard.push(fault) } });
    const texts = new Set<string>();
    expect(credentials.wrong.length).toBeGreaterThan(30);
    for (const { name, fault, authorization } of credentials.wrong) {
      const error = await auth.authenticate({ authorization }, LOCAL).catch((error) => error);
      expect(error?.code, name).toBe("OST_CREDENTIAL");
      expect(heard.pop(), name).toBe(fault);
      if (fault !== "missing") texts.add(error.message);
    }
    expect(texts.size).toBe(1);
  });

  it("are refused in every wrong form where open keys are taken too, but for texts that claim to be neither key nor token", async () => {
    const auth = createAuthenticator({ ...credentials.config, open: true });
    expect(auth.guarded).toBe(false);
    const came: string[] = [];
    for (const { name, authorization } of credentials.wrong)
      await auth.authenticate({ authorization }, LOCAL).then(
        () => came.push(name),
        () => {},
      );
    expect(came).toEqual(["garbage", "the hash of a key for the key"]);
  });

  it("give no scope that they do not name, and requireScope says which is missing", async () => {
    const auth = createAuthenticator(credentials.config);
    for (const scope of SCOPES) {
      for (const credential of await credentials.without(scope)) {
        await new Promise((resolve) => setTimeout(resolve, 260));
        const principal = await auth.authenticate(credential, LOCAL);
        for (const other of SCOPES.filter((one) => one !== scope)) requireScope(principal, other);
        expect(() => requireScope(principal, scope)).toThrow(expect.objectContaining({ code: "OST_SCOPE" }));
        expect(() => requireScope(principal, scope)).toThrow(scope);
      }
    }
  });
});

describe("open keys", () => {
  it("are tenants of their own, and may do all but change models", async () => {
    const auth = createAuthenticator();
    expect(auth.guarded).toBe(false);
    const principal = await auth.authenticate({ authorization: "bearer my-key" }, LOCAL);
    expect(principal).toMatchObject({ tenant: ownerOf("my-key"), subject: ownerOf("my-key").slice(0, 12) });
    expect(SCOPES.filter((scope) => !principal.scopes.has(scope))).toEqual(["model:admin"]);
    await expect(auth.authenticate({ authorization: `Bearer ${"k".repeat(513)}` }, LOCAL)).rejects.toMatchObject({
      code: "OST_CREDENTIAL",
    });
    await auth.authenticate({ authorization: `Bearer ${"k".repeat(512)}` }, { local: true });
  });

  it("come from this machine only, unless anywhere is said", async () => {
    const header = { authorization: "Bearer my-key" };
    const [near, anywhere] = [createAuthenticator({ open: true }), createAuthenticator({ open: "anywhere" })];
    for (const remoteAddress of ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"])
      await near.authenticate(header, { remoteAddress });
    for (const remoteAddress of ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1", "0.0.0.0", "", "2130706433"]) {
      await expect(near.authenticate(header, { remoteAddress }), remoteAddress).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
      await anywhere.authenticate(header, { remoteAddress });
    }
    // A connection that is gone does not say where it came from.
    await expect(near.authenticate(header, {})).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
  });

  it("cannot be taken for a tenant that another credential names", async () => {
    const tenant = ownerOf("victim");
    const path = join(folder, "hex.json");
    writeFileSync(path, JSON.stringify([{ id: "a", sha256: "0".repeat(64), tenant, scopes: ["step"] }]), { mode: 0o600 });
    expect(() => createAuthenticator({ keys: path })).toThrow(expect.objectContaining({ code: "OST_CONFIG" }));
    const auth = createAuthenticator({ ...credentials.config, open: true });
    const authorization = `Bearer ${await credentials.sign({ tenant })}`;
    await expect(auth.authenticate({ authorization }, LOCAL)).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
  });
});

describe("a credential that ends while its connection lives", () => {
  it("is found by recheck: expired key, revoked key, narrowed key, expired token", async () => {
    let time = Date.now();
    const auth = createAuthenticator(credentials.config, { now: () => time });
    const kept = credentials.addKey(["step"]);
    const short = credentials.addKey(["step"], { expires: time + 5000 });
    const revoked = credentials.addKey(["step"]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const [keptOne, shortOne, revokedOne] = await Promise.all([kept, short, revoked].map((one) => auth.authenticate(one, LOCAL)));
    const token = await auth.authenticate(credentials.token, LOCAL);
    expect(auth.expires(shortOne)).toBe(time + 5000);
    expect(auth.expires(keptOne)).toBe(Number.POSITIVE_INFINITY);
    for (const one of [keptOne, shortOne, revokedOne, token]) auth.recheck(one);
    credentials.revoke(revoked);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(() => auth.recheck(revokedOne)).toThrow(expect.objectContaining({ code: "OST_CREDENTIAL", fault: "unknown" }));
    time += 5000;
    expect(() => auth.recheck(shortOne)).toThrow(expect.objectContaining({ fault: "expired" }));
    auth.recheck(token);
    time += 700_000;
    expect(() => auth.recheck(token)).toThrow(expect.objectContaining({ fault: "expired" }));
    auth.recheck(keptOne);
    expect(() => auth.recheck({ ...keptOne })).toThrow(expect.objectContaining({ code: "OST_CREDENTIAL" }));
  });
});

describe("certificates", () => {
  const certificates: AuthConfig["certificates"] = {
    "URI:spiffe://example.org/meter": { tenant: TENANT, scopes: ["step"] },
    "DNS:gateway.example.org": { tenant: TENANT, scopes: ["state:read"] },
    "DNS:other.example.org": { tenant: OTHER_TENANT, scopes: ["step"] },
  };
  const valid_to = new Date(Date.now() + 3600_000).toUTCString();
  const peer = (subjectaltname: string, more = {}) => ({
    remoteAddress: "10.0.0.7",
    certificate: { authorized: true, subjectaltname, valid_to, ...more },
  });

  it("stand for what their names are mapped to", async () => {
    const auth = createAuthenticator({ certificates });
    const principal = await auth.authenticate({}, peer("DNS:unknown.example.org, URI:spiffe://example.org/meter"));
    expect(principal).toEqual({ tenant: TENANT, subject: "cert:URI:spiffe://example.org/meter", scopes: new Set(["step"]) });
    const both = await auth.authenticate({}, peer("DNS:GATEWAY.example.org, URI:spiffe://example.org/meter"));
    expect([...both.scopes].sort()).toEqual(["state:read", "step"]);
  });

  it.each([
    ["not verified by TLS", peer("DNS:gateway.example.org", { authorized: false })],
    ["verified in words only", peer("DNS:gateway.example.org", { authorized: "true" })],
    ["unknown", peer("DNS:unknown.example.org")],
    ["without names", peer("")],
    ["of two tenants", peer("DNS:gateway.example.org, DNS:other.example.org")],
    ["a wildcard", peer("DNS:*.example.org")],
    ["a name within a quoted name", peer('DNS:"evil.example.org, DNS:gateway.example.org"')],
    ["a name within an unclosed quote", peer('DNS:gateway.example.org, DNS:"evil')],
    ["a name of another kind", peer("email:gateway.example.org")],
    ["a URI in other letters", peer("URI:SPIFFE://example.org/meter")],
    ["expired since the handshake", peer("DNS:gateway.example.org", { valid_to: new Date(Date.now() - 1000).toUTCString() })],
    ["with a date that is none", peer("DNS:gateway.example.org", { valid_to: "soon" })],
  ])("are refused: %s", async (_name, from) => {
    await expect(createAuthenticator({ certificates }).authenticate({}, from)).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
  });

  it("and a bearer key must agree on the tenant; a refused key is not saved by a certificate", async () => {
    const auth = createAuthenticator({ ...credentials.config, certificates });
    expect((await auth.authenticate(credentials.key, peer("DNS:gateway.example.org"))).subject).toMatch(/^key:/);
    const refused = [...credentials.foreign, ...credentials.wrong.filter(({ fault }) => fault !== "missing")];
    for (const { authorization, name } of refused)
      await expect(auth.authenticate({ authorization }, peer("DNS:gateway.example.org")), name).rejects.toMatchObject({
        code: "OST_CREDENTIAL",
      });
  });

  it.each([
    ["a wildcard", { "DNS:*.example.org": { tenant: "a", scopes: ["step"] } }],
    ["another kind of name", { "CN:a": { tenant: "a", scopes: ["step"] } }],
    ["no tenant", { "DNS:a": { tenant: "", scopes: ["step"] } }],
    ["no scope", { "DNS:a": { tenant: "a", scopes: [] } }],
    ["an unknown scope", { "DNS:a": { tenant: "a", scopes: ["root"] } }],
  ])("cannot be configured with %s", (_name, wrong) => {
    expect(() => createAuthenticator({ certificates: wrong as unknown as AuthConfig["certificates"] })).toThrow(
      expect.objectContaining({ code: "OST_CONFIG" }),
    );
  });
});

it("a configuration is guarded exactly where only known credentials come in", () => {
  expect(
    [{}, { open: true }, { keys: "k", open: true }, { keys: "k" }, { certificates: {} }].map((config) =>
      isGuarded(config as AuthConfig),
    ),
  ).toEqual([false, false, false, true, true]);
  expect(() => createAuthenticator({ open: false })).toThrow(expect.objectContaining({ code: "OST_CONFIG" }));
});
