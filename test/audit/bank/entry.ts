/**
 * @file One pipeline of the bank: how it is made, and what an audit must say of it.
 */
import type { Rng } from "../../../src/core/rng.js";
import { type AuditOptions, type AuditSubject, subjectOf } from "../../../src/data/audit/index.js";
import { type DataOptions, tableFromTexts } from "../../../src/data/index.js";
import { type Cells, times } from "./signal.js";

/** How grave a finding is, from least to most. */
export const STATUSES = ["skipped", "pass", "note", "warning", "fault", "leak"] as const;
export type Status = (typeof STATUSES)[number];

export interface Expectation {
  /** Checks of which one must convict. */
  checks: readonly string[];
  /** The least status that counts. */
  status: "warning" | "fault" | "leak";
  /** What the finding's texts must name: the column, series or row that is broken. */
  names: readonly RegExp[];
}

interface Made {
  name: string;
  /** What is broken; for a clean one what makes it look suspicious. */
  what: string;
  make: (rng: Rng) => AuditSubject;
  options?: (rng: Rng) => AuditOptions;
}

export type BrokenEntry = Made & { expect: Expectation };
export type BankEntry = BrokenEntry | (Made & { expect: null });

/** A whole number in [low, high]: sizes vary with the seed, so that no threshold can be tuned to one of them. */
export function between(rng: Rng, low: number, high: number): number {
  return low + rng.integer(high - low + 1);
}

export type Split = DataOptions["split"];

export function byTime(rng: Rng): Split {
  const train = rng.uniform(0.55, 0.65);
  const validation = rng.uniform(0.15, 0.2);
  return { by: "time", train, validation, test: 1 - train - validation };
}

/** The subject of a configuration over generated cells. */
export function configured(
  cells: Cells,
  options: Omit<DataOptions, "features" | "target"> & { features?: readonly string[]; target: string },
  window: { length?: number; horizon?: number; stride?: number } = {},
): AuditSubject {
  const names = Object.keys(cells);
  const { time, entity, target, split, targetKind } = options;
  const read = /^(?:group|column):(.+)$/.exec(split.by)?.[1];
  const roles = [time, entity, read, targetKind === "values" ? null : target];
  const label = targetKind === "values" ? [] : [target];
  const features = options.features ?? names.filter((name) => !roles.includes(name));
  const texts = { source: "bank.csv", names, cells: names.map((name) => cells[name].map(String)) };
  const table = tableFromTexts([texts], { text: [...label, ...(entity ? [entity] : [])] });
  return subjectOf(table, { ...options, features }, window);
}

/** A forecast of `load`, which is an input too, over hourly rows split by time. */
export function forecasting(
  rng: Rng,
  columns: Cells & { load: (string | number)[] },
  { length, horizon, stride, ...options }: { length?: number; horizon?: number; stride?: number } & Partial<DataOptions> = {},
): AuditSubject {
  const cells = "time" in columns ? columns : { time: times(columns.load.length), ...columns };
  return configured(
    cells,
    { targetKind: "values", time: "time", split: byTime(rng), ...options, target: "load" },
    { length: length ?? between(rng, 12, 30), horizon: horizon ?? between(rng, 1, 4), stride: stride ?? 1 },
  );
}

/** Sessions of rows, each with one class, split by session. */
export function classifying(
  rng: Rng,
  sessions: readonly { entity: string; label: string; columns: Record<string, ArrayLike<number | string>> }[],
  options: Partial<DataOptions> = {},
): AuditSubject {
  const cells: Cells = { session: [], label: [] };
  for (const { entity, label, columns } of sessions) {
    const rows = Object.values(columns)[0].length;
    for (const [name, values] of Object.entries(columns)) cells[name] = [...(cells[name] ?? []), ...Array.from(values)];
    for (let i = 0; i < rows; i++) {
      cells.session.push(entity);
      cells.label.push(label);
    }
  }
  const split: Split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2, seed: rng.integer(1000) };
  return configured(cells, { targetKind: "class", entity: "session", split, ...options, target: "label" });
}

/** Machines with a label per row, split by machine or by time. */
export function tagging(
  rng: Rng,
  machines: readonly { entity: string; columns: Record<string, ArrayLike<number | string>> }[],
  { length, stride, ...options }: { length?: number; stride?: number } & Partial<DataOptions> = {},
): AuditSubject {
  const cells: Cells = { machine: [] };
  for (const { entity, columns } of machines) {
    const rows = Object.values(columns)[0].length;
    for (const [name, values] of Object.entries(columns)) cells[name] = [...(cells[name] ?? []), ...Array.from(values)];
    for (let i = 0; i < rows; i++) cells.machine.push(entity);
  }
  return configured(
    cells,
    { targetKind: "tags", entity: "machine", split: byTime(rng), ...options, target: "label" },
    { length: length ?? between(rng, 16, 40), stride },
  );
}
