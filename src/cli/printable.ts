/** @file Text that names things from files, made harmless: a control sequence in a foreign file must not reach the terminal. */

/** C0 and C1 control characters and DEL, other than tab and line feed. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
/** What `picocolors` writes: bold, dim, underlined, a colour of the letters, and their ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
const COLOR = /(\x1b\[(?:0|1|2|4|22|24|3[0-79]|9[0-7])m)/;

/** Without control characters. @param options `colors`: the colours that a command itself gives stay. */
export function printable(text: string, { colors = false }: { colors?: boolean } = {}): string {
  if (!colors) return text.replace(CONTROL, "");
  return text
    .split(COLOR)
    .map((piece, i) => (i % 2 === 1 ? piece : piece.replace(CONTROL, "")))
    .join("");
}

/** One line of JSON in which every control character is escaped, also those that JSON would leave. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value).replace(/[\x7f-\x9f]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`)}\n`;
}
