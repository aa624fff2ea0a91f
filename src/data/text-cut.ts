/**
 * @file A split by time of text that predicts itself: it counts characters, not rows, for one row may hold all of the text.
 *
 * Where a border falls within a row, the row is cut in two before anything is fitted, so that the codebook sees the training stretch alone and no
 * token lies on both sides. Every piece keeps the number, time and numbers of its row, and is tokenized by itself. Characters (code points) are cut
 * where the shares say, exactly; of words, byte pairs and graphemes none is torn: there the border moves on to the next white space, which goes to
 * the later piece.
 */
import { isTokenizer } from "./category.js";
import type { Series } from "./series.js";
import { type Split, type SplitOptions, splitSeries, summarizeParts } from "./split.js";

/** What is known of a codebook before it is fitted. */
export interface TextCodebook {
  readonly kind: string;
  readonly unit?: string;
}

/** Whether a split counts the characters of the column that predicts itself. */
export function cutsText(codebook: TextCodebook, split: SplitOptions): boolean {
  if (!isTokenizer(codebook.kind) || split.by !== "time") return false;
  return !("from" in split) && (!("at" in split) || split.at !== "instant");
}

/** The series cut where the parts of their characters end, and the part of every row. @param column which of the texts. */
export function cutTexts(
  series: readonly Series[],
  { column, codebook, split }: { column: number; codebook: TextCodebook; split: SplitOptions },
): Split & { series: Series[] } {
  const texts = series.map((one) => (one.texts as readonly (readonly string[])[])[column]);
  // An empty text is one step.
  const counts = texts.map((cells) => Int32Array.from(cells, (text) => Math.max(1, charactersOf(text))));
  const { part: codes } = splitSeries(
    series.map(({ entity }, s) => ({
      entity,
      rows: counts[s].reduce((sum, count) => sum + count, 0),
      labels: null,
      split: null,
    })),
    split,
  );
  const torn = codebook.kind === "characters" && codebook.unit !== "grapheme";
  const cut: { series: Series[]; part: Uint8Array[] } = { series: [], part: [] };
  series.forEach((one, s) => {
    const pieces: Piece[] = [];
    let at = 0;
    texts[s].forEach((text, row) => {
      const own = codes[s].subarray(at, at + counts[s][row]);
      if (!torn) keepWords(own, text);
      for (const piece of piecesOf(text, own)) pieces.push({ row, ...piece });
      at += own.length;
    });
    cut.series.push(pieces.length === one.rows ? one : rowsCut(one, pieces, column));
    cut.part.push(Uint8Array.from(pieces, ({ code }) => code));
  });
  return { ...cut, summary: { ...summarizeParts(codes), unit: "characters" } };
}

interface Piece {
  row: number;
  code: number;
  text: string;
}

function charactersOf(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Moves every border of parts within a text on to the next white space. */
function keepWords(codes: Uint8Array, text: string): void {
  let i = 0;
  let before = codes[0];
  for (const character of text) {
    if (codes[i] !== before) {
      if (/\s/u.test(character)) before = codes[i];
      else codes[i] = before;
    }
    i++;
  }
}

function piecesOf(text: string, codes: Uint8Array): Omit<Piece, "row">[] {
  if (codes.every((code) => code === codes[0])) return [{ code: codes[0], text }];
  const pieces: Omit<Piece, "row">[] = [];
  let [from, at, i] = [0, 0, 0];
  for (const character of text) {
    if (i > 0 && codes[i] !== codes[i - 1]) {
      pieces.push({ code: codes[i - 1], text: text.slice(from, at) });
      from = at;
    }
    at += character.length;
    i++;
  }
  pieces.push({ code: codes[codes.length - 1], text: text.slice(from) });
  return pieces;
}

function rowsCut(one: Series, pieces: readonly Piece[], column: number): Series {
  const { rows, row, time, tick, features, target, labels, split, texts = [], anomaly } = one;
  const pick = (values: Float64Array) => {
    const width = values.length / Math.max(1, rows);
    const picked = new Float64Array(pieces.length * width);
    pieces.forEach((piece, i) => {
      picked.set(values.subarray(piece.row * width, (piece.row + 1) * width), i * width);
    });
    return picked;
  };
  return {
    ...one,
    rows: pieces.length,
    row: Int32Array.from(pieces, (piece) => row[piece.row]),
    time: time && pick(time),
    tick: Int32Array.from(pieces, (piece) => tick?.[piece.row] ?? piece.row),
    features: pick(features),
    target: target && pick(target),
    texts: texts.map((cells, c) => pieces.map((piece) => (c === column ? piece.text : cells[piece.row]))),
    labels: labels && pieces.map((piece) => labels[piece.row]),
    split: split && pieces.map((piece) => split[piece.row]),
    ...(anomaly && { anomaly: Uint8Array.from(pieces, (piece) => anomaly[piece.row]) }),
  };
}
