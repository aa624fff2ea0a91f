/** @file Tables that read well in a terminal and paste into Markdown. */

/** Rows of text under a head; the first columns, `left` of them, lean left, all others right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], { left = 1 } = {}): string {
  const widths = head.map((title, c) => Math.max(3, title.length, ...rows.map((row) => row[c].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, c) => (c < left ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join(" | ")} |`;
  const rule = `|${widths.map((width, c) => (c < left ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Milliseconds with three significant digits, in the unit that suits them. */
export function duration(ms: number): string {
  if (ms < 1) return `${significant(ms * 1000)} us`;
  return ms < 1000 ? `${significant(ms)} ms` : `${significant(ms / 1000)} s`;
}

/** Three significant digits without an exponent; whole above 100. */
export function significant(value: number): string {
  if (value === 0 || Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}

/** Of a fraction: whole from 10 % on, "<1 %" where it hardly matters. */
export function percent(share: number): string {
  if (share < 0.01) return "<1 %";
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** 10^3 steps: "3.42 MB". */
export function byteSize(bytes: number): string {
  const step = [1e9, 1e6, 1e3].find((size) => bytes >= size) ?? 1;
  return `${significant(bytes / step)} ${{ 1e9: "GB", 1e6: "MB", 1e3: "kB" }[step] ?? "B"}`;
}
