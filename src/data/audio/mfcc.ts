/**
 * @file Mel-frequency cepstral coefficients (Davis and Mermelstein, 1980): the cosine transform of the log-mel energies.
 *
 * The transform is the orthonormal DCT-II, as in Kaldi. The HTK Book scales every row by sqrt(2 / mels), so that its 0th coefficient
 * is larger by sqrt(2). Coefficients are lifted by 1 + Q / 2 sin(pi n / Q) in both.
 */
import { FrameStream } from "./frame-stream.js";
import { MelFilterBank } from "./mel.js";
import { type AudioOptions, audioSetup } from "./option.js";

/** Rows of `coefficients` numbers, named mfcc0 (from the sum of the log energies) and on, and their slopes. */
export class Mfcc extends FrameStream {
  readonly #bank: MelFilterBank;
  readonly #energies: Float64Array;
  /** Orthonormal DCT-II, each row times its lifter. [coefficients, mels] */
  readonly #transform: Float64Array;

  /** @throws OST_RANGE naming the option that does not fit. */
  constructor(options: Omit<AudioOptions, "features">, sampleRateHz: number) {
    const setup = audioSetup({ ...options, features: "mfcc" }, sampleRateHz);
    super(
      setup,
      Array.from({ length: setup.coefficients }, (_, n) => `mfcc${n}`),
    );
    const { mels, coefficients, lifter } = setup;
    this.#bank = new MelFilterBank(setup);
    this.#energies = new Float64Array(mels);
    this.#transform = new Float64Array(coefficients * mels);
    for (let n = 0; n < coefficients; n++) {
      const norm = Math.sqrt((n === 0 ? 1 : 2) / mels);
      const lift = lifter === 0 ? 1 : 1 + (lifter / 2) * Math.sin((Math.PI * n) / lifter);
      for (let m = 0; m < mels; m++) {
        this.#transform[n * mels + m] = lift * norm * Math.cos((Math.PI * n * (m + 0.5)) / mels);
      }
    }
  }

  protected override features(power: Float64Array, out: Float64Array): void {
    const { floor, mels } = this.setup;
    const energies = this.#energies;
    this.#bank.applyLog(power, floor, energies);
    for (let n = 0; n < out.length; n++) {
      let sum = 0;
      for (let m = 0; m < mels; m++) sum += this.#transform[n * mels + m] * energies[m];
      out[n] = sum;
    }
  }
}
