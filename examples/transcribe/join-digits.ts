/**
 * @file Makes spoken numbers of several digits from the Free Spoken Digit Dataset: recordings of one speaker, one after the other, with 50 to
 * 100 ms of silence between them. Recordings of index 0 to 4 make the test strings, as the data set's own rule wants it.
 *
 *     npx tsx --conditions=ostinato-source examples/transcribe/join-digits.ts recordings digit-strings [seed]
 *
 * Writes {part}_{digits}_{speaker}_{number}.wav, 1,200 to train with (one in eight of them validation) and 300 to test.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Rng, seed } from "ostinato/core";
import { decodeWav, encodeWav } from "ostinato/data";

const [source = "recordings", out = "digit-strings", seedText = "0"] = process.argv.slice(2);
const rng = seed(Number(seedText));
const TRAIN = 1200;
const TEST = 300;

interface Recording {
  digit: string;
  samples: Float32Array;
}

/** By part and speaker. */
const recordings = new Map<string, Recording[]>();
let rate = 8000;
for (const file of readdirSync(source).sort()) {
  const [, digit, speaker, index] = /^(\d)_(\w+)_(\d+)\.wav$/.exec(file) ?? [];
  if (digit === undefined) continue;
  const part = Number(index) < 5 ? "test" : Number(index) < 7 ? "validation" : "train";
  const { sampleRateHz, samples } = decodeWav(readFileSync(join(source, file)), file);
  rate = sampleRateHz;
  const key = `${part} ${speaker}`;
  recordings.set(key, [...(recordings.get(key) ?? []), { digit, samples: samples[0] }]);
}

function joined(list: readonly Recording[], draw: Rng): { digits: string; samples: Float32Array } {
  const count = 3 + draw.integer(3);
  const pieces: Float32Array[] = [];
  let digits = "";
  for (let i = 0; i < count; i++) {
    const { digit, samples } = list[draw.integer(list.length)];
    if (i > 0) pieces.push(new Float32Array(Math.round(draw.uniform(0.05, 0.1) * rate)));
    pieces.push(samples);
    digits += digit;
  }
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return { digits, samples: all };
}

mkdirSync(out, { recursive: true });
const speakers = [...new Set([...recordings.keys()].map((key) => key.split(" ")[1]))];
for (const [part, count] of [
  ["train", (TRAIN * 7) / 8],
  ["validation", TRAIN / 8],
  ["test", TEST],
] as const) {
  for (let n = 0; n < count; n++) {
    const speaker = speakers[n % speakers.length];
    const { digits, samples } = joined(recordings.get(`${part} ${speaker}`) as Recording[], rng);
    writeFileSync(join(out, `${part}_${digits}_${speaker}_${n}.wav`), encodeWav([samples], rate));
  }
}
console.log(JSON.stringify({ out, train: (TRAIN * 7) / 8, validation: TRAIN / 8, test: TEST, speakers }));
