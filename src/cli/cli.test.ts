import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OstinatoError } from "../core/errors.js";
import { seed } from "../core/rng.js";
import { tableFromRecords } from "../data/index.js";
import { arithmeticOf, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { parseConfig } from "../tasks/index.js";
import { encodeCheckpoint } from "../train/index.js";
import { loadConfig } from "./config-file.js";
import { fingerprintOf, judgesAlike, portableSource } from "./data-file.js";
import { sketchData } from "./data-sketch.js";
import { describeLive } from "./demo.js";
import { banner } from "./experiment-view.js";
import { unwritable, wantWritable, writeWhole } from "./output-file.js";
import { jsonLine, printable } from "./printable.js";
import { takeUpRun } from "./resume.js";
import { baselineFiles, claimFolder, latestRunFolder, makeRunFolder, writeConfig } from "./run-folder.js";
import { alignColumns, counted, describeProgress, describeSeconds, Terminal } from "./terminal.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CONFIG = `task: forecast
data:
  source: load.csv
  features: [a, b]
  target: a
  split: { by: time, train: 0.7, validation: 0.1, test: 0.2 }
window: { length: 4 }
`;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const refusal = (path: string, set: string[] = []): Promise<OstinatoError> =>
  loadConfig(path, { set }).then(
    () => expect.unreachable("the configuration was accepted"),
    (error) => error,
  );

describe("a configuration", () => {
  it("takes data paths relative to its file, and those of --set relative to the working directory", async () => {
    const path = file("load.yaml", CONFIG);
    expect((await loadConfig(path)).config.data.source).toBe(join(folder, "load.csv"));
    expect((await loadConfig(path, { set: ["data.source=other.csv"] })).config.data.source).toBe(
      join(process.cwd(), "other.csv"),
    );
    const parts = await loadConfig(path, { set: ["data.source={train: a.csv, test: b.csv}", "data.source.test=/c.csv"] });
    expect(parts.config.data.source).toEqual({ train: join(process.cwd(), "a.csv"), test: "/c.csv" });
  });

  it("is the same in YAML and JSON, and named after its file unless it names itself", async () => {
    const yaml = await loadConfig(file("same.yaml", CONFIG));
    const json = await loadConfig(
      file(
        "same.json",
        JSON.stringify({
          task: "forecast",
          data: {
            source: "load.csv",
            features: ["a", "b"],
            target: "a",
            split: { by: "time", train: 0.7, validation: 0.1, test: 0.2 },
          },
          window: { length: 4 },
        }),
      ),
    );
    expect(json.config).toEqual(yaml.config);
    expect(yaml.name).toBe("same");
    expect((await loadConfig(file("named.yaml", `name: pump\n${CONFIG}`))).name).toBe("pump");
  });

  it("is overridden by --set at any depth: numbers, lists, objects in place of texts", async () => {
    const { config } = await loadConfig(file("set.yaml", CONFIG), {
      set: [
        "train.learningRate=1e-2",
        "data.target=[a, b]",
        "data.missing.policy=forwardFill",
        "data.missing.flag=true",
        "data.features.1=c",
        "train.earlyStopping=null",
      ],
    });
    expect(config.train.learningRate).toBe(0.01);
    expect(config.train.earlyStopping).toBeNull();
    expect(config.data.target).toEqual(["a", "b"]);
    expect(config.data.features).toEqual(["a", "c"]);
    expect(config.data.missing).toMatchObject({ policy: "forwardFill", flag: true });
  });

  it("names the line of a syntax error and the nearest key of an unknown one", async () => {
    expect((await refusal(file("bad.yaml", "task: forecast\ndata: [1, 2\nmode: causal\n"))).message).toMatch(
      /OST_CONFIG.*bad\.yaml line \d/,
    );
    expect((await refusal(file("twice.yaml", "task: tag\ntask: tag\n"))).message).toMatch(/twice\.yaml line 2/);
    expect((await refusal(file("bad.json", '{\n"task": "tag",\n}'))).message).toMatch(/OST_CONFIG.*bad\.json line 3/);
    expect((await refusal(file("empty.yaml", "\n"))).code).toBe("OST_FILE");
    expect((await refusal(join(folder, "none.yaml"))).message).toMatch(/OST_FILE.*there is no such configuration/s);
    expect((await refusal(file("list.yaml", "- 1\n"))).code).toBe("OST_CONFIG");
    const path = file("key.yaml", CONFIG);
    expect((await refusal(path, ["train.epoch=3"])).message).toMatch(/train.*did you mean "epochs"/s);
    expect((await refusal(path, ["epochs"])).code).toBe("OST_USAGE");
    expect((await refusal(path, ["train.epochs=[1"])).code).toBe("OST_USAGE");
  });

  it("cannot reach a prototype through --set", async () => {
    const error = await refusal(file("proto.yaml", CONFIG), ["__proto__.polluted=1"]);
    expect(error.code).toBe("OST_CONFIG");
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("is the same run when read again from the run folder", async () => {
    const { config } = await loadConfig(file("again.yaml", CONFIG));
    await writeConfig(folder, config);
    const again = await loadConfig(join(folder, "config.yaml"));
    expect(again.config).toEqual(config);
    expect(fingerprintOf(again.config, { "a.csv": "1" })).toBe(fingerprintOf(config, { "a.csv": "1" }));
  });

  it("is the same run wherever its files lie, and another with other data or settings", () => {
    const at = (source: string | Record<string, string>, epochs = 3) =>
      parseConfig({
        task: "forecast",
        data: { source, features: ["a"], target: "a", split: { by: "time", train: 0.7, validation: 0.1, test: 0.2 } },
        window: { length: 4 },
        train: { epochs },
      });
    const hashes = { "a.csv": "11" };
    const own = fingerprintOf(at("/x/a.csv"), hashes);
    expect(fingerprintOf(at("/y/b.csv"), { "b.csv": "11" })).toBe(own);
    expect(fingerprintOf(at("/x/a.csv"), { "a.csv": "12" })).not.toBe(own);
    expect(fingerprintOf(at("/x/a.csv", 4), hashes)).not.toBe(own);
    expect(fingerprintOf(at({ train: "/x/a.csv" }), hashes)).not.toBe(own);
  });

  it("is the same run under another name and judged in another way, which is told apart by itself", () => {
    const judged = (more: object) =>
      parseConfig({
        task: "forecast",
        data: { source: "a.csv", features: ["a"], target: "a", split: { by: "time", train: 0.7, validation: 0.1, test: 0.2 } },
        window: { length: 4 },
        ...more,
      });
    const own = judged({ name: "a", decision: { metric: "mase" }, evaluation: { period: 24 } });
    const other = judged({ name: "b", decision: { metric: "mae" }, evaluation: { period: 7, rivals: false } });
    expect(fingerprintOf(other, { "a.csv": "1" })).toBe(fingerprintOf(own, { "a.csv": "1" }));
    expect(judgesAlike(own, other)).toBe(false);
    // Where the metric chooses the epoch, it says what was learned.
    const chosen = (metric: string) =>
      fingerprintOf(judged({ decision: { metric }, train: { selection: "metric" } }), { "a.csv": "1" });
    expect(chosen("mae")).not.toBe(chosen("mse"));
    expect(judgesAlike(own, judged({ name: "c", evaluation: { period: 24 }, decision: { metric: "mase" } }))).toBe(true);
  });

  it("names its data below the folder they share, so that a model file tells nothing of the machine", () => {
    expect(portableSource("/home/ada/plant/load.csv")).toBe("load.csv");
    expect(portableSource(["/home/ada/a/x.csv", "/home/ada/b/x.csv"])).toEqual(["a/x.csv", "b/x.csv"]);
    expect(portableSource({ train: "/d/set/train.csv", test: "/d/set/test.csv" })).toEqual({
      train: "train.csv",
      test: "test.csv",
    });
    expect(portableSource({ train: "/d/x.csv", test: "/e/x.csv" })).toEqual({ train: "d/x.csv", test: "e/x.csv" });
    expect(portableSource(["/d/x.csv", "/d/x.csv"])).toEqual(["x.csv", "x.csv"]);
  });
});

describe("the engine line", () => {
  it("says what runs, and in the same line what is missing and what helps", () => {
    const detail = "relaxed-simd; native not built: ostinato build-native";
    expect(banner({ name: "wasm", detail })).toMatch(
      /^Ostinato \d+\.\d+\.\d+ · engine wasm \(relaxed-simd; native not built: ostinato build-native\)$/,
    );
    expect(banner({ name: "native", detail: "avx512, 2 threads" })).toMatch(/ · engine native \(avx512, 2 threads\)$/);
  });
});

describe("a run that goes on", () => {
  const engine = WasmKernels.create({ variant: "simd128" });
  const entries = [
    { kind: "step", epoch: 0, step: 0 },
    { kind: "step", epoch: 0, step: 50 },
    { kind: "epoch", epoch: 0, step: 60 },
    { kind: "step", epoch: 1, step: 100 },
    { kind: "epoch", epoch: 1, step: 120 },
    { kind: "step", epoch: 2, step: 150 },
  ].map((entry) => JSON.stringify(entry));

  function stopped(name: string, { step, epoch }: { step: number; epoch: number }): string {
    const run = join(folder, name);
    mkdirSync(run);
    const counts = { epoch, cursor: 0, step, seconds: 0, learningRate: 0, optimizerStep: 0, waited: 0 };
    const progress = {
      ...counts,
      fingerprint: "abc",
      engines: [arithmeticOf(engine)],
      rng: seed(1).state,
      schedule: {},
      best: null,
    };
    const whole = { ...progress, epochLoss: { total: 0, count: 0, clipped: 0 }, finished: false };
    const none = new Map<string, never>();
    writeFileSync(
      join(run, "checkpoint.safetensors"),
      encodeCheckpoint({ progress: whole, model: none, optimizer: none, best: none, carried: none }),
    );
    writeFileSync(join(run, "log.ndjson"), `${entries.join("\n")}\n{"kind":"st`);
    return run;
  }
  const log = (run: string) => readFileSync(join(run, "log.ndjson"), "utf8").split("\n");

  it("drops from its log what the checkpoint does not hold, and a line that was cut off", async () => {
    const inside = stopped("inside", { step: 100, epoch: 1 });
    expect(await takeUpRun(inside, { fingerprint: "abc", engine })).toBe("wasm simd128");
    expect(log(inside)).toEqual([...entries.slice(0, 3), ""]);
    const between = stopped("between", { step: 120, epoch: 2 });
    await takeUpRun(between, { fingerprint: "abc", engine });
    expect(log(between)).toEqual([...entries.slice(0, 5), ""]);
    rmSync(join(between, "checkpoint.safetensors"));
    expect(await takeUpRun(between, { fingerprint: "abc", engine })).toBeNull();
    expect(log(between)).toEqual([""]);
  });

  it("is refused on another engine, by both names, unless told, and as another run, and stays as it is", async () => {
    const run = stopped("engine", { step: 100, epoch: 1 });
    const elsewhere = { fingerprint: "abc", engine: new ReferenceKernels("float32") };
    await expect(takeUpRun(run, elsewhere)).rejects.toThrow(
      /OST_CHECKPOINT.*engine wasm simd128.*engine reference float32.*OSTINATO_ENGINE.*--other-engine/s,
    );
    await expect(takeUpRun(run, { fingerprint: "abd", engine })).rejects.toThrow(/OST_CHECKPOINT.*another configuration/);
    expect(log(run)).toHaveLength(entries.length + 1);
    expect(await takeUpRun(run, { ...elsewhere, otherEngine: true })).toBe("wasm simd128");
  });
});

describe("run folders", () => {
  it("take the next free number and are never given twice", () => {
    const root = join(folder, "runs");
    expect(makeRunFolder(root, "load")).toBe(join(root, "load-1"));
    mkdirSync(join(root, "load-7"));
    mkdirSync(join(root, "load-x"));
    expect(makeRunFolder(root, "load")).toBe(join(root, "load-8"));
    expect(latestRunFolder(root, "load")).toBe(join(root, "load-8"));
    expect(makeRunFolder(root, "../../etc")).toBe(join(root, "etc-1"));
    expect(latestRunFolder(root, "none")).toBeUndefined();
  });

  it("may be empty but hold nothing", () => {
    const out = join(folder, "out");
    expect(claimFolder(out)).toBe(out);
    expect(claimFolder(out)).toBe(out);
    writeFileSync(join(out, "notes.txt"), "mine");
    expect(() => claimFolder(out)).toThrow(/OST_USAGE.*not empty/);
    expect(existsSync(join(out, "notes.txt"))).toBe(true);
  });

  it("give baselines file names that are safe and differ also where case does not count", () => {
    const files = baselineFiles(["ridge(96)", "MLP window 8", "../x", "a/b", "A b", "()"]);
    expect([...files.values()]).toEqual([
      "ridge-96.safetensors",
      "MLP-window-8.safetensors",
      "x.safetensors",
      "a-b.safetensors",
      "A-b-2.safetensors",
      "baseline.safetensors",
    ]);
  });
});

describe("what a person reads", () => {
  it("is one progress line with everything that matters", () => {
    const progress = {
      epoch: 5,
      epochs: 20,
      step: 60,
      loss: 0.41234,
      gradNorm: 0.81,
      clippedShare: 0.03,
      stepsPerSecond: 310.4,
      secondsLeft: 8.2,
      validation: 0.455,
    };
    expect(describeProgress(progress)).toBe(
      "epoch 6/20 ░░░░░░░░░░░░░░ loss 0.412 · val 0.455 · |g| 0.8 (clipped 3 %) · 310 steps/s · 8 s left",
    );
    expect(describeProgress({ ...progress, secondsLeft: 60 / 310.4 })).toMatch(/███████░░░░░░░/);
    expect(describeProgress({ ...progress, secondsLeft: null, validation: null })).toBe(
      "epoch 6/20 ████░░░░░░░░░░ loss 0.412 · |g| 0.8 (clipped 3 %) · 310 steps/s",
    );
  });

  it("fits a narrow terminal, and keeps the time left", () => {
    const progress = {
      epoch: 5,
      epochs: 20,
      step: 60,
      loss: 0.41234,
      gradNorm: 0.81,
      clippedShare: 0.03,
      stepsPerSecond: 310.4,
      secondsLeft: 8.2,
      validation: 0.455,
    };
    expect(describeProgress(progress, 66)).toBe("epoch 6/20 ░░░░░░░░░░░░░░ loss 0.412 · val 0.455 · 8 s left");
    for (const width of [60, 70, 80, 90, 120]) expect(describeProgress(progress, width).length).toBeLessThanOrEqual(width);
  });

  it("counts in plain words", () => {
    expect([counted(1, "run"), counted(12, "run"), counted(9412, "row"), counted(2, "series"), counted(3, "city")]).toEqual([
      "1 run",
      "12 runs",
      "9,412 rows",
      "2 series",
      "3 cities",
    ]);
    expect([0.4, 8.2, 75, 600, 9000].map(describeSeconds)).toEqual(["0.4 s", "8 s", "75 s", "10 min", "2.5 h"]);
    expect(
      alignColumns(
        [
          ["a", "1"],
          ["bcd", "22"],
        ],
        { right: [1] },
      ),
    ).toEqual(["a      1", "bcd   22"]);
  });

  it("names the answer and the two next ones", () => {
    const probabilities = { idle: 0.04, compile: 0.93, compress: 0.02, network: 0.01 };
    expect(describeLive({ label: "compile", confidence: 0.93, probabilities })).toBe(
      "  What is this machine doing?   compile  0.93   (idle 0.04, compress 0.02)",
    );
  });

  it("has neither colours nor a live line off a terminal, and nothing at all when quiet", () => {
    const written: string[] = [];
    const out = { write: (text: string) => written.push(text) > 0 } as unknown as ConstructorParameters<typeof Terminal>[1];
    const terminal = new Terminal({}, out);
    terminal.status("busy", { always: true });
    terminal.print(terminal.color.red("plain"));
    new Terminal({ quiet: true }, out).print("unheard");
    expect(written).toEqual(["plain\n"]);
  });

  it("holds no control sequence of a foreign file, and keeps the colours of its own", () => {
    const foreign = "\x1b]0;owned\x07a\x1b[2Jb\x9b31mc\x1b[8md\r\u0085e\tf\n";
    expect(printable(foreign)).toBe("]0;owneda[2Jb31mc[8mde\tf\n");
    expect(printable(`\x1b[31m${foreign}\x1b[39m`, { colors: true })).toBe("\x1b[31m]0;owneda[2Jb31mc[8mde\tf\n\x1b[39m");
    const line = jsonLine({ name: foreign });
    expect(printable(line)).toBe(line);
    expect(JSON.parse(line)).toEqual({ name: foreign });
    const written: string[] = [];
    const out = { isTTY: true, columns: 90, write: (text: string) => written.push(text) > 0 } as unknown as ConstructorParameters<
      typeof Terminal
    >[1];
    const terminal = new Terminal({}, out);
    terminal.print(`x\x1b[2J\x07y`);
    terminal.status("x\x1b[2J\x07y", { always: true });
    expect(written).toEqual(["x[2Jy\n", "\r\x1b[2Kx[2Jy"]);
  });

  it("is rewritten in place on a terminal and cut to its width", () => {
    const written: string[] = [];
    const out = { isTTY: true, columns: 10, write: (text: string) => written.push(text) > 0 } as unknown as ConstructorParameters<
      typeof Terminal
    >[1];
    const terminal = new Terminal({}, out);
    terminal.status("123456789012345", { always: true });
    terminal.print("done");
    expect(written).toEqual(["\r\x1b[2K12345678…", "\r\x1b[2K", "done\n"]);
  });
});

describe("a file that cannot be written", () => {
  it("is one error that names the path, whatever the system says", async () => {
    const blocked = join(file("blocked", ""), "inside", "out.csv");
    expect(() => wantWritable(blocked)).toThrow(
      /OST_FILE {2}\S*blocked\/inside\/out\.csv: it cannot be written.*(ENOTDIR|EEXIST)/,
    );
    await expect(writeWhole(blocked, "x")).rejects.toThrow(/OST_FILE.*a part of the path is a file/);
    await expect(writeWhole(folder, "x")).rejects.toThrow(/OST_FILE.*it is a folder \(EISDIR\)/);
    expect(() => claimFolder(join(folder, "blocked", "run"))).toThrow(/OST_FILE.*blocked\/run: it cannot be written/);
    expect(() => makeRunFolder(join(folder, "blocked"), "run")).toThrow(/OST_FILE.*blocked: it cannot be written/);
    for (const code of ["EACCES", "EROFS"]) {
      const error = unwritable("/a/b.csv", { code });
      expect([error.code, error.exit, error.message]).toEqual(["OST_FILE", 2, expect.stringMatching(`/a/b.csv.*${code}`)]);
    }
  });

  it.skipIf(!existsSync("/dev/null"))("is never a device that a rename would replace", async () => {
    await expect(writeWhole("/dev/null", "x")).rejects.toThrow(/OST_FILE.*device/);
  });
});

describe("init", () => {
  const hour = (i: number) => new Date(Date.UTC(2026, 0, 1) + i * 3_600_000).toISOString();

  it("sees time, step, gaps and missing values of one series", () => {
    const records = Array.from({ length: 50 }, (_, i) => ({
      when: hour(i < 20 ? i : i + 3),
      x: i % 7 === 0 ? null : i,
      y: 2 * i,
    }));
    expect(sketchData(tableFromRecords(records))).toMatchObject({
      rows: 50,
      time: "when",
      entity: null,
      series: 1,
      numeric: ["x", "y"],
      labels: [],
      stepMs: 3_600_000,
      gaps: 1,
      missing: 8,
    });
  });

  it("finds the column that tells series apart where time goes back, and labels that are constant in it", () => {
    const records = Array.from({ length: 60 }, (_, i) => ({
      date: hour(i % 20),
      pump: `p${Math.floor(i / 20)}`,
      x: i,
      kind: i < 20 ? "good" : "bad",
      state: i % 5 === 0 ? "on" : "off",
    }));
    const sketch = sketchData(tableFromRecords(records));
    expect(sketch).toMatchObject({ time: "date", entity: "pump", series: 3, shortest: 20, numeric: ["x"] });
    expect(sketch.labels).toEqual([
      { name: "kind", values: 2, constant: true },
      { name: "state", values: 2, constant: false },
    ]);
  });

  it("takes no measurement for the name of a series", () => {
    const records = Array.from({ length: 40 }, (_, i) => ({
      time: hour(i % 10),
      temp: Math.floor(i / 10),
      humid: Math.floor(i / 10),
      sensor_1: Math.floor(i / 10) + 0.5,
      x: i,
    }));
    expect(sketchData(tableFromRecords(records)).entity).toBeNull();
    for (const name of ["id", "device_id", "deviceId", "pump_unit"])
      expect(sketchData(tableFromRecords(records.map((one) => ({ ...one, [name]: one.temp })))).entity).toBe(name);
    expect(sketchData(tableFromRecords(records.map((one) => ({ ...one, who: `p${one.temp}` })))).entity).toBe("who");
  });

  it("reads ten thousand columns in seconds", () => {
    const names = Array.from({ length: 10_000 }, (_, c) => `column${c}`);
    const records = Array.from({ length: 20 }, (_, i) => Object.fromEntries(names.map((name, c) => [name, (i * c) % 7])));
    const table = tableFromRecords(records);
    const begun = performance.now();
    expect(sketchData(table).numeric.length).toBeGreaterThan(9000);
    expect(performance.now() - begun).toBeLessThan(3000);
  });

  it("knows a column of parts, and a table without time", () => {
    const records = Array.from({ length: 30 }, (_, i) => ({
      sequence: i % 10,
      part: i % 10 < 6 ? "train" : i % 10 < 8 ? "validation" : "test",
      x: i,
    }));
    expect(sketchData(tableFromRecords(records))).toMatchObject({
      time: null,
      entity: "sequence",
      series: 10,
      part: "part",
      numeric: ["x"],
      stepMs: null,
    });
  });

  it("takes numbers named label for classes, and no count of the rows for a feature", () => {
    const records = Array.from({ length: 40 }, (_, i) => ({
      sequence: String(Math.floor(i / 8) + 1),
      step: (i % 8) + 1,
      x: i * i,
      label: Math.floor(i / 8) % 2,
    }));
    const sketch = sketchData(tableFromRecords(records, { text: ["sequence"] }));
    expect(sketch).toMatchObject({
      time: null,
      entity: "sequence",
      series: 5,
      numeric: ["x"],
      labels: [{ name: "label", values: 2, constant: true }],
    });
  });
});
