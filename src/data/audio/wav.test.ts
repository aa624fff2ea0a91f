import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { decodeWav, encodeWav } from "./wav.js";

interface Parts {
  tag?: number;
  channels?: number;
  rate?: number;
  bits?: number;
  byteRate?: number;
  align?: number;
  /** Appended to the 16 bytes of the format. */
  extra?: number[];
  data?: number[];
  dataSize?: number;
  riffSize?: number;
  before?: number[];
  after?: number[];
}

const ascii = (text: string) => [...text].map((letter) => letter.charCodeAt(0));
const u16 = (value: number) => [value & 255, (value >> 8) & 255];
const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)];
const chunk = (name: string, body: number[], size = body.length) => [...ascii(name), ...u32(size), ...body];
/** What follows the 16 bytes of an extensible format that stands for PCM. */
const EXTENSION = [...u16(22), ...u16(16), ...u32(4), 1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

function wav(parts: Parts = {}): Uint8Array {
  const { tag = 1, channels = 1, rate = 8000, bits = 16, extra = [], data = [1, 0, 2, 0], before = [], after = [] } = parts;
  const align = parts.align ?? (channels * bits) / 8;
  const format = [
    ...u16(tag),
    ...u16(channels),
    ...u32(rate),
    ...u32(parts.byteRate ?? rate * align),
    ...u16(align),
    ...u16(bits),
  ];
  const body = [
    ...ascii("WAVE"),
    ...before,
    ...chunk("fmt ", [...format, ...extra]),
    ...chunk("data", data, parts.dataSize),
    ...after,
  ];
  return Uint8Array.from([...ascii("RIFF"), ...u32(parts.riffSize ?? body.length), ...body]);
}

const bytesOf = (view: Float32Array | Float64Array) => [...new Uint8Array(view.buffer)];
const decode = (parts: Parts) => decodeWav(wav(parts), "a.wav").samples.map((channel) => [...channel]);

describe("decodeWav", () => {
  it("reads every sample size", () => {
    expect(decode({ bits: 8, data: [0, 128, 255] })).toEqual([[-1, 0, 127 / 128]]);
    expect(decode({ bits: 16, data: [0, 0x80, 0xff, 0x7f, 0xff, 0xff] })).toEqual([[-1, 32767 / 32768, -1 / 32768]]);
    expect(decode({ bits: 24, data: [0, 0, 0x80, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff] })).toEqual([
      [-1, 8388607 / 8388608, -1 / 8388608],
    ]);
    expect(decode({ bits: 32, data: [0, 0, 0, 0x80, 0, 0, 0, 0x40] })).toEqual([[-1, 0.5]]);
    expect(decode({ tag: 3, bits: 32, data: bytesOf(Float32Array.of(0.25, -1.5)) })).toEqual([[0.25, -1.5]]);
    expect(decode({ tag: 3, bits: 64, data: bytesOf(Float64Array.of(0.25, -1.5)) })).toEqual([[0.25, -1.5]]);
    expect(decode({ tag: 7, bits: 8, data: [0x00, 0x80, 0xff] })).toEqual(
      [[-32124 / 32768, 32124 / 32768, 0]].map((row) => row.map((v) => v + 0)),
    );
    expect(decode({ tag: 6, bits: 8, data: [0xd5, 0x55] })).toEqual([[8 / 32768, -8 / 32768]]);
  });

  it("takes channels apart", () => {
    const { samples, channels, sampleRateHz } = decodeWav(
      wav({ channels: 2, rate: 44100, data: [1, 0, 2, 0, 3, 0, 4, 0] }),
      "a.wav",
    );
    expect({ channels, sampleRateHz }).toEqual({ channels: 2, sampleRateHz: 44100 });
    expect(samples.map((channel) => [...channel].map((value) => value * 32768))).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it("reads the extensible format", () => {
    const extra = EXTENSION;
    expect(decode({ tag: 0xfffe, extra })).toEqual([[1 / 32768, 2 / 32768]]);
    expect(() => decode({ tag: 0xfffe, extra: extra.slice(0, 8) })).toThrow(/byte 20: the extensible fmt chunk is too short/);
    expect(() => decode({ tag: 0xfffe, extra: [...extra.slice(0, -1), 0] })).toThrow(
      /byte 44: an encoding that is not known.*GUID/,
    );
  });

  it("passes over other chunks, with the padding of odd sizes, before and behind", () => {
    const before = [...chunk("LIST", [1, 2, 3]), 0, ...chunk("odd!", [])];
    expect(decode({ before, after: [...chunk("id3 ", [1, 2, 3]), 0] })).toEqual([[1 / 32768, 2 / 32768]]);
    expect(decode({ data: [] })).toEqual([[]]);
    expect(decode({ data: [], after: chunk("LIST", [1, 2]) })).toEqual([[]]);
  });

  it("reads a part of a larger buffer", () => {
    const file = wav();
    const buffer = new Uint8Array(file.length + 7);
    buffer.set(file, 3);
    expect([...decodeWav(buffer.subarray(3, 3 + file.length), "a.wav").samples[0]]).toEqual([1 / 32768, 2 / 32768]);
  });

  it.each<[string, Parts, RegExp]>([
    ["no channels", { channels: 0 }, /a\.wav, byte 22: an impossible number of channels.*got 0/],
    ["too many channels", { channels: 999, data: [] }, /byte 22: an impossible number of channels.*got 999/],
    ["no sample rate", { rate: 0 }, /byte 24: an impossible sample rate/],
    ["an absurd sample rate", { rate: 4e9 }, /byte 24: an impossible sample rate.*got 4000000000 Hz/],
    [
      "a block align that disagrees",
      { align: 4 },
      /byte 32: the block align disagrees.*2 bytes for 1 channels of 16 bits, got 4/,
    ],
    ["a byte rate that disagrees", { byteRate: 88200 }, /byte 28: the byte rate disagrees.*expected 16000.*got 88200/],
    ["an unknown sample size", { bits: 12, align: 2 }, /byte 34: a sample size that this encoding does not have.*got 12/],
    ["an unknown encoding", { tag: 85 }, /byte 20: an encoding that is not known.*got format 85[\s\S]*convert/],
    ["a second format", { before: wav().slice(12, 36) as unknown as number[] }, /byte 36: a second fmt chunk/],
    ["a second data chunk", { after: chunk("data", [1, 0]) }, /byte 48: a second data chunk/],
    [
      "a file appended to another",
      { after: [...wav()], riffSize: 40 },
      /byte 48: a second recording behind the first[\s\S]*split/,
    ],
    ["samples before their format", { before: chunk("data", [1, 0]) }, /byte 12: the samples come before their format/],
  ])("refuses %s", (_, parts, message) => {
    expect(() => decode(parts)).toThrow(message);
    expect(() => decode(parts)).toThrow(/^OST_FORMAT/);
  });

  it("refuses what is no WAVE file, and says what it is", () => {
    const refuse = (bytes: number[], message: RegExp) =>
      expect(() => decodeWav(Uint8Array.from(bytes), "a.wav")).toThrow(message);
    refuse([], /got an empty file/);
    refuse(ascii("RIF"), /byte 0: not a WAVE file/);
    refuse(ascii("RIFF1234"), /byte 8: the file ends inside its first header/);
    refuse(ascii("RF64\xff\xff\xff\xffWAVEds64"), /got RF64, a WAVE file beyond 4 GiB/);
    refuse(ascii("RIFX1234WAVE"), /big-endian/);
    refuse(ascii("OggS12345678"), /got Ogg/);
    refuse(ascii("RIFF1234AVI "), /byte 8: a RIFF file of another kind/);
    refuse([...wav().slice(0, 36)], /byte 36: the file ends before its data chunk/);
    refuse([...wav().slice(0, 30)], /byte 20: the fmt chunk is too short.*got 10/);
    refuse([...wav({ before: chunk("LIST", [], 4e9) })], /the file ends before its fmt chunk/);
  });

  const lies: [string, Parts, RegExp, number[]][] = [
    ["a size beyond the file", { dataSize: 9 }, /byte 40: the data chunk is longer than the file.*expected 9.*got 4/, [1, 2]],
    [
      "a size of 0xFFFFFFFF",
      { dataSize: 0xffffffff, riffSize: 0xffffffff },
      /byte 40: .*never filled in.*4 bytes that follow/,
      [1, 2],
    ],
    ["a size left at zero", { dataSize: 0, riffSize: 36 }, /byte 40: the size of the data chunk was never filled in/, [1, 2]],
    [
      "half a frame at the end",
      { data: [1, 0, 2, 0, 3] },
      /byte 48: the samples end in the middle of a frame.*multiple of 2 bytes, got 5/,
      [1, 2],
    ],
    [
      "a RIFF size inside the data",
      { riffSize: 38 },
      /byte 4: the data chunk is longer than the RIFF chunk.*least 40, got 38/,
      [1, 2],
    ],
  ];
  it.each(lies)("refuses %s unless told to take what is there", (_, parts, message, there) => {
    expect(() => decode(parts)).toThrow(message);
    expect(() => decode(parts)).toThrow(/truncated: "accept"/);
    const { samples } = decodeWav(wav(parts), "a.wav", { truncated: "accept" });
    expect([...samples[0]].map((value) => value * 32768)).toEqual(there);
  });

  it("names a float sample that is no number", () => {
    const data = bytesOf(Float32Array.of(0, 1, 0, Number.NaN));
    expect(() => decode({ tag: 3, bits: 32, channels: 2, data })).toThrow(
      /OST_VALUE {2}a\.wav, byte 56: sample 1 of channel 1 .*got NaN/,
    );
    expect(() => decode({ tag: 3, bits: 64, data: bytesOf(Float64Array.of(1e300)) })).toThrow(/sample 0 of channel 0/);
  });

  it("meets any mutation of a file with samples or an OstinatoError, and allocates no more than the bytes that are there", () => {
    const file = fc
      .tuple(
        fc.constantFrom([1, 8], [1, 16], [1, 24], [1, 32], [3, 32], [3, 64], [6, 8], [7, 8], [0xfffe, 16]),
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 200 }),
        fc.constantFrom([], chunk("LIST", [1, 2, 3, 4]), [...chunk("odd ", [1]), 0]),
      )
      .map(([[tag, bits], channels, data, before]) => {
        const whole = data.length - (data.length % ((channels * bits) / 8));
        return { tag, bits, channels, data: data.slice(0, whole), extra: tag === 0xfffe ? EXTENSION : [], before };
      });
    const change = fc.record({
      at: fc.nat(),
      value: fc.oneof(fc.constantFrom(0, 255, 127, 128), fc.integer({ min: 0, max: 255 })),
    });
    let read = 0;
    fc.assert(
      fc.property(
        file,
        fc.array(change, { maxLength: 6 }),
        fc.option(fc.nat(), { freq: 2 }),
        fc.constantFrom("refuse" as const, "accept" as const),
        (parts, changes, cut, truncated) => {
          let bytes = wav(parts);
          for (const { at, value } of changes) bytes[at % Math.min(bytes.length, 100)] = value;
          if (cut !== null) bytes = bytes.subarray(0, cut % (bytes.length + 1));
          try {
            const { samples, channels } = decodeWav(bytes, "a.wav", { truncated });
            read++;
            expect(samples.length).toBe(channels);
            expect(samples.reduce((sum, channel) => sum + channel.length, 0)).toBeLessThanOrEqual(bytes.length);
          } catch (error) {
            if (!(error instanceof OstinatoError)) throw error;
            expect(["OST_FORMAT", "OST_VALUE"]).toContain(error.code);
            expect(error.message).toContain("a.wav");
          }
        },
      ),
      { numRuns: 3000 },
    );
    // The changes are few enough that many a file is still one.
    expect(read).toBeGreaterThan(100);
  });
});

describe("encodeWav", () => {
  it("gives back what decodeWav reads, exactly", () => {
    const step = fc.integer({ min: -32768, max: 32767 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(step, step, step), { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 1e6 }),
        (frames, channels, rate) => {
          const samples = Array.from({ length: channels }, (_, c) => Float32Array.from(frames, (frame) => frame[c] / 32768));
          const back = decodeWav(encodeWav(samples, rate), "a.wav");
          expect(back).toEqual({ sampleRateHz: rate, channels, samples });
        },
      ),
    );
  });

  it("cuts at full scale and refuses what is no audio", () => {
    expect([...decodeWav(encodeWav([Float32Array.of(2, -2)], 8000), "a.wav").samples[0]]).toEqual([32767 / 32768, -1]);
    expect(() => encodeWav([], 8000)).toThrow(/OST_RANGE.*number of channels/);
    expect(() => encodeWav([new Float32Array(1)], 0.5)).toThrow(/OST_RANGE.*sample rate/);
    expect(() => encodeWav([new Float32Array(1), new Float32Array(2)], 8000)).toThrow(/channels of different length/);
    expect(() => encodeWav([Float32Array.of(0, Number.NaN)], 8000)).toThrow(/OST_VALUE.*sample 1 of channel 0 is NaN/);
  });
});
