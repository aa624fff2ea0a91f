import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { A_LAW, MU_LAW } from "./g711.js";
import { type AudioOptions, audioFrames } from "./index.js";

interface Reference {
  madeWith: string;
  sampleRateHz: number;
  samples: number[];
  cases: { name: string; options: AudioOptions; rows: number[][] }[];
  mfccDeltas: number[][];
  muLaw: number[];
  aLaw: number[];
}

const reference = JSON.parse(readFileSync(new URL("reference/reference.json", import.meta.url), "utf8")) as Reference;
const samples = Float32Array.from(reference.samples, (sample) => sample / 32768);

/** The largest difference, relative to the value or to 1. Rows are float32: half a unit in the last place is 6e-8 of a value. */
function difference(rows: Float32Array, expected: number[][]): number {
  const flat = expected.flat();
  expect(rows.length).toBe(flat.length);
  return Math.max(...flat.map((value, i) => Math.abs(rows[i] - value) / Math.max(1, Math.abs(value))));
}

describe(`the numbers of ${reference.madeWith}`, () => {
  it.each(reference.cases)("$name", ({ options, rows }) => {
    const stream = audioFrames(options, reference.sampleRateHz);
    expect(stream.count(samples.length)).toBe(rows.length);
    expect(difference(stream.push(samples), rows)).toBeLessThan(6.5e-8);
  });

  it("a changed option moves the numbers, so that the comparison can fail", () => {
    const { options, rows } = reference.cases[0];
    const stream = audioFrames({ ...options, preEmphasis: 0.969 }, reference.sampleRateHz);
    expect(difference(stream.push(samples), rows)).toBeGreaterThan(1e-4);
  });

  it("slopes are the regression formula's, two frames later", () => {
    const { options } = reference.cases.find(({ name }) => name === "kaldi.mfcc") as { options: AudioOptions };
    const stream = audioFrames({ ...options, delta: 1 }, reference.sampleRateHz);
    const rows = stream.push(samples);
    const slopes = reference.mfccDeltas.slice(2, -2);
    const ours = slopes.map((_, k) => rows.subarray(k * 26 + 13, (k + 1) * 26));
    expect(ours.length).toBe(stream.count(samples.length));
    expect(difference(Float32Array.from(ours.flatMap((row) => [...row])), slopes)).toBeLessThan(6.5e-8);
  });
});

describe("G.711", () => {
  it("decodes all 256 codes of both laws", () => {
    expect([...MU_LAW]).toEqual(reference.muLaw);
    expect([...A_LAW]).toEqual(reference.aLaw);
  });
});
