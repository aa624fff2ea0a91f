/**
 * @file What a tokenizer is beside a codebook: it says where in the text each code came from, and turns codes back into text.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Codebook } from "../codebook.js";
import { frozen } from "../transform.js";
import { LARGEST_VOCABULARY } from "./vocabulary.js";

/** One code and the characters it stands for: `text.slice(start, end)`, in UTF-16 units. */
export interface Piece {
  code: number;
  start: number;
  end: number;
}

export interface Tokenizer extends Codebook {
  readonly several: true;
  /** The codes of `encode` without its markers, each with its place in the text. Starts and ends never go backwards. */
  pieces(text: string): Piece[];
  /** The text of some codes. Markers are nothing; a code that stands for no known text is U+FFFD. */
  decode(codes: Iterable<number>): string;
}

/** The first piece of a text that has no code of its own; undefined where all have one, or the codebook is no tokenizer. */
export function unknownPiece(codebook: Codebook, text: string): string | undefined {
  if (!codebook.several) return undefined;
  const piece = (codebook as Tokenizer).pieces(text).find(({ code }) => code === 0);
  return piece && text.slice(piece.start, piece.end);
}

/** Whether every encoded text begins and ends with a code of its own, which a model learns as "here it starts" and "here it ends". */
export interface Markers {
  /** Default false. */
  begin?: boolean;
  /** Default false. */
  end?: boolean;
}

/** The codes of the markers, which are the last of a codebook: begin before end. null for a marker that is not used. */
export class MarkerCodes {
  readonly begin: number | null;
  readonly end: number | null;
  readonly count: number;

  /** @param first the number of codes of the tokenizer before its markers. */
  constructor(first: number, { begin = false, end = false }: Markers = {}) {
    this.begin = begin ? first : null;
    this.end = end ? first + (begin ? 1 : 0) : null;
    this.count = (begin ? 1 : 0) + (end ? 1 : 0);
  }

  /** Sets the markers around `codes`, in place. */
  around(codes: number[]): number[] {
    if (this.begin !== null) codes.unshift(this.begin);
    if (this.end !== null) codes.push(this.end);
    return codes;
  }

  nameOf(code: number): string | undefined {
    if (code === this.begin) return "<begin>";
    return code === this.end ? "<end>" : undefined;
  }

  toJSON(): Required<Markers> {
    return { begin: this.begin !== null, end: this.end !== null };
  }
}

/** @throws OST_MODEL_FILE unless `json` is what `MarkerCodes.toJSON` writes. */
export function frozenMarkers(json: unknown, where: string): Markers {
  const { begin, end } = frozen.object(json, where);
  return { begin: frozen.boolean(begin, where), end: frozen.boolean(end, where) };
}

/** `maxSize` without the markers' codes, checked. */
export function roomBesideMarkers(maxSize: number, least: number, { begin, end }: Markers, where: string): number {
  const taken = Number(begin ?? false) + Number(end ?? false);
  const room = maxSize - taken;
  if (Number.isInteger(room) && room >= least && maxSize <= LARGEST_VOCABULARY) return room;
  throw new OstinatoError("OST_RANGE", {
    what: "maxSize is out of range",
    expected: `a whole number from ${least + taken} to ${LARGEST_VOCABULARY}`,
    got: String(maxSize),
    where,
  });
}
