import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OstinatoError } from "../../core/errors.js";
import { columnOf } from "../table.js";
import { hashFile, readTable } from "./index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ostinato-read-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function refusal(path: string | Record<string, string> | string[]): Promise<OstinatoError> {
  return readTable(path).then(
    () => expect.unreachable("the file was read"),
    (error) => error,
  );
}

const HEADER =
  "#made for a test\n@problemName T\n@timeStamps false\n@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true a b\n@data\n";

describe("csv and tsv", () => {
  it("read a header, quotes, a byte order mark, CRLF and blank lines", async () => {
    const table = await readTable(await file("a.csv", '\ufeffx,"the name"\r\n1,"a,b"\r\n\r\n2,\r\n'));
    expect([...columnOf(table, "x").numbers!]).toEqual([1, 2]);
    expect(columnOf(table, "the name").texts).toEqual(["a,b", ""]);
    const tsv = await readTable(await file("a.tsv", "x\ty\n1\t2\n"));
    expect(tsv.columns.map(({ name }) => name)).toEqual(["x", "y"]);
  });

  it("name the line that is cut off", async () => {
    const error = await refusal(await file("cut.csv", "x,y\n1,2\n3\n"));
    expect([error.code, error.message]).toEqual([
      "OST_FORMAT",
      expect.stringMatching(/cut\.csv line 3.*expected 2.*got 1 cells/),
    ]);
    expect((await refusal(await file("quote.csv", 'x,y\n1,"2\n'))).message).toMatch(/OST_FORMAT.*quote\.csv line \d/);
  });

  it("refuse a missing, empty or header-only file, a headerless one, a wrong separator and other encodings", async () => {
    expect((await refusal(join(folder, "none.csv"))).message).toMatch(/OST_FILE.*does not exist/);
    expect((await refusal(await file("empty.csv", ""))).message).toMatch(/OST_FILE.*empty/);
    expect((await refusal(await file("header.csv", "a,b\n"))).message).toMatch(/OST_FILE.*no rows/);
    expect((await refusal(await file("numbers.csv", "1,2\n3,4\n"))).message).toMatch(/OST_FORMAT.*names no columns/);
    expect((await refusal(await file("semicolon.csv", "a;b\n1;2\n"))).message).toMatch(/OST_FORMAT.*separated by ";"/);
    expect((await refusal(await file("latin.csv", new Uint8Array([97, 10, 0xe9, 10])))).message).toMatch(/OST_FORMAT.*UTF-8/);
    expect((await refusal(await file("a.docx", "x"))).message).toMatch(/OST_FORMAT.*extension/);
    expect((await refusal(folder)).message).toMatch(/OST_FORMAT|OST_FILE/);
  });
});

describe("ndjson", () => {
  it("reads numbers to the bit, texts, nulls and absent fields", async () => {
    const table = await readTable(await file("a.ndjson", '{"a":0.1,"b":"x"}\n{"a":null,"c":5e-324}\n'));
    expect(table.columns.map(({ name, numbers, texts }) => [name, numbers ? [...numbers] : texts])).toEqual([
      ["a", [0.1, NaN]],
      ["b", ["x", ""]],
      ["c", [NaN, 5e-324]],
    ]);
  });

  it("names the line that is no flat object", async () => {
    expect((await refusal(await file("b.ndjson", '{"a":1}\n{"a":'))).message).toMatch(/OST_FORMAT.*b\.ndjson line 2/);
    expect((await refusal(await file("c.jsonl", '{"a":1}\n\n[1]'))).message).toMatch(/OST_FORMAT.*c\.jsonl line 3/);
    expect((await refusal(await file("d.jsonl", '{"a":[1,[2]]}'))).message).toMatch(/OST_VALUE.*d\.jsonl line 1.*flat/);
    expect((await refusal(await file("e.jsonl", "\n"))).message).toMatch(/OST_FILE/);
  });
});

describe(".ts archives", () => {
  it("become rows of sequence, step, dimensions and label", async () => {
    const table = await readTable(await file("a.ts", `${HEADER}1,2,?:4,5,6:a\n7:8:b\n`));
    expect(table.columns.map(({ name, numbers, texts }) => [name, texts ?? [...numbers!]])).toEqual([
      ["sequence", ["1", "1", "1", "2"]],
      ["step", [0, 1, 2, 0]],
      ["dim1", [1, 2, NaN, 7]],
      ["dim2", [4, 5, 6, 8]],
      ["label", ["a", "a", "a", "b"]],
    ]);
  });

  it("may be univariate, of numeric targets, with time stamps, or without labels", async () => {
    const cells = async (name: string, text: string) =>
      (await readTable(await file(name, text))).columns.map(({ name, numbers, texts }) => [name, texts ?? [...numbers!]]);
    expect(await cells("uni.ts", "@univariate true\n@classLabel false\n@data\n1,?\n3\n")).toEqual([
      ["sequence", ["1", "1", "2"]],
      ["step", [0, 1, 0]],
      ["dim1", [1, NaN, 3]],
    ]);
    expect(await cells("target.ts", "@dimensions 2\n@targetlabel true\n@data\n1:2:0.5\n")).toContainEqual(["label", [0.5]]);
    expect(
      await cells(
        "stamps.ts",
        "@timeStamps true\n@dimensions 2\n@classLabel true a\n@data\n(2024-01-01 10:00:00,1),(7,?):(2024-01-01 10:00:00,3),(7,4):a\n",
      ),
    ).toEqual([
      ["sequence", ["1", "1"]],
      ["step", [0, 1]],
      ["time", ["2024-01-01 10:00:00", "7"]],
      ["dim1", [1, NaN]],
      ["dim2", [3, 4]],
      ["label", ["a", "a"]],
    ]);
    const stamps = "@timeStamps true\n@classLabel false\n@data\n";
    for (const line of ["(1,2),", "(1,2", "(1,2)(3,4)", "(,2)", "1,2", "(1,2):(2,2)"]) {
      expect((await refusal(await file("unstamped.ts", `${stamps}${line}\n`))).message).toMatch(/OST_FORMAT.*line 4.*time stamp/);
    }
    expect((await refusal(await file("length.ts", "@equalLength true\n@seriesLength 3\n@data\n1,2\n"))).message).toMatch(
      /line 4.*equal lengths.*3 values/,
    );
    expect((await refusal(await file("nothing.ts", `${HEADER}1:2:a\n::a\n`))).message).toMatch(/line 10.*length zero/);
  });

  it("name the malformed line", async () => {
    for (const [line, message] of [
      ["1,2:3:a", /dimensions of a case differ.*2 values.*got 1 in dimension 2/],
      ["1:2:3:a", /number of dimensions.*got 3/],
      ["1:2", /number of dimensions.*got 1/],
      ["1:2:c", /unknown class.*a, b.*"c"/],
    ] as const) {
      const error = await refusal(await file("bad.ts", `${HEADER}1:2:a\n${line}\n`));
      expect(error.message).toMatch(/OST_FORMAT.*bad\.ts line 10/);
      expect(error.message).toMatch(message);
    }
    expect(
      (await refusal(await file("equal.ts", `${HEADER.replace("equalLength false", "equalLength true")}1:2:a\n1,2:3,4:b\n`)))
        .message,
    ).toMatch(/OST_FORMAT.*line 10.*equal lengths/);
    expect((await refusal(await file("none.ts", HEADER))).message).toMatch(/OST_FILE.*no cases/);
  });
});

describe("several files", () => {
  it("are joined, by part with a column `part`, and sequences stay apart", async () => {
    const train = await file("train.ts", `${HEADER}1:2:a\n`);
    const test = await file("test.ts", `${HEADER}3:4:b\n`);
    const table = await readTable({ train, test });
    expect(columnOf(table, "part").texts).toEqual(["train", "test"]);
    expect(columnOf(table, "sequence").texts).toEqual(["train-1", "test-1"]);
    expect(columnOf(await readTable([train, test]), "sequence").texts).toEqual(["1-1", "2-1"]);
    expect(table.files).toEqual([
      { name: "train.ts", rows: 1 },
      { name: "test.ts", rows: 1 },
    ]);
  });

  it("must have the same columns, and none called part", async () => {
    const one = await file("one.csv", "a,part\n1,x\n");
    const two = await file("two.csv", "a,b\n1,x\n");
    expect((await refusal([one, two])).message).toMatch(/OST_COLUMN.*two\.csv.*different columns/);
    expect((await refusal({ train: one })).message).toMatch(/OST_COLUMN.*"part" already/);
  });
});

it("hashes a file with SHA-256", async () => {
  expect(await hashFile(await file("abc.txt", "abc"))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  await expect(hashFile(join(folder, "none"))).rejects.toThrow(/OST_FILE/);
});

const data = process.env.OSTINATO_DATA ?? fileURLToPath(new URL("../../../../shared/data", import.meta.url));
const vowels = join(data, "class-japanese-vowels");
it.skipIf(!existsSync(vowels))(
  "JapaneseVowels has 270 and 370 cases of 12 dimensions, 7 to 29 steps and 9 classes (needs OSTINATO_DATA or ../shared/data)",
  async () => {
    const table = await readTable(
      { train: join(vowels, "JapaneseVowels_TRAIN.ts"), test: join(vowels, "JapaneseVowels_TEST.ts") },
      { text: ["label"] },
    );
    const lengths = new Map<string, number>();
    for (const sequence of columnOf(table, "sequence").texts!) lengths.set(sequence, (lengths.get(sequence) ?? 0) + 1);
    expect([...lengths.keys()].filter((name) => name.startsWith("train-"))).toHaveLength(270);
    expect(lengths.size).toBe(640);
    expect([Math.min(...lengths.values()), Math.max(...lengths.values())]).toEqual([7, 29]);
    expect(new Set(columnOf(table, "label").texts).size).toBe(9);
    expect(table.columns.filter(({ name, numbers }) => name.startsWith("dim") && numbers)).toHaveLength(12);
  },
);
