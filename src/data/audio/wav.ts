/**
 * @file RIFF/WAVE recordings (IBM and Microsoft, "Multimedia Programming Interface and Data Specifications 1.0", 1991; extensible
 * format: Microsoft, 2001) as samples, and back.
 *
 * A header is believed only where it agrees with itself and with the file: what is allocated follows from the bytes that are there.
 */
import { OstinatoError } from "../../core/errors.js";
import { A_LAW, MU_LAW } from "./g711.js";

export interface Wav {
  sampleRateHz: number;
  channels: number;
  /** One array per channel, all of one length; PCM lies in -1 .. 1, float files may exceed it. */
  samples: Float32Array[];
}

export interface WavOptions {
  /**
   * What to do where the sizes in the header promise more than the file holds, or were never filled in (streamed recordings):
   * "refuse" is an error, "accept" takes every whole frame that is there.
   */
  truncated?: "refuse" | "accept";
}

type Encoding = "pcm" | "float" | "aLaw" | "muLaw";

interface Format {
  encoding: Encoding;
  sampleRateHz: number;
  channels: number;
  /** Bytes of one sample. */
  sampleBytes: number;
  /** Bytes of one frame, a sample of every channel. */
  frameBytes: number;
}

const ENCODINGS: Record<number, { encoding: Encoding; bits: readonly number[] }> = {
  1: { encoding: "pcm", bits: [8, 16, 24, 32] },
  3: { encoding: "float", bits: [32, 64] },
  6: { encoding: "aLaw", bits: [8] },
  7: { encoding: "muLaw", bits: [8] },
};
const EXTENSIBLE = 0xfffe;
/** The 14 bytes behind the format tag in the GUID of an extensible format that stands for a plain one. */
const GUID_TAIL = "000000001000800000aa00389b71";
/** A size that a writer to a pipe cannot know. */
const UNKNOWN_SIZE = 0xffffffff;
const MOST_CHANNELS = 256;
const HIGHEST_RATE_HZ = 1_000_000;

/** First four bytes of what is often named .wav and is none. */
const OTHERS: Record<string, string> = {
  RF64: "RF64, a WAVE file beyond 4 GiB",
  BW64: "BW64, a WAVE file beyond 4 GiB",
  RIFX: "RIFX, a WAVE file in big-endian order",
  FORM: "AIFF",
  fLaC: "FLAC",
  OggS: "Ogg",
  ".snd": "a Sun .au file",
};

/**
 * Samples of a WAVE file: PCM of 8, 16, 24 or 32 bits, float of 32 or 64 bits, A-law or mu-law.
 *
 * @param source names the file in a message.
 * @throws OST_FORMAT, with the byte offset, if this is no such file or its header lies; OST_VALUE if a float sample is NaN or infinite.
 */
export function decodeWav(bytes: Uint8Array, source: string, { truncated = "refuse" }: WavOptions = {}): Wav {
  const file = new Chunks(bytes, source);
  let format: Format | undefined;
  for (let at = 12; ; ) {
    const { name, size, start } = file.chunk(at, format === undefined);
    if (name === "fmt ") {
      if (format !== undefined) throw file.fault(at, "a second fmt chunk", { expected: "one format for the whole file" });
      format = readFormat(file, start, size);
    }
    if (name === "data") {
      if (format === undefined) {
        throw file.fault(at, "the samples come before their format", { expected: "the fmt chunk before the data chunk" });
      }
      const length = dataLength(file, format, { start, size }, truncated);
      refuseMore(file, start + length + (length & 1));
      return { sampleRateHz: format.sampleRateHz, channels: format.channels, samples: readSamples(file, format, start, length) };
    }
    // A chunk of odd size is followed by one byte of padding.
    at = start + size + (size & 1);
  }
}

/** The chunks of one file, and its faults with their places. */
class Chunks {
  readonly view: DataView;
  readonly length: number;
  /** Where the RIFF chunk says that the file ends. */
  readonly riffEnd: number;
  readonly riffSize: number;

  constructor(
    bytes: Uint8Array,
    readonly source: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.length = bytes.byteLength;
    if (this.length < 4 || this.text(0) !== "RIFF") {
      const magic = this.length < 4 ? undefined : OTHERS[this.text(0)];
      throw this.fault(0, "not a WAVE file", {
        expected: 'a file that begins with "RIFF"',
        got: magic ?? (this.length === 0 ? "an empty file" : this.hex(0, 4)),
        repair: "convert the recording to a 16-bit PCM WAVE file",
      });
    }
    if (this.length < 12) throw this.fault(this.length, "the file ends inside its first header", { got: `${this.length} bytes` });
    if (this.text(8) !== "WAVE") throw this.fault(8, "a RIFF file of another kind", { expected: '"WAVE"', got: this.hex(8, 4) });
    this.riffSize = this.view.getUint32(4, true);
    this.riffEnd = 8 + this.riffSize;
  }

  chunk(at: number, wantsFormat: boolean): { name: string; size: number; start: number } {
    if (at + 8 > this.length) {
      throw this.fault(Math.min(at, this.length), `the file ends before its ${wantsFormat ? "fmt" : "data"} chunk`, {
        expected: "a chunk's name and size",
        got: `${Math.max(0, this.length - at)} bytes`,
        repair: "the file was cut short, or a chunk's size is wrong; record or convert it again",
      });
    }
    return { name: this.text(at), size: this.view.getUint32(at + 4, true), start: at + 8 };
  }

  text(at: number): string {
    return String.fromCharCode(...[0, 1, 2, 3].map((i) => this.view.getUint8(at + i)));
  }

  hex(at: number, count: number): string {
    const bytes = Array.from({ length: Math.min(count, this.length - at) }, (_, i) => this.view.getUint8(at + i));
    return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  fault(at: number, what: string, detail: { expected?: string; got?: string; repair?: string } = {}): OstinatoError {
    return new OstinatoError("OST_FORMAT", { what, where: `${this.source}, byte ${at}`, ...detail });
  }
}

function readFormat(file: Chunks, start: number, size: number): Format {
  const { view } = file;
  const room = Math.min(size, file.length - start);
  if (room < 16) throw file.fault(start, "the fmt chunk is too short", { expected: "16 bytes or more", got: `${room}` });
  let tag = view.getUint16(start, true);
  const channels = view.getUint16(start + 2, true);
  const sampleRateHz = view.getUint32(start + 4, true);
  const byteRate = view.getUint32(start + 8, true);
  const frameBytes = view.getUint16(start + 12, true);
  const bits = view.getUint16(start + 14, true);
  if (tag === EXTENSIBLE) {
    if (room < 40) throw file.fault(start, "the extensible fmt chunk is too short", { expected: "40 bytes", got: `${room}` });
    if (file.hex(start + 26, 14) !== GUID_TAIL) {
      throw file.fault(start + 24, "an encoding that is not known", { got: `the GUID ${file.hex(start + 24, 16)}` });
    }
    tag = view.getUint16(start + 24, true);
  }
  const known = ENCODINGS[tag];
  if (known === undefined) {
    throw file.fault(start, "an encoding that is not known", {
      expected: "PCM (1), float (3), A-law (6) or mu-law (7)",
      got: `format ${tag}`,
      repair: "convert the recording to 16-bit PCM",
    });
  }
  if (!known.bits.includes(bits)) {
    throw file.fault(start + 14, "a sample size that this encoding does not have", {
      expected: `${known.bits.join(", ")} bits`,
      got: String(bits),
    });
  }
  if (channels < 1 || channels > MOST_CHANNELS) {
    throw file.fault(start + 2, "an impossible number of channels", { expected: `1 .. ${MOST_CHANNELS}`, got: String(channels) });
  }
  if (sampleRateHz < 1 || sampleRateHz > HIGHEST_RATE_HZ) {
    throw file.fault(start + 4, "an impossible sample rate", {
      expected: `1 .. ${HIGHEST_RATE_HZ} Hz`,
      got: `${sampleRateHz} Hz`,
    });
  }
  const sampleBytes = bits / 8;
  if (frameBytes !== channels * sampleBytes) {
    throw file.fault(start + 12, "the block align disagrees with channels and sample size", {
      expected: `${channels * sampleBytes} bytes for ${channels} channels of ${bits} bits`,
      got: String(frameBytes),
    });
  }
  // Some writers leave the byte rate at zero; any other value says which sample rate is meant.
  if (byteRate !== 0 && byteRate !== sampleRateHz * frameBytes) {
    throw file.fault(start + 8, "the byte rate disagrees with the sample rate", {
      expected: `${sampleRateHz * frameBytes} bytes a second at ${sampleRateHz} Hz`,
      got: String(byteRate),
      repair: "one of the two is wrong; find out the true rate and write the file again",
    });
  }
  return { encoding: known.encoding, sampleRateHz, channels, sampleBytes, frameBytes };
}

/** Bytes of samples to read, a multiple of a frame that lies inside the file. */
function dataLength(
  file: Chunks,
  { frameBytes }: Format,
  { start, size }: { start: number; size: number },
  truncated: "refuse" | "accept",
): number {
  const there = file.length - start;
  const unfilled = size === 0 && there > 0 && (file.riffSize === UNKNOWN_SIZE || file.riffEnd < file.length);
  const promised = size === UNKNOWN_SIZE || unfilled ? there : size;
  const length = Math.min(promised, there);
  const whole = length - (length % frameBytes);
  if (truncated === "accept") return whole;
  const repair = 'record it again, or set data.read.bad: skip; decodeWav takes what is there with truncated: "accept"';
  if (size === UNKNOWN_SIZE || unfilled) {
    throw file.fault(start - 4, "the size of the data chunk was never filled in", {
      expected: "the number of bytes of samples",
      got: `${size}, and ${there} bytes that follow`,
      repair,
    });
  }
  if (size > there) {
    throw file.fault(start - 4, "the data chunk is longer than the file", {
      expected: `${size} bytes of samples`,
      got: `${there}; the file was cut short, or written without knowing its length`,
      repair,
    });
  }
  if (start + size > file.riffEnd) {
    throw file.fault(4, "the data chunk is longer than the RIFF chunk around it", {
      expected: `at least ${start + size - 8}`,
      got: String(file.riffSize),
      repair,
    });
  }
  if (whole !== length) {
    throw file.fault(start + whole, "the samples end in the middle of a frame", {
      expected: `a multiple of ${frameBytes} bytes`,
      got: `${length}`,
      repair,
    });
  }
  return length;
}

/** Samples behind the data chunk would be lost without a word: a second one, or a file that another was appended to. */
function refuseMore(file: Chunks, from: number): void {
  for (let at = from; at + 8 <= file.length; ) {
    const { name, size, start } = file.chunk(at, false);
    if (name === "data" || name === "RIFF") {
      throw file.fault(at, name === "data" ? "a second data chunk" : "a second recording behind the first", {
        expected: "one recording in one data chunk",
        repair: "split it into files of their own",
      });
    }
    at = start + size + (size & 1);
  }
}

function readSamples(
  file: Chunks,
  { encoding, channels, sampleBytes, frameBytes }: Format,
  start: number,
  length: number,
): Float32Array[] {
  const read = sampleReader(file.view, encoding, sampleBytes);
  const frames = length / frameBytes;
  const samples: Float32Array[] = [];
  for (let c = 0; c < channels; c++) {
    const channel = new Float32Array(frames);
    for (let i = 0, at = start + c * sampleBytes; i < frames; i++, at += frameBytes) channel[i] = read(at);
    samples.push(channel);
  }
  if (encoding === "float") refuseNonFinite(file, samples, (i, c) => start + i * frameBytes + c * sampleBytes);
  return samples;
}

function sampleReader(view: DataView, encoding: Encoding, sampleBytes: number): (at: number) => number {
  if (encoding === "aLaw") return (at) => A_LAW[view.getUint8(at)] / 32768;
  if (encoding === "muLaw") return (at) => MU_LAW[view.getUint8(at)] / 32768;
  if (encoding === "float") return sampleBytes === 4 ? (at) => view.getFloat32(at, true) : (at) => view.getFloat64(at, true);
  if (sampleBytes === 1) return (at) => (view.getUint8(at) - 128) / 128;
  if (sampleBytes === 2) return (at) => view.getInt16(at, true) / 32768;
  if (sampleBytes === 3) return (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65536) / 8388608;
  return (at) => view.getInt32(at, true) / 2147483648;
}

function refuseNonFinite(file: Chunks, samples: Float32Array[], place: (i: number, c: number) => number): void {
  samples.forEach((channel, c) => {
    const i = channel.findIndex((value) => !Number.isFinite(value));
    if (i < 0) return;
    throw new OstinatoError("OST_VALUE", {
      what: `sample ${i} of channel ${c} is not a number that audio can hold`,
      expected: "a finite float32",
      got: Number.isNaN(channel[i]) ? "NaN" : "an infinity, or a value beyond float32",
      where: `${file.source}, byte ${place(i, c)}`,
      repair: "write the recording again without NaN and infinite samples",
    });
  });
}

/**
 * A 16-bit PCM WAVE file. Values are rounded to multiples of 1 / 32768 and cut to -1 .. 1 - 1 / 32768.
 *
 * @param samples one array per channel, all of one length.
 * @throws OST_RANGE if the channels differ in length, there are none, or the rate is no whole number; OST_VALUE on NaN.
 */
export function encodeWav(samples: readonly Float32Array[], sampleRateHz: number): Uint8Array {
  const channels = samples.length;
  const frames = samples[0]?.length ?? 0;
  const refuse = (what: string, expected: string, got: string) => {
    throw new OstinatoError("OST_RANGE", { what, expected, got, where: "encodeWav" });
  };
  if (channels < 1 || channels > MOST_CHANNELS)
    refuse("an impossible number of channels", `1 .. ${MOST_CHANNELS}`, String(channels));
  if (!Number.isInteger(sampleRateHz) || sampleRateHz < 1 || sampleRateHz > HIGHEST_RATE_HZ) {
    refuse("an impossible sample rate", `a whole number, 1 .. ${HIGHEST_RATE_HZ} Hz`, String(sampleRateHz));
  }
  const odd = samples.findIndex((channel) => channel.length !== frames);
  if (odd >= 0) refuse("channels of different length", `${frames} samples`, `${samples[odd].length} in channel ${odd}`);
  const dataBytes = frames * channels * 2;
  if (36 + dataBytes >= UNKNOWN_SIZE) refuse("too many samples for a WAVE file", "less than 4 GiB", `${dataBytes} bytes`);
  const view = new DataView(new ArrayBuffer(44 + dataBytes));
  const text = (at: number, name: string) => {
    for (let i = 0; i < 4; i++) view.setUint8(at + i, name.charCodeAt(i));
  };
  text(0, "RIFF");
  view.setUint32(4, 36 + dataBytes, true);
  text(8, "WAVE");
  text(12, "fmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, sampleRateHz, true);
  view.setUint32(28, sampleRateHz * channels * 2, true);
  view.setUint16(32, channels * 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, dataBytes, true);
  samples.forEach((channel, c) => {
    for (let i = 0; i < frames; i++) {
      if (Number.isNaN(channel[i])) {
        throw new OstinatoError("OST_VALUE", { what: `sample ${i} of channel ${c} is NaN`, where: "encodeWav" });
      }
      const value = Math.max(-32768, Math.min(32767, Math.round(channel[i] * 32768)));
      view.setInt16(44 + 2 * (i * channels + c), value, true);
    }
  });
  return new Uint8Array(view.buffer);
}
