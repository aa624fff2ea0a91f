/**
 * @file Samples in, rows of features out: the one code for whole recordings and live streams.
 *
 * Frame k covers the samples k * hop .. k * hop + frame - 1: nothing is padded, and samples behind the last whole frame give no row.
 * Law: any way of cutting the samples into pushes gives the same rows, bit for bit, because a row is computed from its own frame and
 * the rows before it alone. All memory is one Float64Array of fixed size.
 */
import { OstinatoError } from "../../core/errors.js";
import { DELTA_SPAN, pushDelta } from "./delta.js";
import { RealFft } from "./fft.js";
import type { AudioSetup } from "./option.js";
import { windowFunction } from "./window-function.js";

/** Places in the state: samples held, samples to pass over before the next frame, whether a frame was made; then the samples. */
const HELD = 0;
const SKIP = 1;
const BEGUN = 2;
const SAMPLES = 3;

export abstract class FrameStream {
  /** Frames that a row depends on behind its own: none. */
  readonly lookAhead = 0;
  /** Columns of a row. */
  readonly width: number;
  /** Names of the columns. [width] */
  readonly names: readonly string[];
  readonly #fft: RealFft;
  readonly #window: Float64Array;
  readonly #frame: Float64Array;
  readonly #re: Float64Array;
  readonly #im: Float64Array;
  /** Features of one frame and its slopes, one array each. */
  readonly #levels: Float64Array[];
  #state: Float64Array;
  #histories: Float64Array[] = [];

  /** @param features names of the features of one frame, without slopes. */
  protected constructor(
    readonly setup: Readonly<AudioSetup>,
    features: readonly string[],
  ) {
    const { fftSize, frameLength, window, delta } = setup;
    this.names = [features, features.map((name) => `${name}.delta`), features.map((name) => `${name}.delta2`)]
      .slice(0, delta + 1)
      .flat();
    this.width = this.names.length;
    this.#fft = new RealFft(fftSize);
    this.#window = windowFunction(window, frameLength);
    this.#frame = new Float64Array(fftSize);
    this.#re = new Float64Array(this.#fft.bins);
    this.#im = new Float64Array(this.#fft.bins);
    this.#levels = Array.from({ length: delta + 1 }, () => new Float64Array(features.length));
    this.#state = new Float64Array(SAMPLES + frameLength + delta * DELTA_SPAN * features.length);
    this.reset();
  }

  /** Features of one frame from its power spectrum. power: [fftSize / 2 + 1]; out: [features], overwritten. */
  protected abstract features(power: Float64Array, out: Float64Array): void;

  /** Numbers of state: one frame of samples, five frames of features per order of slopes, and three counts. */
  get stateSize(): number {
    return this.#state.length;
  }

  /** A copy of everything that the rows to come depend on. [stateSize] */
  get state(): Float64Array {
    return this.#state.slice();
  }

  /** @throws OST_RANGE if the state is not one of a stream with these options. */
  set state(state: Float64Array) {
    const { frameLength, hopLength } = this.setup;
    const whole = (value: number, most: number) => Number.isInteger(value) && value >= 0 && value <= most;
    if (
      state.length !== this.stateSize ||
      !whole(state[HELD], frameLength - 1) ||
      !whole(state[SKIP], Math.max(0, hopLength - frameLength)) ||
      !whole(state[BEGUN], 1) ||
      !state.every(Number.isFinite)
    ) {
      throw new OstinatoError("OST_RANGE", {
        what: "not the state of an audio stream with these options",
        expected: `${this.stateSize} finite numbers that such a stream gave`,
        got: `${state.length} numbers`,
      });
    }
    this.#take(state.slice());
  }

  /** Forgets all samples: the next one begins a recording. */
  reset(): void {
    this.#take(new Float64Array(this.stateSize));
  }

  #take(state: Float64Array): void {
    this.#state = state;
    const size = DELTA_SPAN * this.#levels[0].length;
    const at = SAMPLES + this.setup.frameLength;
    this.#histories = this.#levels.slice(1).map((_, d) => state.subarray(at + d * size, at + (d + 1) * size));
  }

  /** Rows that this many samples of one recording give. */
  count(samples: number): number {
    const { frameLength, hopLength } = this.setup;
    return samples < frameLength ? 0 : 1 + Math.floor((samples - frameLength) / hopLength);
  }

  /** When row k is complete, in ms since the first sample: the end of its frame. Nothing that it depends on comes later. */
  timeMs(k: number): number {
    return ((k * this.setup.hopLength + this.setup.frameLength) / this.setup.sampleRateHz) * 1000;
  }

  /**
   * Takes the next samples of one channel and puts out the rows that are whole now, in order. [rows, width]
   *
   * @param samples any number of them, usually in -1 .. 1.
   * @throws OST_VALUE if a sample is NaN or infinite; no sample of this push is taken then.
   */
  push(samples: Float32Array): Float32Array {
    for (let i = 0; i < samples.length; i++) {
      if (!Number.isFinite(samples[i])) {
        throw new OstinatoError("OST_VALUE", { what: `sample ${i} of this push is ${samples[i]}`, expected: "a finite number" });
      }
    }
    const { frameLength, hopLength } = this.setup;
    const state = this.#state;
    const rows: Float32Array = new Float32Array(this.#upcoming(samples.length) * this.width);
    let row = 0;
    let at = 0;
    while (at < samples.length) {
      if (state[SKIP] > 0) {
        const passed = Math.min(state[SKIP], samples.length - at);
        state[SKIP] -= passed;
        at += passed;
        continue;
      }
      const taken = Math.min(frameLength - state[HELD], samples.length - at);
      state.set(samples.subarray(at, at + taken), SAMPLES + state[HELD]);
      state[HELD] += taken;
      at += taken;
      if (state[HELD] < frameLength) break;
      this.#row(rows, row++ * this.width);
      const kept = Math.max(0, frameLength - hopLength);
      state.copyWithin(SAMPLES, SAMPLES + frameLength - kept, SAMPLES + frameLength);
      state[HELD] = kept;
      state[SKIP] = Math.max(0, hopLength - frameLength);
    }
    return rows;
  }

  /** Ends a recording. Every whole frame was put out by `push`, so that no row is left: the result is empty. */
  flush(): Float32Array {
    this.reset();
    return new Float32Array(0);
  }

  /** Rows that so many more samples complete. */
  #upcoming(samples: number): number {
    return this.count(Math.max(0, samples - this.#state[SKIP]) + this.#state[HELD]);
  }

  #row(rows: Float32Array, at: number): void {
    this.features(this.#power(), this.#levels[0]);
    this.#histories.forEach((history, d) => {
      pushDelta(history, this.#levels[d], this.#state[BEGUN] === 0, this.#levels[d + 1]);
    });
    this.#state[BEGUN] = 1;
    this.#levels.forEach((level, d) => {
      rows.set(level, at + d * level.length);
    });
  }

  /** The power spectrum of the frame in the state: |X[k]|^2 of the pre-emphasised, windowed samples, filled up with zeros. */
  #power(): Float64Array {
    const { frameLength, preEmphasis } = this.setup;
    const x = this.#frame;
    let before = this.#state[SAMPLES];
    for (let i = 0; i < frameLength; i++) {
      const sample = this.#state[SAMPLES + i];
      x[i] = (sample - preEmphasis * before) * this.#window[i];
      before = sample;
    }
    const re = this.#re;
    const im = this.#im;
    this.#fft.transform(x, re, im);
    for (let k = 0; k < re.length; k++) re[k] = re[k] * re[k] + im[k] * im[k];
    return re;
  }
}
