import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { columnOf } from "../table.js";
import { globMatcher, splitGlob } from "./glob.js";
import { type DataFiles, hashSource, type ReadOptions, readTable } from "./index.js";
import { filePattern } from "./pattern.js";

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ostinato-folder-"));
  for (const [path, content] of [
    ["walk/7_ada_1.csv", "x\n1\n2\n"],
    ["walk/7_ada_2.csv", "x\n3\n"],
    ["run/8_bob_1.csv", "x\n4\n"],
    ["run/notes.md", "not data"],
    ["run/odd.csv", "x\n5\n"],
    [".hidden/a.csv", "x\n9\n"],
    ["seqs/a.log", "1 2\n3\n"],
    ["seqs/b.log", "4\n"],
    ["mixed/a.csv", "x\n1\n"],
    ["mixed/b.ndjson", '{"x":1}'],
    ["empty/readme.md", ""],
    ["bare/[x].csv", "x\n1\n"],
  ]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  await symlink(join(folder, "walk/7_ada_1.csv"), join(folder, "mixed/link.csv"));
});
afterAll(() => rm(folder, { recursive: true }));

async function refusal(files: DataFiles, read: ReadOptions = {}): Promise<string> {
  return readTable(files, { read }).then(
    () => expect.unreachable("the files were read"),
    (error) => {
      expect(error).toBeInstanceOf(OstinatoError);
      return error.message;
    },
  );
}

const at = (path: string) => join(folder, path);

describe("a folder", () => {
  it("is read file by file in the order of their names, with what the names say", async () => {
    const table = await readTable(at(""), { read: { format: "csv", pattern: "{digit}_{who}_{index}.csv", label: "folder" } });
    expect(Object.fromEntries(table.columns.map(({ name, texts, numbers }) => [name, texts ?? [...numbers!]]))).toEqual({
      x: [1, 4, 1, 2, 3].slice(1),
      file: ["run/8_bob_1.csv", "walk/7_ada_1.csv", "walk/7_ada_1.csv", "walk/7_ada_2.csv"],
      digit: ["8", "7", "7", "7"],
      who: ["bob", "ada", "ada", "ada"],
      index: ["1", "1", "1", "2"],
      label: ["run", "walk", "walk", "walk"],
    });
    expect(table.files.map(({ name, rows }) => [name, rows])).toEqual([
      ["run/8_bob_1.csv", 1],
      ["walk/7_ada_1.csv", 2],
      ["walk/7_ada_2.csv", 1],
    ]);
    expect(table.ignoredFiles).toBeGreaterThan(0);
  });

  it("may name parts, and keeps the sequences of its files apart", async () => {
    const table = await readTable({ train: at("walk"), test: at("run") }, { read: { label: "name" } });
    expect(columnOf(table, "part").texts).toEqual(["train", "train", "train", "test", "test"]);
    expect(columnOf(table, "label").texts).toEqual(["7_ada_1", "7_ada_1", "7_ada_2", "8_bob_1", "odd"]);
    expect(table.ignoredFiles).toBe(1);
    const sequences = columnOf(await readTable(at("seqs"), { read: { format: "sequences" } }), "sequence").texts;
    expect(sequences).toEqual(["a.log-1", "a.log-1", "a.log-2", "b.log-1"]);
  });

  it("of nothing, of several formats, or of names that do not fit is refused with examples", async () => {
    expect(await refusal(at("walk"), { pattern: "{a}.{b}.csv" })).toMatch(
      /OST_FILE.*no file's name fits.*7_ada_1\.csv, 7_ada_2\.csv/,
    );
    expect(await refusal(at("mixed"))).toMatch(/OST_FORMAT.*several formats.*csv.*ndjson/);
    expect(await refusal(at("empty"))).toMatch(/OST_FILE.*no file to read.*readme\.md/);
    expect(await refusal(at("nowhere"))).toMatch(/OST_FILE.*does not exist/);
    expect(await refusal(at("walk/*.parquet"))).toMatch(/OST_FILE.*7_ada_1\.csv|OST_FILE.*no file/);
    expect(await refusal(at("walk"), { pattern: "{x}_{b}_{c}.csv" })).toMatch(/OST_COLUMN.*"x" already/);
    expect(await refusal(at("walk"), { pattern: "{file}_{b}_{c}.csv" })).toMatch(/OST_CONFIG.*"file"/);
  });

  it("has one hash of all its files", async () => {
    const before = await hashSource(at("walk"));
    expect(await hashSource(at("walk"))).toBe(before);
    expect(await hashSource(at("run/*.csv"))).not.toBe(before);
  });
});

describe("a glob", () => {
  it("names the files it matches", async () => {
    expect((await readTable(at("**/*.csv"))).rows).toBe(9);
    const table = await readTable(at("{walk,run}/[78]_*_?.csv"));
    expect(columnOf(table, "file").texts).toEqual([
      "run/8_bob_1.csv",
      "walk/7_ada_1.csv",
      "walk/7_ada_1.csv",
      "walk/7_ada_2.csv",
    ]);
    expect((await readTable(at("bare/[x].csv"))).files).toEqual([{ name: "[x].csv", rows: 1 }]);
  });

  it("matches as globs do", () => {
    const matches = (glob: string, path: string) => globMatcher(glob)(path);
    expect(matches("*.csv", "a.csv")).toBe(true);
    expect(matches("*.csv", "a/b.csv")).toBe(false);
    expect(matches("**/b*", "b")).toBe(true);
    expect(matches("**/b*", "a/c/bcd")).toBe(true);
    expect(matches("a/**", "a/b/c")).toBe(true);
    expect(matches("a/**/c", "a/c")).toBe(true);
    expect(matches("x.{csv,ts{v,w}}", "x.tsw")).toBe(true);
    expect(matches("[!a-c]?", "d1")).toBe(true);
    expect(matches("[!a-c]?", "b1")).toBe(false);
    expect(matches("a.csv", "abcsv")).toBe(false);
    expect(splitGlob("/data/x/**/*.csv")).toEqual({ folder: "/data/x", rest: "**/*.csv" });
    expect(splitGlob("*.csv")).toEqual({ folder: ".", rest: "*.csv" });
  });

  it("of any shape is held against any path in time that grows with their lengths", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("*", "**", "?", "a", "/", "[a", "]", "{", "}", ","), maxLength: 30 }),
        fc.string({ unit: fc.constantFrom("a", "/", "b"), maxLength: 60 }),
        (glob, path) => {
          expect(typeof globMatcher(glob)(path)).toBe("boolean");
        },
      ),
    );
    expect(globMatcher(`${"*a".repeat(40)}b`)("a".repeat(250))).toBe(false);
  });
});

describe("a pattern", () => {
  it("reads what was written by it", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength: 5 }), (values) => {
        const pattern = filePattern(`${values.map((_, i) => `{f${i}}`).join("_")}.wav`);
        expect(pattern.read(`deep/${values.join("_")}.wav`)).toEqual(values);
        expect(pattern.read(`${values.join("_")}.mp3`)).toBeNull();
      }),
    );
    expect(filePattern("{who}/take-{n}.csv").read("ada/take-12.csv")).toEqual(["ada", "12"]);
    expect(filePattern("{who}/take-{n}.csv").read("x/ada/take-12.csv")).toBeNull();
    expect(filePattern("{a}_{b}.csv").read("_x.csv")).toBeNull();
    expect(filePattern("{a}_{b}").read("1_2_3")).toEqual(["1", "2_3"]);
  });

  it("of any shape reads or refuses any name", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("{", "}", "a", "_", "/", "b"), maxLength: 30 }),
        fc.string({ maxLength: 60 }),
        (pattern, name) => {
          try {
            const { fields, read } = filePattern(pattern);
            const values = read(name);
            if (values) expect(values).toHaveLength(fields.length);
          } catch (error) {
            expect(error).toBeInstanceOf(OstinatoError);
          }
        },
      ),
    );
    for (const pattern of ["a.csv", "{a}{b}.csv", "{a}_{a}", "{}_x"])
      expect(() => filePattern(pattern)).toThrow(/OST_CONFIG.*pattern/);
  });
});
