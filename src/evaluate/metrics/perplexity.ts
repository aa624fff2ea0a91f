/**
 * @file How surprised a model is by a sequence, per unit of it: a character, a word, a subword, an event.
 *
 *     nats per unit = -(sum of ln p) / n      bits per unit = nats / ln 2      perplexity = exp(nats per unit)
 *
 * Figures of different units cannot be compared: a word model's perplexity is not a character model's. The same total may be divided by
 * another count, such as the characters of a text that was coded in subwords.
 */
import { OstinatoError } from "../../core/errors.js";

export interface Perplexity {
  /** What is counted: "character", "word", "token". */
  unit: string;
  /** Units. */
  n: number;
  natsPerUnit: number;
  bitsPerUnit: number;
  /** 1 where everything was certain; Infinity where something that happened had probability 0. */
  perplexity: number;
}

/**
 * @param nats total negative log-probability, in nats, at least 0
 * @param n units it is over
 * @throws OST_TARGET if there are no units. @throws OST_NAN if the total is no number.
 */
export function perplexity(nats: number, n: number, { unit = "token" }: { unit?: string } = {}): Perplexity {
  if (!(n > 0)) {
    throw new OstinatoError("OST_TARGET", {
      what: `perplexity needs at least one ${unit}`,
      expected: `a count of ${unit}s above 0`,
      got: String(n),
      where: "perplexity",
    });
  }
  if (Number.isNaN(nats)) {
    throw new OstinatoError("OST_NAN", {
      what: "the log-probability is not a number",
      expected: "a total in nats",
      got: "NaN",
      where: "perplexity",
      repair: "look for the first NaN of the model",
    });
  }
  const natsPerUnit = nats / n;
  return { unit, n, natsPerUnit, bitsPerUnit: natsPerUnit / Math.LN2, perplexity: Math.exp(natsPerUnit) };
}
