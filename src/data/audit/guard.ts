/**
 * @file A subject whose code cannot harm the audit: what its pipeline or its windows throw is kept and becomes a finding, windows of series that
 * do not exist are left out and told, and a pipeline that changes what it is given gets copies.
 *
 * Two things must hold before anything can be measured by running a pipeline on changed series: the same series give the same outputs, and the
 * series are the same afterwards. Both are tried first ({@link SubjectGuard.trial}).
 */
import { OstinatoError } from "../../core/errors.js";
import type { Series } from "../series.js";
import { type Finding, finding } from "./finding.js";
import type { AuditSubject, Pipeline, PipelineOutput, WindowRows } from "./subject.js";

/** Series of a trial. */
const TRIED = 3;
/** Cells of all series together up to which a pipeline is also fitted twice. */
const REFITTED = 400_000;

type Frozen = (series: Series) => PipelineOutput;

export class SubjectGuard {
  /** The subject the checks see. */
  readonly subject: AuditSubject;
  /** False where the same series gave two outputs: then no change of an output means anything. */
  deterministic = true;
  readonly #findings: Finding[] = [];
  #changesInput = false;
  /** The trial's, so that what takes long is not fitted once more. */
  #fitted: Frozen | null = null;
  /** One of a kind is told. */
  readonly #told = new Set<string>();

  constructor(readonly given: AuditSubject) {
    this.subject = { ...given, pipeline: this.#pipeline(given.pipeline), windows: () => this.#windows() };
  }

  /** What was found so far. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  /** Fits and runs the pipeline twice, on copies, and compares. */
  trial(): void {
    const { series, parts, pipeline } = this.given;
    const chosen = series.flatMap((one, s) => (one.rows > 0 ? [s] : [])).slice(0, TRIED);
    this.#changesInput = true;
    try {
      const small =
        series.reduce((sum, { features, rows, texts }) => sum + features.length + rows * (texts?.length ?? 0), 0) <= REFITTED;
      const copies = series.map(copyOf);
      const first = this.#called("fit", null, () => pipeline.fit(copies, parts));
      const kept = copies.every((copy, s) => sameSeries(copy, series[s]));
      const second = small ? this.#called("fit", null, () => pipeline.fit(series.map(copyOf), parts)) : first;
      let changed = kept ? -1 : copies.findIndex((copy, s) => !sameSeries(copy, series[s]));
      for (const s of chosen) {
        const copy = copyOf(series[s]);
        const one = this.#run(first, copy);
        if (changed < 0 && !sameSeries(copy, series[s])) changed = s;
        this.#compare(s, one, this.#run(second, copyOf(series[s])));
      }
      this.#changesInput = changed >= 0;
      if (changed < 0) this.#fitted = first;
      if (changed >= 0) this.#tellChange(changed);
    } catch (error) {
      // Told already, as is everything of the user's code.
      if (!(error instanceof OstinatoError)) throw error;
    }
  }

  #tellChange(s: number): void {
    const { pipeline, series } = this.given;
    this.#tell(`${pipeline.name} changes the series it is given`, {
      detail:
        "what is computed next from the same series, by anyone, is computed from other numbers; the audit went on with copies",
      evidence: { series: series[s].entity },
      example: `series "${series[s].entity}" is another one after ${pipeline.name} has seen it`,
      repair: "write to a new array: values.slice() before the first assignment",
    });
  }

  #compare(s: number, one: PipelineOutput, other: PipelineOutput): void {
    const at = firstDifference(one.values, other.values);
    if (at < 0 || !this.deterministic) return;
    this.deterministic = false;
    const { pipeline, series } = this.given;
    const column = one.names[at % one.names.length];
    this.#tell(`${pipeline.name} is not deterministic`, {
      detail:
        "the same series gave two outputs, so whether an input knows the future or was fitted on other rows cannot be asked",
      evidence: { first: one.values[at] ?? "none", second: other.values[at] ?? "none" },
      example: `"${column}" of series "${series[s].entity}", row ${Math.floor(at / one.names.length) + 1}: ${one.values[at]}, and ${other.values[at]} when asked again`,
      repair: "draw from a seeded generator that starts anew for each series, and keep noise for the training of the model",
    });
  }

  #pipeline(pipeline: Pipeline): Pipeline {
    return {
      ...pipeline,
      fit: (series, parts) => {
        const known = series === this.given.series && parts === this.given.parts ? this.#fitted : null;
        const frozen =
          known ??
          this.#called("fit", null, () =>
            pipeline.fit(
              this.#changesInput ? series.map(copyOf) : series,
              this.#changesInput ? parts.map((part) => part.slice()) : parts,
            ),
          );
        return (one) => this.#run(frozen, this.#changesInput ? copyOf(one) : one);
      },
    };
  }

  #run(frozen: Frozen, series: Series): PipelineOutput {
    const output = this.#called("transform", series, () => frozen(series));
    const shaped = Array.isArray(output?.names) && typeof output.values?.length === "number";
    if (shaped) return output;
    return this.#called("transform", series, () => {
      throw new TypeError("the output is not { names, values }");
    });
  }

  /** What code of the user's throws is an error of the user's pipeline; what it throws as an OstinatoError is a refusal the checks know. */
  #called<T>(what: "fit" | "transform", series: Series | null, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof OstinatoError) throw error;
      const { name } = this.given.pipeline;
      const message = `${name} threw ${said(error)}`;
      const where = series
        ? `series "${series.entity}", ${series.rows} rows from row ${series.row[0] ?? 0}`
        : "all series, to be fitted";
      this.#tell(message, {
        detail: series
          ? "it must run on any stretch of a series, and on series with missing and extreme values"
          : "it could not be fitted",
        example: where,
        repair: `run ${name} on that series and let it return { names, values } of every row`,
        evidence: { step: what },
      });
      throw new OstinatoError("OST_VALUE", { what: message, where });
    }
  }

  *#windows(): Generator<WindowRows> {
    const { given } = this;
    try {
      for (const window of given.windows()) {
        if (given.series[window.series]) yield window;
        else this.#tellLost(window);
      }
    } catch (error) {
      this.#tell(
        `the windows could not be made: ${said(error)}`,
        { detail: "those made before were looked at" },
        "window-overlap",
      );
    }
  }

  #tellLost({ part, series, input }: WindowRows): void {
    const { length } = this.given.series;
    this.#tell(
      "windows of series that do not exist",
      {
        detail: `there ${length === 1 ? "is 1 series" : `are ${length} series`}, counted from 0; such windows were left out`,
        evidence: { series, of: length },
        example: `a ${part} window of rows ${input[0]} to ${input[1]} is of series ${series}`,
        repair: "count series from 0, in the order in which the subject holds them",
      },
      "window-overlap",
    );
  }

  #tell(title: string, more: Parameters<typeof finding>[3], check: "pipeline" | "window-overlap" = "pipeline"): void {
    if (this.#told.has(title)) return;
    this.#told.add(title);
    this.#findings.push(finding(check, "fault", title, more));
  }
}

function said(error: unknown): string {
  if (error instanceof OstinatoError) return error.detail.what;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** With arrays of its own. */
function copyOf(series: Series): Series {
  const { row, time, tick, features, target, texts, codes, labels, split } = series;
  return {
    ...series,
    row: row.slice(),
    time: time?.slice() ?? null,
    ...(tick && { tick: tick.slice() }),
    features: features.slice(),
    target: target?.slice() ?? null,
    ...(texts && { texts: texts.map((cells) => cells.slice()) }),
    ...(codes && { codes: codes.slice() }),
    labels: labels?.slice() ?? null,
    split: split?.slice() ?? null,
  };
}

function sameSeries(a: Series, b: Series): boolean {
  const same = (x: ArrayLike<unknown> | null | undefined, y: ArrayLike<unknown> | null | undefined) =>
    x && y ? firstDifference(x, y) < 0 : !x === !y;
  return (
    a.rows === b.rows &&
    same(a.row, b.row) &&
    same(a.time, b.time) &&
    same(a.features, b.features) &&
    same(a.target, b.target) &&
    same(a.codes, b.codes) &&
    same(a.labels, b.labels) &&
    same(a.split, b.split) &&
    (a.texts ?? []).every((cells, c) => same(cells, b.texts?.[c]))
  );
}

/** The first index at which two lists differ, NaN being equal to itself; -1 where they are the same. */
function firstDifference(a: ArrayLike<unknown>, b: ArrayLike<unknown>): number {
  for (let at = 0; at < a.length; at++) if (!Object.is(a[at], b[at]) && !(a[at] === 0 && b[at] === 0)) return at;
  return a.length === b.length ? -1 : a.length;
}
