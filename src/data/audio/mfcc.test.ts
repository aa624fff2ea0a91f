import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LogMel } from "./log-mel.js";
import { Mfcc } from "./mfcc.js";

const recording = fc
  .array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 200, maxLength: 400 })
  .map((samples) => Float32Array.from(samples));
const options = { mels: 20, coefficients: 20 };

describe("Mfcc", () => {
  it("without a lifter is a rotation of the log-mel energies, whose 0th axis is their mean", () => {
    fc.assert(
      fc.property(recording, (samples) => {
        const energies = new LogMel({ mels: 20 }, 8000).push(samples);
        const rows = new Mfcc({ ...options, lifter: 0 }, 8000).push(samples);
        const square = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
        for (let at = 0; at < rows.length; at += 20) {
          const [row, energy] = [rows.subarray(at, at + 20), energies.subarray(at, at + 20)];
          expect(square(row) / square(energy)).toBeCloseTo(1, 5);
          expect(row[0] / (energy.reduce((sum, value) => sum + value, 0) / Math.sqrt(20))).toBeCloseTo(1, 5);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("lifts coefficient n by 1 + Q / 2 sin(pi n / Q)", () => {
    const samples = Float32Array.from({ length: 200 }, (_, i) => Math.sin(i * i) * Math.cos(i / 9));
    const plain = new Mfcc({ ...options, lifter: 0 }, 8000).push(samples);
    const lifted = new Mfcc({ ...options, lifter: 22 }, 8000).push(samples);
    plain.forEach((value, n) => {
      expect(lifted[n] / value).toBeCloseTo(1 + 11 * Math.sin((Math.PI * n) / 22), 4);
    });
  });
});
