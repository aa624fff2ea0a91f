/** @file How long to wait before trying again: exponential, and drawn over the whole span so that many clients do not come back at once. */

export interface BackoffOptions {
  /** The first wait, at most, ms. Default 100. */
  firstMs?: number;
  /** Any wait, at most, ms. Default 10,000. */
  mostMs?: number;
}

/** @param attempt 0, 1, 2 ... @param askedMs what the server asked for: never less than that. @returns ms. */
export function backoffMs(attempt: number, { firstMs = 100, mostMs = 10_000 }: BackoffOptions = {}, askedMs = 0): number {
  const span = Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 30));
  return askedMs + span * (0.1 + 0.9 * Math.random());
}
