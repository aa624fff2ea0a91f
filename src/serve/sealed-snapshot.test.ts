/** @file A sealed snapshot opens for its tenant, model, schema and server, and not with one bit changed. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isSealed, type SnapshotBinding, SnapshotSeal } from "./sealed-snapshot.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ostinato-seal-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const binding: SnapshotBinding = { tenant: "plant-7", model: "9c41", stateSchema: "gru:64" };
const state = new Uint8Array(300).map((_, i) => (i * 37) & 255);
const refused = expect.objectContaining({ code: "OST_SNAPSHOT" });

it("opens as it was closed, any size, and no two seals are alike", () => {
  const seal = SnapshotSeal.open(join(root, "a"));
  for (const bytes of [state, new Uint8Array(0), new Uint8Array(1 << 20).fill(7), state.subarray(3, 50)]) {
    const sealed = seal.seal(bytes, binding);
    expect(isSealed(sealed)).toBe(true);
    expect(Buffer.compare(seal.unseal(sealed, binding), bytes)).toBe(0);
  }
  const seals = Array.from({ length: 500 }, () => Buffer.from(seal.seal(state, binding)));
  expect(new Set(seals.map((one) => one.subarray(5, 17).toString("hex"))).size).toBe(500);
  expect(seals.every((one) => !one.includes(Buffer.from(state.subarray(0, 16))))).toBe(true);
});

it("is refused with any one bit changed, cut short, or made longer", () => {
  const seal = SnapshotSeal.open(join(root, "a"));
  const sealed = seal.seal(state.subarray(0, 40), binding);
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Uint8Array.from(sealed);
    changed[bit >> 3] ^= 1 << (bit & 7);
    expect(() => seal.unseal(changed, binding), `bit ${bit}`).toThrow(refused);
  }
  for (let size = 0; size < sealed.length; size++) expect(() => seal.unseal(sealed.subarray(0, size), binding)).toThrow(refused);
  expect(() => seal.unseal(Uint8Array.from([...sealed, 0]), binding)).toThrow(refused);
  expect(() => seal.unseal(state, binding)).toThrow(refused);
});

it.each([
  ["tenant", { ...binding, tenant: "plant-8" }],
  ["model", { ...binding, model: "9c42" }],
  ["schema", { ...binding, stateSchema: "gru:65" }],
  ["cut between tenant and model", { ...binding, tenant: "plant-79", model: "c41" }],
  ["cut between model and schema", { ...binding, model: "9c41gru", stateSchema: ":64" }],
])("is refused for another %s", (_name, other) => {
  const seal = SnapshotSeal.open(join(root, "a"));
  expect(() => seal.unseal(seal.seal(state, binding), other)).toThrow(refused);
  expect(seal.unseal(seal.seal(state, other), other)).toEqual(state);
});

it("opens after a restart, and on no other server", () => {
  const sealed = SnapshotSeal.open(join(root, "b")).seal(state, binding);
  expect(SnapshotSeal.open(join(root, "b")).unseal(sealed, binding)).toEqual(state);
  expect(() => SnapshotSeal.open(join(root, "c")).unseal(sealed, binding)).toThrow(refused);
  expect(readdirSync(join(root, "b"))).toEqual(["snapshot.key"]);
  expect(readFileSync(join(root, "b", "snapshot.key"))).toHaveLength(32);
  if (process.platform !== "win32") expect(statSync(join(root, "b", "snapshot.key")).mode & 0o777).toBe(0o600);
});

it("refuses a key that anybody may read, or of another length", () => {
  const folder = join(root, "d");
  SnapshotSeal.open(folder);
  const path = join(folder, "snapshot.key");
  chmodSync(path, 0o644);
  if (process.platform !== "win32")
    expect(() => SnapshotSeal.open(folder)).toThrow(expect.objectContaining({ code: "OST_FILE" }));
  chmodSync(path, 0o600);
  writeFileSync(path, "short");
  expect(() => SnapshotSeal.open(folder)).toThrow(expect.objectContaining({ code: "OST_FILE" }));
  expect(() => SnapshotSeal.open(join(path, "below"))).toThrow(expect.objectContaining({ code: "OST_FILE" }));
});
