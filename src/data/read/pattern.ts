/**
 * @file What the name of a file says: "{digit}_{speaker}_{index}.wav" reads "7_jackson_32.wav" as digit 7, speaker jackson, index 32. And what a
 * line of text says: "IN: {command} OUT: {actions}".
 *
 * A field takes as few characters as possible: in a name at least one, none of them "/", in a line perhaps none. A pattern of names without "/" is
 * held against the name alone, one with it against the path below the folder.
 */
import { OstinatoError } from "../../core/errors.js";

type PatternKey = "data.read.pattern" | "data.read.line";

interface Segment {
  /** One more than the fields: what stands before, between and after them. */
  literals: string[];
}

export interface TextPattern {
  fields: readonly string[];
  /** The texts of the fields, or null if the text does not fit. */
  read(text: string): string[] | null;
}

/** @throws OST_CONFIG if the pattern has no field, one twice, or two with nothing between them. */
export function filePattern(pattern: string): TextPattern {
  const fields: string[] = [];
  const segments = pattern.split("/").map((part) => segmentOf(part, fields, { pattern, where: "data.read.pattern" }));
  if (fields.length === 0) throw refused(pattern, "no field", "data.read.pattern");
  return {
    fields,
    read(path) {
      const parts = segments.length === 1 ? [path.slice(path.lastIndexOf("/") + 1)] : path.split("/");
      if (parts.length !== segments.length) return null;
      const values: string[] = [];
      for (let i = 0; i < parts.length; i++) {
        const found = readSegment(segments[i], parts[i]);
        if (!found) return null;
        values.push(...found);
      }
      return values;
    },
  };
}

/** @throws OST_CONFIG as {@link filePattern} does. */
export function linePattern(pattern: string): TextPattern {
  const fields: string[] = [];
  const segment = segmentOf(pattern, fields, { pattern, where: "data.read.line" });
  if (fields.length === 0) throw refused(pattern, "no field", "data.read.line");
  return { fields, read: (line) => readSegment(segment, line, 0) };
}

/** The literals of a part of a pattern; its fields are added to the list. */
function segmentOf(part: string, fields: string[], { pattern, where }: { pattern: string; where: PatternKey }): Segment {
  const literals: string[] = [];
  let from = 0;
  for (const match of part.matchAll(/\{([^{}]*)\}/g)) {
    const name = match[1].trim();
    if (name === "") throw refused(pattern, "a field without a name", where);
    if (fields.includes(name)) throw refused(pattern, `the field "${name}" twice`, where);
    if (literals.length > 0 && match.index === from) {
      throw refused(pattern, `nothing between "${fields.at(-1)}" and "${name}"`, where);
    }
    fields.push(name);
    literals.push(part.slice(from, match.index));
    from = match.index + match[0].length;
  }
  literals.push(part.slice(from));
  return { literals };
}

/** Leftmost matches of the literals between are the best there are: a later match of one never lets more of the others match. */
function readSegment({ literals }: Segment, part: string, shortest = 1): string[] | null {
  const last = literals[literals.length - 1];
  if (literals.length === 1) return part === last ? [] : null;
  if (!part.startsWith(literals[0]) || !part.endsWith(last)) return null;
  const end = part.length - last.length;
  const values: string[] = [];
  let at = literals[0].length;
  for (const literal of literals.slice(1, -1)) {
    const next = part.indexOf(literal, at + shortest);
    if (next < 0 || next + literal.length > end) return null;
    values.push(part.slice(at, next));
    at = next + literal.length;
  }
  if (at + shortest > end) return null;
  values.push(part.slice(at, end));
  return values;
}

function refused(pattern: string, got: string, where: PatternKey): OstinatoError {
  const example = where === "data.read.line" ? "IN: {command} OUT: {actions}" : "{digit}_{speaker}_{index}.wav";
  return new OstinatoError("OST_CONFIG", {
    what: `${where} cannot be read`,
    expected: `fields in braces with something between them, such as ${JSON.stringify(example)}`,
    got: `${got} in ${JSON.stringify(pattern)}`,
    where,
  });
}
