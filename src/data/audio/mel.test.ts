import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hertzToMel, MelFilterBank, melToHertz } from "./mel.js";

const options = { mels: 20, fftSize: 512, sampleRateHz: 16000, lowHz: 0, highHz: 8000, areaNorm: false } as const;
const scales = fc.constantFrom("slaney" as const, "htk" as const);

describe("mel scales", () => {
  it("have the published points", () => {
    // 2595 log10(1 + f / 700): 1000 Hz is very nearly 1000 mel.
    expect(hertzToMel(1000, "htk")).toBeCloseTo(999.9855, 4);
    expect(hertzToMel(700, "htk")).toBeCloseTo(2595 * Math.log10(2), 10);
    expect(hertzToMel(200, "slaney")).toBeCloseTo(3, 12);
    expect(hertzToMel(1000, "slaney")).toBeCloseTo(15, 12);
    expect(hertzToMel(6400, "slaney")).toBeCloseTo(42, 12);
  });

  it("are undone by their inverse, and rise", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 96000, noNaN: true }), scales, (hertz, scale) => {
        expect(Math.abs(melToHertz(hertzToMel(hertz, scale), scale) - hertz)).toBeLessThan(1e-9 * (1 + hertz));
        expect(hertzToMel(hertz + 1, scale)).toBeGreaterThan(hertzToMel(hertz, scale));
      }),
    );
  });
});

describe("MelFilterBank", () => {
  it("triangles add up to 1 between the first and the last center", () => {
    for (const scale of ["slaney", "htk"] as const) {
      const bank = new MelFilterBank({ ...options, scale });
      const rows = Array.from({ length: bank.mels }, (_, m) => bank.filter(m));
      for (let k = 0; k < bank.bins; k++) {
        const hertz = (k * 16000) / 512;
        if (hertz <= bank.centersHz[0] || hertz >= bank.centersHz[19]) continue;
        expect(rows.reduce((sum, row) => sum + row[k], 0)).toBeCloseTo(1, 10);
      }
    }
  });

  it("the area norm makes the area under every triangle 1", () => {
    const bank = new MelFilterBank({ ...options, mels: 8, fftSize: 8192, scale: "slaney", areaNorm: true });
    for (let m = 0; m < bank.mels; m++) {
      const area = bank.filter(m).reduce((sum, weight) => sum + weight, 0) * (16000 / 8192);
      expect(area).toBeCloseTo(1, 3);
    }
  });

  it("stays between its two frequencies, and apply is its rows times the spectrum", () => {
    fc.assert(
      fc.property(scales, fc.boolean(), fc.integer({ min: 0, max: 2 ** 31 }), (scale, areaNorm, seed) => {
        const bank = new MelFilterBank({ ...options, scale, areaNorm, lowHz: 300, highHz: 3000, mels: 12 });
        const power = Float64Array.from({ length: bank.bins }, (_, k) => ((k + 1) * (seed % 997)) % 13);
        const out = new Float64Array(bank.mels);
        bank.apply(power, out);
        for (let m = 0; m < bank.mels; m++) {
          const row = bank.filter(m);
          expect(out[m]).toBeCloseTo(
            row.reduce((sum, weight, k) => sum + weight * power[k], 0),
            9,
          );
          row.forEach((weight, k) => {
            expect(weight).toBeGreaterThanOrEqual(0);
            if (weight > 0) expect(Math.abs((k * 16000) / 512 - 1650)).toBeLessThan(1350);
          });
        }
      }),
      { numRuns: 30 },
    );
  });

  it("refuses filters without a bin", () => {
    expect(() => new MelFilterBank({ ...options, mels: 200, scale: "htk" })).toThrow(
      /OST_RANGE.*mel filter 0.*no bin[\s\S]*fewer mels/,
    );
  });
});
