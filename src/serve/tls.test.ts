/** @file TLS files that fit, those that do not, real connections with client certificates, and which addresses may be listened on. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuthConfig, createAuthenticator, type Peer } from "./auth.js";
import { isLoopback } from "./loopback.js";
import { checkBind, peerOf, type TlsConfig, tlsOptions } from "./tls.js";

const openssl = spawnSync("openssl", ["version"]).status === 0;
if (!openssl) console.warn("SKIPPED: tests of TLS with real certificates, because openssl is not on this machine");

describe("where a server may listen", () => {
  const guarded: AuthConfig = { keys: "keys.json" };

  it("is this machine, always", () => {
    for (const host of ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]", "::ffff:127.0.0.1", "/run/ostinato.sock"])
      checkBind({ host, auth: {}, tls: false });
  });

  it.each(["0.0.0.0", "::", "10.0.0.7", "example.org", "127.0.0.1.example.org", "2130706433", "0x7f.1", "", "::ffff:10.0.0.7"])(
    "is not %j without TLS and known credentials, and the error says which is missing",
    (host) => {
      const refusal = (bind: { auth: AuthConfig; tls: boolean }) => {
        try {
          checkBind({ host, ...bind });
        } catch (error) {
          expect(error).toMatchObject({ code: "OST_USAGE" });
          return (error as Error).message;
        }
        throw new Error("it was permitted");
      };
      expect(isLoopback(host)).toBe(false);
      expect(refusal({ auth: {}, tls: false })).toMatch(/--tls-cert.*--keys/);
      expect(refusal({ auth: guarded, tls: false })).toMatch(/--tls-cert/);
      expect(refusal({ auth: guarded, tls: false })).not.toMatch(/--keys/);
      expect(refusal({ auth: { ...guarded, open: true }, tls: true })).toMatch(/--keys/);
      expect(refusal({ auth: { open: "anywhere" }, tls: true })).not.toMatch(/--tls-cert/);
      checkBind({ host, auth: guarded, tls: true });
      checkBind({ host, auth: {}, tls: false, insecure: true });
    },
  );
});

describe.skipIf(!openssl)("TLS", () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  const run = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const authority = (name: string) =>
    run(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.pem`,
      "-subj",
      `/CN=${name}`,
      "-days",
      "2",
    );
  const issue = (name: string, ca: string, names: string) => {
    run(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`,
    );
    writeFileSync(path(`${name}.ext`), `subjectAltName=${names}\n`);
    run(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      `${ca}.pem`,
      "-CAkey",
      `${ca}.key`,
      "-CAcreateserial",
      "-days",
      "1",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.pem`,
    );
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ostinato-tls-"));
    for (const name of ["ca", "strange-ca"]) authority(name);
    issue("server", "ca", "DNS:localhost,IP:127.0.0.1");
    issue("meter", "ca", "URI:spiffe://example.org/meter,DNS:meter.example.org");
    issue("nameless", "ca", "DNS:unknown.example.org");
    issue("forger", "strange-ca", "URI:spiffe://example.org/meter,DNS:meter.example.org");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const files = (): TlsConfig => ({ cert: path("server.pem"), key: path("server.key") });

  it("takes a certificate and its key", () => {
    expect(tlsOptions(files())).toMatchObject({ minVersion: "TLSv1.2", cert: expect.any(Buffer), key: expect.any(Buffer) });
    expect(tlsOptions({ ...files(), clientCa: path("ca.pem") })).toMatchObject({ requestCert: true, rejectUnauthorized: true });
  });

  it.each([
    ["a certificate that is absent", "OST_FILE", () => ({ cert: path("absent.pem") }), /tls.cert/],
    ["a key that is absent", "OST_FILE", () => ({ key: path("absent.key") }), /tls.key/],
    ["a folder for an authority", "OST_FILE", () => ({ clientCa: folder }), /tls.clientCa/],
    ["a certificate that is a key", "OST_CONFIG", () => ({ cert: path("server.key") }), /a certificate in PEM/],
    ["a key that is a certificate", "OST_CONFIG", () => ({ key: path("server.pem") }), /a private key in PEM/],
    ["the key of another certificate", "OST_CONFIG", () => ({ key: path("meter.key") }), /does not belong/],
    ["an authority that is none", "OST_CONFIG", () => ({ clientCa: path("ca.key") }), /certificates in PEM/],
  ] as [string, string, () => Partial<TlsConfig>, RegExp][])("refuses %s", (_name, code, change, text) => {
    expect(() => tlsOptions({ ...files(), ...change() })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(text) }),
    );
  });

  it("refuses a certificate out of its time", () => {
    for (const days of [-5, 400])
      expect(() => tlsOptions(files(), { now: () => Date.now() + days * 86_400_000 })).toThrow(
        expect.objectContaining({ code: "OST_CONFIG" }),
      );
  });

  it("lets in a client whose certificate the authority signed and the configuration names, and no other", async () => {
    const auth = createAuthenticator({
      certificates: { "URI:spiffe://example.org/meter": { tenant: "plant-7", scopes: ["step"] } },
    });
    const server = createServer({ ...tlsOptions({ ...files(), clientCa: path("ca.pem"), clientRequired: false }) });
    const peers: Peer[] = [];
    server.on("secureConnection", (socket: TLSSocket) => {
      peers.push(peerOf(socket));
      socket.end("seen");
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const visit = async (name: string | null): Promise<Peer> => {
      const own = name === null ? {} : { cert: readFileSync(path(`${name}.pem`)), key: readFileSync(path(`${name}.key`)) };
      await new Promise<void>((resolve, reject) => {
        const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ca: readFileSync(path("ca.pem")), ...own });
        socket
          .on("data", () => {})
          .on("close", () => resolve())
          .on("error", reject);
      });
      return peers.pop() as Peer;
    };
    try {
      const meter = await visit("meter");
      expect(meter.certificate).toMatchObject({ authorized: true });
      expect(await auth.authenticate({}, meter)).toMatchObject({
        tenant: "plant-7",
        subject: "cert:URI:spiffe://example.org/meter",
      });
      const forger = await visit("forger");
      expect(forger.certificate).toMatchObject({ authorized: false, subjectaltname: meter.certificate?.subjectaltname });
      for (const peer of [forger, await visit("nameless"), await visit(null)])
        await expect(auth.authenticate({}, peer)).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
    } finally {
      server.close();
    }
  });
});
