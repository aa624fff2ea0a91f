/** @file The key file: what it takes, and that changes are taken at once and bad ones not at all. */
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ApiKeys, type KeyEntry, makeKey, readKeys } from "./credential-key.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-keys-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const keyOf = (tenant = "a") => makeKey({ tenant, scopes: ["step"] });
const write = (path: string, entries: KeyEntry[]) => writeFileSync(path, JSON.stringify(entries), { mode: 0o600 });

it("a made key has 256 random bits, and its entry holds no part of them", () => {
  const made = Array.from({ length: 200 }, () => keyOf());
  expect(new Set(made.map(({ text }) => text)).size).toBe(200);
  for (const { text, entry } of made) {
    expect(text).toMatch(/^ost_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/);
    expect(JSON.stringify(entry)).not.toContain(text.slice(17));
  }
});

it("reads YAML as JSON", () => {
  const { entry } = keyOf();
  const yaml = `# the plant's meters\n- { id: ${entry.id}, sha256: "${entry.sha256}", tenant: a, scopes: [step] }\n`;
  expect(readKeys(yaml, "keys.yaml")).toEqual([entry]);
  expect(readKeys("", "keys.yaml")).toEqual([]);
});

it.each([
  ["an unknown field", { secret: "x" }],
  ["a scope that is none", { scopes: ["steps"] }],
  ["no scope", { scopes: [] }],
  ["a hash that is none", { sha256: "abc" }],
  ["a tenant with a slash", { tenant: "a/b" }],
  ["a tenant that an open key could be", { tenant: "0".repeat(64) }],
  ["an id with an underscore", { id: "a_b" }],
  ["a date that is none", { expires: "soon" }],
  ["a right that contradicts another", { scopes: ["step", "session:admin"], "creator-only": true }],
])("refuses %s", (_name, change) => {
  expect(() => readKeys(JSON.stringify([{ ...keyOf().entry, ...change }]), "keys.json")).toThrow(
    expect.objectContaining({ code: "OST_CONFIG" }),
  );
});

it("refuses two keys of one id, and a text that is no list", () => {
  const { entry } = keyOf();
  for (const text of [JSON.stringify([entry, entry]), "{}", "- [", "&a [*a]", "null: 1"])
    expect(() => readKeys(text, "keys.json"), text).toThrow(expect.objectContaining({ code: "OST_CONFIG" }));
});

it("takes a change of the file, and keeps the old keys and says so where the change cannot be read", () => {
  const path = join(folder, "keys.json");
  const [first, second] = [keyOf(), keyOf("b")];
  const faults: unknown[] = [];
  write(path, [first.entry]);
  const keys = new ApiKeys(path, { onFault: (error) => faults.push(error), intervalMs: 0 });
  expect(keys.identify(first.text).principal.tenant).toBe("a");
  expect(() => keys.identify(second.text)).toThrow(expect.objectContaining({ fault: "unknown" }));

  write(join(folder, "next.json"), [second.entry]);
  renameSync(join(folder, "next.json"), path);
  expect(keys.identify(second.text).principal.tenant).toBe("b");
  expect(() => keys.identify(first.text)).toThrow(expect.objectContaining({ fault: "unknown" }));

  writeFileSync(path, "[{");
  for (let i = 0; i < 3; i++) expect(keys.identify(second.text).principal.tenant).toBe("b");
  expect(faults).toEqual([expect.objectContaining({ code: "OST_CONFIG" })]);
  rmSync(path);
  expect(keys.identify(second.text).principal.tenant).toBe("b");
  expect(faults[1]).toMatchObject({ code: "OST_FILE" });

  write(path, [first.entry]);
  expect(keys.identify(first.text).principal.tenant).toBe("a");
  expect(() => keys.identify(second.text)).toThrow(expect.objectContaining({ fault: "unknown" }));
  expect(faults).toHaveLength(2);
});

it("refuses to begin with a file that is absent, or that anybody may write", () => {
  expect(() => new ApiKeys(join(folder, "absent.json"))).toThrow(expect.objectContaining({ code: "OST_FILE" }));
  const path = join(folder, "open.json");
  write(path, []);
  chmodSync(path, 0o666);
  expect(() => new ApiKeys(path)).toThrow(expect.objectContaining({ code: "OST_FILE" }));
});

it("tells a connection that stays when its key lost a scope, changed hands, or was made anew; not when it gained a scope", () => {
  const path = join(folder, "narrowed.json");
  const { text, entry } = makeKey({ tenant: "a", scopes: ["step", "metrics"], creatorOnly: true });
  write(path, [entry]);
  const keys = new ApiKeys(path, { intervalMs: 0 });
  const { recheck, principal } = keys.identify(text);
  expect(principal).toMatchObject({ creatorOnly: true });
  write(path, [{ ...entry, scopes: ["step", "metrics", "state:read"] }]);
  recheck();
  for (const change of [{ scopes: ["step"] }, { tenant: "b" }, { sha256: "0".repeat(64) }, { expires: "2020-01-01" }]) {
    write(path, [{ ...entry, ...change } as KeyEntry]);
    expect(recheck, JSON.stringify(change)).toThrow(expect.objectContaining({ code: "OST_CREDENTIAL" }));
  }
  write(path, [entry]);
  recheck();
});

it("ends a key at its moment", () => {
  const path = join(folder, "expiring.json");
  const expires = 1_800_000_000_000;
  const { text, entry } = makeKey({ tenant: "a", scopes: ["step"], expires });
  write(path, [entry]);
  let time = expires - 1;
  const keys = new ApiKeys(path, { now: () => time });
  expect(keys.identify(text).expires).toBe(expires);
  time = expires;
  expect(() => keys.identify(text)).toThrow(expect.objectContaining({ fault: "expired" }));
});
