/**
 * @file The gamma function's logarithm and its slope, for positive arguments: Stirling's series above 10, the recurrence
 * Gamma(x + 1) = x Gamma(x) below (Abramowitz & Stegun 1964, 6.1.15, 6.1.41 and 6.3.18). Errors are below 1e-14 of max(1, |result|).
 *
 *     log Gamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + 1 / 12x - 1 / 360x^3 + ...
 *     digamma(x)   = log x - 1 / 2x - 1 / 12x^2 + 1 / 120x^4 - ...
 */
import { OstinatoError } from "./errors.js";

/** From here on the series below are exact to the last digits. */
const SERIES_FROM = 10;

/** B_2n / (2n (2n - 1)), n = 1 .. 8, with the Bernoulli numbers B. */
const LOG_GAMMA_TERMS = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400];
/** B_2n / 2n, n = 1 .. 8. */
const DIGAMMA_TERMS = [1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160];
const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/** log Gamma(x), x > 0. @throws OST_RANGE */
export function logGamma(x: number): number {
  wantPositive(x, "logGamma");
  let product = 1;
  for (; x < SERIES_FROM; x++) product *= x;
  return (x - 0.5) * Math.log(x) - x + HALF_LOG_TWO_PI + logGammaRest(x) - Math.log(product);
}

/** d log Gamma(x) / dx, x > 0. @throws OST_RANGE */
export function digamma(x: number): number {
  wantPositive(x, "digamma");
  let sum = 0;
  for (; x < SERIES_FROM; x++) sum += 1 / x;
  return Math.log(x) - 0.5 / x - digammaRest(x) - sum;
}

/** log(Gamma(x + step) / Gamma(x)), x > 0, step >= 0, without the loss of digits of a difference of large values. @throws OST_RANGE */
export function logGammaRise(x: number, step: number): number {
  if (x < SERIES_FROM) return logGamma(x + step) - logGamma(x);
  return (x - 0.5) * Math.log1p(step / x) + step * Math.log(x + step) - step + logGammaRest(x + step) - logGammaRest(x);
}

/**
 * digamma(x + step) - digamma(x) - log((x + step) / x), x > 0, step >= 0: small beside each of its parts when x is large, and exact to
 * their relative precision there. @throws OST_RANGE
 */
export function digammaRiseBeyondLog(x: number, step: number): number {
  if (x < SERIES_FROM) return digamma(x + step) - digamma(x) - Math.log1p(step / x);
  return (0.5 * step) / (x * (x + step)) - digammaRest(x + step) + digammaRest(x);
}

function logGammaRest(x: number): number {
  return polynomial(LOG_GAMMA_TERMS, 1 / (x * x)) / x;
}

function digammaRest(x: number): number {
  return polynomial(DIGAMMA_TERMS, 1 / (x * x)) / (x * x);
}

function polynomial(coefficients: readonly number[], x: number): number {
  let value = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) value = value * x + coefficients[i];
  return value;
}

function wantPositive(x: number, where: string): void {
  if (x > 0 && x < Number.POSITIVE_INFINITY) return;
  throw new OstinatoError("OST_RANGE", { what: "a positive number is wanted", got: String(x), where });
}
