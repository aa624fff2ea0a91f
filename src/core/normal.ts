/** @file The standard normal distribution: density, distribution function and its inverse. */

const SQRT_TWO_PI = Math.sqrt(2 * Math.PI);

export function normalDensity(z: number): number {
  return Math.exp(-0.5 * z * z) / SQRT_TWO_PI;
}

/** P(Z <= z). The relative precision of small values is kept: normalCdf(-30) is no rounding error. */
export function normalCdf(z: number): number {
  if (z > 0) return 1 - normalCdf(-z);
  return z > -2.5 ? 0.5 - centre(-z) : tail(-z);
}

/** P(0 < Z <= z) by its power series (Marsaglia 2004): density(z) * (z + z^3/3 + z^5/15 + ...). */
function centre(z: number): number {
  let term = z;
  let sum = z;
  for (let i = 3; term > 1e-17 * sum; i += 2) {
    term *= (z * z) / i;
    sum += term;
  }
  return sum * normalDensity(z);
}

/** P(Z > z) by Laplace's continued fraction, density(z) / (z + 1 / (z + 2 / (z + 3 / ...))), from a depth where more changes nothing. */
function tail(z: number): number {
  let fraction = z;
  for (let i = Math.ceil(40 + 600 / (z * z)); i >= 1; i--) fraction = z + i / fraction;
  return normalDensity(z) / fraction;
}

/** The z with P(Z <= z) = level, 0 < level < 1: Hastings's approximation (1955), then Halley's steps. */
export function normalQuantile(level: number): number {
  if (level > 0.5) return -normalQuantile(1 - level);
  const t = Math.sqrt(-2 * Math.log(level));
  let z = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  for (let i = 0; i < 3; i++) {
    const error = (normalCdf(z) - level) / normalDensity(z);
    z -= error / (1 + 0.5 * z * error);
  }
  return z;
}
