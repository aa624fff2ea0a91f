/**
 * @file What a user says about audio features, its defaults, and what follows from them at one sample rate.
 */
import { nearest, OstinatoError } from "../../core/errors.js";
import { MEL_SCALES, type MelScale } from "./mel.js";
import { WINDOWS, type WindowName } from "./window-function.js";

export const AUDIO_FEATURES = ["logMel", "mfcc"] as const;

/** Plain JSON: with the sample rate, all that a model file needs to make the same rows again. */
export interface AudioOptions {
  features: (typeof AUDIO_FEATURES)[number];
  /** Length of a frame in ms, rounded to whole samples. Default 25; over 0, at most 1000. */
  frameMs?: number;
  /** From the beginning of one frame to the next, in ms, rounded to whole samples. Default 10; over 0, at most 1000. */
  hopMs?: number;
  /** Samples per Fourier transform; the frame is filled up with zeros behind. Default the next power of two. */
  fftSize?: number | null;
  /** Default "hann". All windows are symmetric: both ends alike. */
  window?: WindowName;
  /** c of x[i] - c x[i - 1], within each frame, which takes its first sample as its own predecessor. Default 0.97; 0 .. 1, 0 = off. */
  preEmphasis?: number;
  /** Mel filters, 1 .. 512. Default 40 for logMel, 26 for mfcc. */
  mels?: number;
  /** Cepstral coefficients kept of an mfcc, the 0th included; 1 .. mels. Default 13. */
  coefficients?: number;
  /** Q of the sine lifter 1 + Q / 2 sin(pi n / Q) on coefficient n. Default 22; 0 .. 1000, 0 = off. */
  lifter?: number;
  /** Lower end of the lowest filter. Default 20 Hz; 0 .. highHz. */
  lowHz?: number;
  /** Upper end of the highest filter. Default null: half the sample rate, which is also the most. */
  highHz?: number | null;
  /** Default "htk". */
  scale?: MelScale;
  /** Every filter divided by half its width in hertz, so that wide ones do not add up more (Slaney, 1998). Default false. */
  areaNorm?: boolean;
  /** Energies below it count as it before the logarithm, so that silence is a number. Default 1e-10; over 0. */
  floor?: number;
  /** Slopes appended: 0 none, 1 deltas, 2 deltas and their deltas. Default 0. Never looks ahead (see delta.ts). */
  delta?: 0 | 1 | 2;
  /** "mean" of all channels, or the index of one. Default "mean". */
  channel?: "mean" | number;
}

/** Every option spoken out. */
export type AudioSetup = Required<Omit<AudioOptions, "fftSize" | "highHz">> & {
  sampleRateHz: number;
  /** Samples of a frame. */
  frameLength: number;
  /** Samples from frame to frame. */
  hopLength: number;
  fftSize: number;
  highHz: number;
};

const NAMES = [
  "features",
  "frameMs",
  "hopMs",
  "fftSize",
  "window",
  "preEmphasis",
  "mels",
  "coefficients",
  "lifter",
  "lowHz",
  "highHz",
  "scale",
  "areaNorm",
  "floor",
  "delta",
  "channel",
] as const satisfies readonly (keyof AudioOptions)[];

const LARGEST_FFT = 1 << 20;

/**
 * Options at one sample rate, defaults filled in. Safe on untrusted JSON.
 *
 * @throws OST_RANGE naming the option.
 */
export function audioSetup(options: AudioOptions, sampleRateHz: number): AudioSetup {
  for (const name of Object.keys(options)) {
    if ((NAMES as readonly string[]).includes(name)) continue;
    const near = nearest(name, NAMES);
    throw fault(name, "an option that does not exist", NAMES.join(", "), name, near && `is "${near}" meant?`);
  }
  const features = choice("features", options.features, AUDIO_FEATURES);
  number("sampleRateHz", sampleRateHz, 1, 1_000_000, true);
  const frameMs = positive("frameMs", options.frameMs ?? 25, 1000);
  const hopMs = positive("hopMs", options.hopMs ?? 10, 1000);
  const frameLength = Math.round((frameMs * sampleRateHz) / 1000);
  const hopLength = Math.round((hopMs * sampleRateHz) / 1000);
  if (frameLength < 2)
    throw fault("frameMs", "a frame of less than two samples", `over ${1500 / sampleRateHz} ms`, String(frameMs));
  if (hopLength < 1) throw fault("hopMs", "a hop of less than one sample", `over ${500 / sampleRateHz} ms`, String(hopMs));
  const fftSize = options.fftSize ?? 2 ** Math.ceil(Math.log2(frameLength));
  if (!Number.isInteger(fftSize) || fftSize < frameLength || fftSize > LARGEST_FFT || (fftSize & (fftSize - 1)) !== 0) {
    throw fault(
      "fftSize",
      "does not fit the frame",
      `a power of two, ${frameLength} samples or more, at most 2^20`,
      String(fftSize),
    );
  }
  const mels = number("mels", options.mels ?? (features === "mfcc" ? 26 : 40), 1, 512, true);
  const highHz = number("highHz", options.highHz ?? sampleRateHz / 2, 0, sampleRateHz / 2);
  const lowHz = number("lowHz", options.lowHz ?? 20, 0, highHz);
  if (lowHz === highHz) throw fault("lowHz", "no frequency lies between lowHz and highHz", `below ${highHz} Hz`, `${lowHz}`);
  const channel = options.channel ?? "mean";
  if (channel !== "mean") number("channel", channel, 0, 255, true);
  const areaNorm = options.areaNorm ?? false;
  if (typeof areaNorm !== "boolean") throw fault("areaNorm", "neither true nor false", "true or false", String(areaNorm));
  return {
    features,
    sampleRateHz,
    frameMs,
    hopMs,
    frameLength,
    hopLength,
    fftSize,
    window: choice("window", options.window ?? "hann", WINDOWS),
    preEmphasis: number("preEmphasis", options.preEmphasis ?? 0.97, 0, 1),
    mels,
    coefficients: number("coefficients", options.coefficients ?? Math.min(13, mels), 1, mels, true),
    lifter: number("lifter", options.lifter ?? 22, 0, 1000),
    lowHz,
    highHz,
    scale: choice("scale", options.scale ?? "htk", MEL_SCALES),
    areaNorm,
    floor: positive("floor", options.floor ?? 1e-10, Number.MAX_VALUE),
    delta: choice("delta", options.delta ?? 0, [0, 1, 2] as const),
    channel,
  };
}

function fault(option: string, what: string, expected: string, got: string, repair?: string): OstinatoError {
  return new OstinatoError("OST_RANGE", { what, expected, got, where: `audio.${option}`, ...(repair && { repair }) });
}

function number(option: string, value: unknown, low: number, high: number, whole = false): number {
  if (typeof value !== "number" || !(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
    throw fault(option, "out of range", `${whole ? "a whole number, " : ""}${low} .. ${high}`, String(value));
  }
  return value;
}

function positive(option: string, value: unknown, high: number): number {
  if (typeof value !== "number" || !(value > 0 && value <= high)) {
    throw fault(option, "out of range", `over 0, at most ${high}`, String(value));
  }
  return value;
}

function choice<const T extends string | number>(option: string, value: unknown, choices: readonly T[]): T {
  if (!choices.includes(value as T)) throw fault(option, "not one of its values", choices.join(", "), String(value));
  return value as T;
}
