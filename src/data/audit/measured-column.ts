/** @file Which features are measurements, whose values do not repeat by themselves, and which are codes or counts. */
import type { AuditContext } from "./context.js";

/** Feature columns that hold measurements: not all whole numbers, or whole numbers over a range of more than a thousand; 30 values or more. */
export function measuredColumns({ subject }: AuditContext): number[] {
  return subject.roles.features.flatMap((_, c) => {
    const seen = new Set<number>();
    let whole = true;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (const { rows, features } of subject.series) {
      const width = rows > 0 ? features.length / rows : 0;
      for (let i = 0; i < rows; i++) {
        const value = features[i * width + c];
        if (Number.isNaN(value)) continue;
        if (seen.size < 30) seen.add(value);
        if (!Number.isInteger(value)) whole = false;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    return seen.size >= 30 && (!whole || high - low > 1000) ? [c] : [];
  });
}
