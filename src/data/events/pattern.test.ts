import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_MASKS } from "./mask.js";
import { Pattern } from "./pattern.js";

const SETS = [
  "a",
  "b",
  "1",
  " ",
  "_",
  "\\.",
  "é",
  ".",
  "\\d",
  "\\w",
  "\\W",
  "\\s",
  "\\S",
  "\\D",
  "[ab]",
  "[^a]",
  "[a-f0-9]",
  "[\\d_-]",
  "[à-ü]",
];
const REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{2,}"];

/**
 * Patterns of every construct over few letters, so that they often match. What is repeated is never empty, and groups lie at most two deep:
 * JavaScript's own would take too long.
 */
function patternsOf(depth: number): fc.Arbitrary<string> {
  const set = fc.constantFrom(...SETS);
  const repeat = fc.constantFrom(...REPEATS);
  const items: fc.Arbitrary<string>[] = [
    set,
    fc.tuple(set, repeat).map((both) => both.join("")),
    fc.constantFrom("^", "$", "\\b", "\\B"),
  ];
  if (depth > 0) {
    const inner = patternsOf(depth - 1);
    items.push(inner.map((one) => `(${one})`));
    items.push(fc.tuple(set, inner, repeat).map(([first, one, times]) => `(?:${first}(?:${one}))${times}`));
  }
  return fc
    .array(fc.array(fc.oneof(...items), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 })
    .map((branches) => branches.map((branch) => branch.join("")).join("|"));
}
const textArbitrary = fc.string({ unit: fc.constantFrom("a", "b", "1", " ", ".", "_", "é", "\n", "c", "漢"), maxLength: 12 });

describe("Pattern", () => {
  it("replaces what JavaScript's own regular expressions replace", () => {
    let compared = 0;
    fc.assert(
      fc.property(patternsOf(2), textArbitrary, (source, text) => {
        const own = new RegExp(source, "g");
        // Empty matches are passed over here, and change where the next may begin there.
        fc.pre([...text.matchAll(own)].every(([match]) => match !== ""));
        const pattern = new Pattern(source);
        const expected = text.replace(own, "<>");
        expect(pattern.replaceAll(text, "<>"), source).toBe(expected);
        expect(pattern.replaceAll(text, "<>"), `${source} again`).toBe(expected);
        if (expected !== text) compared++;
      }),
      { numRuns: 2000 },
    );
    expect(compared).toBeGreaterThan(200);
  });

  it.each(DEFAULT_MASKS.map(({ name, pattern }) => [name, pattern]))("agrees with JavaScript's on the mask %s", (_, source) => {
    const unit = fc.constantFrom(..."0123456789afxg-._:/\\ blk_KBms%~C".split(""), "0x", "10.0.0.1", "blk_-", "/usr");
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (text) => {
        expect(new Pattern(source).replaceAll(text, "<m>")).toBe(text.replace(new RegExp(source, "g"), "<m>"));
      }),
      { numRuns: 1000 },
    );
  });

  it("takes a literal text at its word and leaves the rest", () => {
    expect(new Pattern("a\\+b").replaceAll("1 a+b aab", "<x>")).toBe("1 <x> aab");
    expect(new Pattern("a*").replaceAll("baab", "<x>")).toBe("b<x>b");
    expect(new Pattern("").replaceAll("baab", "<x>")).toBe("baab");
    expect(new Pattern("x").replaceAll("", "<x>")).toBe("");
  });

  it("ends soon on what makes backtracking hang, with the same result warm and cold", () => {
    const evil = ["(a+)+$", "(a|a)*b", "(a*)*b", "(.*a){12}b", "(?:a|b)*a(?:a|b){30}c", "\\w+@\\w+", "((a{1,4}){1,4}){1,4}!"];
    const texts = ["a".repeat(4096), "ab".repeat(2048), `${"aab".repeat(1300)}!`];
    const begin = performance.now();
    for (const source of evil) {
      const warm = new Pattern(source);
      for (const text of texts) expect(warm.replaceAll(text, "#")).toBe(new Pattern(source).replaceAll(text, "#"));
    }
    // A guard against hanging, not a measurement: each of these 42 would take longer than the age of the universe, or a second at most.
    expect(performance.now() - begin).toBeLessThan(20_000);
  });

  it.each([
    ["(?=a)", "group"],
    ["(?<n>a)", "group"],
    ["(a)\\1", "not known"],
    ["a**", "repeat"],
    ["*a", "like"],
    ["a{2,1}", "below"],
    ["a{x}", "begins no"],
    ["^*", "nothing to repeat"],
    ["(a", "without"],
    ["a)", "unexpected"],
    ["[a", "without"],
    ["[b-a]", "range"],
    ["[\\d-z]", "range"],
    ["\\q", "not known"],
    ["\\", "not known"],
    ["a{999}{2}", "repeat"],
    ["(a{100}){100}", "1000"],
    ["((((){9999}){9999}){9999}b{9999})", "1000"],
    ["a".repeat(501), "501"],
  ])("refuses %s", (source, why) => {
    expect(() => new Pattern(source)).toThrow(new RegExp(`OST_RANGE[\\s\\S]*${why}`));
  });

  it("writes out empty repeats in no time", () => {
    expect(new Pattern("((((){9999}){9999}){9999})a").replaceAll("ba", "<x>")).toBe("b<x>");
  });
});
