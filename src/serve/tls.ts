/** @file TLS of the server: its certificate and key, the authority of its clients, and which addresses it may listen on without them. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { createSecureContext, TLSSocket, type TlsOptions } from "node:tls";
import { OstinatoError } from "../core/errors.js";
import { type AuthConfig, isGuarded, type Peer } from "./auth.js";
import { isLoopback } from "./loopback.js";

/** Paths of PEM files. */
export interface TlsConfig {
  /** The server's certificate, then those between it and the authority. */
  cert: string;
  key: string;
  /** Authorities whose clients' certificates are believed. */
  clientCa?: string;
  /** Whether a connection without such a certificate is refused in the handshake. Default true where `clientCa` is given. */
  clientRequired?: boolean;
}

/**
 * Options for `https.createServer` and, by the same names, for HTTP/2; also for `server.setSecureContext` after a renewal.
 *
 * Without `clientRequired` an unverified client certificate gets as far as the request; `peerOf` says that it is not authorized.
 *
 * @param options `now`: ms since 1970.
 * @throws OST_FILE for a file that cannot be read; OST_CONFIG for one that holds something else, a key of another certificate, an expired one.
 */
export function tlsOptions(
  { cert, key, clientCa, clientRequired = true }: TlsConfig,
  { now = Date.now }: { now?: () => number } = {},
): TlsOptions & { cert: Buffer; key: Buffer } {
  const [certPem, keyPem] = [readPem(cert, "tls.cert"), readPem(key, "tls.key")];
  const certificate = parsed(cert, "a certificate in PEM", () => new X509Certificate(certPem));
  const privateKey: KeyObject = parsed(key, "a private key in PEM, without a passphrase", () => createPrivateKey(keyPem));
  if (!certificate.checkPrivateKey(privateKey))
    throw fault("the key does not belong to the certificate", key, "give the two files of one certificate");
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (now() >= to) throw fault("the certificate has expired", cert, "renew it", certificate.validTo);
  if (now() < from) throw fault("the certificate is not valid yet", cert, "look at this machine's clock", certificate.validFrom);
  const options: TlsOptions & { cert: Buffer; key: Buffer } = { cert: certPem, key: keyPem, minVersion: "TLSv1.2" };
  if (clientCa !== undefined) {
    const ca = readPem(clientCa, "tls.clientCa");
    parsed(clientCa, "certificates in PEM", () => new X509Certificate(ca));
    Object.assign(options, { ca, requestCert: true, rejectUnauthorized: clientRequired });
  }
  parsed(cert, "certificates that TLS can use", () => createSecureContext(options));
  return options;
}

/** What authentication wants to know of a connection. */
export function peerOf(socket: Socket | TLSSocket): Peer {
  const { remoteAddress } = socket;
  if (!(socket instanceof TLSSocket)) return { remoteAddress, local: isUnixSocket(socket) };
  const { subjectaltname, valid_to } = socket.getPeerCertificate() ?? {};
  // Without a certificate Node gives an empty object.
  if (valid_to === undefined) return { remoteAddress };
  return { remoteAddress, certificate: { authorized: socket.authorized === true, subjectaltname, valid_to } };
}

/** A connection that a server took on a path. One that is gone has no address either, so that alone says nothing. */
function isUnixSocket(socket: Socket): boolean {
  const { server } = socket as Socket & { server?: { address?(): unknown } | null };
  return typeof server?.address?.() === "string";
}

export interface Bind {
  /** Address or name to listen on, or the path of a Unix socket. */
  host: string;
  auth: AuthConfig;
  /** Whether the server speaks TLS. */
  tls: boolean;
  /** The user said that a proxy does what is missing, or that it does not matter. */
  insecure?: boolean;
}

/** Refuses to be reachable from other machines without TLS and known credentials. @throws OST_USAGE saying what is missing. */
export function checkBind({ host, auth, tls, insecure = false }: Bind): void {
  if (insecure || host.startsWith("/") || isLoopback(host)) return;
  const missing = [
    ...(tls ? [] : ["TLS: --tls-cert and --tls-key"]),
    ...(isGuarded(auth) ? [] : ["known credentials: --keys, tokens or client certificates, without open keys"]),
  ];
  if (missing.length === 0) return;
  throw new OstinatoError("OST_USAGE", {
    what: "the server would be reachable from other machines without protection",
    expected: `a loopback address such as 127.0.0.1, or ${missing.join("; and ")}`,
    got: host,
    where: "--host",
    repair: "add what is missing, or keep 127.0.0.1 behind a proxy; --insecure listens as it is",
  });
}

function readPem(path: string, where: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "there is no such file" : `it cannot be read (${code})`;
    throw new OstinatoError(
      "OST_FILE",
      { what, where: `${where} ${path}`, repair: "check the path and who may read it" },
      { cause },
    );
  }
}

function parsed<T>(where: string, expected: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new OstinatoError("OST_CONFIG", { what: "the file does not hold what it should", expected, where }, { cause });
  }
}

function fault(what: string, where: string, repair: string, got?: string): OstinatoError {
  return new OstinatoError("OST_CONFIG", { what, where, repair, got });
}
