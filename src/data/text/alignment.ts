/**
 * @file What belongs to what: the next code to each code, and the label of a word to each of its pieces.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Codebook } from "../codebook.js";

/** A piece without a label: losses and metrics leave it out. */
export const NO_LABEL = -1;

export interface NextTokenOptions {
  /** Code set before the first: what the first code is predicted from. Without it, it is an input only. */
  begin?: number | null;
  /** Code set behind the last, so that where a sequence ends is learned too. Without it the last code is a target only. */
  end?: number | null;
}

export interface NextTokens {
  /** inputs[i] is followed by targets[i]. */
  inputs: number[];
  targets: number[];
  /** Which of the given codes inputs[i] is; -1 for the begin. */
  inputIndex: number[];
  /** Which of the given codes targets[i] is; codes.length for the end. Always inputIndex[i] + 1. */
  targetIndex: number[];
}

/** Inputs and targets of a language model: the same codes, one step apart. Fewer than two codes, markers included, give none. */
export function nextToken(codes: readonly number[], { begin = null, end = null }: NextTokenOptions = {}): NextTokens {
  const whole = [...(begin === null ? [] : [begin]), ...codes, ...(end === null ? [] : [end])];
  const first = begin === null ? 0 : -1;
  const count = Math.max(0, whole.length - 1);
  return {
    inputs: whole.slice(0, count),
    targets: whole.slice(1),
    inputIndex: Array.from({ length: count }, (_, i) => first + i),
    targetIndex: Array.from({ length: count }, (_, i) => first + i + 1),
  };
}

/** The index map as lines of text for people: step, input and target, each with its index and its name. */
export function describeNextTokens(tokens: NextTokens, codebook: Codebook): string[] {
  const cell = (index: number, code: number) => `[${index}] ${JSON.stringify(codebook.nameOf(code))}`;
  return tokens.inputs.map((code, i) => {
    return `${i}: ${cell(tokens.inputIndex[i], code)} -> ${cell(tokens.targetIndex[i], tokens.targets[i])}`;
  });
}

export interface AlignLabelsOptions {
  /** "first": the first piece of a word bears its label, the others `NO_LABEL`. "all": every piece does. Default "first". */
  pieces?: "first" | "all";
  /** What stands before each word but the first when it is encoded: " " for pieces as in running text. Default "". */
  between?: string;
}

export interface AlignedLabels {
  codes: number[];
  /** One per code. */
  labels: number[];
  /** Which word each code came from; -1 for a marker. */
  wordIndex: number[];
}

/**
 * The pieces of words that are labelled one by one, each piece with its label. The codebook's markers stand around the whole sequence
 * once, unlabelled. A word without pieces is the unknown code, so that no label is lost.
 *
 * @param labels one per word, 0 or more; `NO_LABEL` for a word without one.
 * @throws OST_LENGTH unless there are as many labels as words.
 */
export function alignLabels(
  words: readonly string[],
  labels: readonly number[],
  codebook: Codebook,
  { pieces = "first", between = "" }: AlignLabelsOptions = {},
): AlignedLabels {
  if (words.length !== labels.length) {
    throw new OstinatoError("OST_LENGTH", {
      what: "words and labels do not pair up",
      expected: `${words.length} labels, one per word`,
      got: String(labels.length),
      where: "alignLabels",
    });
  }
  const { before, within, after } = markersOf(codebook);
  const aligned: AlignedLabels = { codes: [], labels: [], wordIndex: [] };
  const put = (code: number, label: number, word: number) => {
    aligned.codes.push(code);
    aligned.labels.push(label);
    aligned.wordIndex.push(word);
  };
  for (const code of before) put(code, NO_LABEL, -1);
  words.forEach((word, w) => {
    const codes = within(codebook.encode(w === 0 ? word : between + word));
    (codes.length === 0 ? [0] : codes).forEach((code, i) => {
      put(code, i === 0 || pieces === "all" ? labels[w] : NO_LABEL, w);
    });
  });
  for (const code of after) put(code, NO_LABEL, -1);
  return aligned;
}

/** One prediction per word from one per piece: that of its first piece. The inverse of `alignLabels` on labels. */
export function wordLabels(predictions: readonly number[], wordIndex: readonly number[], words: number): number[] {
  const labels = new Array<number>(words).fill(NO_LABEL);
  for (let i = wordIndex.length - 1; i >= 0; i--) if (wordIndex[i] >= 0) labels[wordIndex[i]] = predictions[i];
  return labels;
}

/** What a codebook sets around every text, told by what it makes of the empty one: the codes before and after, and how to take them off. */
function markersOf(codebook: Codebook): {
  before: number[];
  after: number[];
  within: (codes: readonly number[]) => readonly number[];
} {
  if (!codebook.several) return { before: [], after: [], within: (codes) => codes };
  const around = [...codebook.encode("")];
  const probe = codebook.encode("a");
  let first = 0;
  while (first < around.length && around[first] === probe[first]) first++;
  const last = around.length - first;
  return {
    before: around.slice(0, first),
    after: around.slice(first),
    within: (codes) => codes.slice(first, codes.length - last),
  };
}
