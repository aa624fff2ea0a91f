/** @file `ostinato generate`: lets a language model go on from a prompt. */
import { OstinatoError } from "../core/errors.js";
import type { Codebook } from "../data/index.js";
import { beamSearch, sample } from "../decode/index.js";
import { type LanguageScorer, type LoadedModel, languageScorer } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { predictorName } from "./model-file.js";
import { learnedUnknown } from "./source-text.js";
import { Terminal, type TerminalOptions } from "./terminal.js";

export interface GenerateCommandOptions extends TerminalOptions {
  prompt?: string;
  /** Tokens at most. */
  length: number;
  count: number;
  seed: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  beam?: number;
}

/**
 * The model as a writer: what stands for no text, the beginning within a text and places that training never met, is never written.
 * Log-probabilities stay the model's own.
 */
function writable(loaded: LoadedModel): LanguageScorer {
  const scorer = languageScorer(loaded);
  const codebook = loaded.preprocessing.targetCodebook as Codebook;
  const barred = [...(scorer.begin === null ? [] : [scorer.begin]), ...(learnedUnknown(codebook) ? [] : [0])];
  return {
    ...scorer,
    advance(states, tokens) {
      const scores = scorer.advance(states, tokens);
      const { logProbabilities } = scores;
      for (let from = 0; from < logProbabilities.length; from += scorer.vocabSize)
        for (const code of barred) logProbabilities[from + code] = Number.NEGATIVE_INFINITY;
      return scores;
    },
  };
}

/** A text that was made, and how probable the model finds it after the prompt. */
interface Generated {
  text: string;
  tokens: number;
  logProbability: number;
  finished: boolean;
}

export async function generateCommand(path: string, options: GenerateCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { prompt = "", length: maxLength, count, seed, temperature, topK, topP, beam } = options;
  if (beam !== undefined && [temperature, topK, topP].some((one) => one !== undefined)) {
    throw new OstinatoError("OST_USAGE", {
      what: "a beam search draws nothing",
      expected: "--beam alone, or --temperature, --top-k and --top-p",
      where: "generate",
      repair: "leave --beam out to sample",
    });
  }
  const loaded = await loadModel(path);
  const scorer = writable(loaded);
  const read = [...(scorer.begin === null ? [] : [scorer.begin]), ...scorer.encode(prompt)];
  if (read.length === 0) {
    throw new OstinatoError("OST_USAGE", {
      what: "the model needs something to begin with: its texts were learned without a marker of their beginning",
      expected: "--prompt with at least one token",
      got: "no prompt",
      where: "generate",
      repair: 'for example: --prompt "The "',
    });
  }
  let state = scorer.initial;
  for (const token of read.slice(0, -1)) [state] = scorer.advance([state], [token]).states;
  const starts = Array.from({ length: count }, () => ({ state, token: read[read.length - 1] }));
  const common = { maxLength, ...(scorer.end !== null && { end: scorer.end }) };
  const made =
    beam === undefined
      ? sample(scorer, { ...common, starts, seed, temperature, topK, topP })
      : beamSearch(scorer, { ...common, starts: starts.slice(0, 1), width: Math.max(beam, count), nBest: count })[0];
  const results = made.map(
    ({ tokens, logProbability, finished }): Generated => ({
      text: scorer.decode([...read, ...tokens]),
      tokens: tokens.length,
      logProbability,
      finished,
    }),
  );
  for (const { text } of results) process.stdout.write(options.json ? "" : `${text}\n`);
  if (options.json) terminal.json({ model: path, name: predictorName(loaded), prompt, seed, generated: results });
  return 0;
}
