import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { encodeWav } from "../audio/wav.js";
import { columnOf, textsOf } from "../table.js";
import { tableOf } from "./file-chunks.js";
import { type DataFiles, type Format, type ReadOptions, readTable } from "./index.js";

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ostinato-format-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function cells(files: DataFiles, read: ReadOptions = {}): Promise<Record<string, unknown[]>> {
  const { columns } = await readTable(files, { read });
  return Object.fromEntries(columns.map(({ name, texts, numbers }) => [name, texts ?? [...numbers!]]));
}

async function refusal(files: DataFiles, read: ReadOptions = {}): Promise<string> {
  return readTable(files, { read }).then(
    () => expect.unreachable("the file was read"),
    (error) => {
      expect(error).toBeInstanceOf(OstinatoError);
      return error.message;
    },
  );
}

describe("ndjson", () => {
  it("keeps every digit of whole numbers, and takes nothing inside texts for one", async () => {
    const path = await file(
      "ids.ndjson",
      '{"id":12345678901234567890,"s":"x \\" 12345678901234567890","v":0.12345678901234567890}\n{"id":-9007199254740993,"s":"","v":1e20}\n',
    );
    expect(await cells(path)).toEqual({
      id: ["12345678901234567890", "-9007199254740993"],
      s: ['x " 12345678901234567890', ""],
      v: [0.12345678901234568, 1e20],
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }), { minLength: 1, maxLength: 20 }),
        async (ids) => {
          const table = await readTable(await file("any.ndjson", ids.map((id) => `{"id":${id},"t":"${id}"}`).join("\n")), {
            text: ["id"],
          });
          expect(columnOf(table, "id").texts).toEqual(ids.map(String));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("leaves lines out where that is allowed, and fields may begin late", async () => {
    const path = await file("bad.ndjson", '{"a":1}\n{"a":\n{"a":2,"b":"x"}\n[]\n{"a":{"c":1}}\n{"b":"y"}\r\n');
    const table = await tableOf(path, { read: { bad: "skip" }, chunkRows: 1 });
    expect(table.columns.map(({ texts, numbers }) => texts ?? [...numbers!])).toEqual([
      [1, 2, NaN],
      ["", "x", "y"],
    ]);
    expect(table.skipped).toEqual({
      rows: 3,
      first: [
        expect.stringMatching(/bad\.ndjson line 2/),
        expect.stringMatching(/bad\.ndjson line 4/),
        expect.stringMatching(/line 5 column "a"/),
      ],
    });
    expect(await refusal(path)).toMatch(/OST_FORMAT.*line 2/);
  });
});

describe("lists in ndjson", () => {
  it("are one cell, whose members stand apart by spaces, also where they begin late or look like numbers", async () => {
    const path = await file(
      "sets.ndjson",
      '{"n":[60,64],"v":1}\n{"n":[],"v":2}\n{"n":["a","7"],"v":3}\n{"n":[12345678901234567890]}\n',
    );
    expect(await cells(path)).toEqual({ n: ["60 64", "", "a 7", "12345678901234567890"], v: [1, 2, 3, NaN] });
    const late = await file("late.ndjson", `${'{"n":5}\n'.repeat(9)}{"n":[5,6]}\n`);
    for (const chunkRows of [1, 4, 100]) {
      expect(columnOf(await tableOf(late, { chunkRows }), "n").texts).toEqual([...Array(9).fill("5"), "5 6"]);
    }
  });

  it("of anything but numbers and texts without blanks are refused", async () => {
    for (const list of ["[[1]]", "[null]", '["a b"]', '[""]', "[true]", '[{"a":1}]']) {
      expect(await refusal(await file("bad.ndjson", `{"n":${list}}\n`))).toMatch(/OST_VALUE.*line 1.*flat.*"n"/s);
    }
  });
});

describe("text", () => {
  const content = "First, a line.\r\nNA\r\n\r\nThe second paragraph.\r\n\r\n\r\n";

  it("is read by lines, paragraphs or whole", async () => {
    const path = await file("a.txt", content);
    expect(await cells(path)).toEqual({ line: [1, 2, 4], text: ["First, a line.", "NA", "The second paragraph."] });
    expect(await cells(path, { unit: "paragraph" })).toEqual({
      paragraph: ["1", "2"],
      text: ["First, a line.\nNA", "The second paragraph."],
    });
    expect(await cells(path, { unit: "document" })).toEqual({
      document: ["1"],
      text: ["First, a line.\nNA\n\nThe second paragraph."],
    });
    expect(await cells([path, await file("b.txt.gz", gzipSync("x"))], { unit: "document" })).toMatchObject({
      document: ["1-1", "2-1"],
    });
    expect(await refusal(await file("blank.txt", "\n \n"))).toMatch(/OST_FILE.*blank\.txt/);
  });

  it('takes "NA" and "null" for the words they are', async () => {
    expect(textsOf(await readTable(join(folder, "a.txt")), "text", "text")[1]).toBe("NA");
  });
});

describe("text by a pattern of lines", () => {
  const line = "IN: {command} OUT: {actions}";

  it("has a column per field in place of the text, as words", async () => {
    const path = await file("scan.txt.gz", gzipSync("IN: jump twice OUT: I_JUMP I_JUMP\n\nIN: null OUT: 7\nIN:  OUT: \n"));
    expect(await cells(path, { line })).toEqual({
      line: [1, 3, 4],
      command: ["jump twice", "null", ""],
      actions: ["I_JUMP I_JUMP", "7", ""],
    });
    expect(textsOf(await readTable(path, { read: { line } }), "command", "source")[1]).toBe("null");
    const both = await cells({ train: path, test: path }, { line: "{all}" });
    expect(both.line).toEqual(["train-1", "train-3", "train-4", "test-1", "test-3", "test-4"]);
  });

  it("gives back what it was written from, whatever the fields hold", async () => {
    const field = fc
      .string({ unit: fc.constantFrom("a", "I", "O", ":", " ", "é", "{") })
      .filter((text) => !text.includes(" OUT: "));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 5 }), async (pairs) => {
        const path = await file("any.txt", pairs.map(([a, b]) => `IN: ${a} OUT: ${b}`).join("\n"));
        expect(await cells(path, { line })).toMatchObject({ command: pairs.map(([a]) => a), actions: pairs.map(([, b]) => b) });
      }),
      { numRuns: 30 },
    );
  });

  it("names a line that does not fit, or leaves it out and counts it", async () => {
    const path = await file("odd.txt", "IN: a OUT: b\nIN: a\nIN: c OUT: d\n");
    expect(await refusal(path, { line })).toMatch(/OST_FORMAT.*odd\.txt line 2.*IN: \{command\}.*got "IN: a"/s);
    const table = await readTable(path, { read: { line, bad: "skip" } });
    expect([table.rows, table.skipped?.rows]).toEqual([2, 1]);
    for (const wrong of ["no field", "{a}{b}", "{a} {a}", "{}"]) {
      expect(await refusal(path, { line: wrong })).toMatch(/OST_CONFIG.*data\.read\.line/);
    }
    expect(await refusal(path, { line, unit: "document" })).toMatch(/OST_CONFIG.*unit/s);
  });
});

describe("sequences", () => {
  it("become a row per symbol", async () => {
    const path = await file("keys.txt", "5 22  5 \n11\t9\n");
    expect(await cells(path, { format: "sequences" })).toEqual({
      sequence: ["1", "1", "1", "2", "2"],
      position: [0, 1, 2, 0, 1],
      symbol: ["5", "22", "5", "11", "9"],
    });
    expect(await cells({ train: path, test: path }, { format: "sequences" })).toMatchObject({
      sequence: ["train-1", "train-1", "train-1", "train-2", "train-2", "test-1", "test-1", "test-1", "test-2", "test-2"],
      part: [...Array(5).fill("train"), ...Array(5).fill("test")],
    });
    expect(await cells(await file("comma.txt", "a b,c\n"), { format: "sequences", delimiter: "," })).toMatchObject({
      symbol: ["a b", "c"],
    });
  });

  it("of length zero are refused, or left out and counted", async () => {
    const path = await file("hole.txt", "1 2\n\n3\n\n\n");
    expect(await refusal(path, { format: "sequences" })).toMatch(/OST_FORMAT.*hole\.txt line 2.*blank line/);
    const table = await readTable(path, { read: { format: "sequences", bad: "skip" } });
    expect([table.rows, table.skipped!.rows]).toEqual([3, 1]);
    expect(columnOf(table, "sequence").texts).toEqual(["1", "1", "3"]);
    expect(await refusal(await file("gap.txt", "a,,b\n"), { format: "sequences", delimiter: "," })).toMatch(/position 1/);
  });
});

describe("conll", () => {
  const line = (...fields: string[]) => [...fields, ...Array<string>(10 - fields.length).fill("_")].join("\t");

  it("reads CoNLL-U without multiword ranges and empty nodes", async () => {
    const text = [
      "# sent_id = 1",
      line("1-2", "vámonos"),
      line("1", "vamos", "ir", "VERB", "_", "Mood=Imp", "0", "root"),
      line("2", "nos", "_", "PRON"),
      line("2.1", "NA"),
      "",
      "# sent_id = 2",
      line("1", "null", "null", "NOUN", "NN"),
      "",
    ].join("\r\n");
    const expected = {
      sentence: ["1", "1", "2"],
      id: [1, 2, 1],
      form: ["vamos", "nos", "null"],
      lemma: ["ir", "_", "null"],
      upos: ["VERB", "PRON", "NOUN"],
      xpos: ["", "", "NN"],
      feats: ["Mood=Imp", "", ""],
      head: [0, NaN, NaN],
      deprel: ["root", "", ""],
    };
    expect(await cells(await file("a.conllu", text))).toEqual(expected);
    expect(await cells(await file("a.conll", text))).toEqual(expected);
    expect(textsOf(await readTable(join(folder, "a.conllu")), "form", "token")[2]).toBe("null");
  });

  it("reads plain files, in which a token may begin with #", async () => {
    expect(await cells(await file("b.conll", "#now\tO\nNA\tB-x\n\n\n7\tO\n"))).toEqual({
      sentence: ["1", "1", "2"],
      token: ["#now", "NA", "7"],
      tag: ["O", "B-x", "O"],
    });
    expect(await cells(await file("c.conll", "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\n"))).toEqual({
      sentence: ["1"],
      token: ["U.N."],
      column2: ["NNP"],
      column3: ["I-NP"],
      tag: ["I-ORG"],
    });
    expect(await cells(await file("d.conll", "a b\n"), { columns: ["word", "label"] })).toEqual({
      sentence: ["1"],
      word: ["a"],
      label: ["b"],
    });
  });

  it("names the malformed line", async () => {
    expect(await refusal(await file("short.conllu", `${line("1", "a")}\n2\tb\n`))).toMatch(
      /OST_FORMAT.*line 2.*expected 10.*got 2/,
    );
    expect(await refusal(await file("ids.conllu", `${line("1", "a")}\n${line("3", "b")}\n`))).toMatch(
      /line 2.*ids of a sentence.*expected 2/,
    );
    expect(await refusal(await file("tag.conll", "a\tO\nb\n"))).toMatch(/line 2.*expected 2.*got 1/);
    expect(await refusal(await file("none.conllu", "# only\n\n"))).toMatch(/OST_FILE/);
    const table = await readTable(await file("skip.conll", "a\tO\nb\nc\tO\n"), { read: { bad: "skip" } });
    expect([table.rows, table.skipped!.rows]).toEqual([2, 1]);
  });
});

describe("wav", () => {
  const tone = (samples: number, rate = 8000) =>
    encodeWav([Float32Array.from({ length: samples }, (_, i) => 0.5 * Math.sin(i / 3))], rate);

  it("becomes a row per frame of features", async () => {
    const path = await file("tone.wav", tone(800));
    const table = await readTable(path, { read: { audio: { features: "mfcc", coefficients: 3 } } });
    expect(table.columns.map(({ name }) => name)).toEqual(["frame", "mfcc0", "mfcc1", "mfcc2"]);
    expect([...columnOf(table, "frame").numbers!]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect((await readTable(path)).columns).toHaveLength(41);
  });

  it("is refused when it lies, is short or of another rate than the first, or left out and counted", async () => {
    const good = await file("good.wav", tone(800));
    const cut = await file("cut.wav", tone(800).subarray(0, 900));
    const short = await file("short.wav", tone(10));
    const other = await file("other.wav", tone(800, 16000));
    expect(await refusal(cut)).toMatch(/OST_FORMAT.*cut\.wav.*longer than the file/);
    expect(await refusal(short)).toMatch(/OST_FORMAT.*short\.wav.*shorter than a frame/);
    expect(await refusal([good, other])).toMatch(/OST_FORMAT.*other\.wav.*8000 Hz/);
    const table = await readTable([cut, good, short, other], { read: { bad: "skip" } });
    expect([table.rows, table.skipped!.rows]).toEqual([8, 3]);
    expect(table.skipped!.first.join("\n")).toMatch(/cut\.wav.*\n.*short\.wav.*\n.*other\.wav/);
  });
});

describe("random bytes", () => {
  const pieces = fc.constantFrom(
    ...[
      "\n",
      "\t",
      " ",
      ",",
      ":",
      "(",
      ")",
      '"',
      "\\",
      "{",
      "}",
      "[",
      "]",
      "@data",
      "@timeStamps true",
      "@dimensions 2",
      "#",
      "1",
      "1-2",
      "8.1",
    ],
    ...[
      "_",
      "?",
      "99999999999999999999",
      "-",
      "e",
      ".",
      "null",
      "@classLabel true a",
      "é",
      "\u0000",
      "\r",
      "# x = y",
      '{"a":1}',
      "a",
    ],
  );
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc.array(pieces, { maxLength: 40 }).map((list) => new Uint8Array(Buffer.from(list.join("")))),
    fc.array(pieces, { maxLength: 40 }).map((list) => new Uint8Array(Buffer.from(`@timeStamps true\n@data\n${list.join("")}`))),
    fc
      .array(pieces, { maxLength: 40 })
      .map((list) => new Uint8Array(Buffer.from(`1\t2\t3\t4\t5\t6\t7\t8\t9\t10\n${list.join("")}`))),
  );
  for (const format of ["csv", "tsv", "ndjson", "ts", "text", "sequences", "conll", "conllu", "wav"] as Format[]) {
    it(`never make the ${format} reader fail in another way than with an OstinatoError`, async () => {
      await fc.assert(
        fc.asyncProperty(
          bytes,
          fc.constantFrom<"refuse" | "skip">("refuse", "skip"),
          fc.integer({ min: 1, max: 50 }),
          fc.integer({ min: 1, max: 5 }),
          async (content, bad, blockBytes, chunkRows) => {
            const path = await file("fuzz.bin", content);
            await tableOf(path, { read: { format, bad }, blockBytes, chunkRows }).catch((error) => {
              expect(error, error.stack).toBeInstanceOf(OstinatoError);
              expect(error.code).not.toBe("OST_INTERNAL");
            });
          },
        ),
        { numRuns: 200 },
      );
    });
  }
});
