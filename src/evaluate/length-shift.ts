/**
 * @file How the error changes when a model runs for longer than it was trained on: at 1, 10 and 100 times the training length.
 *
 * A model trained on windows from a fresh state and then streamed without end meets states it has never been in. Whoever holds the model
 * supplies the errors by a callback.
 */

/** Multiples of the training length that are looked at. */
export const LENGTH_MULTIPLES = [1, 10, 100] as const;
export type LengthMultiple = (typeof LENGTH_MULTIPLES)[number];

export interface LengthShiftOptions {
  /** Steps of a training example. */
  trainingLength: number;
  /** As in the report: "MSE", "accuracy". */
  label: string;
  higherIsBetter: boolean;
  /** Whether it is trained and served with its state carried on; else it reads windows of the training length, each from a fresh state. */
  carried?: boolean;
  /**
   * The metric over predictions made near that multiple of the training length after the last reset, and how many values it is over;
   * undefined where no series is that long.
   */
  errorAt: (multiple: LengthMultiple) => { n: number; value: number } | undefined;
}

export interface LengthShift {
  label: string;
  trainingLength: number;
  /** `value` and `worse` are null where no series is that long. `worse`: share by which the metric is worse than at 1x. */
  rows: { multiple: LengthMultiple; steps: number; n: number; value: number | null; worse: number | null }[];
  /**
   * Where the state runs on: true when the metric is worse by more than a tenth somewhere, false when nowhere, null when nothing longer
   * could be tried. A model served on windows never runs on.
   */
  drifts: boolean | null;
  text: string;
}

const TOLERANCE = 0.1;

/** Asks for the three errors and says in words whether a carried model may run without resets, or what carrying on would cost a windowed one. */
export function lengthShift({
  trainingLength,
  label,
  higherIsBetter,
  carried = false,
  errorAt,
}: LengthShiftOptions): LengthShift {
  const found = LENGTH_MULTIPLES.map((multiple) => ({ multiple, error: errorAt(multiple) }));
  const base = found[0].error?.value;
  const rows = found.map(({ multiple, error }) => {
    const value = error?.value ?? null;
    const change = value === null || base === undefined ? null : higherIsBetter ? base - value : value - base;
    const worse = change === null || base === undefined ? null : change === 0 ? 0 : change / Math.max(Math.abs(base), 1e-12);
    return { multiple, steps: multiple * trainingLength, n: error?.n ?? 0, value, worse };
  });
  const longer = rows.filter((row) => row.multiple > 1 && row.worse !== null);
  const drifts = longer.length === 0 ? null : longer.some((row) => (row.worse as number) > TOLERANCE);
  const listed = rows
    .map((row) => `${row.multiple}x (${row.steps} steps) ${row.value === null ? "no series is that long" : row.value.toFixed(3)}`)
    .join(", ");
  const worst = longer.reduce<(typeof rows)[number] | undefined>(
    (a, b) => (a && (a.worse ?? 0) >= (b.worse ?? 0) ? a : b),
    undefined,
  );
  const advice = !carried
    ? adviceForWindows(trainingLength, longer)
    : drifts === null
      ? "Nothing says how it behaves beyond its training length."
      : drifts && worst
        ? `It drifts: ${Math.round(100 * (worst.worse ?? 0))} % worse at ${worst.multiple}x. Reset its state at the boundaries your data has, or train on longer chunks than ${trainingLength} steps.`
        : `No drift up to ${longer[longer.length - 1].multiple}x: its state may be carried on.`;
  return { label, trainingLength, rows, drifts, text: `${label} at training length ${listed}. ${advice}` };
}

/** A window is read from a fresh state each time, so what happens on longer runs is only what carrying the state on would bring. */
function adviceForWindows(length: number, longer: LengthShift["rows"]): string {
  const served = `It is served on windows of ${length} records, each read afresh, so it cannot drift`;
  if (longer.length === 0) return `${served}.`;
  const multiples = longer.map(({ multiple }) => `${multiple}x`).join(" and ");
  const worst = Math.round(100 * Math.max(...longer.map(({ worse }) => worse ?? 0)));
  return `${served}; the figures at ${multiples} tell what carrying its state on would cost: ${worst > 0 ? `up to ${worst} %` : "nothing"}.`;
}
