/** @file The keys of an identity provider: fetched from where it is allowed, within bounds, seldom, and kept while they cannot be fetched. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { COOLDOWN_MS, openJwks } from "./credential-jwks.js";
import { type TokenConfig, Tokens } from "./credential-token.js";

type Pair = Awaited<ReturnType<typeof generateKeyPair>>;

let first: Pair;
let second: Pair;
let folder: string;
let server: Server;
let host: string;
let answer: RequestListener;
let asked = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-jwks-"));
  [first, second] = await Promise.all([
    generateKeyPair("ES256", { extractable: true }),
    generateKeyPair("ES256", { extractable: true }),
  ]);
  server = createServer((request, response) => {
    asked++;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  asked = 0;
});

const jwks = async (pairs: Record<string, Pair>) =>
  JSON.stringify({
    keys: await Promise.all(
      Object.entries(pairs).map(async ([kid, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid, alg: "ES256" })),
    ),
  });
const sending =
  (text: string): RequestListener =>
  (_request, response) =>
    void response.end(text);
const config = (change: Partial<TokenConfig> = {}): TokenConfig => ({
  issuer: "https://id.example.org",
  audience: "ostinato",
  jwks: `http://${host}/keys`,
  jwksHosts: [host],
  jwksLoopbackHttp: true,
  ...change,
});
const sign = (pair: Pair, kid: string, now = Date.now()) =>
  new SignJWT({ tenant: "plant-7", scope: "step" })
    .setProtectedHeader({ alg: "ES256", kid })
    .setIssuer("https://id.example.org")
    .setAudience("ostinato")
    .setSubject("meter")
    .setExpirationTime(Math.floor(now / 1000) + 60)
    .sign(pair.privateKey);
const refused = { code: "OST_CREDENTIAL" };

describe("keys from an address", () => {
  it("are fetched once for many tokens, and again for a new kid, but not for each", async () => {
    let time = Date.now();
    answer = sending(await jwks({ a: first }));
    const tokens = new Tokens(config(), { now: () => time });
    await tokens.ready();
    await Promise.all(Array.from({ length: 20 }, async () => tokens.identify(await sign(first, "a"))));
    expect(asked).toBe(1);
    answer = sending(await jwks({ a: first, b: second }));
    await expect(tokens.identify(await sign(second, "b"))).rejects.toMatchObject(refused);
    expect(asked).toBe(1);
    time += COOLDOWN_MS;
    const tries = await Promise.all(Array.from({ length: 20 }, async () => tokens.identify(await sign(second, "b"))));
    expect(tries[0].principal).toMatchObject({ tenant: "plant-7", subject: "jwt:meter" });
    for (let i = 0; i < 20; i++) await expect(tokens.identify(await sign(second, `unknown-${i}`))).rejects.toMatchObject(refused);
    expect(asked).toBe(2);
  });

  it("are taken away with the next set, and stay for a day where none comes", async () => {
    let time = Date.now();
    const faults: unknown[] = [];
    answer = sending(await jwks({ a: first, b: second }));
    const tokens = new Tokens(config(), { now: () => time, onFault: (error) => faults.push(error) });
    await tokens.identify(await sign(first, "a", time));
    answer = sending(await jwks({ b: second }));
    time += 11 * 60_000;
    // Good while the new set is on its way.
    await tokens.identify(await sign(first, "a", time));
    await new Promise((resolve) => setTimeout(resolve, 200));
    await expect(tokens.identify(await sign(first, "a", time))).rejects.toMatchObject(refused);
    answer = (_request, response) => void response.writeHead(503).end();
    time += 23 * 3600_000;
    await tokens.identify(await sign(second, "b", time));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(faults).toEqual([expect.objectContaining({ code: "OST_CONFIG" })]);
    time += 3600_001;
    await expect(tokens.identify(await sign(second, "b", time))).rejects.toMatchObject(refused);
  });

  it.each<[string, () => Promise<RequestListener>]>([
    ["an error", async () => (_request, response) => void response.writeHead(500).end("{}")],
    ["a page", async () => sending("<html></html>")],
    ["no keys", async () => sending('{"keys":[]}')],
    ["no object", async () => sending("null")],
    ["null keys", async () => sending('{"keys":[null,1]}')],
    ["a shared secret only", async () => sending('{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a"}]}')],
    ["a private key", async () => sending(JSON.stringify({ keys: [await exportJWK(first.privateKey)] }))],
    [
      "too much",
      async () => {
        const text = await jwks({ a: first });
        return sending(text + " ".repeat(300 * 1024));
      },
    ],
    [
      "a redirection elsewhere",
      async () => {
        const text = await jwks({ a: first });
        return (request, response) => {
          if (request.url === "/else") response.end(text);
          else response.writeHead(302, { location: "/else" }).end();
        };
      },
    ],
  ])("are refused: %s", async (_name, make) => {
    answer = await make();
    const tokens = new Tokens(config());
    await expect(tokens.ready()).rejects.toMatchObject({ code: "OST_CONFIG" });
    await expect(tokens.identify(await sign(first, "a"))).rejects.toMatchObject(refused);
    expect(asked).toBe(1);
  });

  it("are given up where they do not come in time", async () => {
    answer = (_request, response) => void response.write("{");
    const began = performance.now();
    await expect(new Tokens(config()).ready()).rejects.toMatchObject({
      code: "OST_CONFIG",
      message: expect.stringContaining("in time"),
    });
    expect(performance.now() - began).toBeLessThan(8000);
  });
});

it.each([
  ["http", { jwks: "http://id.example.org/keys", jwksHosts: ["id.example.org"] }],
  ["http to this machine, not permitted", { jwksLoopbackHttp: false }],
  ["http elsewhere, though permitted here", { jwks: "http://id.example.org/keys", jwksHosts: ["id.example.org"] }],
  ["a host that is not in the list", { jwks: "https://id.example.org/keys", jwksHosts: ["example.org"] }],
  ["another port", { jwks: "https://id.example.org:444/keys", jwksHosts: ["id.example.org"] }],
  ["no list", { jwks: "https://id.example.org/keys", jwksHosts: undefined }],
  ["a password", { jwks: "https://me:secret@id.example.org/keys", jwksHosts: ["id.example.org"] }],
  ["a file URL", { jwks: "file:///etc/keys", jwksHosts: [""] }],
  ["data", { jwks: "data:application/json,{}", jwksHosts: [""] }],
  ["HS256", { algorithms: ["RS256", "HS256"] }],
  ["none", { algorithms: ["none"] }],
  ["no algorithm", { algorithms: [] }],
  ["a leeway of a day", { leewaySeconds: 86400 }],
  ["no issuer", { issuer: "" }],
  ["no audience", { audience: undefined }],
])("a configuration is refused with %s", (_name, change) => {
  expect(() => new Tokens(config(change as Partial<TokenConfig>))).toThrow(expect.objectContaining({ code: "OST_CONFIG" }));
});

it("keys in a file are read anew when the file changes", async () => {
  const path = join(folder, "jwks.json");
  writeFileSync(path, await jwks({ a: first }), { mode: 0o600 });
  const source = openJwks(path);
  await source.ready();
  const tokens = new Tokens(config({ jwks: path }));
  await tokens.identify(await sign(first, "a"));
  writeFileSync(path, await jwks({ a: second }));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await expect(tokens.identify(await sign(first, "a"))).rejects.toMatchObject(refused);
  await tokens.identify(await sign(second, "a"));
  expect(() => openJwks(join(folder, "absent.json"))).toThrow(expect.objectContaining({ code: "OST_FILE" }));
});

it("a token's clock may differ by the leeway and no more", async () => {
  const path = join(folder, "leeway.json");
  writeFileSync(path, await jwks({ a: first }), { mode: 0o600 });
  const issued = Date.now();
  let time = issued;
  const tokens = new Tokens(config({ jwks: path, leewaySeconds: 10 }), { now: () => time });
  const token = await sign(first, "a", issued);
  time = issued + 69_000;
  await tokens.identify(token);
  time = issued + 71_000;
  await expect(tokens.identify(token)).rejects.toMatchObject({ ...refused, fault: "expired" });
});
