import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RealFft } from "./fft.js";

const real = fc.double({ min: -1, max: 1, noNaN: true });
const signals = fc.integer({ min: 1, max: 8 }).chain((power) => fc.array(real, { minLength: 2 ** power, maxLength: 2 ** power }));

/** The sum that the transform is defined by. */
function definition(x: readonly number[], k: number): [number, number] {
  let re = 0;
  let im = 0;
  x.forEach((value, n) => {
    re += value * Math.cos((2 * Math.PI * k * n) / x.length);
    im -= value * Math.sin((2 * Math.PI * k * n) / x.length);
  });
  return [re, im];
}

function spectrum(x: readonly number[]): { re: Float64Array; im: Float64Array } {
  const fft = new RealFft(x.length);
  const re = new Float64Array(fft.bins);
  const im = new Float64Array(fft.bins);
  fft.transform(Float64Array.from(x), re, im);
  return { re, im };
}

describe("RealFft", () => {
  it("is the sum that defines it", () => {
    fc.assert(
      fc.property(signals, (x) => {
        const { re, im } = spectrum(x);
        for (let k = 0; k < re.length; k++) {
          const [wantedRe, wantedIm] = definition(x, k);
          expect(Math.abs(re[k] - wantedRe)).toBeLessThan(1e-12 * x.length);
          expect(Math.abs(im[k] - wantedIm)).toBeLessThan(1e-12 * x.length);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("keeps the energy (Parseval)", () => {
    fc.assert(
      fc.property(signals, (x) => {
        const { re, im } = spectrum(x);
        const energy = x.reduce((sum, value) => sum + value * value, 0);
        const last = re.length - 1;
        // Bins between the ends stand for two of the full spectrum.
        const bins = re.reduce((sum, value, k) => sum + (k === 0 || k === last ? 1 : 2) * (value ** 2 + im[k] ** 2), 0);
        expect(Math.abs(bins / x.length - energy)).toBeLessThan(1e-12 * (1 + energy));
      }),
      { numRuns: 100 },
    );
  });

  it("puts a tone into its bin", () => {
    const { re, im } = spectrum(Array.from({ length: 64 }, (_, n) => Math.cos((2 * Math.PI * 5 * n) / 64)));
    expect([...re].map((value) => Math.round(value * 1e9) / 1e9 + 0)).toEqual([...re].map((_, k) => (k === 5 ? 32 : 0)));
    expect(Math.max(...im.map(Math.abs))).toBeLessThan(1e-12);
  });

  it.each([0, 1, 3, 100, 2.5, Number.NaN, 2 ** 21])("refuses the size %d", (size) => {
    expect(() => new RealFft(size)).toThrow(/OST_RANGE.*a power of two/);
  });
});
