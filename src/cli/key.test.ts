/** @file Keys by command: made, listed, revoked, and what a server makes of the file. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { AuditLog } from "../serve/audit-log.js";
import { createAuthenticator } from "../serve/auth.js";
import { auditLogVerifyCommand } from "./audit-log.js";
import { keyCreateCommand, keyListCommand, keyRevokeCommand, parseExpiry, parseScopes } from "./key.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-key-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a command writes to stdout, as JSON by line. */
async function output(work: () => Promise<0>): Promise<Record<string, unknown>[]> {
  const written: string[] = [];
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  try {
    expect(await work()).toBe(0);
  } finally {
    spy.mockRestore();
  }
  return written
    .join("")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

describe.each(["keys.json", "keys.yaml"])("ostinato key with %s", (name) => {
  it("makes keys that come in, lists them without their secrets, and revokes them", async () => {
    const file = join(folder, name);
    const make = (tenant: string, more = {}) =>
      output(() => keyCreateCommand({ file, tenant, scopes: "step,state:read", json: true, ...more }));
    const [first] = await make("plant-7", { expires: "90d" });
    const [second] = await make("plant-8", { creatorOnly: true });
    const text = readFileSync(file, "utf8");
    for (const { key } of [first, second]) expect(text).not.toContain(String(key).split("_").slice(2).join("_"));
    const auth = createAuthenticator({ keys: file });
    const come = (key: unknown) => auth.authenticate({ authorization: `Bearer ${key}` }, { remoteAddress: "10.0.0.7" });
    expect(await come(first["key"])).toMatchObject({
      tenant: "plant-7",
      subject: `key:${first["id"]}`,
      scopes: new Set(["step", "state:read"]),
    });
    expect(auth.expires(await come(first["key"])) - Date.now()).toBeGreaterThan(89 * 86_400_000);
    expect(await come(second["key"])).toMatchObject({ tenant: "plant-8", creatorOnly: true });

    const listed = await output(() => keyListCommand({ file, json: true }));
    expect(listed).toMatchObject([
      { id: first["id"], tenant: "plant-7", expired: false, creatorOnly: false },
      { id: second["id"], tenant: "plant-8", expires: null, creatorOnly: true },
    ]);
    await output(() => keyRevokeCommand(String(first["id"]), { file, json: true }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    await expect(come(first["key"])).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
    await come(second["key"]);
    await expect(keyRevokeCommand(String(first["id"]), { file })).rejects.toMatchObject({ code: "OST_USAGE" });
    await output(() => keyRevokeCommand(String(second["id"]), { file, json: true }));
    expect(await output(() => keyListCommand({ file, json: true }))).toEqual([]);
    await make("plant-9");
    expect(await output(() => keyListCommand({ file, json: true }))).toMatchObject([{ tenant: "plant-9" }]);
  });
});

it("keeps the comments of a YAML file", async () => {
  const file = join(folder, "commented.yaml");
  const hash = "0".repeat(64);
  writeFileSync(file, `# the plant\n- id: a\n  sha256: "${hash}" # printed on the meter\n  tenant: plant-7\n  scopes: [step]\n`);
  await output(() => keyCreateCommand({ file, tenant: "plant-8", scopes: "step", json: true }));
  expect(readFileSync(file, "utf8")).toMatch(/# the plant[\s\S]*# printed on the meter/);
});

it.each([
  ["a tenant with a slash", { tenant: "a/b" }],
  ["no tenant", { tenant: "" }],
  ["an unknown scope", { scopes: "step,root" }],
  ["no scope", { scopes: "" }],
  ["a span without a unit", { expires: "90" }],
  ["a date gone by", { expires: "2020-01-01" }],
  ["rights that contradict", { scopes: "step,session:admin", creatorOnly: true }],
])("refuses %s, and writes nothing", async (_name, change) => {
  const file = join(folder, "never.json");
  await expect(keyCreateCommand({ file, tenant: "a", scopes: "step", ...change })).rejects.toMatchObject({ code: "OST_USAGE" });
  await expect(keyListCommand({ file })).rejects.toMatchObject({ code: "OST_FILE" });
});

it("reads scopes and spans", () => {
  expect(parseScopes("step, metrics,step")).toEqual(["step", "metrics"]);
  const now = Date.UTC(2026, 0, 1);
  expect(["30m", "12h", "90d", "2w", "2026-02-01"].map((text) => (parseExpiry(text, now) - now) / 3600_000)).toEqual([
    0.5, 12, 2160, 336, 744,
  ]);
});

it("ostinato audit-log verify says what it found", async () => {
  const path = join(folder, "audit.jsonl");
  const log = await AuditLog.open(path);
  const nothing = { actor: "a", tenant: "t", key: null, reason: null, from: null, to: null, seq: null, version: null };
  for (const event of ["created", "ended"]) log.append({ ...nothing, event });
  await log.close();
  expect(await output(() => auditLogVerifyCommand(path, { json: true }))).toEqual([{ ok: true, lines: 2, head: log.head }]);
  expect(await output(() => auditLogVerifyCommand(path, { json: true, head: log.head.hash }))).toHaveLength(1);
  await expect(auditLogVerifyCommand(path, { head: "f".repeat(64) })).rejects.toMatchObject({ code: "OST_AUDIT" });
  await expect(auditLogVerifyCommand(path, { head: "nonsense" })).rejects.toMatchObject({ code: "OST_USAGE" });
  writeFileSync(path, readFileSync(path, "utf8").replace("created", "woken"));
  await expect(auditLogVerifyCommand(path, {})).rejects.toMatchObject({
    code: "OST_AUDIT",
    exit: 1,
    message: expect.stringContaining("line 1"),
  });
});
