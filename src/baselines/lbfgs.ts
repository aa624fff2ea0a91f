/**
 * @file Limited-memory BFGS for a smooth convex function, in float64 (Nocedal 1980, Mathematics of Computation 35; two-loop recursion
 * as algorithm 7.4 of Nocedal & Wright 2006), with a backtracking line search. Deterministic.
 */

export interface LBFGSOptions {
  /** Pairs of steps remembered; default 10. */
  memory?: number;
  /** Default 200. */
  maxIterations?: number;
  /** Ends when the largest component of the gradient is at most this; default 1e-5. */
  tolerance?: number;
}

/**
 * Minimises `f` from `x`, in place.
 *
 * @param f returns the value at its first argument and writes the gradient there to its second.
 * @returns the value reached and the iterations spent.
 */
export function minimize(
  f: (x: Float64Array, gradient: Float64Array) => number,
  x: Float64Array,
  { memory = 10, maxIterations = 200, tolerance = 1e-5 }: LBFGSOptions = {},
): { value: number; iterations: number } {
  const n = x.length;
  let gradient = new Float64Array(n);
  let nextGradient = new Float64Array(n);
  const next = new Float64Array(n);
  const direction = new Float64Array(n);
  const pairs: { s: Float64Array; y: Float64Array; rho: number; alpha: number }[] = [];
  let value = f(x, gradient);
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    if (gradient.every((g) => Math.abs(g) <= tolerance)) return { value, iterations: iteration };
    descend(pairs, gradient, direction);
    const slope = dot(gradient, direction);
    let size = pairs.length > 0 ? 1 : 1 / Math.max(1, Math.sqrt(dot(gradient, gradient)));
    let reached = value;
    let accepted = false;
    for (let halving = 0; halving < 40 && !accepted; halving++) {
      for (let i = 0; i < n; i++) next[i] = x[i] + size * direction[i];
      reached = f(next, nextGradient);
      accepted = reached <= value + 1e-4 * size * slope;
      if (!accepted) size /= 2;
    }
    if (!accepted) return { value, iterations: iteration };
    const s = new Float64Array(n);
    const y = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      s[i] = next[i] - x[i];
      y[i] = nextGradient[i] - gradient[i];
    }
    const curvature = dot(s, y);
    if (curvature > 1e-12 * dot(y, y)) {
      pairs.push({ s, y, rho: 1 / curvature, alpha: 0 });
      if (pairs.length > memory) pairs.shift();
    }
    x.set(next);
    value = reached;
    [gradient, nextGradient] = [nextGradient, gradient];
  }
  return { value, iterations: maxIterations };
}

/** direction = -H gradient, H the inverse Hessian that the pairs imply. */
function descend(
  pairs: { s: Float64Array; y: Float64Array; rho: number; alpha: number }[],
  gradient: Float64Array,
  direction: Float64Array,
): void {
  for (let i = 0; i < gradient.length; i++) direction[i] = -gradient[i];
  for (let k = pairs.length - 1; k >= 0; k--) {
    const pair = pairs[k];
    pair.alpha = pair.rho * dot(pair.s, direction);
    addScaled(direction, pair.y, -pair.alpha);
  }
  const latest = pairs[pairs.length - 1];
  if (latest) {
    const scale = 1 / (latest.rho * dot(latest.y, latest.y));
    for (let i = 0; i < direction.length; i++) direction[i] *= scale;
  }
  for (const pair of pairs) addScaled(direction, pair.s, pair.alpha - pair.rho * dot(pair.y, direction));
}

function addScaled(to: Float64Array, from: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i] += factor * from[i];
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
