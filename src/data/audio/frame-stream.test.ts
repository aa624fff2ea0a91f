import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AudioOptions, audioFrames, LogMel, Mfcc } from "./index.js";

const RATE = 8000;
const options: fc.Arbitrary<AudioOptions> = fc.record(
  {
    features: fc.constantFrom("logMel" as const, "mfcc" as const),
    frameMs: fc.constantFrom(4, 16, 25),
    hopMs: fc.constantFrom(1, 10, 16, 40),
    fftSize: fc.constantFrom(null, 512),
    window: fc.constantFrom("hann" as const, "hamming" as const, "povey" as const),
    preEmphasis: fc.constantFrom(0, 0.97),
    mels: fc.constant(6),
    coefficients: fc.constant(4),
    lowHz: fc.constant(0),
    delta: fc.constantFrom(0 as const, 1 as const, 2 as const),
    scale: fc.constantFrom("htk" as const, "slaney" as const),
  },
  { requiredKeys: ["features", "mels", "coefficients", "lowHz"] },
);
const recording = fc
  .array(fc.float({ min: -1, max: 1, noNaN: true }), { maxLength: 700 })
  .map((samples) => Float32Array.from(samples));
const bits = (rows: Float32Array) => Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength).toString("hex");
const joined = (parts: Float32Array[]) => Float32Array.from(parts.flatMap((part) => [...part]));

/** The recording in pieces that end at the given places. */
function pieces(samples: Float32Array, cuts: readonly number[]): Float32Array[] {
  const ends = [...cuts.map((cut) => cut % (samples.length + 1)), samples.length].sort((a, b) => a - b);
  return ends.map((end, i) => samples.subarray(i === 0 ? 0 : ends[i - 1], end));
}

describe("FrameStream", () => {
  it("gives the same rows bit for bit however the samples are cut", () => {
    fc.assert(
      fc.property(options, recording, fc.array(fc.nat(), { maxLength: 12 }), (option, samples, cuts) => {
        const whole = audioFrames(option, RATE).push(samples);
        const stream = audioFrames(option, RATE);
        const parts = pieces(samples, cuts).map((piece) => stream.push(piece));
        expect(bits(joined(parts))).toBe(bits(whole));
        expect(whole.length).toBe(stream.count(samples.length) * stream.width);
        const single = audioFrames(option, RATE);
        expect(bits(joined([...samples].map((sample) => single.push(Float32Array.of(sample)))))).toBe(bits(whole));
      }),
      { numRuns: 150 },
    );
  });

  it("row k depends on no sample behind its frame, and on its time alone that row is out", () => {
    fc.assert(
      fc.property(options, recording, recording, fc.nat(), (option, samples, future, at) => {
        const stream = audioFrames(option, RATE);
        const known = samples.subarray(0, at % (samples.length + 1));
        const rows = stream.push(known);
        const other = audioFrames(option, RATE).push(joined([known, future]));
        expect(bits(other.slice(0, rows.length))).toBe(bits(rows));
        const count = rows.length / stream.width;
        if (count > 0) expect(stream.timeMs(count - 1)).toBeLessThanOrEqual((known.length / RATE) * 1000);
        expect(stream.timeMs(count)).toBeGreaterThan((known.length / RATE) * 1000);
      }),
      { numRuns: 100 },
    );
  });

  it("goes on from its state, in memory that does not grow", () => {
    fc.assert(
      fc.property(options, recording, fc.nat(), (option, samples, at) => {
        const cut = at % (samples.length + 1);
        const first = audioFrames(option, RATE);
        const size = first.stateSize;
        first.push(samples.subarray(0, cut));
        const second = audioFrames(option, RATE);
        second.push(samples);
        second.state = first.state;
        expect(bits(second.push(samples.subarray(cut)))).toBe(bits(first.push(samples.subarray(cut))));
        expect(first.state.length).toBe(size);
      }),
      { numRuns: 60 },
    );
    const stream = new LogMel({ delta: 2 }, RATE);
    expect(stream.stateSize).toBe(3 + 200 + 2 * 5 * 40);
  });

  it("refuses a state that is not its own", () => {
    const stream = new LogMel({}, RATE);
    const refuse = (change: (state: Float64Array) => Float64Array | undefined) => {
      const state = stream.state;
      expect(() => {
        stream.state = change(state) ?? state;
      }).toThrow(/OST_RANGE.*not the state of an audio stream/);
    };
    refuse((state) => state.slice(1));
    refuse((state) => state.fill(200, 0, 1));
    refuse((state) => state.fill(0.5, 0, 1));
    refuse((state) => state.fill(1, 1, 2));
    refuse((state) => state.fill(2, 2, 3));
    refuse((state) => state.fill(Number.NaN, 9, 10));
  });

  it("takes nothing of a push with a sample that is no number", () => {
    const stream = new LogMel({}, RATE);
    const before = stream.state;
    expect(() => stream.push(Float32Array.of(0.5, Number.NaN))).toThrow(/OST_VALUE.*sample 1 of this push is NaN/);
    expect(() => stream.push(Float32Array.of(Number.POSITIVE_INFINITY))).toThrow(/OST_VALUE/);
    expect(stream.state).toEqual(before);
  });

  it("flush ends a recording: what fills no frame is gone, and the next recording begins anew", () => {
    const noise = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i * i));
    const stream = new Mfcc({ delta: 2 }, RATE);
    const rows = stream.push(noise);
    expect(stream.flush().length).toBe(0);
    expect(bits(stream.push(noise))).toBe(bits(rows));
  });

  it("names its columns", () => {
    expect(new LogMel({ mels: 3 }, RATE).names).toEqual(["logMel0", "logMel1", "logMel2"]);
    expect(new Mfcc({ coefficients: 2, delta: 2 }, RATE).names).toEqual([
      "mfcc0",
      "mfcc1",
      "mfcc0.delta",
      "mfcc1.delta",
      "mfcc0.delta2",
      "mfcc1.delta2",
    ]);
  });

  it("silence is the log floor, and its slope zero", () => {
    const rows = new LogMel({ mels: 2, delta: 1, floor: 1e-6 }, RATE).push(new Float32Array(400));
    expect([...rows.slice(0, 4)]).toEqual([Math.fround(Math.log(1e-6)), Math.fround(Math.log(1e-6)), 0, 0]);
  });

  it("a tone is loudest in the filter around it", () => {
    const stream = new LogMel({}, RATE);
    const rows = stream.push(Float32Array.from({ length: 800 }, (_, i) => Math.sin((2 * Math.PI * 1000 * i) / RATE)));
    const first = rows.subarray(0, 40);
    const peak = first.indexOf(Math.max(...first));
    const centers = Array.from({ length: 40 }, (_, m) => 700 * (10 ** (mel(m) / 2595) - 1));
    expect(Math.abs(centers[peak] - 1000)).toBe(Math.min(...centers.map((center) => Math.abs(center - 1000))));
    function mel(m: number): number {
      const low = 2595 * Math.log10(1 + 20 / 700);
      return low + ((m + 1) * (2595 * Math.log10(1 + 4000 / 700) - low)) / 41;
    }
  });
});
