/** @file Small synthetic series for tests: irregular times, missing values, and labels that the values tell of. */
import type { Rng } from "../src/core/rng.js";
import type { RawRecord } from "../src/model/index.js";

/**
 * Series "s0", "s1", ... of features a and b. `kind` ("fast", "slow") changes every 15 steps, `group` ("even", "odd") is constant within a series.
 */
export function syntheticRecords(rng: Rng, { series = 6, length = 90, missing = 0.05, regular = false } = {}): RawRecord[] {
  const rows: RawRecord[] = [];
  for (let s = 0; s < series; s++) {
    let time = Date.UTC(2026, 0, 1 + s);
    let level = rng.normal();
    for (let t = 0; t < length; t++) {
      time += regular ? 1000 : 200 + rng.integer(2500);
      const fast = Math.floor(t / 15) % 2 === s % 2;
      level = 0.8 * level + (fast ? rng.normal() : 0.1 * rng.normal());
      const hide = () => rng.uniform() < missing;
      rows.push({
        time: new Date(time).toISOString(),
        run: `s${s}`,
        a: hide() ? null : level,
        b: hide() ? null : 5 + 3 * rng.normal(),
        kind: fast ? "fast" : "slow",
        // constant within a series, for classification
        group: s % 2 === 0 ? "even" : "odd",
      });
    }
  }
  return rows;
}
