/**
 * @file API keys: `ost_<id>_<secret>`, of which the key file holds the id and the hash.
 *
 *     - { id: 3f9a0c2b71de, sha256: <64 hex digits>, tenant: plant-7, scopes: [step], expires: 2027-01-01T00:00:00.000Z }
 *
 * A secret has 256 random bits, so a plain hash of it cannot be searched for, and a comparison in constant time of the hashes tells nothing.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { parse } from "yaml";
import { z } from "zod";
import { OstinatoError } from "../core/errors.js";
import { CredentialError, type Identity, isTenant } from "./credential.js";
import { CredentialFile, type CredentialFileOptions } from "./credential-file.js";
import { SCOPES, type Scope } from "./principal.js";

const entrySchema = z
  .strictObject({
    id: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "1 to 64 letters, digits and hyphens"),
    sha256: z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits, of the whole key"),
    tenant: z.string().refine(isTenant, "1 to 128 of A-Z a-z 0-9 . _ -, other than 64 hexadecimal digits"),
    scopes: z.array(z.enum(SCOPES)).min(1),
    expires: z.union([z.iso.datetime({ offset: true }), z.iso.date()]).optional(),
    "creator-only": z.boolean().optional(),
  })
  .refine((entry) => !(entry["creator-only"] && entry.scopes.includes("session:admin")), {
    message: "creator-only and session:admin contradict each other: the scope is the right to sessions of other creators",
    path: ["creator-only"],
  });

export type KeyEntry = z.infer<typeof entrySchema>;

const KEY = /^ost_([A-Za-z0-9-]{1,64})_([\x21-\x7e]{1,400})$/;
const NO_HASH = Buffer.alloc(32);

/** Whether a bearer text claims to be an API key; such a text is never taken for anything else. */
export function isApiKey(bearer: string): boolean {
  return bearer.startsWith("ost_");
}

/** A new key: `text` is shown once, `entry` goes into the file. @param expires ms since 1970. */
export function makeKey(options: { tenant: string; scopes: readonly Scope[]; expires?: number; creatorOnly?: boolean }): {
  text: string;
  entry: KeyEntry;
} {
  const { tenant, scopes, expires, creatorOnly } = options;
  const id = randomBytes(6).toString("hex");
  const text = `ost_${id}_${randomBytes(32).toString("base64url")}`;
  const entry = {
    id,
    sha256: hash(text).toString("hex"),
    tenant,
    scopes: [...scopes],
    ...(expires === undefined ? {} : { expires: new Date(expires).toISOString() }),
    ...(creatorOnly ? { "creator-only": true } : {}),
  };
  return { text, entry: parseKeys([entry], "the key")[0] };
}

/** Entries of a key file, JSON or YAML. @throws OST_CONFIG naming the entry. */
export function readKeys(text: string, path: string): KeyEntry[] {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0, logLevel: "error" }) ?? [];
  } catch (cause) {
    // The parser's message quotes the file.
    throw new OstinatoError("OST_CONFIG", { what: "the key file is neither YAML nor JSON", where: path }, { cause });
  }
  return parseKeys(value, path);
}

function parseKeys(value: unknown, where: string): KeyEntry[] {
  const result = z.array(entrySchema).safeParse(value);
  if (!result.success) {
    const { path, message } = result.error.issues[0];
    throw new OstinatoError("OST_CONFIG", {
      what: "the key file does not hold what it should",
      expected: message,
      where: [where, ...path].join(" "),
      repair: "make entries with: ostinato key create",
    });
  }
  const ids = new Set<string>();
  for (const { id } of result.data) {
    if (ids.has(id)) throw new OstinatoError("OST_CONFIG", { what: "two keys have the same id", got: id, where });
    ids.add(id);
  }
  return result.data;
}

interface KnownKey {
  hash: Buffer;
  creatorOnly: boolean;
  tenant: string;
  scopes: ReadonlySet<Scope>;
  expires: number;
}

/** The keys of one file, as it is now. */
export class ApiKeys {
  readonly #file: CredentialFile<Map<string, KnownKey>>;
  readonly #now: () => number;

  /** @throws OST_FILE, OST_CONFIG if the file cannot be read at first; later changes that cannot are told to `onFault`. */
  constructor(path: string, { now = Date.now, ...options }: CredentialFileOptions & { now?: () => number } = {}) {
    this.#now = now;
    const known = (text: string) =>
      new Map(
        readKeys(text, path).map(({ id, sha256, tenant, scopes, expires, "creator-only": creatorOnly = false }) => [
          id,
          {
            hash: Buffer.from(sha256, "hex"),
            creatorOnly,
            tenant,
            scopes: new Set(scopes),
            expires: expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires),
          },
        ]),
      );
    this.#file = new CredentialFile(path, known, options);
  }

  /** @throws CredentialError */
  identify(bearer: string): Identity {
    const id = KEY.exec(bearer)?.[1];
    const found = id === undefined ? undefined : this.#file.value.get(id);
    // An unknown id costs the same hash and comparison as a known one.
    const same = timingSafeEqual(hash(bearer), found?.hash ?? NO_HASH);
    if (id === undefined || !found || !same) throw new CredentialError("unknown");
    if (this.#now() >= found.expires) throw new CredentialError("expired");
    const recheck = () => {
      const present = this.#file.value.get(id);
      const narrowed = present?.creatorOnly === true && !found.creatorOnly;
      const changed =
        narrowed || present?.tenant !== found.tenant || [...found.scopes].some((scope) => !present.scopes.has(scope));
      if (!present || changed || !present.hash.equals(found.hash)) throw new CredentialError("unknown");
      if (this.#now() >= present.expires) throw new CredentialError("expired");
    };
    const { tenant, scopes, expires, creatorOnly } = found;
    return { principal: { tenant, subject: `key:${id}`, scopes, ...(creatorOnly ? { creatorOnly } : {}) }, expires, recheck };
  }
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
