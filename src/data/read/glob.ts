/**
 * @file Finds files by a glob: `*` and `?` inside a name, `**` for any folders, `[a-z]`, `{a,b}`.
 */
import { readdir, stat } from "node:fs/promises";
import { join, posix, sep } from "node:path";
import { unreadable } from "./bytes.js";

/** Whether a path holds what only a glob means. */
export function isGlob(path: string): boolean {
  return /[*?[\]{}]/.test(path);
}

/** The folder above the first part of a glob that is not plain, and the rest. */
export function splitGlob(glob: string): { folder: string; rest: string } {
  const parts = glob.split(sep).join("/").split("/");
  const plain = parts.findIndex(isGlob);
  const cut = plain < 0 ? parts.length - 1 : plain;
  const folder = parts.slice(0, cut).join("/");
  return { folder: folder === "" ? (glob.startsWith("/") ? "/" : ".") : folder, rest: parts.slice(cut).join("/") };
}

/** Whether a relative path with "/" between its parts is one that the glob names. */
export function globMatcher(glob: string): (path: string) => boolean {
  const alternatives = expand(glob).map((one) => one.split("/").map((part) => (part === "**" ? null : partMatcher(part))));
  return (path) => {
    const parts = path.split("/");
    return alternatives.some((matchers) => matchParts(matchers, parts));
  };
}

/**
 * The regular files below a folder, as sorted relative paths with "/" between the parts. Names that begin with a dot are left out; links to
 * folders are not followed.
 * @throws OST_FILE
 */
export async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (relative: string): Promise<void> => {
    let entries: import("node:fs").Dirent[];
    try {
      entries = await readdir(join(folder, relative), { withFileTypes: true });
    } catch (cause) {
      throw unreadable(join(folder, relative), cause);
    }
    for (const entry of entries) {
      if (entry.name.startsWith(".")) continue;
      const path = posix.join(relative, entry.name);
      if (entry.isDirectory()) await walk(path);
      else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(join(folder, path))))) found.push(path);
    }
  };
  await walk("");
  return found.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Whether parts of a path match parts of a glob, where null stands for any number of folders; from the end, without search by trial. */
function matchParts(matchers: readonly (((part: string) => boolean) | null)[], parts: readonly string[]): boolean {
  let reached = Array.from({ length: parts.length + 1 }, (_, p) => p === parts.length);
  for (let m = matchers.length - 1; m >= 0; m--) {
    const matcher = matchers[m];
    const next = new Array<boolean>(parts.length + 1).fill(false);
    for (let p = parts.length; p >= 0; p--) {
      next[p] = matcher
        ? p < parts.length && reached[p + 1] && matcher(parts[p])
        : reached[p] || (p < parts.length && next[p + 1]);
    }
    reached = next;
  }
  return reached[0];
}

/** Tells whether a name matches one part of a glob; every place is visited once per token. */
function partMatcher(part: string): (name: string) => boolean {
  const tokens = part.match(/\*+|\?|\[[^\]]+\]|./gsu) ?? [];
  return (name) => {
    const letters = Array.from(name);
    let reached = Array.from({ length: letters.length + 1 }, (_, i) => i === 0);
    for (const token of tokens) {
      const next = new Array<boolean>(letters.length + 1).fill(false);
      if (token.startsWith("*")) {
        let any = false;
        for (let i = 0; i <= letters.length; i++) next[i] = any ||= reached[i];
      } else {
        for (let i = 0; i < letters.length; i++) next[i + 1] = reached[i] && oneOf(token, letters[i]);
      }
      reached = next;
    }
    return reached[letters.length];
  };
}

function oneOf(token: string, letter: string): boolean {
  if (token === "?") return true;
  if (token.length < 3 || !token.startsWith("[")) return token === letter;
  const negated = token[1] === "!" || token[1] === "^";
  const set = Array.from(token.slice(negated ? 2 : 1, -1));
  let within = false;
  for (let i = 0; i < set.length; i++) {
    const range = set[i + 1] === "-" && i + 2 < set.length;
    within ||= range ? set[i] <= letter && letter <= set[i + 2] : set[i] === letter;
    if (range) i += 2;
  }
  return within !== negated;
}

/** The globs that one with `{a,b}` stands for, innermost braces first; at most a thousand. */
function expand(glob: string): string[] {
  let globs = [glob];
  for (let round = 0; round < 10 && globs.length < 1000; round++) {
    const next = globs.flatMap((one) => {
      const match = /\{([^{}]*)\}/.exec(one);
      if (!match) return [one];
      return match[1].split(",").map((choice) => one.slice(0, match.index) + choice + one.slice(match.index + match[0].length));
    });
    if (next.length === globs.length && next.every((one, i) => one === globs[i])) break;
    globs = next;
  }
  return globs;
}
