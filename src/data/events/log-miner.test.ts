import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LogMiner, type LogMinerOptions, MOST_TOKENS } from "./log-miner.js";

const mine = (lines: string[], options: LogMinerOptions = {}) => {
  const miner = new LogMiner(options);
  return {
    codes: lines.map((line) => miner.learn(line)),
    templates: miner.groups.map(({ template }) => template.join(" ")),
    miner,
  };
};

describe("LogMiner", () => {
  it("makes one template of lines that differ in a parameter", () => {
    const { codes, templates } = mine([
      "user ann logged in",
      "disk full on node now",
      "user bob logged in",
      "user cy logged out",
    ]);
    expect(codes).toEqual([1, 2, 1, 1]);
    expect(templates).toEqual(["user <*> logged <*>", "disk full on node now"]);
  });

  it("keeps lines of another length, of another beginning, or of little in common apart", () => {
    expect(mine(["a b c", "a b c d", "x b c", "a y z"]).codes).toEqual([1, 2, 3, 4]);
  });

  it("takes a first token with a digit for a parameter", () => {
    const { templates } = mine(["job7 has begun", "job8 has begun", "jobs has begun"]);
    expect(templates).toEqual(["<*> has begun"]);
  });

  it("masks addresses, ids, paths and numbers, and does not count them as alike", () => {
    // One constant of four is too little in common.
    const { miner, codes } = mine(["from 10.0.0.1:80 to 10.0.0.2", "from 10.0.0.1:80 at 10.0.0.2"]);
    expect(codes).toEqual([1, 2]);
    const tokens = (line: string) => miner.tokens(line).join(" ");
    expect(tokens("blk_-16 /10.1.2.3:99: 0x1F deadbeef00112233 took 1.5ms, 12% I/O")).toBe(
      "<block> <ip>: <hex> <hex> took <num>, <num> I/O",
    );
    expect(tokens("open /var/log/a.txt and C:\\tmp\\b.txt by 123e4567-e89b-12d3-a456-426614174000 -3 x2 node-17")).toBe(
      "open <path> and <path> by <uuid> <num> x2 node-<num>",
    );
  });

  it("reads a tree of as many token levels as the depth says", () => {
    const lines = ["a b same same same same", "a c same same same same"];
    expect(mine(lines, { depth: 4 }).codes).toEqual([1, 1]);
    expect(mine(lines, { depth: 5 }).codes).toEqual([1, 2]);
    expect(mine(["b same same", "c same same"], { depth: 3 }).codes).toEqual([1, 1]);
  });

  it("keeps the last child of a node for all that come after", () => {
    const { codes, templates } = mine(["a x y z", "b x y z", "c x y z", "d x y z", "a x y z"], { maxChildren: 3 });
    expect(codes).toEqual([1, 2, 3, 3, 1]);
    expect(templates).toEqual(["a x y z", "b x y z", "<*> x y z"]);
  });

  it("takes a line that fits a template of many parameters for its own", () => {
    const { codes } = mine(["to a1 b1 c1", "to a2 b2 c2"], { similarity: 0.9 });
    expect(codes).toEqual([1, 2]);
    const wide = new LogMiner({ similarity: 0.9 });
    wide.restore({ template: ["to", "<*>", "<*>", "<*>"], path: ["to"], count: 1 });
    expect(wide.match("to a b c")).toBe(1);
    expect(wide.match("at a b c")).toBe(0);
  });

  it("parts tokens at delimiters, too", () => {
    const { codes, templates } = mine(["state=on,by=ann", "state=on,by=bob"], { delimiters: "=," });
    expect([codes, templates]).toEqual([[1, 1], ["state on by <*>"]]);
  });

  it("stays within its bounds", () => {
    const miner = new LogMiner({ maxTemplates: 2 });
    const odd = ["a b", "c d e", "f g h i", "", "   "];
    expect(odd.map((line) => miner.learn(line))).toEqual([1, 2, 0, 0, 0]);
    expect([miner.groups.length, miner.unlearned]).toEqual([2, 3]);
    const long = new LogMiner();
    expect(long.tokens("x ".repeat(1e6))).toHaveLength(MOST_TOKENS);
    expect(long.tokens("x".repeat(1e6))[0]).toHaveLength(4096);
    expect(long.learn(`${"a ".repeat(3000)}end`)).toBe(long.match(`${"a ".repeat(3000)}`));
  });

  it("does not grow without end where masks match what masks wrote", () => {
    const masks = Array.from({ length: 16 }, (_, i) => ({
      name: `${"a".repeat(30)}${String.fromCharCode(97 + i)}`,
      pattern: "a",
    }));
    expect(new LogMiner({ masks }).tokens("a".repeat(4096)).join(" ").length).toBeLessThanOrEqual(16_384);
  });

  it("reads any text, gives the same codes again, and counts every line once", () => {
    const word = fc.constantFrom("up", "down", "node7", "10.0.0.1", "__proto__", "<*>", "constructor", "\ud800", "blk_1");
    const lineArbitrary = fc.oneof(
      fc.array(word, { maxLength: 5 }).map((words) => words.join(" ")),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(fc.array(lineArbitrary, { maxLength: 30 }), fc.integer({ min: 3, max: 6 }), (lines, depth) => {
        const options = { depth, maxChildren: 3, maxTemplates: 8 };
        const { codes, miner } = mine(lines, options);
        expect(mine(lines, options).codes).toEqual(codes);
        expect(miner.groups.reduce((sum, { count }) => sum + count, miner.unlearned)).toBe(lines.length);
        expect(miner.groups.length).toBeLessThanOrEqual(8);
        expect(miner.groups.map(({ code }) => code)).toEqual(miner.groups.map((_, i) => i + 1));
        // Matching is what learning would do, and changes nothing.
        for (const line of lines) {
          const code = miner.match(line);
          expect(miner.match(line)).toBe(code);
          if (code > 0) expect(miner.learn(line)).toBe(code);
        }
      }),
    );
  });

  it.each([
    { depth: 2 },
    { depth: 3.5 },
    { similarity: 0 },
    { similarity: 1.1 },
    { similarity: Number.NaN },
    { maxChildren: 1 },
    { maxTemplates: 0 },
    { maxTemplates: 1e6 },
    { delimiters: ";".repeat(33) },
    { delimiters: "<" },
    { masks: [{ name: "a b", pattern: "x" }] },
    { masks: [{ name: "a", pattern: "(" }] },
    { masks: Array.from({ length: 17 }, () => ({ name: "a", pattern: "x" })) },
  ])("refuses %j", (options) => {
    expect(() => new LogMiner(options)).toThrow(/OST_RANGE/);
  });
});
