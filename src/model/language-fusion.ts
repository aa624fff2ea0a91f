/**
 * @file A language model as what has a say in a transcription: its log-probability of each token after those before it, in the codes of the network that
 * transcribes (shallow fusion; Hannun, Maas, Jurafsky & Ng 2014).
 */
import { NGram } from "../baselines/index.js";
import { OstinatoError } from "../core/errors.js";
import type { FusionModel } from "../decode/index.js";
import { languageScorer } from "./language-scorer.js";
import type { LoadedModel } from "./load.js";

/** The codes of `<unknown>` on both sides are one: neither ever stands for a token that was heard. */
const UNKNOWN = 0;

/**
 * @param model of task: language, a network or an n-gram, over the same tokens.
 * @param classes names of the tokens that are transcribed, by code.
 * @throws OST_CONFIG for another model, or one that lacks tokens.
 */
export function languageFusion(model: LoadedModel, classes: readonly string[]): FusionModel<unknown> {
  const { header, predictor } = model;
  const own = header.spec.classes;
  const known = new Map(own.map((name, code) => [name, code]));
  const codes = classes.map((name, code) => (code === UNKNOWN ? UNKNOWN : known.get(name)));
  const lacking = classes.filter((_, code) => codes[code] === undefined);
  const refuse = (what: string, expected: string, got: string) =>
    new OstinatoError("OST_CONFIG", {
      what,
      expected,
      got,
      where: header.name,
      repair: "train a model of task: language on the texts, with the same kind of tokens",
    });
  if (header.task !== "language" || header.spec.targetKind !== "next") {
    throw refuse("the model predicts no next code", "a model of task: language", `task: ${header.task}`);
  }
  if (lacking.length > 0) {
    throw refuse(
      "the language model lacks tokens that are transcribed",
      `all of ${classes.length} tokens`,
      `none of ${lacking
        .slice(0, 8)
        .map((name) => JSON.stringify(name))
        .join(", ")}`,
    );
  }
  const mapped = codes as number[];
  if (predictor instanceof NGram) return ngramFusion(predictor, own, mapped);
  if (model.network === null) throw refuse("the baseline is no n-gram", "a network or an n-gram", header.architecture.type);
  return networkFusion(model, mapped);
}

function ngramFusion(ngram: NGram, names: readonly string[], codes: readonly number[]): FusionModel<unknown> {
  const scorer = ngram.codeScorer();
  const begin = names.lastIndexOf("<begin>");
  const end = names.lastIndexOf("<end>");
  const initial = begin < 0 ? scorer.initial : scorer.advance(scorer.initial, begin).state;
  return {
    vocabSize: codes.length,
    initial,
    advance: (state, token) => scorer.advance(state as number, codes[token]),
    ...(end >= 0 && { end: (state: unknown) => scorer.advance(state as number, end).logProbability }),
  };
}

interface ScoredState {
  /** Of the network, behind all tokens so far; null before the first where nothing begins a text. */
  state: Float32Array;
  /** log p of the next token. */
  next: Float32Array | Float64Array;
}

function networkFusion(model: LoadedModel, codes: readonly number[]): FusionModel<unknown> {
  const scorer = languageScorer(model);
  const { vocabSize, begin, end } = scorer;
  const read = (state: Float32Array, code: number): ScoredState => {
    const { states, logProbabilities } = scorer.advance([state], [code]);
    return { state: states[0], next: logProbabilities };
  };
  // Without a marker nothing is known of how texts begin: every token is as likely.
  const unread = { state: scorer.initial, next: new Float64Array(vocabSize).fill(-Math.log(vocabSize)) };
  return {
    vocabSize: codes.length,
    initial: begin === null ? unread : read(scorer.initial, begin),
    advance(state, token) {
      const { state: before, next } = state as ScoredState;
      return { logProbability: Math.min(0, next[codes[token]]), state: read(before, codes[token]) };
    },
    ...(end !== null && { end: (state: unknown) => Math.min(0, (state as ScoredState).next[end]) }),
  };
}
