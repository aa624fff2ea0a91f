/**
 * @file The downhill simplex of Nelder & Mead 1965 (The Computer Journal 7(4)) for a few parameters of a function without a gradient, with
 * the usual coefficients: reflection 1, expansion 2, contraction 1/2, shrinkage 1/2. Deterministic.
 */

export interface NelderMeadOptions {
  /** Edge of the first simplex; default 0.5. */
  step?: number;
  /** Default 100 per parameter. */
  maxEvaluations?: number;
  /** Ends when the values at the corners differ by at most this part of the best; default 1e-6. */
  tolerance?: number;
}

/** The least value found of `f` from `start` on, and where. A value that is no number counts as infinite. */
export function nelderMead(
  f: (x: Float64Array) => number,
  start: ArrayLike<number>,
  { step = 0.5, maxEvaluations = 100 * start.length, tolerance = 1e-6 }: NelderMeadOptions = {},
): { x: Float64Array; value: number } {
  let evaluations = 0;
  const corner = (x: Float64Array) => {
    evaluations++;
    const value = f(x);
    return { x, value: Number.isNaN(value) ? Number.POSITIVE_INFINITY : value };
  };
  const first = corner(Float64Array.from(start));
  const aside = (i: number) => first.x.map((value, j) => (j === i ? value + step : value));
  const simplex = [first, ...Array.from(first.x.keys(), (i) => corner(aside(i)))];
  const n = first.x.length;
  const rise = () => simplex.sort((a, b) => a.value - b.value);
  rise();
  while (n > 0 && evaluations < maxEvaluations) {
    const [best, worst] = [simplex[0], simplex[n]];
    if (worst.value - best.value <= tolerance * Math.abs(best.value)) break;
    const center = new Float64Array(n);
    for (let c = 0; c < n; c++) for (let i = 0; i < n; i++) center[i] += simplex[c].x[i] / n;
    const along = (factor: number) => corner(center.map((value, i) => value + factor * (worst.x[i] - value)));
    const reflected = along(-1);
    if (reflected.value < best.value) {
      const expanded = along(-2);
      simplex[n] = expanded.value < reflected.value ? expanded : reflected;
    } else if (reflected.value < simplex[n - 1].value) {
      simplex[n] = reflected;
    } else {
      const outside = reflected.value < worst.value;
      const contracted = along(outside ? -0.5 : 0.5);
      if (contracted.value < Math.min(reflected.value, worst.value)) simplex[n] = contracted;
      else for (let c = 1; c <= n; c++) simplex[c] = corner(simplex[c].x.map((value, i) => (value + best.x[i]) / 2));
    }
    rise();
  }
  return simplex[0];
}
