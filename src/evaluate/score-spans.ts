/**
 * @file Spans of scored tags. The steps of a series are put together again from the windows they were scored in, so that a span is read whole
 * where windows cut it; steps without a tag (the later pieces of a word) lie in no span and end none.
 */
import { inOrder } from "./comparison.js";
import { SpanSums } from "./metrics/span-f1.js";
import type { ClassificationMetrics, ClassificationUnits } from "./score.js";
import type { SequenceCover, Stretch } from "./sequence-cover.js";

/**
 * @param classes names of the tags
 * @returns the figures, and the counts that `ClassificationUnits.spans` holds.
 * @throws OST_TARGET if a tag marks no span.
 */
export function scoreSpans(
  units: ClassificationUnits,
  classes: readonly string[],
  cover: SequenceCover,
): { spans: NonNullable<ClassificationMetrics["spans"]>; counts: number[] } {
  const counts = new Array<number>(3 * units.truth.length).fill(0);
  const stretchOf = cover.stretches();
  const sums = new SpanSums();
  const joined = new Set<Stretch>();
  let repeated = 0;
  let current: Stretch | undefined;
  let members: number[] = [];
  const close = () => {
    const tags = (codes: number[]) => members.map((unit) => classes[codes[unit]]);
    const found = sums.add(tags(units.truth), tags(units.label));
    [found.truth, found.predicted, found.correct].forEach((list, part) => {
      for (const { start } of list) counts[3 * members[start] + part]++;
    });
    members = [];
  };
  for (const unit of inOrder(units)) {
    const stretch = stretchOf(units.series[unit], units.position[unit]);
    if (current && stretch !== current) close();
    current = stretch;
    if (stretch.rows > 1) joined.add(stretch);
    const last = members[members.length - 1];
    // A step that overlapping windows score several times counts once.
    if (last !== undefined && units.position[last] === units.position[unit]) repeated++;
    else members.push(unit);
  }
  if (members.length > 0) close();
  const notes = [
    ...(joined.size > 0
      ? [
          `${joined.size === 1 ? "one sequence was" : `${joined.size} sequences were`} read in several windows, and spans across them joined`,
        ]
      : []),
    ...(repeated > 0 ? [`${repeated} steps were scored more than once, and count by the first`] : []),
  ];
  return { spans: { ...sums.result(), ...(notes.length > 0 && { note: notes.join("; ") }) }, counts };
}
