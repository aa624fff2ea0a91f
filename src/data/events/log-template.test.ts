import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { describe, expect, it } from "vitest";
import { LogMiner } from "./log-miner.js";
import { LogTemplates } from "./log-template.js";

const LINES = ["user ann logged in", "user bob logged in", "disk 1 is full", "", "disk 2 is full", "user cy logged in"];

const again = (templates: LogTemplates) =>
  LogTemplates.fromJSON(JSON.parse(JSON.stringify(templates.toJSON())) as Record<string, unknown>);

describe("LogTemplates", () => {
  it("is a codebook: one code per line, 0 for what training never saw", () => {
    const templates = LogTemplates.fit(LINES);
    expect(LINES.map((line) => templates.encode(line))).toEqual([[1], [1], [2], [0], [2], [1]]);
    expect(templates.encode("user dan logged in")).toEqual([1]);
    expect(templates.encode("a meteor has struck")).toEqual([0]);
    expect([templates.kind, templates.several, templates.size]).toEqual(["templates", false, 3]);
    expect([0, 1, 2, 3, -1].map((code) => templates.nameOf(code))).toEqual([
      "<unknown>",
      "user <*> logged in",
      "disk <num> is full",
      "<unknown>",
      "<unknown>",
    ]);
    expect(templates.counts).toEqual([1, 3, 2]);
  });

  it("is frozen: encoding teaches it nothing, and neither does its miner", () => {
    const miner = new LogMiner();
    for (const line of LINES) miner.learn(line);
    const templates = LogTemplates.freeze(miner);
    const before = JSON.stringify(templates);
    miner.learn("user cy logged out");
    miner.learn("entirely new");
    templates.encode("user cy logged out");
    expect(JSON.stringify(templates)).toBe(before);
    expect(templates.encode("entirely new")).toEqual([0]);
  });

  it("comes back from its JSON the same", () => {
    const options = { depth: 5, similarity: 0.6, delimiters: "=", masks: [{ name: "who", pattern: "ann|bob" }], maxChildren: 5 };
    const templates = LogTemplates.fit([...LINES, "user=ann", "7 a", "8 a"], options);
    const restored = again(templates);
    expect(restored.toJSON()).toEqual(templates.toJSON());
    expect(restored.counts).toEqual(templates.counts);
    for (const line of [...LINES, "user=bob", "9 a", "nothing like it"])
      expect(restored.encode(line)).toEqual(templates.encode(line));
  });

  it("reads strangers' JSON with care", () => {
    const json = LogTemplates.fit(LINES).toJSON();
    const [first] = json.templates as object[];
    const broken: Record<string, unknown>[] = [
      { depth: 2 },
      { depth: 1e9 },
      { similarity: "0.5" },
      { maxTemplates: 1e9 },
      { maxTemplates: 1 },
      { delimiters: 3 },
      { delimiters: ";".repeat(99) },
      { delimiters: "a" },
      { masks: {} },
      { masks: [{ name: "x", pattern: "(?=a)" }] },
      { masks: [{ name: "x" }] },
      { templates: "all" },
      { templates: [{ ...first, tokens: [] }] },
      { templates: [{ ...first, tokens: new Array(300).fill("x") }] },
      { templates: [{ ...first, path: [] }] },
      { templates: [{ ...first, path: [1] }] },
      { templates: [{ ...first, count: 0 }] },
      { unlearned: -1 },
    ];
    for (const change of broken) {
      expect(() => LogTemplates.fromJSON({ ...json, ...change }), JSON.stringify(change).slice(0, 90)).toThrow(/OST_MODEL_FILE/);
    }
  });
});

/**
 * Grouping accuracy (Zhu et al. 2019, Tools and Benchmarks for Automated Log Parsing, ICSE-SEIP): the share of lines whose group holds
 * exactly the lines of their true event.
 */
function groupingAccuracy(codes: readonly number[], events: readonly string[]): number {
  const eventsOf = new Map<number, Set<string>>();
  const codesOf = new Map<string, Set<number>>();
  codes.forEach((code, i) => {
    eventsOf.set(code, (eventsOf.get(code) ?? new Set()).add(events[i]));
    codesOf.set(events[i], (codesOf.get(events[i]) ?? new Set()).add(code));
  });
  const right = codes.filter((code, i) => eventsOf.get(code)!.size === 1 && codesOf.get(events[i])!.size === 1);
  return right.length / codes.length;
}

const data = process.env.OSTINATO_DATA ?? fileURLToPath(new URL("../../../../shared/data", import.meta.url));
const hdfs = join(data, "events-deeplog-hdfs", "HDFS_2k.log_structured.csv");

describe.skipIf(!existsSync(hdfs))("LogTemplates on the 2,000 lines of HDFS (needs OSTINATO_DATA or ../shared/data)", () => {
  const rows = existsSync(hdfs) ? (parse(readFileSync(hdfs), { columns: true }) as { Content: string; EventId: string }[]) : [];
  const lines = rows.map(({ Content }) => Content);
  const events = rows.map(({ EventId }) => EventId);

  it("has the published grouping accuracy of Drain, 0.998 (0.9975 before rounding), with defaults", () => {
    const miner = new LogMiner();
    const learned = lines.map((line) => miner.learn(line));
    const templates = again(LogTemplates.freeze(miner));
    expect(rows).toHaveLength(2000);
    expect(groupingAccuracy(learned, events)).toBe(0.9975);
    expect(lines.map((line) => templates.encode(line)[0])).toEqual(learned);
    // 14 events; the one that lists blocks, 5 lines, has a template per length of its list.
    expect(templates.size - 1).toBe(16);
  });

  it("has it without any mask, too, and knows the second half from the first", () => {
    const miner = new LogMiner({ masks: [] });
    expect(
      groupingAccuracy(
        lines.map((line) => miner.learn(line)),
        events,
      ),
    ).toBe(0.9975);
    const half = LogTemplates.fit(lines.slice(0, 1000));
    const later = lines.slice(1000).map((line) => half.encode(line)[0]);
    const seen = new Set(events.slice(0, 1000));
    const unknown = later.filter((code) => code === 0).length;
    expect(unknown).toBeLessThanOrEqual(5 + events.slice(1000).filter((event) => !seen.has(event)).length);
    const known = later.map((_, i) => i).filter((i) => later[i] > 0);
    expect(
      groupingAccuracy(
        known.map((i) => later[i]),
        known.map((i) => events[1000 + i]),
      ),
    ).toBeGreaterThan(0.99);
  });
});
