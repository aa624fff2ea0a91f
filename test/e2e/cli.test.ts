import { type ChildProcess, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/model/index.js";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const TSX = pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm")).href;

// biome-ignore lint/suspicious/noExplicitAny: what commands print has many shapes.
type Json = any;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

let folder: string;

const COMMAND = [process.execPath, "--conditions=ostinato-source", "--import", TSX, MAIN];

function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(COMMAND[0], [...COMMAND.slice(1), ...args], { cwd: folder, env: { ...process.env, NO_COLOR: "1", ...env } });
}

/** A command line of the shell in which "ostinato" is the command, and its exit code is printed last on stderr. */
async function shell(line: string, input?: string): Promise<Ended & { exit: string | undefined }> {
  const own = COMMAND.map((word) => `'${word}'`).join(" ");
  const child = spawn(
    "sh",
    ["-c", line.replace(/ostinato [^|>]*[^|> ]/, (call) => `{ ${own} ${call.slice(9)}; echo "exit $?" >&2; }`)],
    {
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1" },
    },
  );
  const done = await ended(child, { input });
  return { ...done, exit: /exit (\d+)\n$/.exec(done.stderr)?.[1] };
}

/** Waits for a command; `until`: does something once its output matches. */
function ended(
  child: ChildProcess,
  { input, until }: { input?: string; until?: [RegExp, (stdout: string) => void] } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    let [stdout, stderr, done] = ["", "", false];
    const look = () => {
      if (!until || done || !until[0].test(stdout)) return;
      done = true;
      until[1](stdout);
    };
    child.stdout?.on("data", (chunk) => {
      stdout += chunk;
      look();
    });
    child.stderr?.on("data", (chunk) => (stderr += chunk));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
  });
}

const ostinato = (args: string[], input?: string) => ended(start(args), { input });

/** stdout must be one JSON object on one line and nothing else. */
function oneObject(stdout: string): Record<string, Json> {
  expect(stdout.endsWith("\n")).toBe(true);
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  const value = JSON.parse(stdout);
  expect(typeof value === "object" && value !== null && !Array.isArray(value)).toBe(true);
  return value;
}

const file = (name: string, text: string) => writeFileSync(join(folder, name), text);
const text = (name: string) => readFileSync(join(folder, name), "utf8");

function weights(path: string): Record<string, string> {
  return Object.fromEntries(
    [...readSafetensors(readFileSync(join(folder, path))).tensors].map(([name, { data }]) => [
      name,
      Buffer.from(data).toString("hex"),
    ]),
  );
}

/** Hourly rows of two columns that follow one another. */
function loadCsv(rows: number): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const time = new Date(Date.UTC(2026, 0, 1) + i * 3_600_000).toISOString();
    return `${time},${(10 + 5 * Math.sin(i / 4) + Math.sin(i * 7.3)).toFixed(3)},${(3 + 2 * Math.sin((i - 2) / 4)).toFixed(3)}`;
  });
  return `time,temp,load\n${lines.join("\n")}\n`;
}

/** Six units of 60 steps, on or off. */
function tagsCsv(): string {
  const lines: string[] = [];
  for (let unit = 0; unit < 6; unit++) {
    for (let i = 0; i < 60; i++) {
      const on = Math.floor((i + unit * 7) / 15) % 2;
      lines.push(
        `${new Date(Date.UTC(2026, 0, 1) + i * 1000).toISOString()},u${unit},${(on * 2 + Math.sin(i * 7.3 + unit)).toFixed(3)},${on ? "on" : "off"}`,
      );
    }
  }
  return `time,unit,x,state\n${lines.join("\n")}\n`;
}

const FORECAST = `task: forecast
data:
  source: load.csv
  time: time
  features: [temp, load]
  target: [load]
  split: { by: time, train: 0.7, validation: 0.1, test: 0.2 }
window: { length: 8, horizon: 3 }
model: { cell: lstm, hiddenSize: 8 }
train: { epochs: 2, batchSize: 32 }
evaluation: { rivals: false, resamples: 200 }
`;

const TAG = `task: tag
data:
  source: tags.csv
  time: time
  entity: unit
  features: [x]
  target: state
  split: { by: entity, train: 0.6, validation: 0.2, test: 0.2 }
mode: streaming
window: { length: 10 }
model: { cell: gru, hiddenSize: 8 }
train: { epochs: 3, batchSize: 4, learningRate: 1e-2 }
evaluation: { resamples: 200 }
`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-e2e-"));
  file("load.csv", loadCsv(300));
  file("tags.csv", tagsCsv());
  file("load.yaml", FORECAST);
  file("tags.yaml", TAG);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("from data to a stream", () => {
  const model = "runs/load-1/model.safetensors";

  it("trains: one JSON object, a whole run folder, and never the same folder twice", async () => {
    const { code, stdout, stderr } = await ostinato(["train", "load.yaml", "--json"]);
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/Ostinato \d.*engine.*1 Data.*2 Train.*epoch 2\/2.*3 Judge.*Verdict:/s),
    ]);
    const summary = oneObject(stdout);
    expect(Object.keys(summary)).toEqual([
      ...["model", "task", "engine", "steps", "epochs", "seconds", "metrics", "baselines", "verdict"],
    ]);
    expect(summary).toMatchObject({ model, task: "forecast", epochs: 2, steps: 2 * Math.ceil((210 - 8 - 3 + 1) / 32) });
    expect(summary["metrics"].test).toMatchObject({
      mse: expect.any(Number),
      mae: expect.any(Number),
      original: { mse: expect.any(Number) },
    });
    expect(summary["metrics"].validation.mse).toBeGreaterThan(0);
    expect(Object.keys(summary["baselines"])).toEqual(expect.arrayContaining(["persistence", "drift", "ridge(8)"]));
    expect(readdirSync(join(folder, "runs/load-1")).sort()).toEqual(
      [
        "baselines",
        "checkpoint.safetensors",
        "config.yaml",
        "log.ndjson",
        "model.safetensors",
        "report.html",
        "report.json",
      ].sort(),
    );
    expect(readdirSync(join(folder, "runs/load-1/baselines"))).toContain("ridge-8.safetensors");
    const kinds = text("runs/load-1/log.ndjson")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).kind);
    expect(kinds.filter((kind) => kind === "epoch")).toHaveLength(2);
    expect(text("runs/load-1/config.yaml")).toContain(join(folder, "load.csv"));
    for (const path of [model, "runs/load-1/baselines/ridge-8.safetensors", "runs/load-1/report.html"])
      expect(text(path)).not.toContain(folder);

    const again = await ostinato(["train", "load.yaml", "--quiet", "--set", "evaluation.rivals=false"]);
    expect([again.code, again.stdout, again.stderr]).toEqual([0, "", ""]);
    expect(weights("runs/load-2/model.safetensors")).toEqual(weights(model));

    const refused = await ostinato(["train", "load.yaml", "--out", "runs/load-1"]);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/OST_USAGE.*not empty.*--resume/s)]);
    const finished = await ostinato(["train", "load.yaml", "--out", "runs/load-1", "--resume", "--json"]);
    expect([finished.code, oneObject(finished.stdout)]).toEqual([0, summary]);
    for (const set of ["train.epochs=3", "decision.metric=mae"]) {
      const other = await ostinato(["train", "load.yaml", "--out", "runs/load-1", "--resume", "--set", set]);
      expect([other.code, other.stderr]).toEqual([3, expect.stringContaining("OST_CHECKPOINT")]);
    }
  });

  it("evaluates the same figures again, and refuses to judge by the training data", async () => {
    const trained = JSON.parse(text("runs/load-1/report.json"));
    const { code, stdout } = await ostinato(["evaluate", model, "--json"]);
    expect(code).toBe(0);
    const evaluated = oneObject(stdout);
    expect(evaluated["metrics"].test).toEqual(trained.metrics.test);
    expect(evaluated["baselines"]["ridge(8)"]).toEqual(trained.baselines["ridge(8)"]);
    expect(evaluated["verdict"].ship).toBe(trained.verdict.ship);
    expect(evaluated["notes"]).not.toContainEqual(expect.stringContaining("changed"));

    const own = await ostinato(["evaluate", model, "--data", "load.csv", "--json"]);
    expect([own.code, oneObject(own.stdout)["error"].code]).toEqual([2, "OST_SPLIT"]);

    file(
      "later.csv",
      loadCsv(400)
        .split("\n")
        .filter((_, i) => i === 0 || i > 200)
        .join("\n"),
    );
    const later = await ostinato(["evaluate", model, "--data", "later.csv", "--json"]);
    expect(later.code).toBe(0);
    expect(oneObject(later.stdout)["notes"].join(" ")).toMatch(
      /all 200 rows.*40 of the 200 rows are rows the model was trained or chosen with/,
    );
    file(
      "copied.csv",
      loadCsv(300)
        .split("\n")
        .filter((_, i) => i < 100)
        .join("\n"),
    );
    const copied = oneObject((await ostinato(["evaluate", model, "--data", "copied.csv", "--json"])).stdout)["notes"].join(" ");
    expect(copied).toMatch(/all 99 rows of copied\.csv were scored as test data, but all of them are rows the model was trained/);
    expect(copied).not.toMatch(/nothing was fitted|neither/);
  });

  it("judges small weights beside float32, and predicts with them as it streams with them", async () => {
    const exact = oneObject((await ostinato(["evaluate", model, "--json"])).stdout);
    const { code, stdout, stderr } = await ostinato(["evaluate", model, "--weights", "int8", "--json"]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/with int8 weights.*Verdict:.*int8 against float32.*MSE.*%/s)]);
    const small = oneObject(stdout);
    expect(small["weights"]).toMatchObject({ type: "int8", float32: exact["metrics"].test });
    expect(small["baselines"]).toEqual(exact["baselines"]);
    const { mse } = small["weights"].difference;
    expect(mse).toBe(small["metrics"].test.mse - exact["metrics"].test.mse);
    expect(Math.abs(mse)).toBeGreaterThan(0);
    expect(Math.abs(mse)).toBeLessThan(0.02 * exact["metrics"].test.mse);
    const compared = Object.values(small["comparisons"]).map((one) => (one as { difference: number }).difference);
    expect(compared[0]).toBeCloseTo(mse, 12);

    const plain = oneObject((await ostinato(["evaluate", model, "--weights", "float32", "--json"])).stdout);
    expect([plain["metrics"], plain["weights"]]).toEqual([exact["metrics"], undefined]);

    for (const weights of ["float32", "int8"])
      expect(
        (await ostinato(["predict", model, "--data", "load.csv", "--out", `${weights}.csv`, "--weights", weights])).code,
      ).toBe(0);
    const [, first] = text("int8.csv").split("\n");
    expect(text("int8.csv")).not.toBe(text("float32.csv"));
    const records = text("load.csv").trimEnd().split("\n").slice(1);
    const input = records
      .map((line) => line.split(","))
      .map(([time, temp, load]) => JSON.stringify({ time, temp: Number(temp), load: Number(load) }));
    const streamed = await ostinato(["stream", model, "--weights", "int8"], `${input.join("\n")}\n`);
    const answers = streamed.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).predictions);
    const { forecast } = answers.find((predictions) => predictions.length > 0)[0];
    expect(forecast.load[0]).toBe(Number(first.split(",").at(-1)));

    const baseline = await ostinato([
      "predict",
      "runs/load-1/baselines/ridge-8.safetensors",
      "--data",
      "load.csv",
      "--out",
      "b.csv",
      "--weights",
      "int8",
    ]);
    expect([baseline.code, baseline.stderr]).toEqual([2, expect.stringMatching(/OST_RANGE.*no recurrent layer/s)]);
  });

  it("judges a file by the default metric where the decision needs what the file cannot give, and says so", async () => {
    const decided = ["--set", "decision.metric=mase", "--set", "train.epochs=1", "--out", "runs/mase"];
    expect((await ostinato(["train", "load.yaml", ...decided, "--quiet"])).code).toBe(0);
    const own = oneObject((await ostinato(["evaluate", "runs/mase/model.safetensors", "--json"])).stdout);
    expect(own["notes"].join(" ")).not.toMatch(/MASE/);
    const { code, stdout } = await ostinato(["evaluate", "runs/mase/model.safetensors", "--data", "later.csv", "--json"]);
    expect([code, oneObject(stdout)["notes"]]).toEqual([
      0,
      expect.arrayContaining([expect.stringMatching(/decision by MASE was left out.*default metric/)]),
    ]);
  });

  it("evaluates a model away from its run folder on a named file only", async () => {
    writeFileSync(join(folder, "alone.safetensors"), readFileSync(join(folder, model)));
    const own = await ostinato(["evaluate", "alone.safetensors"]);
    expect([own.code, own.stderr]).toEqual([2, expect.stringMatching(/OST_FILE.*config\.yaml.*--data FILE/s)]);
    const trained = await ostinato(["evaluate", "alone.safetensors", "--data", "load.csv"]);
    expect([trained.code, trained.stderr]).toEqual([2, expect.stringMatching(/OST_SPLIT.*config\.yaml/s)]);
    const later = await ostinato(["evaluate", "alone.safetensors", "--data", "later.csv", "--json"]);
    expect([later.code, oneObject(later.stdout)["notes"].join(" ")]).toEqual([0, expect.stringMatching(/not at hand/)]);
  });

  it("says that the data have changed since training", async () => {
    file("moved.csv", loadCsv(300));
    expect(
      (await ostinato(["train", "load.yaml", "--set", "data.source=moved.csv", "--out", "runs/moved", "--quiet"])).code,
    ).toBe(0);
    file("moved.csv", loadCsv(310));
    const { code, stdout } = await ostinato(["evaluate", "runs/moved/model.safetensors", "--json"]);
    expect([code, oneObject(stdout)["notes"].join(" ")]).toEqual([
      0,
      expect.stringMatching(/moved\.csv has changed since training/),
    ]);
    rmSync(join(folder, "moved.csv"));
    const gone = await ostinato(["evaluate", "runs/moved/model.safetensors"]);
    expect([gone.code, gone.stderr]).toEqual([2, expect.stringMatching(/OST_FILE.*own data.*--data/s)]);
  });

  it("predicts a file exactly as it streams it, windowed; the last rows look beyond the end", async () => {
    const made = await ostinato(["predict", model, "--data", "load.csv", "--out", "p.csv", "--json"]);
    expect([made.code, oneObject(made.stdout)]).toMatchObject([0, { rows: (300 - 8 + 1) * 3, inputRows: 300 }]);
    const rows = text("p.csv")
      .trimEnd()
      .split("\n")
      .map((line) => line.split(","));
    expect(rows[0]).toEqual(["entity", "row", "time", "step", "load"]);
    const records = text("load.csv")
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((line) => line.split(","));
    const input = records
      .map(([time, temp, load]) => `${JSON.stringify({ time, temp: Number(temp), load: Number(load) })}\n`)
      .join("");
    const streamed = await ostinato(["stream", model], input);
    expect(streamed.code).toBe(0);
    const answers = streamed.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(answers.map(({ steps }) => steps)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    const forecasts = answers.flatMap(({ predictions }) => predictions.flatMap((one: Json) => one.forecast.load));
    expect(forecasts).toEqual(rows.slice(1).map((cells) => Number(cells[4])));
    expect(answers[6].predictions).toEqual([]);

    const before = text("p.csv");
    const again = await ostinato(["predict", model, "--data", "load.csv", "--out", "p.csv"]);
    expect([again.code, again.stderr, text("p.csv")]).toEqual([2, expect.stringMatching(/OST_USAGE.*p\.csv.*--force/s), before]);
    expect((await ostinato(["predict", model, "--data", "load.csv", "--out", "p.csv", "--force"])).code).toBe(0);
    expect(text("p.csv")).toBe(before);
  });

  it("writes no prediction that is not finite, and leaves the file that was there", async () => {
    const bytes = readFileSync(join(folder, model));
    const { tensors } = readSafetensors(bytes);
    for (const name of ["head.weight", "head.bias"]) {
      const own = Buffer.from(tensors.get(name)?.data as Uint8Array);
      const at = bytes.indexOf(own);
      const rows = tensors.get(name)?.shape[0] as number;
      // Three outputs of (1 + s), (1 - s) and (1 + s) times the largest number there is.
      for (let i = 0; i < own.length / 4; i++) {
        const row = name === "head.bias" ? i : Math.floor(i / (own.length / 4 / rows));
        bytes.writeFloatLE(name === "head.weight" && row === 1 ? -3.4e38 : 3.4e38, at + 4 * i);
      }
    }
    writeFileSync(join(folder, "huge.safetensors"), bytes);
    for (const out of ["nan.csv", "nan.ndjson"]) {
      const { code, stderr } = await ostinato(["predict", "huge.safetensors", "--data", "load.csv", "--out", out]);
      expect([code, stderr, existsSync(join(folder, out))]).toEqual([3, expect.stringMatching(/OST_NAN.*row 8/), false]);
    }
    file("kept.csv", "mine\n");
    const kept = await ostinato(["predict", "huge.safetensors", "--data", "load.csv", "--out", "kept.csv", "--force"]);
    expect([kept.code, text("kept.csv"), readdirSync(folder).filter((name) => name.endsWith(".partial"))]).toEqual([
      3,
      "mine\n",
      [],
    ]);
  });

  it("refuses in the same words, in every command, a path that cannot be written", async () => {
    file("plain", "");
    const commands = [
      ["train", "load.yaml", "--out", "plain/run"],
      ["predict", model, "--data", "load.csv", "--out", "plain/p.csv"],
      ["record", "--seconds", "0.2", "--out", "plain/r.csv"],
      ["init", "--data", "load.csv", "--out", "plain/o.yaml"],
      ["stream", model, "--snapshot-out", "plain/s.bin"],
    ];
    for (const args of commands) {
      const { code, stderr } = await ostinato(args);
      expect([args[0], code, stderr]).toEqual([
        args[0],
        2,
        expect.stringMatching(/OST_FILE {2}plain\/\S+: it cannot be written: a part of the path is a file/),
      ]);
    }
  });

  it("predicts as it streams, carried, also a baseline; a snapshot goes on where it was taken", async () => {
    expect((await ostinato(["train", "tags.yaml", "--out", "runs/tags", "--quiet"])).code).toBe(0);
    const lines = text("tags.csv")
      .trimEnd()
      .split("\n")
      .slice(1)
      .filter((line) => line.includes(",u5,"));
    const input = (from: number, to: number) =>
      lines
        .slice(from, to)
        .map((line) => line.split(","))
        .map(([time, unit, x]) => `${JSON.stringify({ time, unit, x: Number(x) })}\n`)
        .join("");
    // The labels are not there: predictions need none.
    file(
      "unlabelled.csv",
      text("tags.csv")
        .replace(/,state$/m, "")
        .replace(/,(on|off)$/gm, ""),
    );
    for (const path of [
      "runs/tags/model.safetensors",
      "runs/tags/baselines/logistic-10.safetensors",
      "runs/tags/baselines/MLP-window-8.safetensors",
    ]) {
      if (!existsSync(join(folder, path))) continue;
      expect((await ostinato(["predict", path, "--data", "unlabelled.csv", "--out", "t.ndjson", "--force"])).code).toBe(0);
      const predicted = text("t.ndjson")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
        .filter(({ entity }) => entity === "u5");
      const streamed = await ostinato(["stream", path], input(0, 60));
      const answers = streamed.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).predictions[0]);
      expect(predicted).toHaveLength(60);
      expect(predicted.map(({ label, confidence, probabilities }) => ({ label, confidence, probabilities }))).toEqual(
        answers.map(({ label, confidence, probabilities }) => ({ label, confidence, probabilities })),
      );
    }
    const path = "runs/tags/model.safetensors";
    const whole = await ostinato(["stream", path], input(0, 60));
    const first = await ostinato(["stream", path, "--owner", "me", "--snapshot-out", "state.bin"], input(0, 25));
    const second = await ostinato(["stream", path, "--owner", "me", "--snapshot-in", "state.bin"], input(25, 60));
    expect(first.stdout + second.stdout).toBe(whole.stdout);
    const stranger = await ostinato(["stream", path, "--owner", "you", "--snapshot-in", "state.bin"], input(25, 60));
    expect([stranger.code, stranger.stdout, stranger.stderr]).toEqual([2, "", expect.stringContaining("OST_SNAPSHOT")]);
  });

  it("keeps the state of a stream whose reader went away, or whose output the disk has no room for", async () => {
    const path = "runs/tags/model.safetensors";
    const record = (i: number) => JSON.stringify({ time: 1000 * i, x: i % 3 });
    const input = `${Array.from({ length: 3000 }, (_, i) => record(i)).join("\n")}\n`;
    const left = await shell(`ostinato stream ${path} --snapshot-out left.bin | head -3`, input);
    expect([left.exit, left.stdout.trimEnd().split("\n").length]).toEqual(["0", 3]);
    const steps = Number(/the state is ([\d,]+) steps old/.exec(left.stderr)?.[1].replace(",", ""));
    expect(steps).toBeGreaterThanOrEqual(3);
    const next = await ostinato(["stream", path, "--snapshot-in", "left.bin"], `${record(steps)}\n`);
    expect(JSON.parse(next.stdout).steps).toBe(steps + 1);
    if (!existsSync("/dev/full")) return;
    const full = await shell(`ostinato stream ${path} --snapshot-out full.bin > /dev/full`, input);
    expect([full.exit, full.stderr, existsSync(join(folder, "full.bin"))]).toEqual([
      "2",
      expect.stringMatching(/OST_FILE.*standard output.*ENOSPC/s),
      true,
    ]);
  });

  it.skipIf(!existsSync("/dev/full"))("never calls done what could not be written", async () => {
    const train = "train load.yaml --set evaluation.rivals=false --set train.epochs=1 --out full/run --json";
    for (const line of [`inspect ${model}`, `inspect ${model} --json`, "runs", "--version", train]) {
      const { exit, stderr } = await shell(`ostinato ${line} > /dev/full`);
      expect([line, exit, stderr]).toEqual([line, "2", expect.stringMatching(/OST_FILE.*ENOSPC/s)]);
    }
  });

  it("trains to the end, model and report, although nobody reads what it says", async () => {
    const line = "ostinato train load.yaml --out runs/unread --set train.epochs=6 | head -2";
    const { exit, stdout } = await shell(line);
    expect([exit, stdout.split("\n").length]).toEqual(["0", 3]);
    expect(["model.safetensors", "report.json"].filter((name) => !existsSync(join(folder, "runs/unread", name)))).toEqual([]);
    const recorded = await shell("ostinato record --rate 20 | head -2");
    expect([recorded.exit, recorded.stdout.split("\n").length]).toEqual(["0", 3]);
  });

  it("stops a stream at a bad line with its number, or skips it when told to", async () => {
    const path = "runs/tags/model.safetensors";
    const good = (i: number) => JSON.stringify({ time: `2026-01-01T00:00:0${i}Z`, x: i });
    const input = `${good(1)}\n\n{"time": "2026-01-01T00:00:02Z"\n${good(3)}\n{"time":"2026-01-01T00:00:02Z","x":1}\n${good(4)}`;
    const stopped = await ostinato(["stream", path], input);
    expect([stopped.code, stopped.stdout.trimEnd().split("\n").length, stopped.stderr]).toEqual([
      2,
      1,
      expect.stringMatching(/OST_FORMAT.*stdin line 3/),
    ]);
    const skipped = await ostinato(["stream", path, "--skip-bad"], input);
    expect([skipped.code, skipped.stdout.trimEnd().split("\n").length, skipped.stderr]).toEqual([
      0,
      3,
      expect.stringMatching(/line 5.*2 bad lines skipped/s),
    ]);
    const mixed = await ostinato(["stream", path], `{"time":1,"unit":"a","x":1}\n{"time":2,"unit":"b","x":1}\n`);
    expect([mixed.code, mixed.stderr]).toEqual([2, expect.stringMatching(/OST_RECORD.*line 2.*another series/)]);
  });

  it("trains on the threads it is told to, to the same weights and figures on any number of them", async () => {
    const wide = ["--set", "model.hiddenSize=64", "--set", "train.batchSize=64"];
    const train = async (threads: string, out: string, engine: Record<string, string>) => {
      const done = await ended(start(["train", "load.yaml", ...wide, "--threads", threads, "--out", out, "--json"], engine));
      expect(done.code).toBe(0);
      const { tensors } = readSafetensors(readFileSync(join(folder, out, "model.safetensors")));
      const { metrics, engine: computed } = oneObject(done.stdout);
      return { tensors, metrics, computed, said: done.stderr };
    };
    for (const engine of [{}, { OSTINATO_ENGINE: "wasm" }] as Record<string, string>[]) {
      const name = Object.keys(engine).length > 0 ? "wasm" : "any";
      const [one, two] = [await train("1", `threads/${name}-1`, engine), await train("2", `threads/${name}-2`, engine)];
      expect(one.computed).not.toMatch(/threads/);
      expect(two.computed).toMatch(/, 2 threads\)$/);
      expect(two.said).toMatch(/engine \w+ \(.*2 threads/);
      expect(two.metrics).toEqual(one.metrics);
      expect(two.tensors).toEqual(one.tensors);
    }
    const scores = await ostinato(["evaluate", "threads/any-1/model.safetensors", "--threads", "auto", "--json"]);
    expect(scores.code).toBe(0);
    for (const threads of ["0", "65", "1.5", "many"]) {
      const done = await ostinato(["predict", model, "--data", "load.csv", "--out", "no.csv", "--threads", threads]);
      expect([done.code, done.stderr]).toEqual([2, expect.stringMatching(/OST_USAGE.*--threads.*whole number from 1 to 64/)]);
    }
  });

  it("inspects a model and the engine, lists runs and compares two", async () => {
    const inspected = oneObject((await ostinato(["inspect", model, "--json"])).stdout);
    expect(inspected).toMatchObject({
      task: "forecast",
      mode: "causal",
      streaming: "windowed",
      formatVersion: 1,
      predictor: "LSTM 8",
      features: ["temp", "load"],
      horizon: 3,
    });
    expect(inspected["parameters"]).toBe(4 * 8 * (2 + 8 + 2) + 3 * 8 + 3);
    expect(inspected["tensors"]["recurrent.weight_ih_l0"]).toEqual({ dtype: "F32", shape: [32, 2] });
    const machine = oneObject((await ostinato(["inspect", "--engine", "--json"])).stdout);
    expect(["native", "wasm"]).toContain(machine["engine"]);
    const chosen = machine["engines"].filter((one: { chosen: boolean }) => one.chosen);
    expect(chosen).toEqual([{ engine: machine["engine"], isa: machine["instructions"], reason: null, chosen: true }]);
    expect(machine["engines"].at(-1)).toMatchObject({ engine: "reference", reason: null });
    expect(inspected["provenance"].engine).toBe(`${machine["engine"]} (${machine["instructions"]})`);
    expect((await ostinato(["inspect", "--engine"])).stdout).toMatch(/engine (native|wasm) \(\S+\), 1 thread a call\n.*chosen/s);
    const human = await ostinato(["inspect", model]);
    expect(human.stdout).toMatch(/LSTM 8.*preprocessing.*scale.*tensors/s);
    const rows = (await ostinato(["runs", "--json"])).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map(({ run }) => run).sort()).toEqual(["load-1", "load-2", "mase", "moved", "tags", "unread"]);
    expect(rows.find(({ run }) => run === "tags")).toMatchObject({ state: "finished", task: "tag", metric: "accuracy" });
    const same = oneObject((await ostinato(["runs", "compare", "load-1", "load-2", "--json"])).stdout);
    expect(same).toMatchObject({ comparable: true, settings: {} });
    const other = oneObject((await ostinato(["runs", "compare", "load-1", "tags", "--json"])).stdout);
    expect(other).toMatchObject({ comparable: false, settings: { task: { a: "forecast", b: "tag" } } });
    expect((await ostinato(["runs", "compare", "load-1", "load-2"])).stdout).toMatch(/test mse/);
  });

  it("serves until Ctrl-C, and says so when the port is in use", async () => {
    const answers: unknown[] = [];
    const child = start([
      "serve",
      "runs/tags/model.safetensors",
      "ridge=runs/load-1/baselines/ridge-8.safetensors",
      "--port",
      "0",
      "--json",
    ]);
    const done = await ended(child, {
      until: [
        /\n/,
        async (line) => {
          const { url } = JSON.parse(line);
          const call = async (path: string, body: unknown) => {
            const init = {
              method: "POST",
              headers: { authorization: "Bearer key", "content-type": "application/json" },
              body: JSON.stringify(body),
            };
            const answer = await (await fetch(url + path, init)).json();
            answers.push(answer);
          };
          await call("/v1/models/tags/sessions", { id: "s" });
          await call("/v1/models/tags/sessions/s/steps", { record: { time: 1, x: 2 } });
          await call("/v1/models/ridge/sessions", { id: "r" });
          child.kill("SIGINT");
        },
      ],
    });
    expect([done.code, oneObject(done.stdout)["models"].map((one: Json) => one.name)]).toEqual([0, ["tags", "ridge"]]);
    expect(answers).toMatchObject([
      { model: "tags" },
      { seq: 1, predictions: [{ label: expect.any(String) }] },
      { model: "ridge" },
    ]);

    const twice = await ostinato(["serve", "runs/load-1/model.safetensors", "runs/load-2/model.safetensors"]);
    expect([twice.code, twice.stderr]).toEqual([2, expect.stringMatching(/OST_USAGE.*same name/)]);
    const busy = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => busy.once("listening", resolve));
    const port = String((busy.address() as AddressInfo).port);
    const refused = await ostinato(["serve", "runs/tags/model.safetensors", "--port", port, "--json"]);
    busy.close();
    expect([refused.code, oneObject(refused.stdout)["error"].code]).toEqual([3, "OST_PORT"]);
  });
});

describe("sessions of the command line and of the server", () => {
  it("have one owner for one key, are bounded in number, and expire", async () => {
    const model = "runs/tags/model.safetensors";
    const record = (i: number) => ({ time: 1000 * i, x: i % 3 });
    const lines = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `${JSON.stringify(record(from + i))}\n`).join("");
    const whole = (await ostinato(["stream", model], lines(0, 6))).stdout.trimEnd().split("\n");
    await ostinato(["stream", model, "--owner", "key1", "--snapshot-out", "key1.bin"], lines(0, 2));
    const snapshot = readFileSync(join(folder, "key1.bin")).toString("base64");
    const answers: Json[] = [];
    const child = start(["serve", model, "--port", "0", "--json", "--ttl", "0.4", "--max-sessions", "1"]);
    const done = await ended(child, {
      until: [
        /\n/,
        async (line) => {
          const { url } = JSON.parse(line);
          const call = async (method: string, path: string, body?: unknown) => {
            const headers = { authorization: "Bearer key1", ...(body ? { "content-type": "application/json" } : {}) };
            const response = await fetch(url + path, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
            answers.push({ ...((await response.json()) as object), status: response.status });
          };
          await call("POST", "/v1/models/tags/sessions", { id: "s", snapshot });
          await call("POST", "/v1/models/tags/sessions/s/steps", { records: [record(2), record(3)] });
          await call("GET", "/v1/models/tags/sessions/s/snapshot");
          await call("POST", "/v1/models/tags/sessions", { id: "t" });
          await new Promise((resolve) => setTimeout(resolve, 600));
          await call("GET", "/v1/models/tags/sessions/s");
          child.kill("SIGINT");
        },
      ],
    });
    expect(done.code).toBe(0);
    expect(answers).toMatchObject([
      { status: 201, steps: 2 },
      { status: 200, steps: 4 },
      { status: 200, steps: 4 },
      { status: 503, error: { code: "OST_CAPACITY" } },
      { status: 404, error: { code: "OST_SESSION", what: "the session expired" } },
    ]);
    writeFileSync(join(folder, "server.bin"), Buffer.from(answers[2].snapshot, "base64"));
    const back = await ostinato(["stream", model, "--owner", "key1", "--snapshot-in", "server.bin"], lines(4, 6));
    expect(back.stdout.trimEnd().split("\n")).toEqual(whole.slice(4));
  });
});

describe("a stopped run", () => {
  // Dropout and a carried state, so that generator and lanes must survive too.
  const long = [
    "--set",
    "train.epochs=40",
    "--set",
    "train.earlyStopping=null",
    "--set",
    "model.dropout=0.3",
    "--set",
    "model.hiddenSize=24",
    "--set",
    "mode=streaming",
    "--set",
    "data.source=long.csv",
  ];

  beforeAll(async () => {
    file("long.csv", loadCsv(6000));
    expect((await ostinato(["train", "load.yaml", ...long, "--out", "runs/whole", "--quiet"])).code).toBe(0);
  });

  it("by Ctrl-C says how to go on, and resumed ends with the same weights, bit for bit", async () => {
    const child = start(["train", "load.yaml", ...long, "--out", "runs/stopped"]);
    const stopped = await ended(child, { until: [/epoch 3\/40/, () => child.kill("SIGINT")] });
    expect([stopped.code, stopped.stderr]).toEqual([
      3,
      expect.stringContaining("ostinato train runs/stopped/config.yaml --resume --out runs/stopped\n"),
    ]);
    expect(existsSync(join(folder, "runs/stopped/model.safetensors"))).toBe(false);
    expect((await ostinato(["runs", "--json"])).stdout).toMatch(/"run":"stopped","state":"unfinished"/);
    const resumed = await ostinato(["train", "--resume", "--out", "runs/stopped", "--json"]);
    expect([resumed.code, oneObject(resumed.stdout)["epochs"]]).toEqual([0, 40]);
    expect(resumed.stderr).not.toMatch(/epoch 2\/40/);
    expect(weights("runs/stopped/model.safetensors")).toEqual(weights("runs/whole/model.safetensors"));
  });

  it("is never begun anew by --resume", async () => {
    mkdirSync(join(folder, "hollow"));
    mkdirSync(join(folder, "begun"));
    file("begun/config.yaml", FORECAST.replace("load.csv", join(folder, "load.csv")));
    for (const [out, repair] of [
      ["nowhere", /leave --resume out\n/],
      ["hollow", /leave --resume out\n/],
      ["begun", /remove the folder/],
    ] as const) {
      for (const config of [[], ["load.yaml"]]) {
        const { code, stderr } = await ostinato(["train", ...config, "--resume", "--out", out]);
        expect([out, code, stderr]).toEqual([out, 3, expect.stringMatching(`OST_CHECKPOINT.*nothing to resume in ${out}`)]);
        expect(stderr).toMatch(repair);
      }
    }
    expect([existsSync(join(folder, "nowhere")), readdirSync(join(folder, "hollow"))]).toEqual([false, []]);
  });

  it("by a kill loses nothing but the steps since its checkpoint", async () => {
    const child = start(["train", "load.yaml", ...long, "--out", "runs/killed"]);
    const killed = await ended(child, { until: [/epoch 4\/40/, () => child.kill("SIGKILL")] });
    expect(killed.code).toBeNull();
    const resumed = await ostinato(["train", "load.yaml", ...long, "--out", "runs/killed", "--resume"]);
    expect(resumed.code).toBe(0);
    expect(weights("runs/killed/model.safetensors")).toEqual(weights("runs/whole/model.safetensors"));
    const steps = (run: string) =>
      text(`runs/${run}/log.ndjson`)
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
        .map(({ kind, epoch, step, loss }) => ({ kind, epoch, step, loss }));
    expect(steps("killed")).toEqual(steps("whole"));
  });

  it("is not taken up by another configuration or engine, but with another decision", async () => {
    const child = start(["train", "load.yaml", ...long, "--out", "runs/other", "--json"]);
    child.stderr?.on("data", (chunk) => String(chunk).includes("epoch 2/40") && child.kill("SIGINT"));
    const stopped = await ended(child);
    expect([stopped.code, oneObject(stopped.stdout)]).toMatchObject([
      3,
      { stopped: true, resume: "ostinato train runs/other/config.yaml --resume --out runs/other" },
    ]);
    const refused = await ostinato(["train", "load.yaml", ...long, "--set", "train.seed=8", "--out", "runs/other", "--resume"]);
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("OST_CHECKPOINT")]);
    const elsewhere = await ended(
      start(["train", "load.yaml", ...long, "--out", "runs/other", "--resume"], { OSTINATO_ENGINE: "reference" }),
    );
    expect([elsewhere.code, elsewhere.stderr]).toEqual([
      3,
      expect.stringMatching(/OST_CHECKPOINT.*engine (native|wasm) .*engine reference float32.*--other-engine/s),
    ]);
    const hasty = await ostinato(["train", "load.yaml", "--other-engine", "--out", "runs/hasty"]);
    expect([hasty.code, hasty.stderr]).toEqual([2, expect.stringMatching(/OST_USAGE.*--resume/s)]);
    cpSync(join(folder, "runs/other"), join(folder, "runs/elsewhere"), { recursive: true });
    const told = await ended(
      start(["train", "load.yaml", ...long, "--out", "runs/elsewhere", "--resume", "--other-engine", "--json"], {
        OSTINATO_ENGINE: "wasm",
        OSTINATO_ISA: "simd128",
      }),
    );
    expect([told.code, told.stderr]).toEqual([
      0,
      expect.stringMatching(/Going on with wasm simd128 what (native|wasm) \S+ began/),
    ]);
    expect(oneObject(told.stdout)["engine"]).toMatch(/^wasm \(simd128\), begun on (native|wasm) \S+$/);
    const engines = text("runs/elsewhere/log.ndjson")
      .split("\n")
      .filter((line) => line.includes('"kind":"engine"'));
    expect(engines.map((line) => JSON.parse(line).engine.split(" ")[0])).toEqual([expect.stringMatching(/native|wasm/), "wasm"]);
    const decided = ["--set", "decision.metric=mae", "--set", "name=decided"];
    const resumed = await ostinato(["train", "load.yaml", ...long, ...decided, "--out", "runs/other", "--resume", "--json"]);
    expect([resumed.code, JSON.parse(text("runs/other/report.json")).report.comparedBy]).toEqual([0, "MAE"]);
    expect(resumed.stderr).not.toMatch(/epoch 1\/40/);
    expect(text("runs/other/config.yaml")).toMatch(/metric: mae/);
    expect(weights("runs/other/model.safetensors")).toEqual(weights("runs/whole/model.safetensors"));
  });
});

const SHIPPED = fileURLToPath(new URL("../../data/host-telemetry/host-telemetry.csv", import.meta.url));

describe("the demo", () => {
  it.skipIf(!existsSync(SHIPPED))(
    "trains, judges, serves and streams this machine: ten live steps, exit code 0",
    async () => {
      const { code, stdout, stderr } = await ostinato(["demo", "--once", "--json", "--port", "0"]);
      expect([code, stderr]).toEqual([
        0,
        expect.stringMatching(/1 Data.*2 Train.*3 Judge.*Verdict:.*4 Serve.*this-machine.*What is this machine doing\?/s),
      ]);
      const summary = oneObject(stdout);
      expect(summary["predictions"]).toHaveLength(10);
      expect(summary["metrics"].test.accuracy).toBeGreaterThan(0.6);
      expect(summary["secondsToFirstPrediction"]).toBeLessThan(90);
      expect(weights("runs/demo/model.safetensors")).toHaveProperty(["head.weight"]);
    },
    180_000,
  );

  it.skipIf(!existsSync(SHIPPED))("ends cleanly by Ctrl-C while it trains", async () => {
    const child = start(["demo"]);
    const stopped = await ended(child, { until: [/epoch 1\//, () => child.kill("SIGINT")] });
    expect([stopped.code, stopped.stdout]).toEqual([0, expect.stringContaining("Stopped.")]);
  });
});

describe("usage", () => {
  it("helps with an example for each command", async () => {
    const { code, stdout } = await ostinato(["help"]);
    const commands = ["init", "record", "train", "evaluate", "predict", "stream", "serve", "inspect", "runs", "demo"];
    expect([code, commands.filter((name) => !new RegExp(`^  ${name} `, "m").test(stdout))]).toEqual([0, []]);
    const helps = await Promise.all(commands.map((name) => ostinato([name, "--help"])));
    for (const help of helps)
      expect([help.code, help.stdout]).toEqual([0, expect.stringMatching(/Example:\n {2}\$ .*ostinato /)]);
    const version = await ostinato(["--version"]);
    expect([version.code, version.stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
    const inJson = await ostinato(["--version", "--json"]);
    expect([inJson.code, oneObject(inJson.stdout)]).toEqual([0, { version: version.stdout.trim() }]);
    expect(await ostinato([])).toEqual({ code: 0, stdout, stderr: "" });
  });

  it("records telemetry, appends whole rows and refuses a file of something else", async () => {
    const first = await ostinato([
      "record",
      "--out",
      "mine.csv",
      "--seconds",
      "0.5",
      "--rate",
      "10",
      "--label",
      "idle",
      "--json",
    ]);
    expect([first.code, oneObject(first.stdout)]).toMatchObject([0, { rows: 5, label: "idle" }]);
    const whole = text("mine.csv");
    writeFileSync(join(folder, "mine.csv"), `${whole}2026-01-01T00:00:00.000Z,idle,0.1`);
    const second = await ostinato(["record", "--out", "mine.csv", "--seconds", "0.3", "--rate", "10", "--label", "a,b"]);
    expect([second.code, second.stderr]).toEqual([0, expect.stringMatching(/cut off/)]);
    expect(text("mine.csv").startsWith(whole)).toBe(true);
    const rows = text("mine.csv").trimEnd().split("\n");
    expect([rows.length, rows[8]]).toEqual([9, expect.stringMatching(/^[^,]+Z,"a,b",/)]);
    const unlabelled = await ostinato(["record", "--out", "mine.csv", "--seconds", "0.3"]);
    expect([unlabelled.code, unlabelled.stderr]).toEqual([2, expect.stringMatching(/OST_FORMAT.*label/s)]);
    const piped = await ostinato(["record", "--seconds", "0.3", "--rate", "10", "--json"]);
    expect(
      piped.stdout
        .trimEnd()
        .split("\n")
        .map((line) => Object.keys(JSON.parse(line))[0]),
    ).toEqual(["time", "time", "time"]);
    const child = start(["record", "--rate", "20"]);
    const live = await ended(child, { until: [/Z,.*\n.*Z,/, () => child.kill("SIGINT")] });
    expect([live.code, live.stdout, live.stderr]).toEqual([
      0,
      expect.stringMatching(/^time,cpuUser/),
      expect.stringMatching(/rows? in/),
    ]);
  });

  it("writes no configuration that training would refuse", async () => {
    const cases: [string, string[], number, RegExp][] = [
      [loadCsv(8), [], 2, /OST_(WINDOW|SPLIT).*too few rows.*8 rows/s],
      [loadCsv(1), [], 2, /OST_(WINDOW|SPLIT).*1 row/s],
      [loadCsv(80).replace("\n2026-01-01T00", "\n2026-01-03T00"), [], 2, /OST_ORDER.*sort the rows/s],
      [tagsCsv(), ["classify"], 2, /OST_TARGET.*"state" changes at row.*ostinato init tag/s],
      [
        loadCsv(80)
          .replaceAll(/(\n2026[^\n]*)/g, "$1,on")
          .replace("load", "load,state")
          .replace(",on", ",off"),
        ["classify"],
        2,
        /OST_(TARGET|COLUMN)/,
      ],
      [loadCsv(120), [], 0, /^$/],
    ];
    for (const [data, task, code, message] of cases) {
      file("given.csv", data);
      rmSync(join(folder, "given.yaml"), { force: true });
      const made = await ostinato(["init", ...task, "--data", "given.csv", "--out", "given.yaml"]);
      expect([made.code, made.stderr, existsSync(join(folder, "given.yaml"))]).toEqual([
        code,
        expect.stringMatching(message),
        code === 0,
      ]);
    }
  });

  it("begins with init, which never overwrites", async () => {
    const made = await ostinato(["init", "--data", "load.csv", "--out", "mine.yaml", "--json"]);
    expect([made.code, oneObject(made.stdout)]).toMatchObject([0, { task: "forecast", target: "load", time: "time", gaps: 0 }]);
    const again = await ostinato(["init", "--data", "load.csv", "--out", "mine.yaml"]);
    expect([again.code, again.stderr]).toEqual([2, expect.stringMatching(/OST_USAGE.*--force/s)]);
    const tags = await ostinato(["init", "tag", "--data", "tags.csv", "--out", "mine.yaml", "--force"]);
    expect([tags.code, tags.stdout]).toEqual([0, expect.stringMatching(/6 series by unit.*tag state/s)]);
    const trained = await ostinato([
      "train",
      "mine.yaml",
      "--quiet",
      "--json",
      "--set",
      "train.epochs=1",
      "--set",
      "evaluation.rivals=false",
    ]);
    expect([trained.code, oneObject(trained.stdout)["task"]]).toEqual([0, "tag"]);
  });
});

describe("bad input", () => {
  const forecast = (data: string, ...set: string[]) => [
    "train",
    "load.yaml",
    "--set",
    `data.source=${data}`,
    ...set.flatMap((one) => ["--set", one]),
  ];
  const given = (name: string, content: string, args: string[]) => {
    file(name, content);
    return args;
  };
  const rows = (edit: (lines: string[]) => void) => {
    const lines = loadCsv(300).trimEnd().split("\n");
    edit(lines);
    return `${lines.join("\n")}\n`;
  };

  const cases: [title: string, prepare: () => string[], code: number, message: RegExp][] = [
    ["an unknown command", () => ["trian"], 2, /OST_USAGE.*trian.*ostinato train/s],
    ["an unknown flag", () => ["train", "--rezume"], 2, /OST_USAGE.*--rezume.*did you mean --resume/s],
    ["a missing argument", () => ["evaluate"], 2, /OST_USAGE.*model/],
    ["one argument too many", () => ["evaluate", "a", "b"], 2, /OST_USAGE.*too many arguments/],
    ["a port that is none", () => ["serve", "x", "--port", "many"], 2, /OST_USAGE.*--port.*whole number/],
    ["weights that are none", () => ["evaluate", "x", "--weights", "int9"], 2, /OST_USAGE.*--weights.*int9.*did you mean int8/s],
    ["no configuration", () => ["train", "none.yaml"], 2, /OST_FILE.*none\.yaml.*ostinato init/s],
    [
      "a configuration that is no YAML",
      () => given("bad.yaml", "task: forecast\ndata: {a: [1\n", ["train", "bad.yaml"]),
      2,
      /OST_CONFIG.*bad\.yaml line \d/,
    ],
    ["an unknown key", () => ["train", "load.yaml", "--set", "train.epoch=2"], 2, /OST_CONFIG.*epoch.*did you mean "epochs"/s],
    ["a value out of range", () => ["train", "load.yaml", "--set", "train.epochs=0"], 2, /OST_CONFIG.*train\.epochs/],
    ["a missing data file", () => forecast("none.csv"), 2, /OST_FILE.*none\.csv/],
    ["an empty data file", () => given("empty.csv", "", forecast("empty.csv")), 2, /OST_FILE.*empty/],
    ["a wrong column", () => forecast("load.csv", "data.target=[lod]"), 2, /OST_COLUMN.*"lod".*did you mean "load"/s],
    [
      "text in a numeric column",
      () =>
        given(
          "text.csv",
          rows((lines) => (lines[9] = lines[9].replace(/,[^,]*$/, ",n.a."))),
          forecast("text.csv"),
        ),
      2,
      /OST_VALUE.*text\.csv row 9.*n\.a\./s,
    ],
    [
      "a missing value",
      () =>
        given(
          "nan.csv",
          rows((lines) => (lines[9] = lines[9].replace(/,[^,]*$/, ",NaN"))),
          forecast("nan.csv"),
        ),
      2,
      /OST_MISSING.*nan\.csv row 9/s,
    ],
    [
      "duplicate times",
      () =>
        given(
          "twice.csv",
          rows((lines) => lines.splice(9, 0, lines[9])),
          forecast("twice.csv"),
        ),
      2,
      /OST_ORDER.*same time.*twice\.csv row 10|OST_ORDER.*twice\.csv row 10.*same time/s,
    ],
    [
      "unsorted times",
      () =>
        given(
          "back.csv",
          rows((lines) => lines.splice(9, 0, lines[20])),
          forecast("back.csv"),
        ),
      2,
      /OST_ORDER.*backwards/,
    ],
    ["a series shorter than its window", () => forecast("load.csv", "window.length=400"), 2, /OST_WINDOW.*400/],
    [
      "one class only",
      () => given("one.csv", tagsCsv().replaceAll(",off", ",on"), ["train", "tags.yaml", "--set", "data.source=one.csv"]),
      2,
      /OST_TARGET/,
    ],
    [
      "a bidirectional network in a stream",
      () => ["train", "load.yaml", "--set", "model.bidirectional=true"],
      2,
      /OST_CAUSAL.*offline/s,
    ],
    ["no model file", () => ["inspect", "none.safetensors"], 2, /OST_FILE.*none\.safetensors/],
    ["a model file that is something else", () => ["inspect", "load.csv"], 2, /OST_MODEL_FILE/],
    [
      "a truncated model file",
      () => {
        writeFileSync(join(folder, "cut.safetensors"), readFileSync(join(folder, "runs/load-1/model.safetensors")));
        truncateSync(join(folder, "cut.safetensors"), 900);
        return ["predict", "cut.safetensors", "--data", "load.csv", "--out", "x.csv"];
      },
      2,
      /OST_MODEL_FILE.*cut\.safetensors/,
    ],
    [
      "predictions in an unknown format",
      () => ["predict", "runs/load-1/model.safetensors", "--data", "load.csv", "--out", "x.parquet"],
      2,
      /OST_USAGE.*\.csv or \.ndjson/,
    ],
    ["no folder of runs", () => ["runs", "nowhere"], 2, /OST_FILE.*nowhere/],
    [
      "a run that diverges",
      () => forecast("load.csv", "train.learningRate=1e30", "train.optimizer=sgd", "train.clipNorm=null", "train.momentum=0"),
      3,
      /OST_NAN/,
    ],
  ];

  it.each(cases)("%s is refused in words and in JSON, without a stack", async (_title, prepare, code, message) => {
    const ended = await ostinato([...prepare(), "--json"]);
    expect([ended.code, ended.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(ended.stderr).not.toMatch(/^ {4}at /m);
    const { error } = oneObject(ended.stdout);
    expect(error.code).toBe(/OST_[A-Z_]+/.exec(error.message)?.[0]);
    expect(error.message).toMatch(message);
  });

  it("leaves no folder behind where nothing was learned", () => {
    const begun = (name: string) =>
      existsSync(join(folder, "runs", name, "log.ndjson")) || existsSync(join(folder, "runs", name, "report.json"));
    expect(readdirSync(join(folder, "runs")).filter((name) => !begun(name))).toEqual([]);
  });

  it("shows a stack on request", async () => {
    expect((await ostinato(["train", "none.yaml", "--debug"])).stderr).toMatch(/^ {4}at /m);
  });
});
