/**
 * @file Tags that mark spans of words (names, chunks): their schemes, their faults, and the way from one scheme to another.
 *
 * Every tag is "O" (outside) or a mark and a type, as B-PER. The marks of the schemes:
 *
 *     BIO1   I a word of a span; B only for the first word of a span right behind another one of the same type (Ramshaw & Marcus 1995, "IOB")
 *     BIO2   B the first word of a span, I the others (Tjong Kim Sang & Veenstra 1999)
 *     BIOES  B first, I inner, E last word; S a span of one word
 *     BILOU  the same with L for last and U for unit (Ratinov & Roth 2009)
 */
import { OstinatoError } from "../../core/errors.js";

export const TAG_SCHEMES = ["BIO1", "BIO2", "BIOES", "BILOU"] as const;
export type TagScheme = (typeof TAG_SCHEMES)[number];

/** Words start .. end - 1 are a span of a type. */
export interface TagSpan {
  type: string;
  start: number;
  end: number;
}

export interface TagFault {
  /** Index of the word. */
  position: number;
  tag: string;
  /** What is wrong, and the tag that would be right: "I-PER after O: must begin with B-PER". */
  fault: string;
  /** The tag to put in its place. */
  repair: string;
}

/** The marks of a scheme: those of a span of several words and of one. BIO1 writes its spans by another rule. */
const MARKS = {
  BIO1: { first: "I", inner: "I", last: "I", single: "I" },
  BIO2: { first: "B", inner: "I", last: "I", single: "B" },
  BIOES: { first: "B", inner: "I", last: "E", single: "S" },
  BILOU: { first: "B", inner: "I", last: "L", single: "U" },
} as const;

/** All marks that a tag of the scheme may have. */
const ALLOWED: Record<TagScheme, string> = { BIO1: "IB", BIO2: "BI", BIOES: "BIES", BILOU: "BILU" };

interface Tag {
  mark: string;
  type: string;
}

/** A tag's mark and type, null for O. undefined where it is neither. A tag may have no type: B, I. */
function parse(tag: string): Tag | null | undefined {
  if (tag === "O") return null;
  const match = /^([BIESLU])(?:-(.+))?$/su.exec(tag);
  return match ? { mark: match[1], type: match[2] ?? "" } : undefined;
}

function write(mark: string, type: string): string {
  return type === "" ? mark : `${mark}-${type}`;
}

/** Where several schemes fit, the first of these is named. */
const LIKELIEST_FIRST = ["BIO2", "BIO1", "BIOES", "BILOU"] as const;

/**
 * The one scheme that all sequences keep. Where several fit, because nothing in the tags tells them apart, the first of BIO2, BIO1, BIOES,
 * BILOU.
 *
 * @throws OST_FORMAT where none fits: naming two sequences that keep different schemes, or else the nearest scheme and its first fault.
 */
export function detectScheme(sequences: Iterable<readonly string[]>): TagScheme {
  const misfits = LIKELIEST_FIRST.map((scheme) => ({ scheme, faults: 0, first: undefined as Misfit | undefined }));
  let sequence = 0;
  for (const tags of sequences) {
    sequence++;
    const found = LIKELIEST_FIRST.map((scheme) => validateTags(tags, scheme));
    const keeps = LIKELIEST_FIRST[found.findIndex((faults) => faults.length === 0)];
    found.forEach((faults, s) => {
      misfits[s].faults += faults.length;
      if (faults.length > 0) misfits[s].first ??= { sequence, keeps, fault: faults[0] };
    });
  }
  const nearest = misfits.reduce((best, each) => (each.faults < best.faults ? each : best));
  if (nearest.first) throw noScheme(nearest.scheme, nearest.faults, nearest.first);
  return nearest.scheme;
}

/** The first sequence that breaks a scheme, from 1, its first fault, and the scheme it keeps instead, if any. */
interface Misfit {
  sequence: number;
  fault: TagFault;
  keeps: TagScheme | undefined;
}

function noScheme(nearest: TagScheme, faults: number, { sequence, fault, keeps }: Misfit): OstinatoError {
  const where = `tags, sequence ${sequence}, word ${fault.position + 1}`;
  if (keeps) {
    return new OstinatoError("OST_FORMAT", {
      what: `the tags mix schemes: sequence ${sequence} keeps ${keeps}, most keep ${nearest}`,
      expected: `${nearest}: ${fault.repair}`,
      got: fault.fault,
      where,
      repair: "convert each source to one scheme before joining them (convertTags)",
    });
  }
  return new OstinatoError("OST_FORMAT", {
    what: `the tags keep no scheme: nearest is ${nearest} with ${faults} ${faults === 1 ? "fault" : "faults"}`,
    expected: `one of ${TAG_SCHEMES.join(", ")}`,
    got: fault.fault,
    where,
    repair: `write ${fault.repair} there, or repair all faults (repairTags)`,
  });
}

/**
 * All faults of a sequence, in order of position; none where it keeps the scheme. Repairing each fault as it says gives a sequence without
 * faults, whose spans are the ones that were most likely meant.
 */
export function validateTags(tags: readonly string[], scheme: TagScheme): TagFault[] {
  const spans = lenientSpans(tags, scheme);
  const repaired = writeSpans(spans, tags.length, scheme);
  const faults: TagFault[] = [];
  tags.forEach((tag, position) => {
    if (tag === repaired[position]) return;
    faults.push({ position, tag, fault: describeFault(tags, position, scheme, repaired[position]), repair: repaired[position] });
  });
  return faults;
}

/** The spans of a sequence, in order. @throws OST_FORMAT with the first fault, unless the sequence keeps the scheme. */
export function spans(tags: readonly string[], scheme: TagScheme): TagSpan[] {
  const [fault] = validateTags(tags, scheme);
  if (fault) {
    throw new OstinatoError("OST_FORMAT", {
      what: "the tags break their scheme",
      expected: `${scheme}: ${fault.repair}`,
      got: fault.fault,
      where: `tags, word ${fault.position + 1}`,
      repair: "repair the tags (validateTags says how), or name the scheme that they keep",
    });
  }
  return lenientSpans(tags, scheme);
}

/** The same spans in another scheme. @throws OST_FORMAT unless the sequence keeps the scheme it comes from. */
export function convertTags(tags: readonly string[], from: TagScheme, to: TagScheme): string[] {
  return writeSpans(spans(tags, from), tags.length, to);
}

/** The sequence with every fault repaired. */
export function repairTags(tags: readonly string[], scheme: TagScheme): string[] {
  return writeSpans(lenientSpans(tags, scheme), tags.length, scheme);
}

/**
 * Reads spans from tags that may break their scheme: a span goes on as long as a tag says so (I, E, L of its type) and the one before it does
 * not say it was the last; any other tag but O begins one. A mark of another scheme is read by its meaning there.
 */
function lenientSpans(tags: readonly string[], scheme: TagScheme): TagSpan[] {
  const found: TagSpan[] = [];
  let open: TagSpan | undefined;
  tags.forEach((text, i) => {
    const tag = parse(text);
    if (!tag) {
      open = undefined;
      return;
    }
    const { mark, type } = tag;
    const goesOn = (mark === "I" || mark === "E" || mark === "L") && open?.type === type;
    if (goesOn && open) open.end = i + 1;
    else {
      open = { type, start: i, end: i + 1 };
      found.push(open);
    }
    const closes = mark === "S" || mark === "U" || ((mark === "E" || mark === "L") && scheme !== "BIO1" && scheme !== "BIO2");
    if (closes) open = undefined;
  });
  return found;
}

function writeSpans(found: readonly TagSpan[], length: number, scheme: TagScheme): string[] {
  const tags = new Array<string>(length).fill("O");
  found.forEach(({ type, start, end }, s) => {
    const marks = MARKS[scheme];
    for (let i = start + 1; i < end - 1; i++) tags[i] = write(marks.inner, type);
    if (end - start > 1) tags[end - 1] = write(marks.last, type);
    const before = found[s - 1];
    const touches = scheme === "BIO1" && before?.end === start && before.type === type;
    tags[start] = write(touches ? "B" : end - start > 1 ? marks.first : marks.single, type);
  });
  return tags;
}

function describeFault(tags: readonly string[], position: number, scheme: TagScheme, repair: string): string {
  const tag = tags[position];
  const parsed = parse(tag);
  if (!parsed)
    return `${JSON.stringify(tag)} is no tag: O, or one of ${[...ALLOWED[scheme]].join(" ")} with a type, as ${repair === "O" ? "B-PER" : repair}`;
  if (!ALLOWED[scheme].includes(parsed.mark)) return `${tag}: ${scheme} has no ${parsed.mark}: must be ${repair}`;
  const mark = repair[0];
  const before = position === 0 ? "at the start" : `after ${tags[position - 1]}`;
  const behind = position === tags.length - 1 ? "at the end" : `before ${tags[position + 1]}`;
  if (scheme === "BIO1") return `${tag} ${before}: B only parts two spans of one type: must be ${repair}`;
  if (mark === "B" && parsed.mark !== "S" && parsed.mark !== "U") return `${tag} ${before}: must begin with ${repair}`;
  if (mark === MARKS[scheme].single) return `${tag} ${before} and ${behind}: a span of one word must be ${repair}`;
  if (mark === MARKS[scheme].last) return `${tag} ${behind}: must end with ${repair}`;
  return `${tag} ${before} and ${behind}: must be ${repair}`;
}
