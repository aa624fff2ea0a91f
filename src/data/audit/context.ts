/** @file What the checks of one audit share: the fitted pipeline and its outputs, one pass over the windows, names of rows, seeded draws. */
import { PARTS, type Part } from "../../core/batch.js";
import { type Rng, seed as seeded } from "../../core/rng.js";
import type { Series } from "../series.js";
import { partCode } from "../split.js";
import { rowName } from "../table.js";
import type { QuickModel } from "./quick-model.js";
import type { AuditSubject, PipelineOutput, WindowRows } from "./subject.js";

export interface AuditOptions {
  /** Of every draw the audit makes; default 7. */
  seed?: number;
  /** A small model for the control with permuted labels; without it that control is skipped. */
  quick?: QuickModel;
  /** The moment from which on times lie in the future, in ms since 1970; default none do. */
  now?: number;
  /** Columns of the raw table that hold the time at which another column, or the target, became known. By name of that column. */
  knownAt?: Readonly<Record<string, string>>;
  /** Called before each check. */
  onProgress?: (check: string, done: number, of: number) => void;
}

/** Windows kept of each part, drawn evenly from all of them. */
const SAMPLED_WINDOWS = 2_000;

export interface WindowScan {
  /** Windows of each part. */
  count: Record<Part, number>;
  /** At most {@link SAMPLED_WINDOWS} of each part, in order. */
  sample: Record<Part, WindowRows[]>;
  /** Per part and series, how many targets hold each row; an empty target (a class) holds the rows of its input. [rows + 1] */
  targets: Record<Part, Int32Array[]>;
}

export class AuditContext {
  readonly #outputs = new Map<number, PipelineOutput>();
  #frozen: ((series: Series) => PipelineOutput) | undefined;
  #scan: WindowScan | undefined;
  #labels: readonly string[] | undefined;

  constructor(
    readonly subject: AuditSubject,
    readonly options: AuditOptions = {},
  ) {}

  /** A generator of a check's own, so that no check's draws depend on another's. */
  rng(name: string): Rng {
    let hash = this.options.seed ?? 7;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    return seeded(hash >>> 0);
  }

  /** The pipeline fitted as the subject says. Throws what the pipeline throws. */
  get frozen(): (series: Series) => PipelineOutput {
    this.#frozen ??= this.subject.pipeline.fit(this.subject.series, this.subject.parts);
    return this.#frozen;
  }

  /** What the pipeline makes of a series; kept. */
  output(s: number): PipelineOutput {
    let output = this.#outputs.get(s);
    if (!output) this.#outputs.set(s, (output = this.frozen(this.subject.series[s])));
    return output;
  }

  /** One pass over all windows. */
  get scan(): WindowScan {
    return (this.#scan ??= this.#pass());
  }

  #pass(): WindowScan {
    const { subject } = this;
    const rng = this.rng("windows");
    const make = <T>(value: (part: Part) => T) => Object.fromEntries(PARTS.map((part) => [part, value(part)])) as Record<Part, T>;
    const count = make(() => 0);
    const kept = make((): { at: number; window: WindowRows }[] => []);
    const targets = make(() => subject.series.map(({ rows }) => new Int32Array(rows + 1)));
    for (const window of subject.windows()) {
      const { part, series, input, target } = window;
      const list = kept[part];
      const at = count[part]++;
      if (list.length < SAMPLED_WINDOWS) list.push({ at, window });
      else {
        const slot = rng.integer(at + 1);
        if (slot < SAMPLED_WINDOWS) list[slot] = { at, window };
      }
      const [from, to] = target[1] > target[0] ? target : input;
      const line = targets[part][series];
      if (!line) continue;
      line[Math.max(0, Math.min(line.length - 1, from))]++;
      line[Math.max(0, Math.min(line.length - 1, to))]--;
    }
    for (const part of PARTS) {
      for (const line of targets[part]) for (let i = 1; i < line.length; i++) line[i] += line[i - 1];
    }
    const sample = make((part) => kept[part].sort((a, b) => a.at - b.at).map(({ window }) => window));
    return { count, sample, targets };
  }

  /** "load.csv row 412" for row i of series s. */
  where(s: number, i: number): string {
    const { subject } = this;
    const series = subject.series[s];
    const at = Math.max(0, Math.min(series.rows - 1, i));
    const name = series.rows > 0 ? rowName(subject, series.row[at]) : `${subject.source}, an empty series`;
    return subject.series.length > 1 ? `${name} (series "${series.entity}")` : name;
  }

  /** The name of a row of the raw table, counted from 1. */
  whereInTable(row: number): string {
    return rowName(this.subject, row);
  }

  /** "load.csv row 1 to row 96 (series "a")" for rows [from, to). */
  range(s: number, from: number, to: number): string {
    const series = this.subject.series[s];
    if (to - from <= 1) return this.where(s, from);
    const last = Math.max(0, Math.min(series.rows, to) - 1);
    return `${rowName(this.subject, series.row[Math.max(0, Math.min(series.rows - 1, from))])} to ${this.where(s, last)}`;
  }

  /** The part of row i of series s, in words. */
  partName(s: number, i: number): string {
    const code = this.subject.parts[s][i];
    return code ? PARTS[code - 1] : "no part";
  }

  /** Rows of a part in each series. */
  rowsOf(part: Part): number {
    const code = partCode(part);
    let rows = 0;
    for (const parts of this.subject.parts) for (const one of parts) if (one === code) rows++;
    return rows;
  }

  /** The labels of training rows, in order of appearance. */
  get labels(): readonly string[] {
    return (this.#labels ??= [
      ...new Set(
        this.subject.series.flatMap(
          ({ labels }, s) => labels?.filter((label, i) => label !== "" && this.subject.parts[s][i] === 1) ?? [],
        ),
      ),
    ]);
  }

  /** The label of a whole series: its first that is not missing; "" where there is none. */
  labelOf(s: number): string {
    return this.subject.series[s].labels?.find((label) => label !== "") ?? "";
  }

  /** The part of the first row of a series that has one, or 0. */
  partOfSeries(s: number): number {
    return this.subject.parts[s].find((code) => code > 0) ?? 0;
  }

  /** At most `count` indices of series with at least `rows` rows, evenly drawn, the longest always among them. */
  sampleSeries(name: string, count: number, rows = 2): number[] {
    const { series } = this.subject;
    const all = series.flatMap((one, s) => (one.rows >= rows ? [s] : []));
    if (all.length <= count) return all;
    const longest = all.reduce((best, s) => (series[s].rows > series[best].rows ? s : best), all[0]);
    const drawn = this.rng(name).shuffle(all.filter((s) => s !== longest));
    return [longest, ...drawn.slice(0, count - 1)].sort((a, b) => a - b);
  }
}
