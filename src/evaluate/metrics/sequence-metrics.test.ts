import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { bleu, bleuOf, bleuStatistics } from "./bleu.js";
import { chrf } from "./chrf.js";
import { EditSums, editDistance, errorRate } from "./edit-distance.js";
import { exactMatch, isExactMatch } from "./exact-match.js";
import { DivergenceSums, firstDifference } from "./first-divergence.js";
import { LengthBuckets } from "./length-bucket.js";
import { perplexity } from "./perplexity.js";

describe("perplexity", () => {
  it("of a uniform guess among V is V, and its bits are log2 V", () => {
    const { perplexity: value, bitsPerUnit, natsPerUnit, unit } = perplexity(10 * Math.log(65), 10, { unit: "character" });
    expect(value).toBeCloseTo(65, 10);
    expect(bitsPerUnit).toBeCloseTo(Math.log2(65), 12);
    expect([natsPerUnit, unit]).toEqual([Math.log(65), "character"]);
  });

  it("is infinite where what happened was impossible, and refuses no units and no number", () => {
    expect(perplexity(Number.POSITIVE_INFINITY, 3).perplexity).toBe(Number.POSITIVE_INFINITY);
    expect(() => perplexity(1, 0)).toThrow(/OST_TARGET/);
    expect(() => perplexity(Number.NaN, 2)).toThrow(/OST_NAN/);
  });
});

/** The distance by its definition: the cheapest of all ways. */
function naiveDistance(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0) return b.length;
  if (b.length === 0) return a.length;
  return Math.min(
    naiveDistance(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1),
    naiveDistance(a.slice(1), b) + 1,
    naiveDistance(a, b.slice(1)) + 1,
  );
}

describe("edit distance", () => {
  it("equals the published example", () => {
    expect(editDistance("kitten", "sitting")).toEqual({
      distance: 3,
      substitutions: 2,
      deletions: 0,
      insertions: 1,
      referenceLength: 6,
    });
  });

  it("equals the cheapest of all ways, is symmetric, and divides into edits that explain the lengths", () => {
    const rng = seed(1);
    for (let trial = 0; trial < 300; trial++) {
      const draw = () => Array.from({ length: rng.integer(7) }, () => rng.integer(3));
      const [a, b] = [draw(), draw()];
      const { distance, substitutions, deletions, insertions } = editDistance(a, b);
      expect(distance).toBe(naiveDistance(a, b));
      expect(editDistance(b, a).distance).toBe(distance);
      expect(substitutions + deletions + insertions).toBe(distance);
      expect(deletions - insertions).toBe(a.length - b.length);
      expect(Math.min(substitutions, deletions, insertions)).toBeGreaterThanOrEqual(0);
      expect(Number.isInteger(deletions)).toBe(true);
    }
  });

  it("gives the rate of a corpus, not the mean of its sentences' rates", () => {
    const sums = new EditSums();
    sums.add(editDistance("a".split(""), "b".split("")));
    sums.add(editDistance("abcdefghi".split(""), "abcdefghi".split("")));
    expect(sums.rate).toBe(1 / 10);
  });

  it("is defined for empty references", () => {
    expect(editDistance([], [1, 2])).toEqual({ distance: 2, substitutions: 0, deletions: 0, insertions: 2, referenceLength: 0 });
    expect([errorRate(0, 0), errorRate(2, 0)]).toEqual([0, 2]);
  });
});

const words = (text: string) => text.split(" ").filter(Boolean);

describe("BLEU", () => {
  const hypotheses = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."];
  const references = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
  ];
  const punctuated = (text: string) => words(text.replace(/\.$/, " ."));

  it("equals what sacrebleu publishes of its example, by words and with the full stops apart", () => {
    const by = (tokens: (text: string) => string[], smoothing?: "none") =>
      bleu(
        hypotheses.map(tokens),
        references.map((list) => list.map(tokens)),
        { smoothing },
      ).bleu;
    expect(by(words)).toBeCloseTo(49.1919566, 6);
    expect(by(punctuated)).toBeCloseTo(48.530827, 6);
    expect(by(punctuated, "none")).toBeCloseTo(48.530827, 6);
  });

  it("counts and scores as sacrebleu's own tests do", () => {
    const counts = bleuStatistics(words("am I am a character sequence"), [words("I am a symbol string sequence a a")]);
    expect([...counts]).toEqual([4, 2, 1, 0, 6, 5, 4, 3, 6, 8]);
    expect(bleuOf([9, 7, 5, 3, 10, 8, 6, 4, 11, 11]).bleu).toBeCloseTo(83.75922397, 6);
    expect(bleuOf([6, 5, 4, 0, 6, 5, 4, 3, 6, 6], 0, { smoothing: "none" }).bleu).toBe(0);
    expect(bleuOf([0, 0, 0, 0, 4, 4, 2, 1, 0, 1]).bleu).toBe(0);
  });

  it("halves for every order without a match, worked by hand", () => {
    const { bleu: value, precisions, brevityPenalty } = bleu([words("a b c d")], [[words("a b x d e")]]);
    expect(precisions).toEqual([3 / 4, 1 / 3, 1 / (2 * 2), 1 / (4 * 1)]);
    expect(brevityPenalty).toBeCloseTo(Math.exp(1 - 5 / 4), 12);
    expect(value).toBeCloseTo(100 * Math.exp(-1 / 4) * ((3 / 4) * (1 / 3) * (1 / 4) * (1 / 4)) ** 0.25, 10);
  });

  it("is 100 for a copy, 0 for empty hypotheses and for texts too short to have four words", () => {
    const texts = ["the cat sat on the mat", "a b c d"].map(words);
    expect(
      bleu(
        texts,
        texts.map((text) => [text]),
      ).bleu,
    ).toBeCloseTo(100, 10);
    expect(bleu([[], []], [[["a"]], [["b"]]]).bleu).toBe(0);
    expect(bleu([words("a b c")], [[words("a b c")]]).bleu).toBe(0);
  });

  it("takes the reference of the nearest length, the shorter of two equally near", () => {
    const lengths = (hypothesis: number, references: number[]) =>
      bleuStatistics(
        new Array(hypothesis).fill("a"),
        references.map((n) => new Array(n).fill("a")),
      )[9];
    expect([lengths(5, [2, 6, 9]), lengths(5, [6, 4]), lengths(5, [4, 6])]).toEqual([6, 4, 4]);
  });

  it("never mistakes two tokens for one", () => {
    expect(bleuStatistics(["ab", "c"], [["a", "bc"]])[1]).toBe(0);
    expect(bleuStatistics(["1:a", "b"], [["1", ":ab"]])[0]).toBe(0);
    expect(() => bleu([["a"]], [])).toThrow(/OST_SHAPE/);
    expect(() => bleu([["a"]], [[]])).toThrow(/OST_TARGET/);
  });
});

describe("chrF", () => {
  it.each([
    [["a"], ["a"], 100],
    [[""], ["reference"], 0],
    [["a b c"], ["a b c"], 100],
    [["a b c"], ["abc"], 100],
    [[""], ["c"], 0],
    [["a", "b"], ["a", "c"], 50],
    [["aa"], ["ab"], 25],
  ])("equals sacrebleu's %j against %j", (hypotheses, references, expected) => {
    const score = chrf(
      hypotheses,
      references.map((text) => [text]),
      { beta: 3 },
    );
    expect(score).toBeCloseTo(expected, 4);
  });

  it.each([
    [
      "Die Beziehung zwischen Obama und Netanjahu ist nicht gerade freundlich.",
      "Das Verhältnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich.",
      64.1302698,
      67.3481606,
    ],
    [
      "risk assessment must be made of those who are qualified and expertise in the sector - these are the scientists .",
      "risk assessment has to be undertaken by those who are qualified and expert in that area - that is the scientists .",
      63.36173,
      65.2414427,
    ],
  ])("equals sacrebleu's sentences, without and with white space", (hypothesis, reference, without, with_) => {
    expect(chrf([hypothesis], [[reference]], { beta: 3 })).toBeCloseTo(without, 4);
    expect(chrf([hypothesis], [[reference]], { beta: 3, keepWhitespace: true })).toBeCloseTo(with_, 4);
  });

  it("weighs recall twice as much as precision, worked by hand", () => {
    // Of one order only: hypothesis "ab", reference "a": precision 1/2, recall 1.
    expect(chrf(["ab"], [["a"]])).toBeCloseTo((100 * 5 * 0.5 * 1) / (4 * 0.5 + 1), 10);
  });

  it("takes the best of several references and counts a character outside the basic plane as one", () => {
    expect(chrf(["abc"], [["xyz", "abc"]])).toBe(100);
    expect(chrf(["😀"], [["😀"]])).toBe(100);
    expect(chrf(["😀"], [["😁"]])).toBe(0);
  });
});

describe("exact match", () => {
  it("asks for the same length and the same units", () => {
    expect([isExactMatch([1, 2], [1, 2]), isExactMatch([1, 2], [1]), isExactMatch([1], [2]), isExactMatch([], [])]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(exactMatch([[1], [2], [3]], [[1], [2], [4]])).toBeCloseTo(2 / 3, 12);
    expect(() => exactMatch([[1]], [])).toThrow(/OST_SHAPE/);
    expect(() => exactMatch([], [])).toThrow(/OST_TARGET/);
  });
});

describe("first divergence", () => {
  it("finds the first step that differs, also where one is the beginning of the other", () => {
    expect([firstDifference([1, 2, 3], [1, 9, 3]), firstDifference([1, 2], [1, 2, 3]), firstDifference([1], [1])]).toEqual([
      1, 2, -1,
    ]);
  });

  it("gives mean, median and histogram of those that are wrong", () => {
    const sums = new DivergenceSums();
    for (const index of [-1, 0, 2, 9, -1, 2]) sums.add(index);
    expect(sums.result()).toEqual({
      n: 6,
      diverged: 4,
      mean: (1 + 3 + 10 + 3) / 4,
      median: 3,
      histogram: [
        { from: 1, to: 1, n: 1 },
        { from: 3, to: 4, n: 2 },
        { from: 9, to: 16, n: 1 },
      ],
    });
    const right = new DivergenceSums();
    right.add(-1);
    expect(right.result()).toMatchObject({ n: 1, diverged: 0, mean: null, median: null, histogram: [] });
  });
});

describe("length buckets", () => {
  it("hold every length once", () => {
    for (let length = 0; length <= 300; length++) {
      const buckets = new LengthBuckets(1);
      buckets.add(length, [7]);
      const [{ from, to, n, sums }] = buckets.result();
      expect(from <= length && length <= to).toBe(true);
      expect([n, sums[0]]).toEqual([1, 7]);
    }
    const all = new LengthBuckets(0);
    for (let length = 0; length <= 300; length++) all.add(length, []);
    const found = all.result();
    found.slice(1).forEach(({ from }, i) => {
      expect(from).toBe(found[i].to + 1);
    });
  });
});
