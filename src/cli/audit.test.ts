import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { seed } from "../core/rng.js";
import { auditCommand } from "./audit.js";
import { quickModel } from "./quick-model.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-audit-"));
  const rng = seed(4);
  const load = Array.from({ length: 401 }, (_, i) => 10 + Math.sin(i / 4) + rng.normal());
  const rows = load.slice(0, 400).map((value, i) => `${value},${load[i + 1]}`);
  writeFileSync(join(folder, "load.csv"), `load,hint\n${rows.join("\n")}\n`);
  writeFileSync(
    join(folder, "load.yaml"),
    [
      "task: forecast",
      "data:",
      "  source: load.csv",
      "  features: [load]",
      "  target: load",
      "  split: { by: time, train: 0.6, validation: 0.2, test: 0.2 }",
      "window: { length: 12, horizon: 2 }",
    ].join("\n"),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

/** Runs the command and returns its exit code and what it wrote on stdout. */
async function run(options: Parameters<typeof auditCommand>[1]): Promise<{ code: number; text: string }> {
  let text = "";
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  const code = await auditCommand(join(folder, "load.yaml"), options);
  vi.restoreAllMocks();
  return { code, text };
}

describe("ostinato audit", () => {
  it("says what it checked and ends with 0 where nothing is wrong", async () => {
    const { code, text } = await run({});
    expect(code).toBe(0);
    expect(text).toContain("✓ no input moves with its future");
    expect(text).toContain("✓ nothing is learned from shuffled labels");
    expect(text).toMatch(/clean: \d+ checks passed over 400 rows/);
  });

  it("names the leak, a row and the repair, and ends with 1", async () => {
    const { code, text } = await run({ set: ["data.features=[load, hint]"] });
    expect(code).toBe(1);
    expect(text).toContain('✗ feature "hint" knows the future');
    expect(text).toMatch(/at load\.csv row \d+ "hint" is/);
    expect(text).toContain("repair: drop it: --set 'data.features=[load]'");
    expect(text).toContain("1 leak proven. Training on this would look excellent and fail in production.");
  });

  it("prints which rows become which input and target", async () => {
    const { text } = await run({ showWindows: 2 });
    expect(text).toContain("example 1 of 227 (train)");
    expect(text).toContain("target  load.csv row 13 to load.csv row 14");
    expect(text.match(/example \d+ of/g)).toHaveLength(6);
  });

  it("writes JSON alone with --json, and a page with --html", async () => {
    vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    const html = join(folder, "audit.html");
    const { text } = await run({ json: true, quiet: true, html });
    const report = JSON.parse(text);
    expect(report).toMatchObject({ verdict: "clean", facts: { rows: 400, series: 1 } });
    expect(readFileSync(html, "utf8")).toContain("Audit of load");
  });

  it("warns that it reads all rows into memory where training would keep them on disk", async () => {
    const warned = async (set: string[]) => {
      const shown: string[] = [];
      vi.spyOn(process.stderr, "write").mockImplementation((chunk) => shown.push(String(chunk)) > 0);
      expect((await run({ set })).code).toBe(0);
      return shown.join("");
    };
    expect(await warned([])).not.toContain("into memory");
    expect(await warned(["data.storage=disk"])).toContain("the audit reads all rows into memory");
  });

  it("holds the times of data.labelKnown against the times of prediction", async () => {
    const hour = (i: number) => new Date(Date.UTC(2024, 0, 1, i)).toISOString();
    const rng = seed(6);
    const rows = Array.from({ length: 300 }, (_, i) => {
      const worn = i % 40 < 15;
      return `${hour(i)},${(worn ? 1 : 0) + rng.normal()},${worn ? "worn" : "good"},${hour(i)},${hour(i + 24)}`;
    });
    writeFileSync(join(folder, "tags.csv"), `time,flow,label,at_once,day_later\n${rows.join("\n")}\n`);
    const set = [
      "task=tag",
      `data.source=${join(folder, "tags.csv")}`,
      "data.time=time",
      "data.features=[flow]",
      "data.target=label",
      "window.horizon=1",
    ];
    const found = async (more: string[]) => {
      const { code, text } = await run({ set: [...set, ...more], json: true, quiet: true });
      const { findings } = JSON.parse(text);
      return { code, ...findings.find(({ check }: { check: string }) => check === "label-time") };
    };
    expect(await found([])).toMatchObject({ status: "skipped", title: expect.stringContaining("data.labelKnown") });
    expect(await found(["data.labelKnown=at_once"])).toMatchObject({ status: "pass" });
    // Training ends with row 180: what was known only after row 181 is the last 23 rows of training, and as many of validation.
    expect(await found(["data.labelKnown=day_later"])).toMatchObject({ code: 1, status: "leak", evidence: { late: 46 } });
    expect(await found(["data.labelKnown=day_latter"])).toMatchObject({ code: 1, status: "fault" });
  });

  it("makes a finding of what cannot be prepared", async () => {
    const { code, text } = await run({ set: ["data.target=[lod]"] });
    expect(code).toBe(1);
    expect(text).toContain("there is no column for the target");
  });
});

describe("the quick model", () => {
  const rng = seed(8);
  const x = Array.from({ length: 300 }, () => Float64Array.from({ length: 4 }, () => rng.normal()));
  const [known, asked] = [x.slice(0, 200), x.slice(200)];

  it("learns a line", () => {
    const y = (row: Float64Array) => 2 * row[0] - row[3] + 5;
    const said = quickModel({ x: known, y: Float64Array.from(known, y), kind: "values", classes: 0 }, asked);
    const error = asked.reduce((sum, row, i) => sum + (y(row) - said[i]) ** 2, 0) / asked.length;
    expect(error).toBeLessThan(0.2);
  });

  it("learns classes, also one that two inputs tell only together", () => {
    for (const y of [(row: Float64Array) => (row[1] > 0 ? 1 : 0), (row: Float64Array) => (row[0] * row[2] > 0 ? 1 : 0)]) {
      const said = quickModel({ x: known, y: Float64Array.from(known, y), kind: "class", classes: 2 }, asked);
      expect(asked.filter((row, i) => said[i] === y(row)).length).toBeGreaterThan(85);
    }
  });
});
