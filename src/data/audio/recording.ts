/**
 * @file From a decoded recording to rows of features.
 */
import { OstinatoError } from "../../core/errors.js";
import type { FrameStream } from "./frame-stream.js";
import { LogMel } from "./log-mel.js";
import { Mfcc } from "./mfcc.js";
import type { AudioOptions } from "./option.js";
import type { Wav } from "./wav.js";

/**
 * The feature stream that the options name, for one sample rate.
 *
 * @throws OST_RANGE naming the option that does not fit.
 */
export function audioFrames({ features, ...options }: AudioOptions, sampleRateHz: number): FrameStream {
  if (features === "logMel") return new LogMel(options, sampleRateHz);
  if (features === "mfcc") return new Mfcc(options, sampleRateHz);
  throw new OstinatoError("OST_RANGE", {
    what: "not one of its values",
    expected: "logMel, mfcc",
    got: String(features),
    where: "audio.features",
  });
}

/**
 * One channel of a recording: the mean of all, or the one of that index. [frames]
 *
 * @throws OST_RANGE if there is no such channel.
 */
export function audioChannel({ samples, channels }: Wav, channel: "mean" | number, source: string): Float32Array {
  if (channel === "mean") {
    if (channels === 1) return samples[0];
    return samples[0].map((_, i) => samples.reduce((sum, one) => sum + one[i], 0) / channels);
  }
  if (samples[channel] === undefined) {
    throw new OstinatoError("OST_RANGE", {
      what: `there is no channel ${channel}`,
      expected: `0 .. ${channels - 1}, or "mean"`,
      got: String(channel),
      where: source,
      repair: "set audio.channel to one that every recording has",
    });
  }
  return samples[channel];
}

/**
 * All rows of one recording, from a fresh state; the stream is fresh again afterwards. [rows, width]
 *
 * A recording shorter than a frame has no rows.
 *
 * @param source names the file in a message.
 * @throws OST_FORMAT if its sample rate is not the stream's: nothing here resamples.
 */
export function recordingRows(wav: Wav, stream: FrameStream, source: string): Float32Array {
  const { sampleRateHz, channel } = stream.setup;
  if (wav.sampleRateHz !== sampleRateHz) {
    throw new OstinatoError("OST_FORMAT", {
      what: "a recording of another sample rate",
      expected: `${sampleRateHz} Hz, as the first recording or the model has it`,
      got: `${wav.sampleRateHz} Hz`,
      where: source,
      repair: `audio is never resampled here: convert the file to ${sampleRateHz} Hz with a sound tool, or leave it out`,
    });
  }
  stream.reset();
  const rows = stream.push(audioChannel(wav, channel, source));
  stream.flush();
  return rows;
}
