/**
 * @file Mel filter banks: triangles that overlap by half, evenly spaced on a scale of perceived pitch.
 *
 * Each scale follows its own source. "slaney": linear below 1000 Hz at 3 mel per 200 Hz, logarithmic above at 27 mel per factor 6.4;
 * the triangles are straight in hertz (Slaney, "Auditory Toolbox", 1998). "htk": 2595 log10(1 + f / 700); the triangles are straight
 * in mel (Young et al., "The HTK Book", 2006; Kaldi does the same). Libraries that draw HTK's triangles straight in hertz differ.
 */
import { OstinatoError } from "../../core/errors.js";

export const MEL_SCALES = ["slaney", "htk"] as const;
export type MelScale = (typeof MEL_SCALES)[number];

export interface MelOptions {
  mels: number;
  fftSize: number;
  sampleRateHz: number;
  lowHz: number;
  highHz: number;
  scale: MelScale;
  /** Divide each filter by half its width in hertz. */
  areaNorm: boolean;
}

const SLANEY_BREAK_HZ = 1000;
const SLANEY_BREAK_MEL = 15;
const SLANEY_STEP = Math.log(6.4) / 27;

export function hertzToMel(hertz: number, scale: MelScale): number {
  if (scale === "htk") return 2595 * Math.log10(1 + hertz / 700);
  if (hertz < SLANEY_BREAK_HZ) return (3 * hertz) / 200;
  return SLANEY_BREAK_MEL + Math.log(hertz / SLANEY_BREAK_HZ) / SLANEY_STEP;
}

export function melToHertz(mel: number, scale: MelScale): number {
  if (scale === "htk") return 700 * (10 ** (mel / 2595) - 1);
  if (mel < SLANEY_BREAK_MEL) return (200 * mel) / 3;
  return SLANEY_BREAK_HZ * Math.exp(SLANEY_STEP * (mel - SLANEY_BREAK_MEL));
}

/** Filters over the power spectrum of a real Fourier transform. */
export class MelFilterBank {
  readonly mels: number;
  /** fftSize / 2 + 1 */
  readonly bins: number;
  /** Peak of every filter. */
  readonly centersHz: Float64Array;
  /** Per filter, the first bin with a weight over zero, and the weights from there. */
  readonly #first: Int32Array;
  readonly #weights: Float64Array[] = [];

  /** @throws OST_RANGE if a filter is so narrow that no bin of the spectrum lies in it: its feature would be constant. */
  constructor({ mels, fftSize, sampleRateHz, lowHz, highHz, scale, areaNorm }: MelOptions) {
    this.mels = mels;
    this.bins = fftSize / 2 + 1;
    this.#first = new Int32Array(mels);
    const low = hertzToMel(lowHz, scale);
    const step = (hertzToMel(highHz, scale) - low) / (mels + 1);
    const edgesMel = Float64Array.from({ length: mels + 2 }, (_, m) => low + m * step);
    const edgesHz = edgesMel.map((mel) => melToHertz(mel, scale));
    this.centersHz = edgesHz.slice(1, -1);
    const binHz = Float64Array.from({ length: this.bins }, (_, k) => (k * sampleRateHz) / fftSize);
    // Positions on the axis along which the triangles are straight.
    const edges = scale === "htk" ? edgesMel : edgesHz;
    const bins = scale === "htk" ? binHz.map((hertz) => hertzToMel(hertz, scale)) : binHz;
    for (let m = 0; m < mels; m++) {
      const [left, center, right] = edges.subarray(m, m + 3);
      const gain = areaNorm ? 2 / (edgesHz[m + 2] - edgesHz[m]) : 1;
      const inside: number[] = [];
      for (let k = 0; k < this.bins; k++) {
        const weight = Math.min((bins[k] - left) / (center - left), (right - bins[k]) / (right - center));
        if (weight <= 0) continue;
        if (inside.length === 0) this.#first[m] = k;
        inside.push(weight * gain);
      }
      if (inside.length === 0) {
        throw new OstinatoError("OST_RANGE", {
          what: `mel filter ${m}, ${edgesHz[m].toFixed(1)} .. ${edgesHz[m + 2].toFixed(1)} Hz, holds no bin of the spectrum`,
          expected: `filters wider than a bin of ${(sampleRateHz / fftSize).toFixed(1)} Hz`,
          got: `${mels} filters at a Fourier transform of ${fftSize} samples`,
          where: "audio.mels",
          repair: "take fewer mels, a longer frame or a larger fftSize",
        });
      }
      this.#weights.push(Float64Array.from(inside));
    }
  }

  /** Energy in every filter. power: [bins]; out: [mels], overwritten. */
  apply(power: Float64Array, out: Float64Array): void {
    for (let m = 0; m < this.mels; m++) {
      const weights = this.#weights[m];
      const first = this.#first[m];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * power[first + k];
      out[m] = sum;
    }
  }

  /** Natural logarithm of the energy in every filter, energies below the floor taken as it. power: [bins]; out: [mels], overwritten. */
  applyLog(power: Float64Array, floor: number, out: Float64Array): void {
    this.apply(power, out);
    for (let m = 0; m < this.mels; m++) out[m] = Math.log(Math.max(floor, out[m]));
  }

  /** The weights of one filter over all bins. [bins] */
  filter(m: number): Float64Array {
    const row = new Float64Array(this.bins);
    row.set(this.#weights[m], this.#first[m]);
    return row;
  }
}
