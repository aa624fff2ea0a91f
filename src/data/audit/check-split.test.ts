import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { tableFromRecords } from "../table.js";
import { checkSplit } from "./check-split.js";
import { checkGap, checkWindows } from "./check-window.js";
import { AuditContext } from "./context.js";
import type { AuditSubject, WindowRows } from "./subject.js";
import { subjectOf } from "./subject-of.js";

function forecast({ gap = 0, target = "load" }: { gap?: number; target?: string } = {}): AuditSubject {
  const rng = seed(5);
  const load = Array.from({ length: 320 }, (_, i) => 10 + Math.sin(i / 4) + rng.normal());
  const rows = load.slice(0, 300).map((value, i) => ({ load: value, peak: Math.max(...load.slice(i + 1, i + 13)) }));
  return subjectOf(
    tableFromRecords(rows, { source: "load.csv" }),
    { targetKind: "values", features: ["load"], target, split: { by: "time", train: 0.6, validation: 0.2, test: 0.2, gap } },
    { length: 12, horizon: 3 },
  );
}

function machines(by: "entity" | "group:site"): AuditSubject {
  const rows = Array.from({ length: 12 }, (_, m) => m).flatMap((m) =>
    Array.from({ length: 20 }, (_, i) => ({ machine: `m${m}`, site: `site${m % 6}`, a: Math.sin(i * (m + 1)), target: i })),
  );
  return subjectOf(
    tableFromRecords(rows, { source: "machines.csv", text: ["machine", "site"] }),
    {
      targetKind: "values",
      entity: "machine",
      features: ["a"],
      target: "target",
      split: { by, train: 0.6, validation: 0.2, test: 0.2 },
    },
    { length: 4, horizon: 1 },
  );
}

const split = (of: AuditSubject) => checkSplit(new AuditContext(of));
const windows = (of: AuditSubject) => checkWindows(new AuditContext(of));
const worst = (findings: ReturnType<typeof split>) => findings.filter(({ status }) => status === "leak" || status === "warning");

describe("the check of the split", () => {
  it("acquits splits by time, by entity and by group", () => {
    for (const one of [forecast(), machines("entity"), machines("group:site")]) expect(worst(split(one))).toEqual([]);
  });

  it("notes a column that names a larger unit than the entity", () => {
    const note = split(machines("entity")).find(({ status }) => status === "note");
    expect(note?.repair).toContain("group:site");
  });

  it("convicts a shuffled split and one whose test rows come first, naming a row", () => {
    const rng = seed(1);
    const shuffled = forecast();
    const [found] = split({ ...shuffled, parts: shuffled.parts.map((codes) => codes.map(() => 1 + rng.integer(3))) });
    expect(found).toMatchObject({ check: "split-order", status: "leak", title: "the split is shuffled in time" });
    expect(found.example).toMatch(/load\.csv row \d+ is in train, behind load\.csv row \d+ in/);
    const turned = forecast();
    expect(split({ ...turned, parts: turned.parts.map((codes) => codes.slice().reverse()) })[0].status).toBe("leak");
  });

  it("convicts an entity and a group in two parts", () => {
    const cutThrough = machines("entity");
    const s = cutThrough.parts.findIndex((codes) => codes[0] === 1);
    const parts = cutThrough.parts.map((codes, i) => (i === s ? codes.map((code, k) => (k > 10 ? 3 : code)) : codes));
    expect(worst(split({ ...cutThrough, parts }))[0]).toMatchObject({ check: "entity-overlap", status: "leak" });
    const sites = machines("group:site");
    const drawn = sites.parts.map((codes, i) => codes.map(() => (i < 6 ? 1 : i < 9 ? 2 : 3)));
    const [found] = worst(split({ ...sites, parts: drawn }));
    expect(found).toMatchObject({ check: "entity-overlap", status: "leak" });
    expect(found.example).toContain('site "site');
  });

  it("warns of one machine under two spellings in two parts", () => {
    const one = machines("entity");
    const [a, b] = [1, 3].map((code) => one.parts.findIndex((codes) => codes[0] === code));
    const series = one.series.map((each, s) =>
      s === a ? { ...each, entity: "Pump 07" } : s === b ? { ...each, entity: "pump-7" } : each,
    );
    expect(worst(split({ ...one, series }))[0]).toMatchObject({ check: "entity-overlap", status: "warning" });
  });
});

describe("the check of windows", () => {
  const cut = (of: AuditSubject, make: (start: number) => Partial<WindowRows>): AuditSubject => ({
    ...of,
    windows: function* () {
      for (let start = 0; start + 15 <= of.series[0].rows; start++) {
        yield { part: "train", series: 0, input: [start, start + 12], target: [start + 12, start + 15], ...make(start) };
      }
    },
  });
  const partAt = (of: AuditSubject, row: number) => (["train", "train", "validation", "test"] as const)[of.parts[0][row]];

  it("acquits the windows of a configuration, and notes that inputs reach back", () => {
    const found = windows(forecast());
    expect(found.map(({ status }) => status)).toEqual(["pass", "note"]);
    expect(found[1].evidence.readBack).toBe(24);
  });

  it("convicts targets in another part, and rows that are targets of two parts", () => {
    const one = forecast();
    const found = windows(cut(one, (start) => ({ part: partAt(one, start + 12) })));
    expect(found.map(({ title }) => title)).toContain("targets overlap across the split");
    expect(found.find(({ title }) => title.startsWith("the same rows are targets"))?.status).toBe("leak");
    expect(found[0].example).toMatch(/load\.csv row \d+/);
  });

  it("convicts targets that reach past their part into a gap", () => {
    const one = forecast({ gap: 10 });
    const found = windows(cut(one, (start) => ({ part: partAt(one, start + 12) })));
    expect(found.map(({ title }) => title)).toContain("targets reach past their part");
  });

  it("convicts inputs in a later part and inputs that hold the target", () => {
    const one = forecast();
    const ahead = windows(cut(one, (start) => ({ target: [Math.min(start, 150), Math.min(start, 150) + 3] })));
    expect(ahead.map(({ title }) => title)).toContain("inputs reach into a later part");
    const answer = windows(cut(one, (start) => ({ part: partAt(one, start + 11), target: [start + 10, start + 13] })));
    expect(answer.map(({ title }) => title)).toContain("windows read what they must predict");
  });

  it("says that windows are not cut alike", () => {
    const one = forecast();
    const odd = windows(cut(one, (start) => (start === 20 ? { target: [start + 14, start + 17] } : {})));
    expect(odd.find(({ check }) => check === "alignment")?.status).toBe("fault");
  });
});

describe("the check of the gap", () => {
  const gap = (of: AuditSubject) => checkGap(new AuditContext(of))[0];

  it("wants none for values of their own rows", () => {
    expect(gap(forecast())).toMatchObject({ status: "pass" });
  });

  it("wants as many rows as a label looks ahead, and measures how many that are", () => {
    const found = gap(forecast({ target: "peak" }));
    expect(found).toMatchObject({ status: "leak", check: "gap" });
    expect(found.evidence).toMatchObject({ span: 12, narrowestGap: 0, labelsOverBorder: 24 });
    expect(found.repair).toContain("gap=12");
    expect(gap(forecast({ target: "peak", gap: 12 })).status).toBe("pass");
  });
});
