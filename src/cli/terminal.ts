/**
 * @file What a command says and where: results on stdout, everything else on stderr, progress on one live line or one line per epoch.
 *
 * With `--json` stdout holds nothing but JSON, and what a person reads goes to stderr. Colours and the live line appear on a terminal only.
 */
import type { WriteStream } from "node:tty";
import picocolors from "picocolors";
import type { TrainProgress } from "../train/index.js";
import { jsonLine, printable } from "./printable.js";

export interface TerminalOptions {
  /** stdout is for JSON. */
  json?: boolean;
  /** Says nothing but errors and JSON. */
  quiet?: boolean;
}

type Output = Pick<WriteStream, "write"> & { isTTY?: boolean; columns?: number };

const LIVE_INTERVAL_MS = 80;
const LONGEST_BAR = 14;
const SHORTEST_BAR = 5;

export class Terminal {
  readonly color: ReturnType<typeof picocolors.createColors>;
  /** True where one line may be rewritten in place. */
  readonly live: boolean;
  readonly #out: Output;
  readonly #quiet: boolean;
  #shown = false;
  #shownAt = 0;

  constructor({ json = false, quiet = false }: TerminalOptions = {}, out: Output = json ? process.stderr : process.stdout) {
    this.#out = out;
    this.#quiet = quiet;
    const terminal = out.isTTY === true && process.env["TERM"] !== "dumb";
    this.live = terminal && !quiet;
    this.color = picocolors.createColors(terminal && !process.env["NO_COLOR"]);
  }

  /** Columns of the terminal, or 110. */
  get width(): number {
    return this.#out.isTTY && this.#out.columns ? Math.max(60, Math.min(140, this.#out.columns)) : 110;
  }

  /** Columns of the live line. */
  get liveWidth(): number {
    return (this.#out.columns || 110) - 1;
  }

  /** Lines for a person. */
  print(text = ""): void {
    if (this.#quiet) return;
    this.clear();
    this.#out.write(`${printable(text, { colors: this.color.isColorSupported })}\n`);
  }

  /** Something a person should know although it is not the result; shown with --quiet too, on stderr. */
  warn(text: string): void {
    this.clear();
    process.stderr.write(`${printable(text)}\n`);
  }

  /** Rewrites the live line, a few times a second at most; nothing where there is no terminal. */
  status(text: string, { always = false }: { always?: boolean } = {}): void {
    const now = performance.now();
    if (!this.live || (!always && now - this.#shownAt < LIVE_INTERVAL_MS)) return;
    this.#shownAt = now;
    this.#shown = true;
    this.#out.write(`\r\x1b[2K${clipped(printable(text), this.liveWidth)}`);
  }

  /** Removes the live line. */
  clear(): void {
    if (this.#shown) this.#out.write("\r\x1b[2K");
    this.#shown = false;
  }

  /** One JSON object on one line of stdout. */
  json(value: unknown): void {
    this.clear();
    process.stdout.write(jsonLine(value));
  }
}

/** Cuts text without escape sequences to a width. */
function clipped(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
}

/**
 * "epoch 6/20 ███████░░░ loss 0.412 · val 0.455 · |g| 0.8 (clipped 3 %) · 310 steps/s · 8 s left"
 *
 * @param width columns there are: a narrow terminal gets a shorter bar, then no speed, then no gradient norm.
 */
export function describeProgress(progress: TrainProgress, width = 110): string {
  const { epoch, epochs, step, loss, gradNorm, clippedShare, stepsPerSecond, secondsLeft, validation } = progress;
  const total = secondsLeft === null ? null : step + secondsLeft * stepsPerSecond;
  const done = total ? step / total : epoch / epochs;
  const head = `epoch ${Math.min(epoch + 1, epochs)}/${epochs}`;
  const facts = [
    `loss ${figure(loss)}`,
    validation === null ? null : `val ${figure(validation)}`,
    `|g| ${figure(gradNorm, 1)} (clipped ${Math.round(clippedShare * 100)} %)`,
    describeRate(stepsPerSecond),
    secondsLeft === null ? null : `${describeSeconds(secondsLeft)} left`,
  ];
  for (const dispensable of [3, 2]) {
    if (head.length + told(facts).length + SHORTEST_BAR + 2 > width) facts[dispensable] = null;
  }
  const bar = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, width - head.length - told(facts).length - 2));
  const filled = Math.max(0, Math.min(bar, Math.round(done * bar)));
  return `${head} ${"█".repeat(filled)}${"░".repeat(bar - filled)} ${told(facts)}`;
}

function told(facts: readonly (string | null)[]): string {
  return facts.filter((fact) => fact !== null).join(" · ");
}

/** Three decimals, or significant digits where three would show too little or too much. */
export function figure(value: number, decimals = 3): string {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return String(value);
  if (size >= 1e6 || (size > 0 && size < 10 ** -decimals / 2)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? Math.min(1, decimals) : decimals);
}

export function describeRate(stepsPerSecond: number): string {
  if (stepsPerSecond >= 10_000) return `${Math.round(stepsPerSecond / 1000)}k steps/s`;
  return `${stepsPerSecond >= 10 ? Math.round(stepsPerSecond) : stepsPerSecond.toFixed(1)} steps/s`;
}

export function describeSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 1 : 0)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function describeBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** 9223 -> "9,223" */
export function thousands(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** "1 run", "12 runs" */
export function counted(count: number, noun: string): string {
  const plural = /[sxz]$|series$/.test(noun) ? noun : /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${thousands(count)} ${count === 1 ? noun : plural}`;
}

/** Rows of cells, left-aligned in columns three spaces apart; the columns named in `right` are right-aligned. */
export function alignColumns(rows: readonly (readonly string[])[], { right = [] }: { right?: readonly number[] } = {}): string[] {
  const widths = (rows[0] ?? []).map((_, c) => Math.max(...rows.map((row) => (row[c] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, c) => (right.includes(c) ? cell.padStart(widths[c]) : cell.padEnd(widths[c])))
      .join("   ")
      .trimEnd(),
  );
}
