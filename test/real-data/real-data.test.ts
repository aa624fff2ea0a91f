/**
 * @file Real data sets load through configuration alone and are audited without a false alarm; what is known to be wrong with them is
 * said. Skipped by name where the data are not there.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { quickModel } from "../../src/cli/quick-model.js";
import { type AuditReport, audit, subjectOf } from "../../src/data/audit/index.js";
import { partCode, type Table } from "../../src/data/index.js";
import { dataOptions } from "../../src/tasks/experiment.js";
import { DATA_FOLDER, type DataSet, isPresent, type LoadedDataSet, load } from "./data-set.js";

const NOW = Date.UTC(2026, 0, 1);

/** The largest hold a quarter of a million rows, and machines differ. */
const PATIENCE = { timeout: 300_000 };

function subjectFrom({ config, table }: LoadedDataSet) {
  const { length, horizon, stride } = config.window;
  return subjectOf(table, dataOptions(config), config.task === "forecast" ? { length, horizon, stride } : { length });
}

function shown(report: AuditReport): string {
  return report.findings
    .filter(({ status }) => status !== "pass" && status !== "skipped")
    .map((one) => `${one.check} ${one.status}: ${one.title}; ${one.detail} ${JSON.stringify(one.evidence)} ${one.example ?? ""}`)
    .join("\n");
}

function expectNoAlarm(report: AuditReport): void {
  expect(["clean", "warnings"], shown(report)).toContain(report.verdict);
}

/** A data set's tests, or one skipped test that says what is absent. */
function withData(name: DataSet, tests: () => void): void {
  if (isPresent(name)) describe(name, PATIENCE, tests);
  else it.skip(`${name}: SKIPPED, the data are not in ${DATA_FOLDER} (set OSTINATO_DATA)`, () => {});
}

withData("etth1", () => {
  it("loads and raises no alarm", async () => {
    const loaded = await load("etth1");
    expect(loaded.table.rows).toBe(17_420);
    const subject = subjectFrom(loaded);
    const counts = [1, 2, 3].map((code) => subject.parts[0].filter((part) => part === code).length);
    expect(counts).toEqual([8640, 2880, 2880]);
    expectNoAlarm(audit(subject, { now: NOW, quick: quickModel }));
  });

  it("is convicted once the next hour's oil temperature is among its columns", async () => {
    const { config, table } = await load("etth1", ["data.target=[OT]", "window.horizon=1", "window.length=24"]);
    const oil = table.columns.find(({ name }) => name === "OT")?.numbers as Float64Array;
    const early: Table["columns"][number] = {
      name: "OT_sensor2",
      numbers: oil.map((_, i) => oil[Math.min(oil.length - 1, i + 1)]),
      texts: null,
    };
    const features = [...config.data.features, "OT_sensor2"];
    const seeded = {
      config: { ...config, data: { ...config.data, features } },
      table: { ...table, columns: [...table.columns, early] },
    };
    const report = audit(subjectFrom(seeded), { now: NOW, quick: quickModel });
    expect(["leak", "faults"], shown(report)).toContain(report.verdict);
    const guilty = report.findings.filter(({ status }) => status === "leak" || status === "fault");
    expect(guilty.map(({ check }) => check)).toContain("target-proxy");
    expect(JSON.stringify(guilty)).toMatch(/OT_sensor2/);
  });
});

withData("nab", () => {
  it("loads 18 machines and raises no alarm", async () => {
    const loaded = await load("nab");
    const subject = subjectFrom(loaded);
    expect(subject.series).toHaveLength(18);
    expect(loaded.table.rows).toBe(113_913);
    expectNoAlarm(audit(subject, { now: NOW, quick: quickModel }));
  });

  it("names the file and the row where times do not increase, when times are asked for", async () => {
    const report = audit(subjectFrom(await load("nab", ["data.time=timestamp"])), { now: NOW, quick: quickModel });
    expect(report.verdict).toBe("faults");
    const guilty = report.findings.filter(({ status }) => status === "fault");
    expect(guilty.map(({ check }) => check)).toContain("time-order");
    expect(JSON.stringify(guilty)).toMatch(/ec2_request_latency_system_failure\.csv row 558/);
  });
});

withData("hdfs", () => {
  it("loads, raises no alarm, and reports the duplicate sessions with their count", async () => {
    const loaded = await load("hdfs");
    const subject = subjectFrom(loaded);
    const lines: string[] = [];
    for (const file of ["hdfs_test_abnormal.txt", "hdfs_train.txt"]) {
      const text = await readFile(join(DATA_FOLDER, "events-deeplog-hdfs", file), "utf8");
      lines.push(...text.split("\n").flatMap((line) => (line.trim() === "" ? [] : [line.trim().replace(/\s+/g, " ")])));
    }
    expect(lines).toHaveLength(21_693);
    expect(subject.series).toHaveLength(lines.length);
    // The number known of the files themselves: sessions that are not the first of their kind.
    const repeated = lines.length - new Set(lines).size;
    expect(repeated).toBe(16_731);
    // And under this split: held-out sessions that training holds, too.
    const training = new Set(lines.filter((_, s) => subject.parts[s][0] === partCode("train")));
    const heldOut = lines.filter((line, s) => subject.parts[s][0] > partCode("train") && training.has(line)).length;
    const report = audit(subject, { now: NOW, quick: quickModel });
    expectNoAlarm(report);
    const duplicates = report.findings.filter(({ check }) => check === "duplicates");
    const numbers = duplicates.flatMap(({ evidence }) => Object.values(evidence));
    expect(
      duplicates.some(({ status }) => status === "note" || status === "warning"),
      JSON.stringify(duplicates),
    ).toBe(true);
    expect(
      numbers.includes(heldOut) || numbers.includes(repeated),
      `${heldOut} or ${repeated} in ${JSON.stringify(duplicates)}`,
    ).toBe(true);
    // Normal sessions have 13, 19 or 20 to 30 events; a third of the abnormal ones have 2 or 3: the length alone is right in 93 % of all.
    const length = report.findings.filter(({ check }) => check === "length-label");
    expect(
      length.map(({ status }) => status),
      JSON.stringify(length),
    ).toContain("warning");
  });
});

withData("ewt", () => {
  it("loads the official parts and raises no alarm", async () => {
    const loaded = await load("ewt");
    const subject = subjectFrom(loaded);
    const words = [1, 2, 3].map((code) =>
      subject.parts.reduce((sum, part) => sum + part.reduce((inPart, one) => inPart + (one === code ? 1 : 0), 0), 0),
    );
    const sentences = [1, 2, 3].map((code) => subject.parts.filter((part) => part[0] === code).length);
    expect(words).toEqual([204_577, 25_147, 25_094]);
    expect(sentences).toEqual([12_544, 2_001, 2_077]);
    expectNoAlarm(audit(subject, { now: NOW, quick: quickModel }));
  });
});

withData("fsdd", () => {
  it("loads 900 recordings by the fields of their names and raises no alarm", async () => {
    const subject = subjectFrom(await load("fsdd"));
    expect(subject.series).toHaveLength(900);
    const recordings = [1, 2, 3].map((code) => subject.parts.filter((part) => part[0] === code).length);
    expect(recordings).toEqual([480, 120, 300]);
    expectNoAlarm(audit(subject, { now: NOW, quick: quickModel }));
  });
});

withData("japanese-vowels", () => {
  it("loads the official parts and raises no alarm", async () => {
    const subject = subjectFrom(await load("japanese-vowels"));
    const utterances = [1, 2, 3].map((code) => subject.parts.filter((part) => part[0] === code).length);
    expect(utterances).toEqual([216, 54, 370]);
    expectNoAlarm(audit(subject, { now: NOW, quick: quickModel }));
  });
});
