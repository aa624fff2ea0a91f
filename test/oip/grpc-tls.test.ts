/** gRPC over TLS, with certificates that openssl makes anew: whom the server believes, and what it tells of them. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Peer } from "../../src/serve/auth.js";
import { SCOPES } from "../../src/serve/principal.js";
import { tlsOptions } from "../../src/serve/tls.js";
import { call, inferencePackage, inferRequest, openStream, outputOf } from "./grpc-client.js";
import { replay } from "./replay.js";
import { openStack, type Stack } from "./stack.js";

const isThere = spawnSync("openssl", ["version"]).status === 0;
if (!isThere) console.warn("SKIPPED: gRPC over TLS is not tested: there is no openssl");

describe.skipIf(!isThere)("TLS", () => {
  let folder: string;
  let stack: Stack;
  let peers: Peer[] = [];
  const at = (name: string) => join(folder, name);

  /** A certificate signed by "ca", or by itself. */
  function certify(name: string, { san, self = false }: { san: string; self?: boolean }): void {
    const run = (...args: string[]) => execFileSync("openssl", args, { stdio: "ignore" });
    writeFileSync(at(`${name}.ext`), `subjectAltName=${san}\n`);
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", at(`${name}.key`)];
    if (self) {
      run("req", "-x509", ...key, "-out", at(`${name}.pem`), "-days", "2", "-subj", `/CN=${name}`);
      return;
    }
    run("req", ...key, "-out", at(`${name}.csr`), "-subj", `/CN=${name}`);
    const signer = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", at(`${name}.ext`)];
    run("x509", "-req", "-in", at(`${name}.csr`), ...signer, "-out", at(`${name}.pem`));
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "oip-tls-"));
    certify("ca", { san: "DNS:ca", self: true });
    certify("server", { san: "IP:127.0.0.1" });
    certify("device", { san: "DNS:device-7.example" });
    certify("stranger", { san: "DNS:device-7.example", self: true });
    const tls = tlsOptions({ cert: at("server.pem"), key: at("server.key"), clientCa: at("ca.pem") });
    const authenticate = async (_headers: { authorization?: string }, peer: Peer) => {
      peers.push(peer);
      return { tenant: "acme", subject: "device", scopes: new Set(SCOPES) };
    };
    stack = await openStack({ grpc: { tls, authenticate } });
  });

  afterAll(async () => {
    await stack?.close();
    rmSync(folder, { recursive: true });
  });

  const pem = (name: string) => readFileSync(at(name));
  const client = (name?: string) =>
    new inferencePackage.GRPCInferenceService(
      stack.grpcAddress,
      name === undefined
        ? credentials.createSsl(pem("ca.pem"))
        : credentials.createSsl(pem("ca.pem"), pem(`${name}.key`), pem(`${name}.pem`)),
    );

  it("serves clients whose certificate it believes, and tells which", async () => {
    peers = [];
    const device = client("device");
    expect(outputOf(await call(device, "ModelInfer", inferRequest([1])))).toEqual(replay([1]));
    const { write, until, answers, stream } = openStream(device);
    write(inferRequest([1], { sequence: "s", start: true, end: true }));
    await until(1);
    stream.end();
    expect(outputOf(answers[0].infer_response)).toEqual(replay([1]));
    for (const peer of peers) {
      expect(peer).toMatchObject({
        remoteAddress: "127.0.0.1",
        certificate: { authorized: true, subjectaltname: "DNS:device-7.example" },
      });
    }
    expect(peers.length).toBe(2);
    device.close();
  });

  it("serves nobody else, and goes on", async () => {
    for (const name of [undefined, "stranger"]) {
      const other = client(name);
      await expect(call(other, "ServerLive", {})).rejects.toMatchObject({ code: status.UNAVAILABLE });
      other.close();
    }
    const plain = new inferencePackage.GRPCInferenceService(stack.grpcAddress, credentials.createInsecure());
    await expect(call(plain, "ServerLive", {})).rejects.toMatchObject({ code: status.UNAVAILABLE });
    plain.close();
    const device = client("device");
    expect(await call(device, "ServerLive", {})).toEqual({ live: true });
    device.close();
  });
});
