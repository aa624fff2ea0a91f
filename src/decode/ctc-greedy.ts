/**
 * @file Best-path decoding of a network trained with connectionist temporal classification (Graves, Fernández, Gomez & Schmidhuber 2006, section 3.2):
 * the likeliest class of every frame, repeats collapsed, blanks dropped. The labelling of the likeliest path need not be the likeliest labelling:
 * the prefix beam adds up all the paths of a labelling.
 */
import { OstinatoError } from "../core/errors.js";
import { argmax } from "../core/top-index.js";
import { checkLogProbabilities, checkWhole } from "./step-scorer.js";

export interface CtcOptions {
  /** Classes per frame, the blank included, >= 1. */
  classes: number;
  /** The blank class, default the last one. Tokens are class numbers. */
  blank?: number;
}

/** One token and the run of frames that gave it. */
export interface CtcToken {
  token: number;
  /** First frame of the run, 0-based, and the frame behind its last one. */
  start: number;
  end: number;
  /** The frame of the run at which the token is the most probable, the first of equal ones. */
  peak: number;
  /** Its probability at that frame, in 0 .. 1. */
  confidence: number;
}

export interface CtcGreedyResult {
  tokens: number[];
  /** One per token, in order. */
  spans: CtcToken[];
  /** log p of the best path, in nats: at most that of its labelling. 0 without frames. */
  logProbability: number;
}

/**
 * @param logProbabilities [frames, classes]; no frames give no tokens. Of equal classes the lowest is taken.
 * @throws OST_SHAPE; OST_RANGE; OST_NAN naming the frame, for NaN and for a frame without a possible class.
 */
export function ctcGreedy(logProbabilities: Float32Array | Float64Array, options: CtcOptions): CtcGreedyResult {
  const { classes } = options;
  const blank = checkCtc(options, "ctcGreedy");
  const scores = ctcFrames(logProbabilities, { classes, first: 0, where: "ctcGreedy" });
  const spans: CtcToken[] = [];
  let logProbability = 0;
  let before = blank;
  for (let frame = 0; frame < scores.length / classes; frame++) {
    const row = scores.subarray(frame * classes, (frame + 1) * classes);
    const token = argmax(row);
    const confidence = Math.exp(row[token]);
    logProbability += row[token];
    if (token !== blank && token !== before) spans.push({ token, start: frame, end: frame + 1, peak: frame, confidence });
    else if (token !== blank) {
      const span = spans[spans.length - 1];
      span.end = frame + 1;
      if (confidence > span.confidence) Object.assign(span, { peak: frame, confidence });
    }
    before = token;
  }
  return { tokens: spans.map(({ token }) => token), spans, logProbability };
}

/** @returns the blank. @throws OST_RANGE */
export function checkCtc({ classes, blank = classes - 1 }: CtcOptions, where: string): number {
  checkWhole("the number of classes", classes, { least: 1, where });
  checkWhole("the blank", blank, { least: 0, most: classes - 1, where });
  return blank;
}

/** Frames of log-probabilities, checked. @param first number of the first frame, for messages. */
export function ctcFrames(
  values: Float32Array | Float64Array,
  { classes, first, where }: { classes: number; first: number; where: string },
): Float32Array | Float64Array {
  if (values.length % classes !== 0) {
    throw new OstinatoError("OST_SHAPE", {
      what: "frames have one log-probability for each class",
      expected: `[frames, ${classes}]`,
      got: `${values.length} numbers`,
      where,
    });
  }
  return checkLogProbabilities(values, classes, (row) => `${where}, frame ${first + row + 1}`);
}
