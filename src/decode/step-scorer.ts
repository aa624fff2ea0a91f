/**
 * @file What decoding knows of a model: a function that reads one token and says how probable each next token is.
 *
 * A sequence y_1 .. y_n has the log-probability sum_t log p(y_t | y_0 .. y_{t-1}), where y_0 is the token that begins it. All logarithms are
 * natural, all log-probabilities in nats.
 */
import { OstinatoError } from "../core/errors.js";

/** What a scorer gives for rows of states and tokens. */
export interface StepScores<S> {
  /** log p(next token), [rows, vocabSize]; -Infinity is legal where a token is impossible, but not for a whole row. */
  logProbabilities: Float32Array | Float64Array;
  /** The state of each row after its token. */
  states: S[];
  /** Where each row looked in the source when it predicted, [rows, source], >= 0, each row adding up to at most 1. */
  attention?: Float32Array;
}

/**
 * A model of next tokens, seen as plain numbers.
 *
 * Laws: `advance` changes no state that it was given, since hypotheses of a beam share them; a row of the result depends on its own state and
 * token only, bit for bit, so that no result depends on the batch size; equal calls give equal results.
 */
export interface StepScorer<S> {
  /** Tokens that can be predicted: 0 .. vocabSize - 1. An end token is one of them, a begin token need not be. */
  readonly vocabSize: number;
  /** The state of one sequence before its first token. */
  readonly initial: S;
  /** Reads one token per state, and scores the tokens that may follow. */
  advance(states: readonly S[], tokens: readonly number[]): StepScores<S>;
}

/** Where a sequence begins: behind a prompt, or with the state that an encoder made of a source. */
export interface SequenceStart<S> {
  state: S;
  /** The token read first: a begin token, or the last token of a prompt whose others the state has seen. */
  token: number;
  /** Source positions that count for a coverage penalty; those after them are padding. Default all that the attention has. */
  sourceLength?: number;
}

export interface StartOptions<S> {
  /** One per sequence. Default one: the scorer's initial state and the token `vocabSize`, the first number that is no predicted token. */
  starts?: readonly SequenceStart<S>[];
}

/** A normalised log-probability may exceed 0 by a rounding error. Anything above this is a score of another kind. */
const ROUNDING = 1e-3;

/** The starts of a call, checked. @throws OST_RANGE */
export function startsOf<S>(scorer: StepScorer<S>, { starts }: StartOptions<S>, where: string): readonly SequenceStart<S>[] {
  checkWhole("the vocabulary size", scorer.vocabSize, { least: 1, where });
  const found = starts ?? [{ state: scorer.initial, token: scorer.vocabSize }];
  for (const { token, sourceLength } of found) {
    checkWhole("the token that begins a sequence", token, { least: 0, where });
    if (sourceLength !== undefined) checkWhole("sourceLength", sourceLength, { least: 0, where });
  }
  return found;
}

/**
 * One step of many rows, checked; log-probabilities that rounding lifted above 0 become 0.
 *
 * @param sequences the sequence of each row, for messages.
 * @param step      0-based, for messages.
 * @throws OST_SHAPE if an axis disagrees; OST_NAN, naming step and sequence, if a row holds NaN or no token is possible; OST_RANGE if a
 *         number is no log-probability.
 */
export function advanceRows<S>(
  scorer: StepScorer<S>,
  rows: { states: readonly S[]; tokens: readonly number[]; sequences: readonly number[] },
  { step, where }: { step: number; where: string },
): StepScores<S> {
  const { vocabSize } = scorer;
  const count = rows.tokens.length;
  const scores = scorer.advance(rows.states, rows.tokens);
  if (scores.logProbabilities.length !== count * vocabSize || scores.states.length !== count) {
    throw new OstinatoError("OST_SHAPE", {
      what: "a scorer gives one row of log-probabilities and one state for each row",
      expected: `[${count}, ${vocabSize}] and ${count} states`,
      got: `${scores.logProbabilities.length} numbers and ${scores.states.length} states`,
      where: `${where}, step ${step + 1}`,
    });
  }
  const place = (row: number) => `${where}, sequence ${rows.sequences[row] + 1}, step ${step + 1}`;
  return { ...scores, logProbabilities: checkLogProbabilities(scores.logProbabilities, vocabSize, place) };
}

/**
 * Rows of log-probabilities, [rows, classes]: the same array, or a copy where rounding lifted one above 0.
 *
 * @param place names a row for messages.
 * @throws OST_NAN for NaN and for a row that is -Infinity throughout; OST_RANGE for a number well above 0.
 */
export function checkLogProbabilities<A extends Float32Array | Float64Array>(
  values: A,
  classes: number,
  place: (row: number) => string,
): A {
  let lifted = false;
  for (let start = 0; start < values.length; start += classes) {
    let top = Number.NEGATIVE_INFINITY;
    for (let v = start; v < start + classes; v++) {
      const value = values[v];
      if (value > top) top = value;
      else if (Number.isNaN(value)) throw notANumber(v - start, place(start / classes));
    }
    if (top === Number.NEGATIVE_INFINITY) throw impossible(place(start / classes));
    if (top > ROUNDING) throw notNormalised(top, place(start / classes));
    if (top > 0) lifted = true;
  }
  return lifted ? (values.map((value: number) => Math.min(value, 0)) as A) : values;
}

function notANumber(token: number, where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "a log-probability is not a number",
    expected: "at most 0, or -Infinity",
    got: `NaN for token ${token}`,
    where,
    repair: "check the model's weights and its input for NaN",
  });
}

function impossible(where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "no token is possible: every log-probability is -Infinity",
    expected: "at least one token of positive probability",
    where,
    repair: "leave one token possible, for example the end token, where others are ruled out",
  });
}

function notNormalised(value: number, where: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "a number above 0 is no log-probability",
    expected: "at most 0",
    got: String(value),
    where,
    repair: "give log-softmax of the logits, not the logits",
  });
}

/** @throws OST_RANGE unless the value is an integer in least .. most. */
export function checkWhole(name: string, value: number, range: { least: number; most?: number; where: string }): void {
  const { least, most = Number.MAX_SAFE_INTEGER, where } = range;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new OstinatoError("OST_RANGE", {
    what: `${name} does not fit`,
    expected: most === Number.MAX_SAFE_INTEGER ? `an integer of at least ${least}` : `an integer in ${least} .. ${most}`,
    got: String(value),
    where,
  });
}

/** @throws OST_RANGE unless the value is finite and at least 0. */
export function checkWeight(name: string, value: number, where: string): void {
  if (value >= 0 && value < Number.POSITIVE_INFINITY) return;
  throw new OstinatoError("OST_RANGE", {
    what: `${name} does not fit`,
    expected: "a number of at least 0",
    got: String(value),
    where,
  });
}
