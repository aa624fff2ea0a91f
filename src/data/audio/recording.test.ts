import { describe, expect, it } from "vitest";
import { audioChannel, audioFrames, decodeWav, encodeWav, LogMel, Mfcc, recordingRows } from "./index.js";

const left = Float32Array.from({ length: 900 }, (_, i) => Math.round(9000 * Math.sin(i / 5)) / 32768);
const right = left.map((value, i) => (i % 3 === 0 ? -value : value / 2));
const stereo = decodeWav(encodeWav([left, right], 8000), "a.wav");

describe("recordingRows", () => {
  it("is a push of the whole channel to a fresh stream, whatever came before", () => {
    const stream = audioFrames({ features: "mfcc", delta: 1, channel: 1 }, 8000);
    stream.push(left.subarray(0, 333));
    const rows = recordingRows(stereo, stream, "a.wav");
    expect(rows).toEqual(new Mfcc({ delta: 1, channel: 1 }, 8000).push(stereo.samples[1]));
    expect(rows.length).toBe(9 * 26);
    expect(recordingRows(stereo, stream, "a.wav")).toEqual(rows);
  });

  it("has no rows for less than a frame", () => {
    const wav = decodeWav(encodeWav([left.subarray(0, 199)], 8000), "a.wav");
    expect(recordingRows(wav, new LogMel({}, 8000), "a.wav").length).toBe(0);
  });

  it("refuses another sample rate and says that nothing resamples", () => {
    expect(() => recordingRows(stereo, new LogMel({}, 16000), "b.wav")).toThrow(
      /OST_FORMAT {2}b\.wav: a recording of another sample rate.*16000 Hz.*got 8000 Hz[\s\S]*never resampled/,
    );
  });
});

describe("audioChannel", () => {
  it("takes the mean or one", () => {
    expect(audioChannel(stereo, 0, "a.wav")).toBe(stereo.samples[0]);
    expect([...audioChannel(stereo, "mean", "a.wav")]).toEqual(
      [...left].map((value, i) => Math.fround((value + stereo.samples[1][i]) / 2)),
    );
    expect(() => audioChannel(stereo, 2, "a.wav")).toThrow(/OST_RANGE {2}a\.wav: there is no channel 2.*0 \.\. 1/);
  });
});

it("audioFrames makes the class that the options name", () => {
  expect(audioFrames({ features: "logMel" }, 8000)).toBeInstanceOf(LogMel);
  expect(audioFrames({ features: "mfcc" }, 8000)).toBeInstanceOf(Mfcc);
  expect(() => audioFrames({ features: "chroma" as "mfcc" }, 8000)).toThrow(/OST_RANGE.*audio\.features/);
});
