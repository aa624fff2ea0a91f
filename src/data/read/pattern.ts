/**
 * @file What the name of a file says: "{digit}_{speaker}_{index}.wav" reads "7_jackson_32.wav" as digit 7, speaker jackson, index 32.
 *
 * A field takes at least one character, none of them "/", and as few as possible. A pattern without "/" is held against the name alone,
 * one with it against the path below the folder.
 */
import { OstinatoError } from "../../core/errors.js";

interface Segment {
  /** One more than the fields: what stands before, between and after them. */
  literals: string[];
}

export interface FilePattern {
  fields: readonly string[];
  /** The texts of the fields, or null if the path does not fit. */
  read(path: string): string[] | null;
}

/** @throws OST_CONFIG if the pattern has no field, one twice, or two with nothing between them. */
export function filePattern(pattern: string): FilePattern {
  const fields: string[] = [];
  const segments: Segment[] = pattern.split("/").map((part) => {
    const literals: string[] = [];
    let from = 0;
    for (const match of part.matchAll(/\{([^{}]*)\}/g)) {
      const name = match[1].trim();
      if (name === "") throw refused(pattern, "a field without a name");
      if (fields.includes(name)) throw refused(pattern, `the field "${name}" twice`);
      if (literals.length > 0 && match.index === from) throw refused(pattern, `nothing between "${fields.at(-1)}" and "${name}"`);
      fields.push(name);
      literals.push(part.slice(from, match.index));
      from = match.index + match[0].length;
    }
    literals.push(part.slice(from));
    return { literals };
  });
  if (fields.length === 0) throw refused(pattern, "no field");
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

/** Leftmost matches of the literals between are the best there are: a later match of one never lets more of the others match. */
function readSegment({ literals }: Segment, part: string): string[] | null {
  const last = literals[literals.length - 1];
  if (literals.length === 1) return part === last ? [] : null;
  if (!part.startsWith(literals[0]) || !part.endsWith(last)) return null;
  const end = part.length - last.length;
  const values: string[] = [];
  let at = literals[0].length;
  for (const literal of literals.slice(1, -1)) {
    const next = part.indexOf(literal, at + 1);
    if (next < 0 || next + literal.length > end) return null;
    values.push(part.slice(at, next));
    at = next + literal.length;
  }
  if (at >= end) return null;
  values.push(part.slice(at, end));
  return values;
}

function refused(pattern: string, got: string): OstinatoError {
  return new OstinatoError("OST_CONFIG", {
    what: "data.read.pattern cannot be read",
    expected: 'fields in braces with something between them, such as "{digit}_{speaker}_{index}.wav"',
    got: `${got} in ${JSON.stringify(pattern)}`,
    where: "data.read.pattern",
  });
}
