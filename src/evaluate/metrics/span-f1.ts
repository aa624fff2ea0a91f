/**
 * @file Precision, recall and F1 of spans, as the scorer of the CoNLL shared tasks counts them (Tjong Kim Sang & Buchholz 2000, `conlleval`).
 *
 * A span is right when its first word, its last word and its type all are. Tags need not keep their scheme: a span begins at
 *
 *     B, S                    always
 *     I, E                    behind O, behind a span's E or S, at the beginning of a sequence, or where the type is another
 *
 * and ends before the next span or O. So I-PER behind O or behind I-LOC begins a span. L and U are read as E and S. For tags of B, I and O these
 * are the rules of conlleval to the letter; those of E and S follow its published ports, since its own end marks belong to an older scheme.
 */
import { OstinatoError } from "../../core/errors.js";

/** Words start .. end - 1 are a span of a type. */
export interface Span {
  type: string;
  start: number;
  end: number;
}

/** 0 where a divisor is 0: no span was found, or there was none to be found. */
export interface SpanScore {
  precision: number;
  recall: number;
  f1: number;
  /** Spans that are there, that were found, and that are both. */
  support: number;
  predicted: number;
  correct: number;
}

/** Over all types together (micro), and by type in the order of their names. */
export interface SpanMetrics extends SpanScore {
  perType: Record<string, SpanScore>;
  tokens: number;
  /** Share of tokens whose tag is right. */
  accuracy: number;
}

/**
 * The spans of a sequence of tags, in order.
 *
 * @throws OST_TARGET if a tag is neither O nor a mark (B, I, E, S, L, U), alone or followed by "-" and a type.
 */
export function conllSpans(tags: readonly string[]): Span[] {
  const spans: Span[] = [];
  let open: Span | undefined;
  let previousMark = "O";
  tags.forEach((tag, at) => {
    const { mark, type } = parse(tag);
    const closed = previousMark === "E" || previousMark === "S";
    const begins = mark !== "O" && (mark === "B" || mark === "S" || open === undefined || closed || open.type !== type);
    if (open && (begins || mark === "O" || closed)) {
      open.end = at;
      spans.push(open);
      open = undefined;
    }
    if (begins) open = { type, start: at, end: at };
    previousMark = mark;
  });
  if (open) spans.push({ ...(open as Span), end: tags.length });
  return spans;
}

/** The type is what stands behind the first hyphen. */
function parse(tag: string): { mark: string; type: string } {
  if (tag === "O") return { mark: "O", type: "" };
  const match = /^([BIESLU])(?:-(.*))?$/su.exec(tag);
  if (!match) {
    throw new OstinatoError("OST_TARGET", {
      what: "a tag belongs to no scheme of spans",
      expected: "O, or B, I, E, S, L or U and a type, such as B-PER",
      got: JSON.stringify(tag),
      where: "spanF1",
      repair: "leave the tag scheme out where tags mark no spans",
    });
  }
  const mark = match[1] === "L" ? "E" : match[1] === "U" ? "S" : match[1];
  return { mark, type: match[2] ?? "" };
}

/** Sums over a corpus. */
export class SpanSums {
  readonly #types = new Map<string, { support: number; predicted: number; correct: number }>();
  #tokens = 0;
  #right = 0;

  /**
   * Counts one sequence; spans never cross from one into the next.
   *
   * @throws OST_SHAPE if the two differ in length. @throws OST_TARGET if a tag marks no span.
   */
  add(truth: readonly string[], predicted: readonly string[]): { truth: Span[]; predicted: Span[]; correct: Span[] } {
    if (truth.length !== predicted.length) {
      throw new OstinatoError("OST_SHAPE", {
        what: "a sequence needs as many predicted tags as true ones",
        expected: `${truth.length} tags`,
        got: String(predicted.length),
        where: "spanF1",
      });
    }
    this.#tokens += truth.length;
    for (let i = 0; i < truth.length; i++) if (truth[i] === predicted[i]) this.#right++;
    const [there, found] = [conllSpans(truth), conllSpans(predicted)];
    const known = new Set(there.map(keyOf));
    const correct = found.filter((span) => known.has(keyOf(span)));
    for (const { type } of there) this.#of(type).support++;
    for (const { type } of found) this.#of(type).predicted++;
    for (const { type } of correct) this.#of(type).correct++;
    return { truth: there, predicted: found, correct };
  }

  /** An accuracy of 0 where there was no token. */
  result(): SpanMetrics {
    const types = [...this.#types].sort(([a], [b]) => (a < b ? -1 : 1));
    const all = { support: 0, predicted: 0, correct: 0 };
    for (const [, counts] of types) {
      all.support += counts.support;
      all.predicted += counts.predicted;
      all.correct += counts.correct;
    }
    return {
      ...spanScore(all),
      perType: Object.fromEntries(types.map(([type, counts]) => [type, spanScore(counts)])),
      tokens: this.#tokens,
      accuracy: this.#tokens > 0 ? this.#right / this.#tokens : 0,
    };
  }

  #of(type: string) {
    const counts = this.#types.get(type) ?? { support: 0, predicted: 0, correct: 0 };
    this.#types.set(type, counts);
    return counts;
  }
}

/** Span precision, recall and F1 of a corpus of tag sequences. */
export function spanF1(truth: readonly (readonly string[])[], predicted: readonly (readonly string[])[]): SpanMetrics {
  if (truth.length !== predicted.length) {
    throw new OstinatoError("OST_SHAPE", {
      what: "every sequence needs its own prediction",
      expected: `${truth.length} sequences`,
      got: String(predicted.length),
      where: "spanF1",
    });
  }
  const sums = new SpanSums();
  for (let i = 0; i < truth.length; i++) sums.add(truth[i], predicted[i]);
  return sums.result();
}

/** Precision, recall and F1 from counts. */
export function spanScore({ support, predicted, correct }: { support: number; predicted: number; correct: number }): SpanScore {
  return {
    precision: predicted > 0 ? correct / predicted : 0,
    recall: support > 0 ? correct / support : 0,
    f1: support + predicted > 0 ? (2 * correct) / (support + predicted) : 0,
    support,
    predicted,
    correct,
  };
}

function keyOf({ start, end, type }: Span): string {
  return `${start} ${end} ${type}`;
}
