/** @file The file of who may come in: what it says is what the server does, and what it misspells is refused. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createAuthenticator } from "./auth.js";
import { readAuthConfig } from "./auth-config.js";
import { makeKey } from "./credential-key.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-auth-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function written(text: string): string {
  const path = join(folder, "auth.yaml");
  writeFileSync(path, text);
  return path;
}

it("names its files from where it lies", async () => {
  const { text, entry } = makeKey({ tenant: "plant-7", scopes: ["step"] });
  writeFileSync(join(folder, "keys.json"), JSON.stringify([entry]), { mode: 0o600 });
  const config = readAuthConfig(
    written(`
keys: keys.json
jwt: { issuer: https://id.example.org, audience: ostinato, jwks: https://id.example.org/keys, jwksHosts: [id.example.org] }
certificates:
  URI:spiffe://example.org/meter: { tenant: plant-7, scopes: [step, metrics] }
`),
  );
  expect(config).toEqual({
    keys: join(folder, "keys.json"),
    jwt: {
      issuer: "https://id.example.org",
      audience: "ostinato",
      jwks: "https://id.example.org/keys",
      jwksHosts: ["id.example.org"],
    },
    certificates: { "URI:spiffe://example.org/meter": { tenant: "plant-7", scopes: ["step", "metrics"] } },
  });
  const auth = createAuthenticator(config);
  expect(auth.guarded).toBe(true);
  expect(await auth.authenticate({ authorization: `Bearer ${text}` }, {})).toMatchObject({ tenant: "plant-7" });
  expect(readAuthConfig(written("jwt: { issuer: i, audience: a, jwks: jwks.json }")).jwt?.jwks).toBe(join(folder, "jwks.json"));
  expect(createAuthenticator(readAuthConfig(written(""))).guarded).toBe(false);
});

it.each([
  ["a misspelt key", "key: keys.json"],
  ["a symmetric algorithm", "jwt: { issuer: i, audience: a, jwks: j, algorithms: [HS256] }"],
  ["no issuer", "jwt: { audience: a, jwks: j }"],
  ["a tenant with a slash", "certificates: { DNS:a: { tenant: a/b, scopes: [step] } }"],
  ["a scope that is none", "certificates: { DNS:a: { tenant: a, scopes: [root] } }"],
  ["open in words", "open: yes please"],
  ["no YAML", "keys: ["],
  ["a list", "- keys"],
])("refuses %s", (_name, text) => {
  expect(() => readAuthConfig(written(text))).toThrow(expect.objectContaining({ code: "OST_CONFIG" }));
});

it("refuses a file that is not there", () => {
  expect(() => readAuthConfig(join(folder, "absent.yaml"))).toThrow(expect.objectContaining({ code: "OST_FILE" }));
});
