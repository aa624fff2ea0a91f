import { describe, expect, it } from "vitest";
import { type AudioOptions, audioSetup } from "./option.js";

describe("audioSetup", () => {
  it("fills in the defaults", () => {
    expect(audioSetup({ features: "mfcc" }, 16000)).toEqual({
      features: "mfcc",
      sampleRateHz: 16000,
      frameMs: 25,
      hopMs: 10,
      frameLength: 400,
      hopLength: 160,
      fftSize: 512,
      window: "hann",
      preEmphasis: 0.97,
      mels: 26,
      coefficients: 13,
      lifter: 22,
      lowHz: 20,
      highHz: 8000,
      scale: "htk",
      areaNorm: false,
      floor: 1e-10,
      delta: 0,
      channel: "mean",
    });
    expect(audioSetup({ features: "logMel" }, 8000)).toMatchObject({ mels: 40, frameLength: 200, fftSize: 256, highHz: 4000 });
    expect(audioSetup({ features: "logMel" }, 11025)).toMatchObject({ frameLength: 276, hopLength: 110, fftSize: 512 });
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ features: "melspec" }, /audio\.features: not one of its values.*logMel, mfcc, got melspec/],
    [{ frameMs: 0 }, /audio\.frameMs/],
    [{ frameMs: "25" }, /audio\.frameMs/],
    [{ frameMs: 0.1 }, /a frame of less than two samples/],
    [{ hopMs: 1e-3 }, /a hop of less than one sample/],
    [{ hopMs: 2000 }, /audio\.hopMs/],
    [{ fftSize: 128 }, /audio\.fftSize.*200 samples or more/],
    [{ fftSize: 300 }, /a power of two/],
    [{ fftSize: 2 ** 40 }, /audio\.fftSize/],
    [{ window: "kaiser" }, /audio\.window.*hann, hamming, povey/],
    [{ preEmphasis: 1.1 }, /audio\.preEmphasis/],
    [{ mels: 0 }, /audio\.mels/],
    [{ mels: 2.5 }, /audio\.mels.*a whole number/],
    [{ mels: 8, coefficients: 9 }, /audio\.coefficients.*1 \.\. 8/],
    [{ lifter: -1 }, /audio\.lifter/],
    [{ lowHz: 4000 }, /no frequency lies between/],
    [{ highHz: 5000 }, /audio\.highHz.*0 \.\. 4000/],
    [{ scale: "bark" }, /audio\.scale/],
    [{ areaNorm: "yes" }, /audio\.areaNorm/],
    [{ floor: 0 }, /audio\.floor/],
    [{ floor: Number.NaN }, /audio\.floor/],
    [{ delta: 3 }, /audio\.delta/],
    [{ channel: -1 }, /audio\.channel/],
    [{ hop: 10 }, /audio\.hop: an option that does not exist/],
    [{ melz: 10 }, /is "mels" meant\?/],
  ])("refuses %j", (change, message) => {
    const run = () => audioSetup({ features: "logMel", ...change } as unknown as AudioOptions, 8000);
    expect(run).toThrow(/^OST_RANGE/);
    expect(run).toThrow(message);
  });

  it.each([0, -8000, 1e7, 8000.5, Number.NaN])("refuses the sample rate %d", (rate) => {
    expect(() => audioSetup({ features: "logMel" }, rate)).toThrow(/OST_RANGE.*sampleRateHz/);
  });
});
