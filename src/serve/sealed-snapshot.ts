/**
 * @file Snapshots that leave the server sealed: only this server, for the same tenant, model and schema, opens them again.
 *
 *     "OSTE"  u8 version  nonce [12]  AES-256-GCM ciphertext  tag [16]
 *
 * The magic, the version, tenant, model and schema are the additional data: they are authenticated though not encrypted, each with its length
 * before it. Nonces are random: one key serves 2^32 snapshots (NIST SP 800-38D, 2007, section 8.3).
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { OstinatoError } from "../core/errors.js";

/** What a snapshot belongs to. */
export interface SnapshotBinding {
  tenant: string;
  /** Hash of the model version. */
  model: string;
  stateSchema: string;
}

const MAGIC = Buffer.from("OSTE");
const VERSION = 1;
const NONCE = 12;
const TAG = 16;
const HEAD = MAGIC.length + 1 + NONCE;
const KEY_BYTES = 32;
const KEY_FILE = "snapshot.key";

/** Whether bytes claim to be a sealed snapshot; a plain one begins with "OSTS". */
export function isSealed(bytes: Uint8Array): boolean {
  return bytes.length >= MAGIC.length && MAGIC.equals(bytes.subarray(0, MAGIC.length));
}

export class SnapshotSeal {
  readonly #key: Buffer;

  /** @param key 32 bytes. */
  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new OstinatoError("OST_RANGE", `a key of ${KEY_BYTES} bytes is wanted`);
    this.#key = Buffer.from(key);
  }

  /**
   * With the key of a server's data folder, made when it is absent. Servers that share a folder share the key, also if they start at once.
   *
   * @throws OST_FILE if it cannot be read or made, has another length, or anybody may read it.
   */
  static open(folder: string): SnapshotSeal {
    const path = join(folder, KEY_FILE);
    try {
      mkdirSync(folder, { recursive: true });
      return new SnapshotSeal(readKey(path) ?? makeKey(path));
    } catch (cause) {
      if (cause instanceof OstinatoError) throw cause;
      const { code = "unknown" } = cause as NodeJS.ErrnoException;
      throw keyFault(
        path,
        `the key of snapshots cannot be read or made (${code})`,
        "check who may write to the data folder",
        cause,
      );
    }
  }

  seal(bytes: Uint8Array, binding: SnapshotBinding): Uint8Array {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG });
    cipher.setAAD(additional(binding));
    const body = [cipher.update(bytes), cipher.final()];
    return new Uint8Array(Buffer.concat([MAGIC, Buffer.of(VERSION), nonce, ...body, cipher.getAuthTag()]));
  }

  /** @throws OST_SNAPSHOT for bytes of another tenant, model, schema or server, for any changed bit, and for bytes that are not sealed. */
  unseal(sealed: Uint8Array, binding: SnapshotBinding): Uint8Array {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (!isSealed(bytes) || bytes.length < HEAD + TAG) throw refuse("these bytes are no sealed snapshot");
    const version = bytes[MAGIC.length];
    if (version !== VERSION) throw refuse("an unknown version of sealed snapshots", String(VERSION), String(version));
    const nonce = bytes.subarray(MAGIC.length + 1, HEAD);
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG });
    decipher.setAAD(additional(binding));
    decipher.setAuthTag(bytes.subarray(-TAG));
    try {
      return new Uint8Array(Buffer.concat([decipher.update(bytes.subarray(HEAD, -TAG)), decipher.final()]));
    } catch {
      // Which of these it is cannot be told, and should not be.
      throw refuse("the snapshot is of another tenant, model or server, or was changed");
    }
  }
}

function additional({ tenant, model, stateSchema }: SnapshotBinding): Buffer {
  const parts = [tenant, model, stateSchema].map((text) => Buffer.from(text, "utf8"));
  const sized = parts.flatMap((part) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(part.length);
    return [size, part];
  });
  return Buffer.concat([MAGIC, Buffer.of(VERSION), ...sized]);
}

/** @returns null where there is none. */
function readKey(path: string): Buffer | null {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return null;
  if (process.platform !== "win32" && (found.mode & 0o007) !== 0)
    throw keyFault(path, "anybody on this machine may read the key of snapshots", `chmod 600 ${path}`);
  const key = readFileSync(path);
  if (key.length !== KEY_BYTES) {
    const repair = "put the key back from a backup; without it the snapshots made with it stay closed";
    throw keyFault(path, `the key of snapshots has ${key.length} bytes, not ${KEY_BYTES}`, repair);
  }
  return key;
}

/** Written beside and linked into place: whole or absent after a crash, and the first of two servers wins. */
function makeKey(path: string): Buffer {
  const beside = `${path}.${process.pid}.${randomBytes(4).toString("hex")}.partial`;
  try {
    const file = openSync(beside, "wx", 0o600);
    try {
      writeFileSync(file, randomBytes(KEY_BYTES));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    chmodSync(beside, 0o600);
    try {
      linkSync(beside, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  } finally {
    rmSync(beside, { force: true });
  }
  return readKey(path) as Buffer;
}

function keyFault(where: string, what: string, repair: string, cause?: unknown): OstinatoError {
  return new OstinatoError("OST_FILE", { what, where, repair }, { cause });
}

function refuse(what: string, expected?: string, got?: string): OstinatoError {
  const repair = "restore the right snapshot, or start a fresh session";
  return new OstinatoError("OST_SNAPSHOT", { what, expected, got, where: "snapshot", repair });
}
