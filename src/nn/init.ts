/** @file Initial weights: uniform, Glorot and orthogonal, drawn from a seeded generator. */
import type { Rng } from "../core/rng.js";

/** Uniform in [-bound, bound). */
export function uniformInit(rng: Rng, count: number, bound: number): Float64Array {
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = rng.uniform(-bound, bound);
  return values;
}

/** [outputs, inputs], uniform with bound sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010). */
export function glorotInit(rng: Rng, outputs: number, inputs: number): Float64Array {
  return uniformInit(rng, outputs * inputs, Math.sqrt(6 / (inputs + outputs)));
}

/** [size, size] with orthonormal rows (Saxe, McClelland & Ganguli 2014), by Gram-Schmidt run twice on normal deviates. */
export function orthogonalInit(rng: Rng, size: number): Float64Array {
  const rows: Float64Array[] = [];
  while (rows.length < size) {
    const row = Float64Array.from({ length: size }, () => rng.normal());
    for (let pass = 0; pass < 2; pass++) {
      for (const other of rows) {
        const overlap = dot(row, other);
        for (let i = 0; i < size; i++) row[i] -= overlap * other[i];
      }
    }
    const norm = Math.sqrt(dot(row, row));
    if (norm < 1e-6) continue;
    rows.push(row.map((value) => value / norm));
  }
  const flat = new Float64Array(size * size);
  for (const [i, row] of rows.entries()) flat.set(row, i * size);
  return flat;
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}
