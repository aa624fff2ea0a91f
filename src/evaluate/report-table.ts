/** @file Numbers and tables as a report shows them. */
import { escapeHtml } from "../core/html.js";

/** Three decimals, fewer of large numbers; empty where there is none. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size > 0 && size < 0.001) return value.toExponential(1);
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : 3);
}

/** "12,345" */
export function thousands(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A table, every text escaped. */
export function htmlTable(head: string[], body: string[][]): string {
  const row = (tag: string, values: string[]) =>
    `<tr>${values.map((value) => `<${tag}>${escapeHtml(value)}</${tag}>`).join("")}</tr>`;
  return `<table><thead>${row("th", head)}</thead><tbody>${body.map((values) => row("td", values)).join("")}</tbody></table>`;
}
