/** @file What the suites of `checkKernels` stand on: the engine under test beside its judge, and a way to move values in and out of both. */
import { type Rng, seed } from "../core/rng.js";
import type { Kernels, Pointer } from "../kernels/kernels.js";
import { ReferenceKernels } from "../kernels/reference.js";

export interface CheckKernelsOptions {
  /** Seeds the inputs. Default 1. */
  seed?: number;
  /**
   * Largest |got - expected| / (1 + |expected|) against the float64 reference, recurrent arrays measured by their largest value.
   * Default 3e-6 for float32 engines and 1e-12 for float64 ones.
   */
  tolerance?: number;
}

export type Values = Float64Array;

/** The engine under test, its judge, and what has been found so far. */
export class Check {
  readonly engine: Workbench;
  readonly reference = new Workbench(new ReferenceKernels("float64"));
  readonly rng: Rng;
  readonly tolerance: number;
  readonly #label: string;
  count = 0;
  maxError = 0;

  constructor(kernels: Kernels, { seed: from = 1, tolerance }: CheckKernelsOptions) {
    this.engine = new Workbench(kernels);
    this.rng = seed(from);
    this.tolerance = tolerance ?? (kernels.memory.floatType === "float64" ? 1e-12 : 3e-6);
    this.#label = `${kernels.name} (${kernels.detail})`;
  }

  that(holds: boolean, where: string, what: string): void {
    this.count++;
    if (!holds) throw new Error(`checkKernels: ${this.#label}: ${where}: ${what}`);
  }

  same(got: Values, expected: Values, where: string): void {
    const at = got.findIndex((value, i) => !Object.is(value, expected[i]) && !(value === 0 && expected[i] === 0));
    this.that(
      at < 0 && got.length === expected.length,
      where,
      `element ${at} differs in its bits: ${got[at]} and ${expected[at]}`,
    );
  }

  /** `scale` stands in for |expected| where an array's elements are sums of terms as large as its largest. */
  close(got: Values, expected: Values, where: string, { scale = 0, tolerance = this.tolerance } = {}): void {
    for (let i = 0; i < expected.length; i++) {
      if (Object.is(got[i], expected[i])) continue;
      const error = Math.abs(got[i] - expected[i]) / (1 + Math.max(scale, Math.abs(expected[i])));
      if (error > this.maxError) this.maxError = error;
      if (!(error <= tolerance))
        this.that(false, where, `element ${i} is ${got[i]}, expected ${expected[i]} (error ${error.toExponential(1)})`);
    }
    this.that(got.length === expected.length, where, `has ${got.length} elements, expected ${expected.length}`);
  }

  /** Normal deviates that float32 holds exactly. */
  normals(count: number, scale = 1): Values {
    return Float64Array.from({ length: count }, () => Math.fround(this.rng.normal() * scale));
  }
}

/** Moves values in and out of an engine's memory, and gives everything back at once. */
export class Workbench {
  readonly kernels: Kernels;
  readonly #blocks: Pointer[] = [];

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  put(values: ArrayLike<number>): Pointer {
    const pointer = this.bytes(values.length * this.kernels.memory.bytesPerFloat);
    this.kernels.memory.floatsAt(pointer, values.length).set(values);
    return pointer;
  }

  putInts(values: ArrayLike<number>): Pointer {
    const pointer = this.bytes(values.length * 4);
    this.kernels.memory.intsAt(pointer, values.length).set(values);
    return pointer;
  }

  /** NaN everywhere, so that a kernel that reads or leaves what it should have written is found out. */
  hole(count: number): Pointer {
    return this.put(new Float64Array(count).fill(Number.NaN));
  }

  bytes(count: number): Pointer {
    const pointer = this.kernels.memory.allocate(count);
    this.#blocks.push(pointer);
    return pointer;
  }

  read(pointer: Pointer, count: number): Values {
    return Float64Array.from(this.kernels.memory.floatsAt(pointer, count));
  }

  release(): void {
    for (const pointer of this.#blocks.splice(0)) this.kernels.memory.free(pointer);
  }
}
