import { mkdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { csvRows, type Json, jsonOf, printedBy, refusalOf, Workshop } from "../../test/support/command-run.js";
import { type Rng, seed } from "../core/rng.js";
import { languageFusion } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { predictCommand } from "./predict.js";
import { scoreCommand } from "./score.js";
import { transcribeCommand } from "./transcribe.js";

const shop = new Workshop();
const RATE = 8000;
let model: string;
let language: string;

/** A tone for each letter, with pauses between them. */
function recording(word: string, rng: Rng, rate = RATE): Buffer {
  const samples: number[] = [];
  for (const letter of word) {
    const hz = { a: 400, b: 1200, c: 2400 }[letter] as number;
    for (let i = 0; i < 700; i++) samples.push(0.3 * Math.sin((2 * Math.PI * hz * i) / rate) + 0.01 * rng.normal());
    for (let i = 0; i < 300; i++) samples.push(0.01 * rng.normal());
  }
  const bytes = Buffer.alloc(44 + 2 * samples.length);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + 2 * samples.length, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(2 * rate, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((sample, i) => {
    bytes.writeInt16LE(Math.round(32_767 * Math.max(-1, Math.min(1, sample))), 44 + 2 * i);
  });
  return bytes;
}

beforeAll(async () => {
  const rng = seed(11);
  mkdirSync(shop.path("recordings"));
  for (let i = 0; i < 60; i++) {
    const word = Array.from({ length: 1 + rng.integer(3) }, () => "abc"[rng.integer(3)]).join("");
    shop.file(`recordings/${word}_${i}.wav`, recording(word, rng));
  }
  for (const word of ["cab", "aab"]) shop.file(`${word}.wav`, recording(word, rng));
  model = await shop.train("tones", {
    task: "transcribe",
    mode: "offline",
    data: {
      source: "recordings",
      read: { pattern: "{word}_{index}.wav", audio: { features: "logMel", mels: 8, hopMs: 20 } },
      entity: "file",
      features: Array.from({ length: 8 }, (_, m) => `logMel${m}`),
      target: "word",
      targetTokens: "characters",
      split: { by: "entity", train: 0.7, validation: 0.15, test: 0.15 },
    },
    model: { hiddenSize: 12, bidirectional: true },
    train: { epochs: 30, batchSize: 8, learningRate: 0.03 },
  });
  const words = ["abc", "cab", "bca", "cba", "ab", "ba", "ca", "ac", "a", "b", "c"];
  shop.file("words.txt", Array.from({ length: 66 }, (_, i) => `${words[i % 11]}\n`).join(""));
  language = await shop.train("words", {
    task: "language",
    data: {
      source: "words.txt",
      entity: "line",
      categories: { text: { kind: "characters", markers: { begin: true, end: true }, as: "embedding", width: 4 } },
      target: "text",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { hiddenSize: 6 },
    train: { epochs: 2 },
  });
});
afterAll(() => shop.close());

const heard = async (files: string[], options: object = {}): Promise<Json[]> =>
  (await jsonOf(() => transcribeCommand(model, files, { ...options, json: true }))).files;

describe("ostinato transcribe", () => {
  it("reads single files as the folder of training was read, and writes what it hears", async () => {
    const files = ["cab", "aab"].map((word) => shop.path(`${word}.wav`));
    const made = await heard(files);
    expect(made.map(({ text }) => text)).toEqual(["cab", "aab"]);
    expect(made.map(({ tokens }) => tokens.join(""))).toEqual(["cab", "aab"]);
    for (const { logProbability } of made) expect(logProbability).toBeLessThanOrEqual(0);
    const { stdout } = await printedBy(() => transcribeCommand(model, files, {}));
    expect(stdout).toMatch(/cab\.wav\s+-\d.*\s+cab\n.*aab\.wav\s+-\d.*\s+aab\n/);
  });

  it("refuses a recording of another sample rate than training's, whether it is the first or not", async () => {
    const fast = shop.file("fast.wav", recording("cab", seed(3), 2 * RATE));
    for (const files of [[fast], [shop.path("cab.wav"), fast]]) {
      const { code, message } = await refusalOf(() => transcribeCommand(model, files, {}));
      expect([code, message]).toEqual(["OST_FORMAT", expect.stringMatching(/fast\.wav.*8000 Hz.*16000 Hz/s)]);
    }
    const { message } = await refusalOf(() => predictCommand(model, { data: fast, out: shop.path("fast.csv") }));
    expect(message).toMatch(/OST_FORMAT.*8000 Hz.*16000 Hz/s);
  });

  it("tells the log-probability over all alignments, as score and predict do", async () => {
    const out = shop.path("heard.csv");
    await printedBy(() => predictCommand(model, { data: shop.path("recordings"), out }));
    const rows = csvRows(readFileSync(out, "utf8"));
    const { sequences } = await jsonOf(() => scoreCommand(model, { data: shop.path("recordings"), json: true }));
    const right = rows.filter(({ text, reference }) => text === reference);
    expect(right.length).toBeGreaterThan(rows.length / 2);
    for (const { entity, text, logProbability } of right) {
      const own = sequences.find(({ sequence }: Json) => sequence === entity);
      expect(own.n).toBe(text.length);
      expect(own.logProbability).toBeCloseTo(Number(logProbability), 4);
      const [alone] = await heard([shop.path(`recordings/${entity}`)]);
      expect([alone.text, alone.logProbability]).toEqual([text, expect.closeTo(Number(logProbability), 4)]);
      if (entity > "b") break;
    }
  });

  it("takes a beam wider than its classes, which finds nothing less probable", async () => {
    const files = [shop.path("cab.wav")];
    const [greedy] = await heard(files);
    const [wide] = await heard(files, { beam: 200 });
    expect(wide.logProbability).toBeGreaterThanOrEqual(greedy.logProbability - 1e-6);
  });

  it("lets a network or an n-gram of the same tokens have a say", async () => {
    const files = [shop.path("cab.wav")];
    const bigram = language.replace("model.safetensors", "baselines/bigram.safetensors");
    for (const path of [language, bigram]) {
      const [made] = await heard(files, { beam: 8, language: path, weight: 0.3 });
      expect(made.text).toBe("cab");
    }
    const [silent] = await heard(files, { language, weight: 50 });
    expect(silent.text.length).toBeLessThan(3);
    const [loud] = await heard(files, { language, weight: 1, insertionBonus: 30 });
    expect(loud.text.length).toBeGreaterThan(3);
  });

  it("refuses what does not fit", async () => {
    const wav = shop.path("cab.wav");
    const refused = async (files: string[], options: object = {}, path = model) =>
      (await refusalOf(() => transcribeCommand(path, files, options))).message;
    expect(await refused([shop.path("words.txt")])).toMatch(/OST_FORMAT.*no sound file/s);
    expect(await refused([shop.path("none.wav")])).toMatch(/OST_FILE/);
    expect(await refused([shop.file("odd.wav", "RIFF")])).toMatch(/OST_FORMAT/);
    expect(await refused([wav], { weight: 1 })).toMatch(/OST_USAGE.*language model/s);
    expect(await refused([wav], { language: model })).toMatch(/OST_CONFIG.*task: transcribe/s);
    expect(await refused([wav], {}, language)).toMatch(/OST_CONFIG.*does not transcribe/s);
  });
});

describe("a language model that has a say", () => {
  it("gives each token what scoring the text gives, in the codes of the other model", async () => {
    const fusion = languageFusion(await loadModel(language), ["<unknown>", "c", "a", "b"]);
    const { sequences } = await jsonOf(() => scoreCommand(language, { text: ["cab"], json: true }));
    let state = fusion.initial;
    for (const [t, token] of [1, 2, 3].entries()) {
      const next = fusion.advance(state, token);
      expect(next.logProbability).toBeCloseTo(sequences[0].steps[t].logProbability, 6);
      state = next.state;
    }
    expect(fusion.end?.(state)).toBeCloseTo(sequences[0].steps[3].logProbability, 6);
    const bigram = await loadModel(language.replace("model.safetensors", "baselines/bigram.safetensors"));
    const counted = languageFusion(bigram, ["<unknown>", "c", "a", "b"]);
    const shares = [1, 2, 3].map((token) => Math.exp(counted.advance(counted.initial, token).logProbability));
    const rest = Math.exp(counted.end?.(counted.initial) ?? Number.NaN);
    expect(shares.reduce((sum, share) => sum + share, rest)).toBeLessThanOrEqual(1);
    expect(shares.reduce((sum, share) => sum + share, rest)).toBeGreaterThan(0.8);
  });

  it("must hold every token that is transcribed", async () => {
    const own = await loadModel(language);
    expect(() => languageFusion(own, ["<unknown>", "a", "z"])).toThrow(/OST_CONFIG.*lacks tokens.*"z"/s);
  });
});
