/** @file `ostinato key`: the API keys of a server, in a file that holds their hashes only. */
import { existsSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { parseDocument, stringify } from "yaml";
import { nearest, OstinatoError } from "../core/errors.js";
import { isTenant } from "../serve/credential.js";
import { type KeyEntry, makeKey, readKeys } from "../serve/credential-key.js";
import { SCOPES, type Scope } from "../serve/principal.js";
import { writeWhole } from "./output-file.js";
import { alignColumns, Terminal, type TerminalOptions } from "./terminal.js";

interface KeyFileOptions extends TerminalOptions {
  /** JSON or YAML by extension. */
  file: string;
}

export interface KeyCreateOptions extends KeyFileOptions {
  tenant: string;
  /** Names with commas between. */
  scopes: string;
  /** Such as 90d, 12h, or a date. */
  expires?: string;
  /** The key reaches its own sessions only. */
  creatorOnly?: boolean;
}

/** Adds a key to the file, and shows it: the only time that it is seen. @throws OST_USAGE, OST_FILE, OST_CONFIG */
export async function keyCreateCommand(options: KeyCreateOptions): Promise<0> {
  const { file, tenant, creatorOnly } = options;
  const terminal = new Terminal(options);
  if (!isTenant(tenant)) {
    const expected = "1 to 128 of A-Z a-z 0-9 . _ -, other than 64 hexadecimal digits";
    throw new OstinatoError("OST_USAGE", { what: "not the name of a tenant", expected, got: tenant, where: "--tenant" });
  }
  const scopes = parseScopes(options.scopes);
  if (creatorOnly && scopes.includes("session:admin")) {
    const what = "a key that reaches its own sessions only cannot have the scope session:admin";
    throw new OstinatoError("OST_USAGE", { what, where: "--creator-only", repair: "leave out one of the two" });
  }
  const expires = options.expires === undefined ? undefined : parseExpiry(options.expires, Date.now());
  const entries = existsSync(file) ? readEntries(file) : [];
  const { text, entry } = makeKey({ tenant, scopes, expires, creatorOnly });
  await writeEntries(file, entries, { add: entry });
  if (options.json) terminal.json({ key: text, ...entry });
  else {
    process.stdout.write(`${text}\n`);
    if (!options.quiet) process.stderr.write(`  key ${entry.id} of ${tenant}: it is shown this once; ${file} holds its hash\n`);
  }
  return 0;
}

export async function keyListCommand(options: KeyFileOptions): Promise<0> {
  const terminal = new Terminal(options);
  const now = Date.now();
  const keys = readEntries(options.file).map(({ id, tenant, scopes, expires, ...rest }) => ({
    id,
    tenant,
    scopes,
    expires: expires ?? null,
    creatorOnly: rest["creator-only"] === true,
    expired: expires !== undefined && Date.parse(expires) <= now,
  }));
  if (options.json) {
    for (const key of keys) terminal.json(key);
    return 0;
  }
  if (keys.length === 0) {
    terminal.print(`  ${options.file} holds no keys.`);
    return 0;
  }
  const rows = keys.map(({ id, tenant, scopes, expires, expired, creatorOnly }) => [
    id,
    tenant,
    scopes.join(",") + (creatorOnly ? " (its own sessions)" : ""),
    expires === null ? "never" : `${expires.slice(0, 16).replace("T", " ")}${expired ? " (expired)" : ""}`,
  ]);
  for (const line of alignColumns([["id", "tenant", "scopes", "expires"], ...rows])) terminal.print(`  ${line}`);
  return 0;
}

/** Takes a key out of the file; a server that reads the file refuses it within a second. @throws OST_USAGE for an id that is not there. */
export async function keyRevokeCommand(id: string, options: KeyFileOptions): Promise<0> {
  const terminal = new Terminal(options);
  const entries = readEntries(options.file);
  const at = entries.findIndex((entry) => entry.id === id);
  if (at < 0) {
    const ids = entries.map((entry) => entry.id);
    const close = nearest(id, ids);
    throw new OstinatoError("OST_USAGE", {
      what: "the file holds no key of that id",
      expected: ids.join(", ") || "a file with keys",
      got: id,
      where: options.file,
      repair: close ? `did you mean ${close}?` : "ostinato key list shows them",
    });
  }
  await writeEntries(options.file, entries, { remove: at });
  if (options.json) terminal.json({ revoked: id });
  else terminal.print(`  ${id} is revoked`);
  return 0;
}

function readEntries(file: string): KeyEntry[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "there is no such file of keys" : `the file of keys cannot be read (${code})`;
    throw new OstinatoError(
      "OST_FILE",
      { what, where: file, repair: "check the path, or make one: ostinato key create" },
      { cause },
    );
  }
  return readKeys(text, file);
}

/** Writes the file anew, one entry more or less. Comments of a YAML file stay where they are. */
async function writeEntries(file: string, entries: readonly KeyEntry[], change: { add: KeyEntry } | { remove: number }) {
  const next = "add" in change ? [...entries, change.add] : entries.filter((_, i) => i !== change.remove);
  if (extname(file).toLowerCase() === ".json") return await writeWhole(file, `${JSON.stringify(next, null, 2)}\n`);
  if (entries.length === 0 || next.length === 0) return await writeWhole(file, stringify(next));
  const document = parseDocument(readFileSync(file, "utf8"));
  if ("add" in change) document.add(document.createNode(change.add));
  else document.delete(change.remove);
  await writeWhole(file, document.toString());
}

/** @throws OST_USAGE */
export function parseScopes(text: string): Scope[] {
  return [...new Set(text.split(",").map((name) => name.trim()))].map((name) => {
    const scope = SCOPES.find((one) => one === name);
    if (scope) return scope;
    const close = nearest(name, SCOPES);
    throw new OstinatoError("OST_USAGE", {
      what: "no such scope",
      expected: SCOPES.join(", "),
      got: name,
      where: "--scopes",
      repair: close ? `did you mean ${close}?` : undefined,
    });
  });
}

const UNITS: Record<string, number> = { m: 60_000, h: 3600_000, d: 24 * 3600_000, w: 7 * 24 * 3600_000 };

/** @param now ms since 1970. @returns ms since 1970. @throws OST_USAGE unless it is a time to come: 90d, 12h, 30m, 8w, or a date of ISO 8601. */
export function parseExpiry(text: string, now: number): number {
  const span = /^(\d{1,6})([mhdw])$/.exec(text);
  const date = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN;
  const time = span ? now + Number(span[1]) * UNITS[span[2]] : date;
  if (time > now && time < Date.UTC(9999, 0)) return time;
  const expected = "a span such as 90d, 12h or 8w, or a date to come such as 2030-01-31";
  throw new OstinatoError("OST_USAGE", { what: "not a time to come", expected, got: text, where: "--expires" });
}
