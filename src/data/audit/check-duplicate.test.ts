import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../core/rng.js";
import { tableFromRecords } from "../table.js";
import { checkDuplicates } from "./check-duplicate.js";
import { AuditContext } from "./context.js";
import type { AuditSubject } from "./subject.js";
import { subjectOf } from "./subject-of.js";

type Session = { name: string; values: number[] };

function noisy(rng: Rng, count: number, name = "s"): Session[] {
  return Array.from({ length: count }, (_, s) => ({
    name: `${name}${s}`,
    values: Array.from({ length: 24 }, (_, i) => Math.sin(i / 3 + s) + rng.normal()),
  }));
}

/** Sessions of one feature, in parts as they come: three of five in training. */
function sessions(list: readonly Session[]): AuditSubject {
  const rows = list.flatMap(({ name, values }, s) =>
    values.map((value) => ({
      session: name,
      value,
      label: s % 2 ? "odd" : "even",
      part: ["train", "train", "train", "validation", "test"][s % 5],
    })),
  );
  return subjectOf(tableFromRecords(rows, { source: "sessions.csv", text: ["session", "label"] }), {
    targetKind: "class",
    entity: "session",
    features: ["value"],
    target: "label",
    split: { by: "column:part" },
  });
}

function series(values: readonly number[]): AuditSubject {
  return subjectOf(
    tableFromRecords(
      values.map((load) => ({ load })),
      { source: "load.csv" },
    ),
    { targetKind: "values", features: ["load"], target: "load", split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 } },
    { length: 16, horizon: 1 },
  );
}

const duplicates = (of: AuditSubject) => checkDuplicates(new AuditContext(of))[0];

describe("the check for duplicates", () => {
  it("acquits noise, and windows that only share rows at a border", () => {
    expect(duplicates(sessions(noisy(seed(1), 60))).status).toBe("pass");
    const rng = seed(2);
    expect(duplicates(series(Array.from({ length: 800 }, (_, i) => Math.sin(i / 4) + rng.normal()))).status).toBe("pass");
  });

  it("convicts a session that is in two parts, naming both", () => {
    const list = noisy(seed(3), 60);
    list[4] = { name: "again", values: list[0].values };
    const found = duplicates(sessions(list));
    expect(found).toMatchObject({ check: "duplicates", status: "leak" });
    expect(found.example).toContain("sessions.csv row");
    expect(`${found.example}`).toMatch(/again/);
  });

  it("convicts copies that were jittered and scaled", () => {
    const rng = seed(4);
    const list = noisy(rng, 60);
    for (const s of [4, 9, 14, 19])
      list[s] = { name: `jittered${s}`, values: list[s - 4].values.map((value) => 3 * value + 0.01 * rng.normal()) };
    const found = duplicates(sessions(list));
    expect(found).toMatchObject({ status: "leak", title: "nearly the same data are in two parts" });
    expect(found.evidence.copies).toBeGreaterThanOrEqual(3);
    expect(found.example).toMatch(/"jittered/);
  });

  it("convicts copies cut off at the start among more sessions than can be compared row by row, and acquits the others", () => {
    const columns = ["a", "b", "c", "d", "e", "f"];
    const subject = (copies: number) => {
      const rng = seed(9);
      const list = Array.from({ length: 2500 }, () => Array.from({ length: 40 }, () => columns.map(() => rng.normal())));
      for (let k = 0; k < copies; k++)
        list[4 + 10 * k] = list[1700 + 5 * k].slice(2).map((row) => row.map((value) => 1.1 * value + 0.03 * rng.normal()));
      const rows = list.flatMap((values, s) =>
        values.map((row) => ({
          session: `s${s}`,
          ...Object.fromEntries(columns.map((name, c) => [name, row[c]])),
          label: s % 2 ? "odd" : "even",
          part: s % 5 < 4 ? "train" : s % 10 === 4 ? "test" : "validation",
        })),
      );
      return subjectOf(tableFromRecords(rows, { source: "sessions.csv", text: ["session", "label"] }), {
        targetKind: "class",
        entity: "session",
        features: columns,
        target: "label",
        split: { by: "column:part" },
      });
    };
    expect(duplicates(subject(0))).toMatchObject({ status: "pass", evidence: { references: 2000 } });
    const found = duplicates(subject(40));
    expect(found).toMatchObject({ status: "leak", title: "nearly the same data are in two parts" });
    // 300 of the 500 sessions of validation and test are looked at, and so about 24 of the 40 copies.
    expect(found.evidence.copies).toBeGreaterThanOrEqual(20);
    expect(found.evidence.rowByRow).toBeLessThan(500);
  }, 80_000);

  it("convicts a stretch of training rows that was pasted into test, wherever windows begin", () => {
    const rng = seed(5);
    const load = Array.from({ length: 900 }, (_, i) => Math.sin(i / 4) + rng.normal());
    load.splice(803, 40, ...load.slice(131, 171));
    const found = duplicates(series(load));
    expect(found).toMatchObject({ status: "leak" });
    expect(found.evidence.longest).toBe(40);
    expect(found.example).toMatch(/load\.csv row 804 to load\.csv row 843 equals load\.csv row 132 to load\.csv row 171/);
  });

  it("warns of event sessions that repeat by themselves, with both shares", () => {
    const rng = seed(6);
    const scripts = Array.from({ length: 8 }, () => Array.from({ length: 10 }, () => rng.integer(5)));
    const found = duplicates(
      sessions(Array.from({ length: 80 }, (_, s) => ({ name: `s${s}`, values: scripts[rng.integer(8)] }))),
    );
    expect(found).toMatchObject({ status: "warning" });
    expect(found.evidence).toMatchObject({ judged: 32, judgedWithTwin: 32, training: 48 });
    expect(found.detail).toContain("within training");
  });

  it("convicts event sessions that repeat across the parts only", () => {
    const rng = seed(7);
    const list = Array.from({ length: 100 }, (_, s) => ({
      name: `s${s}`,
      values: Array.from({ length: 20 }, () => rng.integer(6)),
    }));
    for (const s of [4, 9, 14, 19, 24, 29, 34, 39]) list[s] = { name: `copy${s}`, values: list[s - 4].values };
    expect(duplicates(sessions(list))).toMatchObject({ status: "leak" });
  });

  it("does not convict a signal that repeats itself", () => {
    const day = Array.from(
      { length: 30 },
      (_, i) => 5 + 3 * Math.sin((2 * Math.PI * i) / 30) + 0.7 * Math.cos((2 * Math.PI * i * 5) / 30),
    );
    expect(duplicates(series(Array.from({ length: 900 }, (_, i) => day[i % 30]))).status).not.toBe("leak");
    expect(duplicates(series(Array.from({ length: 200 }, (_, i) => day[i % 30]))).status).not.toBe("leak");
  });

  it("does not compare flat stretches", () => {
    const rng = seed(8);
    const idle = Array.from({ length: 900 }, (_, i) => (i % 100 < 60 ? 0 : rng.normal()));
    expect(duplicates(series(idle)).status).toBe("pass");
  });
});
