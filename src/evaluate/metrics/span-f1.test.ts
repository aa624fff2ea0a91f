import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { conllSpans, SpanSums, spanF1 } from "./span-f1.js";

const split = (text: string) => text.split(" ");
const shown = (text: string) => conllSpans(split(text)).map(({ type, start, end }) => `${type}${start}-${end}`);

describe("spans as conlleval reads them", () => {
  it.each([
    ["O B-X I-X O", ["X1-3"]],
    // I behind O, behind another type, and at the beginning begins a span.
    ["O I-X I-X O", ["X1-3"]],
    ["B-X I-Y I-Y", ["X0-1", "Y1-3"]],
    ["I-X I-X", ["X0-2"]],
    ["B-X B-X I-X", ["X0-1", "X1-3"]],
    ["I-X B-X", ["X0-1", "X1-2"]],
    ["B-X O I-X", ["X0-1", "X2-3"]],
    ["B-X", ["X0-1"]],
    ["O O", []],
    ["", []],
    // E ends a span, S is one; L and U are the same.
    ["B-X E-X I-X", ["X0-2", "X2-3"]],
    ["B-X I-X E-X S-X S-X", ["X0-3", "X3-4", "X4-5"]],
    ["S-X I-X", ["X0-1", "X1-2"]],
    ["E-X E-X", ["X0-1", "X1-2"]],
    ["B-X L-X U-Y O", ["X0-2", "Y2-3"]],
    // The type is all that stands behind the first hyphen; none is a type of its own.
    ["B-X-1 I-X-1 I-X-2", ["X-10-2", "X-22-3"]],
    ["B I O I", ["0-2", "3-4"]],
  ])("%s", (tags, expected) => {
    expect(tags === "" ? conllSpans([]) : shown(tags)).toEqual(expected);
  });

  it("refuses tags that mark nothing", () => {
    expect(() => conllSpans(["NOUN"])).toThrow(/OST_TARGET.*NOUN/s);
  });
});

/** The counts as the original program keeps them: one pass over both columns with the chunks that are open in both. */
function onePass(truth: readonly string[], predicted: readonly string[]) {
  const parse = (tag: string) => (tag === "O" ? ["O", ""] : [tag[0], tag.slice(2)]);
  const ends = ([p, pt]: string[], [t, tt]: string[]) =>
    (p === "B" && (t === "B" || t === "O")) || (p === "I" && (t === "B" || t === "O")) || (p !== "O" && pt !== tt);
  const starts = ([p, pt]: string[], [t, tt]: string[]) =>
    (t === "B" && p !== "") || (p === "O" && t === "I") || (t !== "O" && pt !== tt);
  let [correct, there, found] = [0, 0, 0];
  let [lastTrue, lastFound] = [
    ["O", ""],
    ["O", ""],
  ];
  let both = false;
  for (let i = 0; i <= truth.length; i++) {
    const [t, f] = i === truth.length ? [parse("O"), parse("O")] : [parse(truth[i]), parse(predicted[i])];
    if (both) {
      const [endT, endF] = [ends(lastTrue, t), ends(lastFound, f)];
      if (endT && endF && lastTrue[1] === lastFound[1]) {
        both = false;
        correct++;
      } else if (endT !== endF || t[1] !== f[1]) both = false;
    }
    const [startT, startF] = [starts(lastTrue, t), starts(lastFound, f)];
    if (startT && startF && t[1] === f[1]) both = true;
    if (startT) there++;
    if (startF) found++;
    [lastTrue, lastFound] = [t, f];
  }
  return { correct, there, found };
}

describe("span F1", () => {
  it("counts as the original's single pass does, over tags that keep no scheme", () => {
    const rng = seed(3);
    const tags = ["O", "B-X", "I-X", "B-Y", "I-Y"];
    for (let trial = 0; trial < 400; trial++) {
      const n = 1 + rng.integer(12);
      const truth = Array.from({ length: n }, () => tags[rng.integer(5)]);
      const predicted = truth.map((tag) => (rng.uniform() < 0.6 ? tag : tags[rng.integer(5)]));
      const { correct, there, found } = onePass(truth, predicted);
      expect(spanF1([truth], [predicted])).toMatchObject({ correct, support: there, predicted: found });
    }
  });

  it("equals values worked by hand, by type and over all", () => {
    const truth = [split("B-X I-X O B-Y"), split("B-X O B-X")];
    const predicted = [split("B-X I-X O B-X"), split("B-X I-X B-X")];
    const { precision, recall, f1, accuracy, tokens, perType } = spanF1(truth, predicted);
    expect([precision, recall, f1]).toEqual([2 / 4, 2 / 4, 2 / 4]);
    expect([accuracy, tokens]).toEqual([5 / 7, 7]);
    expect(perType.X).toEqual({ precision: 2 / 4, recall: 2 / 3, f1: 4 / 7, support: 3, predicted: 4, correct: 2 });
    expect(perType.Y).toEqual({ precision: 0, recall: 0, f1: 0, support: 1, predicted: 0, correct: 0 });
  });

  it("is 0, never NaN, where nothing is there or found", () => {
    expect(spanF1([["O"]], [["O"]])).toMatchObject({ precision: 0, recall: 0, f1: 0, accuracy: 1 });
    expect(new SpanSums().result()).toMatchObject({ f1: 0, accuracy: 0, tokens: 0 });
  });

  it("keeps sequences apart and refuses unequal ones", () => {
    expect(spanF1([["B-X"], ["I-X"]], [["B-X"], ["I-X"]]).correct).toBe(2);
    expect(() => spanF1([["O"]], [["O", "O"]])).toThrow(/OST_SHAPE/);
    expect(() => spanF1([["O"]], [])).toThrow(/OST_SHAPE/);
  });
});
