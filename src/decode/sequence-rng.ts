/** @file One generator for each of many sequences, so that none depends on how many there are. */
import { Rng, type RngState, seed as seeded } from "../core/rng.js";

/**
 * The generator of sequence `index` under a seed. Equal arguments give equal streams; different ones give streams that are independent for
 * every practical purpose.
 */
export function sequenceRng(seed: number, index: number): Rng {
  const a = seeded(seed).state;
  // The same integer as seed and as index must not cancel: the words are paired crosswise, and the index starts from another point.
  const b = seeded(index ^ 0x5bd1e995).state;
  return new Rng([a[0] ^ b[1], a[1] ^ b[2], a[2] ^ b[3], (a[3] ^ b[0]) | 1] as unknown as RngState);
}
