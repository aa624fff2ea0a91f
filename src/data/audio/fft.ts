/**
 * @file The discrete Fourier transform of real samples, radix 2, in float64.
 *
 * A real sequence of n samples is packed into n / 2 complex ones, transformed by the decimation-in-time algorithm of
 * Cooley and Tukey (1965), and unpacked by the symmetry of a real sequence's spectrum.
 */
import { OstinatoError } from "../../core/errors.js";

/** 2^20 samples: five seconds at 192 kHz, far beyond any frame. */
const LARGEST = 1 << 20;

export class RealFft {
  /** Bins of the spectrum, size / 2 + 1: bin k lies at k * rate / size hertz. */
  readonly bins: number;
  readonly #half: number;
  readonly #reversed: Uint32Array;
  /** cos and sin of 2 pi k / size for k < size / 2. */
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;
  readonly #re: Float64Array;
  readonly #im: Float64Array;

  /**
   * @param size samples per transform: a power of two, 2 .. 2^20.
   * @throws OST_RANGE
   */
  constructor(readonly size: number) {
    if (!Number.isInteger(size) || size < 2 || size > LARGEST || (size & (size - 1)) !== 0) {
      throw new OstinatoError("OST_RANGE", {
        what: "a Fourier transform of this size is not possible",
        expected: `a power of two, 2 .. ${LARGEST}`,
        got: String(size),
      });
    }
    const half = size / 2;
    this.#half = half;
    this.bins = half + 1;
    this.#cos = Float64Array.from({ length: half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.#sin = Float64Array.from({ length: half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.#re = new Float64Array(half);
    this.#im = new Float64Array(half);
    this.#reversed = new Uint32Array(half);
    for (let i = 1; i < half; i++) this.#reversed[i] = (this.#reversed[i >> 1] >> 1) | (i & 1 ? half >> 1 : 0);
  }

  /** Re and Im of X[k] = sum_n x[n] exp(-2 pi i k n / size), for k <= size / 2. x: [size]; re, im: [bins], overwritten. */
  transform(x: Float64Array, re: Float64Array, im: Float64Array): void {
    const half = this.#half;
    this.#complex(x);
    const zRe = this.#re;
    const zIm = this.#im;
    re[0] = zRe[0] + zIm[0];
    im[0] = 0;
    re[half] = zRe[0] - zIm[0];
    im[half] = 0;
    for (let k = 1; k < half; k++) {
      const m = half - k;
      const evenRe = 0.5 * (zRe[k] + zRe[m]);
      const evenIm = 0.5 * (zIm[k] - zIm[m]);
      const oddRe = 0.5 * (zIm[k] + zIm[m]);
      const oddIm = 0.5 * (zRe[m] - zRe[k]);
      const c = this.#cos[k];
      const s = this.#sin[k];
      re[k] = evenRe + c * oddRe + s * oddIm;
      im[k] = evenIm + c * oddIm - s * oddRe;
    }
  }

  /** The complex transform of z[n] = x[2n] + i x[2n + 1], in place in the scratch arrays. */
  #complex(x: Float64Array): void {
    const half = this.#half;
    const re = this.#re;
    const im = this.#im;
    for (let i = 0; i < half; i++) {
      const at = 2 * this.#reversed[i];
      re[i] = x[at];
      im[i] = x[at + 1];
    }
    for (let width = 1; width < half; width *= 2) {
      const stride = half / width;
      for (let j = 0; j < width; j++) {
        const c = this.#cos[j * stride];
        const s = this.#sin[j * stride];
        for (let a = j; a < half; a += 2 * width) {
          const b = a + width;
          const bRe = c * re[b] + s * im[b];
          const bIm = c * im[b] - s * re[b];
          re[b] = re[a] - bRe;
          im[b] = im[a] - bIm;
          re[a] += bRe;
          im[a] += bIm;
        }
      }
    }
  }
}
