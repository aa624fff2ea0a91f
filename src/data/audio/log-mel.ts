/**
 * @file Log-mel features: the natural logarithm of the energy in every mel filter.
 */
import { FrameStream } from "./frame-stream.js";
import { MelFilterBank } from "./mel.js";
import { type AudioOptions, audioSetup } from "./option.js";

/** Rows of `mels` log energies, named logMel0 (lowest) and on, and their slopes. */
export class LogMel extends FrameStream {
  readonly #bank: MelFilterBank;

  /** @throws OST_RANGE naming the option that does not fit. */
  constructor(options: Omit<AudioOptions, "features">, sampleRateHz: number) {
    const setup = audioSetup({ ...options, features: "logMel" }, sampleRateHz);
    super(
      setup,
      Array.from({ length: setup.mels }, (_, m) => `logMel${m}`),
    );
    this.#bank = new MelFilterBank(setup);
  }

  protected override features(power: Float64Array, out: Float64Array): void {
    this.#bank.applyLog(power, this.setup.floor, out);
  }
}
