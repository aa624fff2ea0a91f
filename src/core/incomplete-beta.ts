/**
 * @file The regularised incomplete beta function: the distribution function behind Student's t and the negative binomial.
 *
 *     I_x(a, b) = 1 / B(a, b) * integral from 0 to x of t^(a-1) (1-t)^(b-1) dt
 *
 * by its continued fraction (Abramowitz & Stegun 1964, 26.5.8), evaluated from the front (Lentz 1976).
 */
import { logGamma, logGammaRise } from "./gamma.js";

const SMALLEST = 1e-300;
const PRECISION = 1e-16;
/** The fraction settles within some multiple of the root of the larger parameter. */
const MOST_TERMS = 100_000;

/**
 * I_x(a, b) for a, b > 0.
 *
 * @param x 0 .. 1
 * @param y 1 - x, given apart because a small one has digits that the difference has lost
 */
export function incompleteBeta(x: number, y: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const [less, more] = a < b ? [a, b] : [b, a];
  const logBeta = logGamma(less) - logGammaRise(more, less);
  const front = Math.exp(a * logOf(x, y) + b * logOf(y, x) - logBeta);
  return x < (a + 1) / (a + b + 2) ? (front * fraction(x, a, b)) / a : 1 - (front * fraction(y, b, a)) / b;
}

/** log x, from whichever of x and 1 - x says more. */
function logOf(x: number, rest: number): number {
  return x < 0.5 ? Math.log(x) : Math.log1p(-rest);
}

function fraction(x: number, a: number, b: number): number {
  const apart = (value: number) => (Math.abs(value) < SMALLEST ? SMALLEST : value);
  let c = 1;
  let d = 1 / apart(1 - ((a + b) * x) / (a + 1));
  let result = d;
  for (let m = 1; m <= MOST_TERMS; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / apart(1 + even * d);
    c = apart(1 + even / c);
    result *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / apart(1 + odd * d);
    c = apart(1 + odd / c);
    result *= d * c;
    if (Math.abs(d * c - 1) <= 2 * PRECISION) break;
  }
  return result;
}
