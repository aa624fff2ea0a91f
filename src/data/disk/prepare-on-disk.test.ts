import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { batches } from "../batch.js";
import { type DataOptions, type PreparedData, type PreparedSeries, prepare } from "../prepare.js";
import { readChunks, readTable } from "../read/index.js";
import { windows } from "../window.js";
import { prepareOnDisk } from "./prepare-on-disk.js";

const folders: string[] = [];
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "ostinato-disk-"));
  folders.push(made);
  return made;
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true });
});

/** Rows of a few machines in any mixture, some values missing. */
function telemetry(rows: number, machines: number, number: number): string {
  const rng = seed(number);
  const clock = new Float64Array(machines);
  const lines = ["time,machine,load,heat,state,site"];
  for (let i = 0; i < rows; i++) {
    const m = rng.integer(machines);
    clock[m] += 1 + rng.integer(3);
    const value = () => (rng.uniform() < 0.1 ? "" : (rng.normal() * 10).toFixed(3));
    lines.push(
      `${new Date(1.6e12 + clock[m] * 1000).toISOString()},m${m},${value()},${value()},${["idle", "busy", "down"][rng.integer(3)]},s${m % 2}`,
    );
  }
  return lines.join("\n");
}

const bits = (values: ArrayLike<number>) => Array.from(new Uint32Array(Float64Array.from(values).buffer as ArrayBuffer)).join();

function flat({ series, split, preprocessing, profile }: PreparedData<PreparedSeries>) {
  return {
    split,
    profile,
    preprocessing: JSON.stringify(preprocessing),
    series: series.map(({ entity, length, group, copy, part, x, values, classes, time, row }) => ({
      entity,
      length,
      group,
      copy,
      part: [...part],
      x: bits(x.subarray(0, x.length)),
      values: values && bits(values.subarray(0, values.length)),
      classes: classes && bits(classes.subarray(0, classes.length)),
      time: time && bits(time.subarray(0, time.length)),
      row: bits(row.subarray(0, row.length)),
    })),
  };
}

const FORECAST: DataOptions = {
  targetKind: "values",
  time: "time",
  entity: "machine",
  features: ["load", "heat"],
  target: "load",
  split: { by: "time", train: 0.6, validation: 0.2, test: 0.2, gap: 2 },
  missing: { policy: "forwardFill", limit: 2, flag: true, sinceSeen: true },
};

const CASES: Record<string, DataOptions> = {
  "a forecast with fills, flags and gaps": FORECAST,
  "quartiles, logarithms and changes": { ...FORECAST, scale: "robust", log: ["load"], difference: ["heat"], perEntity: true },
  "a grid of five seconds": { ...FORECAST, resample: { everyMs: 5000, aggregate: "mean" } },
  "codes, counts and calendars": {
    ...FORECAST,
    categories: { state: { kind: "vocabulary", as: "oneHot" }, site: { kind: "vocabulary", as: "embedding", width: 3 } },
    counts: ["state", "load"],
    calendar: { parts: ["hourOfDay"] },
    timeDelta: { bins: 4 },
    position: true,
  },
  "the next state, beside a set, with the spelling of a site": {
    ...FORECAST,
    targetKind: "next",
    target: "state",
    categories: {
      state: { kind: "vocabulary", as: "embedding" },
      site: { kind: "vocabulary", as: "oneHot" },
      machine: { kind: "set", as: "oneHot" },
    },
    spelling: { site: { suffixes: [1], shape: true } },
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2, gap: 1 },
  },
  "members of a set as values, parts by remainder": {
    ...FORECAST,
    target: "state",
    categories: { state: { kind: "set", as: "oneHot", members: ["idle", "busy", "down"] } },
    split: { by: "modulo:machine", divisor: 5, test: [1], validation: [2] },
  },
  "tags, parts by group": {
    ...FORECAST,
    targetKind: "tags",
    target: "state",
    split: { by: "entity", train: 0.5, validation: 0.25, test: 0.25 },
    missing: "value",
  },
};

describe("preparing on disk", () => {
  for (const [name, options] of Object.entries(CASES)) {
    it(`gives the bits of preparing in memory: ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.nat(1000),
          fc.integer({ min: 1, max: 97 }),
          fc.integer({ min: 1, max: 4000 }),
          async (number, chunkRows, bufferBytes) => {
            const path = join(folder(), "data.csv");
            writeFileSync(path, telemetry(300, 5, number));
            const reading = { text: ["machine", "state", "site"] };
            const wanted = flat(prepare(await readTable(path, reading), options));
            const disk = { folder: folder(), fingerprint: "a", bufferBytes };
            const chunks = () => readChunks(path, { ...reading, chunkRows });
            expect(flat(await prepareOnDisk(chunks, options, disk))).toEqual(wanted);
            const again = await prepareOnDisk(
              () => {
                throw new Error("read again");
              },
              options,
              disk,
            );
            expect(flat(again)).toEqual(wanted);
          },
        ),
        { numRuns: 6 },
      );
    });
  }

  it("what comes next is found across the border of two blocks of rows", async () => {
    const path = join(folder(), "events.csv");
    const rng = seed(5);
    const rows = 70_000;
    writeFileSync(path, `event\n${Array.from({ length: rows }, () => ["a", "b", "c"][rng.integer(3)]).join("\n")}\n`);
    const options: DataOptions = {
      targetKind: "next",
      categories: { event: { kind: "vocabulary", as: "embedding" } },
      target: "event",
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
    };
    const wanted = prepare(await readTable(path), options).series[0].classes as Int32Array;
    const disk = await prepareOnDisk(() => readChunks(path), options, { folder: folder(), fingerprint: "a" });
    expect(disk.series[0].classes?.subarray(0, rows)).toEqual(wanted);
    expect(wanted.subarray(65_530, 65_540).includes(-1)).toBe(false);
  });

  it("batches from disk are those from memory", async () => {
    const path = join(folder(), "data.csv");
    writeFileSync(path, telemetry(600, 3, 7));
    const reading = { text: ["machine", "state", "site"] };
    const memory = prepare(await readTable(path, reading), FORECAST);
    const disk = await prepareOnDisk(() => readChunks(path, reading), FORECAST, { folder: folder(), fingerprint: "a" });
    const made = (prepared: PreparedData) =>
      [...batches(windows(prepared, { length: 8, horizon: 2, part: "train" }), { batchSize: 7, rng: seed(3) })].map((batch) => [
        bits(batch.x),
        bits(batch.values as Float32Array),
      ]);
    expect(made(disk)).toEqual(made(memory));
  });

  it("another fingerprint prepares anew, and the raw rows do not stay", async () => {
    const path = join(folder(), "data.csv");
    const at = folder();
    writeFileSync(path, telemetry(200, 2, 1));
    await prepareOnDisk(() => readChunks(path, { text: ["machine"] }), FORECAST, { folder: at, fingerprint: "a" });
    expect(readdirSync(at).sort()).toEqual(["prepared.json", "row.bin", "time.bin", "values.bin", "x.bin"]);
    let reads = 0;
    const counted = () => {
      reads++;
      return readChunks(path, { text: ["machine"] });
    };
    await prepareOnDisk(counted, FORECAST, { folder: at, fingerprint: "b" });
    expect(reads).toBe(1);
  });

  it("a row out of order is named by file and row, across chunks", async () => {
    const path = join(folder(), "data.csv");
    writeFileSync(path, "time,machine,load,heat\n2026-01-01,a,1,1\n2026-01-02,b,1,1\n2026-01-03,a,1,1\n2026-01-02,a,1,1\n");
    const reading = () => readChunks(path, { text: ["machine"], chunkRows: 1 });
    await expect(prepareOnDisk(reading, FORECAST, { folder: folder(), fingerprint: "a" })).rejects.toThrow(
      /OST_ORDER {2}data.csv row 4: the times of series "a" go backwards .*\(data.csv row 3\)/,
    );
  });

  it("a file of prepared data that was cut short is an error when it is read", async () => {
    const path = join(folder(), "data.csv");
    const at = folder();
    writeFileSync(path, telemetry(200, 2, 1));
    const prepared = await prepareOnDisk(() => readChunks(path, { text: ["machine"] }), FORECAST, {
      folder: at,
      fingerprint: "a",
    });
    truncateSync(join(at, "x.bin"), 10);
    expect(() => prepared.series[0].x.subarray(0, 20)).toThrow(/OST_FILE .*cut short/s);
  });

  it("a folder that is prepared anew closes its own columns and no others, and what was closed says so", async () => {
    const path = join(folder(), "data.csv");
    const at = folder();
    const prepareIn = (name: string, number: number, fingerprint: string) => {
      writeFileSync(path, telemetry(200, 2, number));
      return prepareOnDisk(() => readChunks(path, { text: ["machine"] }), FORECAST, { folder: join(at, name), fingerprint });
    };
    const first = (prepared: PreparedData) => bits(prepared.series[0].x.subarray(0, 12));
    const neighbour = await prepareIn("fold10", 1, "a");
    const before = first(neighbour);
    const old = await prepareIn("fold1", 2, "a");
    const fresh = await prepareIn("./fold1", 3, "b");
    expect(first(neighbour)).toBe(before);
    expect(() => first(old)).toThrow(/OST_FILE.*prepared anew/s);
    writeFileSync(path, telemetry(200, 2, 3));
    expect(first(fresh)).toBe(first(prepare(await readTable(path, { text: ["machine"] }), FORECAST)));
  });

  it("columns that were changed or removed behind its back are made again", async () => {
    const path = join(folder(), "data.csv");
    const at = join(folder(), "prepared");
    writeFileSync(path, telemetry(200, 2, 1));
    let reads = 0;
    const prepareAgain = async () => {
      const chunks = () => {
        reads++;
        return readChunks(path, { text: ["machine"] });
      };
      return flat(await prepareOnDisk(chunks, FORECAST, { folder: at, fingerprint: "a" }));
    };
    const wanted = await prepareAgain();
    const bytes = readFileSync(join(at, "x.bin"));
    bytes[9] ^= 1;
    writeFileSync(join(at, "x.bin"), bytes);
    expect(await prepareAgain()).toEqual(wanted);
    rmSync(join(at, "values.bin"));
    expect(await prepareAgain()).toEqual(wanted);
    expect(await prepareAgain()).toEqual(wanted);
    expect(reads).toBe(3);
  });

  it("files of another's making are never removed", async () => {
    const path = join(folder(), "data.csv");
    const at = folder();
    writeFileSync(path, telemetry(200, 2, 1));
    writeFileSync(join(at, "thesis.txt"), "years of work");
    const chunks = () => readChunks(path, { text: ["machine"] });
    await expect(prepareOnDisk(chunks, FORECAST, { folder: at, fingerprint: "a" })).rejects.toThrow(/OST_FILE.*thesis.txt/s);
    expect(readdirSync(at)).toEqual(["thesis.txt"]);
  });

  it("rows left out are counted, also when the columns are taken as they are, and a failure leaves nothing behind", async () => {
    const path = join(folder(), "data.csv");
    const at = join(folder(), "prepared");
    const text = telemetry(200, 2, 1);
    writeFileSync(path, `${text}\n1,2,3,4,5,6,7,8\n`);
    const chunks = () => readChunks(path, { text: ["machine"], read: { bad: "skip" } });
    for (let run = 0; run < 2; run++) {
      const { skipped } = await prepareOnDisk(chunks, FORECAST, { folder: at, fingerprint: "a" });
      expect([skipped?.rows, skipped?.first[0]]).toEqual([1, expect.stringMatching(/data.csv.*cells/)]);
    }
    writeFileSync(path, "time,machine,load,heat\n2026-01-02,a,1,1\n2026-01-01,a,1,1\n");
    await expect(prepareOnDisk(chunks, FORECAST, { folder: at, fingerprint: "b" })).rejects.toThrow(/OST_ORDER/);
    expect(readdirSync(join(at, ".."))).toEqual(["prepared"]);
  });

  it("settings that need all rows in memory are named", async () => {
    const chunks = () => readChunks("nothing.csv");
    await expect(
      prepareOnDisk(chunks, { ...FORECAST, hide: [["load"]] }, { folder: folder(), fingerprint: "a" }),
    ).rejects.toThrow(/OST_CONFIG .*data.hide/s);
  });
});
