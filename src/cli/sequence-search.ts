/** @file Searching for the sequences of whole series with settings of the command line, several to a series. */
import type { Batch } from "../core/batch.js";
import { ctcLogProbability } from "../core/ctc-alignment.js";
import { OstinatoError } from "../core/errors.js";
import { beamSearch, type CtcFusion, ctcBeam, ctcGreedy, greedy } from "../decode/index.js";
import { type Decoding, encodeBatch, encoderDecoder, forwardBatch, type LoadedModel, sequenceModel } from "../model/index.js";
import type { DecoderState, EncoderDecoder } from "../nn/index.js";
import { inference } from "../tensor/index.js";

/** A sequence that was found. */
export interface FoundSequence {
  tokens: number[];
  /** Of the sequence given its input, in nats; NaN from a predictor that has none. */
  logProbability: number;
  /** What several are ranked by. */
  score: number;
  /** False where it was cut at the greatest length. Absent where nothing ends a sequence but its input. */
  finished?: boolean;
  /** Where the model looked when it wrote each token, and the end where it was written: a row of shares of the source's steps. */
  attention?: number[][];
}

export interface SearchOptions {
  beam?: number;
  lengthPenalty?: number;
  coveragePenalty?: number;
  blockNgram?: number;
  maxLength?: number;
  /** Sequences per series, best first. Default 1. */
  nBest?: number;
  /** Adds where the model looked, where it has attention. */
  attention?: boolean;
  /** transcribe: a model of the texts that has a say. */
  fusion?: CtcFusion<unknown>;
}

/** How a model's own settings and those of the command line go together. @throws OST_USAGE where they do not. */
export function decodingOf({ header, network }: LoadedModel, options: SearchOptions = {}): Decoding {
  const own: Decoding = header.decoding ?? {
    method: "greedy",
    width: 1,
    lengthPenalty: 0,
    coveragePenalty: 0,
    maxLength: 1000,
  };
  const { beam, lengthPenalty, coveragePenalty, blockNgram, nBest = 1 } = options;
  const searched = beam ?? (nBest > 1 || options.fusion ? Math.max(own.width, nBest) : undefined);
  const method = searched !== undefined ? "beam" : own.method;
  const penalized = [lengthPenalty, coveragePenalty, blockNgram].some((one) => one !== undefined);
  const refuse = (what: string, repair: string) => new OstinatoError("OST_USAGE", { what, where: header.name, repair });
  if (network === null && (beam !== undefined || penalized || nBest > 1)) {
    throw refuse("a baseline has one sequence for each input, and searches for none", "leave the options of searching out");
  }
  if (method === "greedy" && penalized) {
    throw refuse("penalties rank the hypotheses of a beam, and greedy decoding has only one", "add --beam, for example --beam 4");
  }
  return {
    method,
    width: Math.max(searched ?? own.width, nBest),
    lengthPenalty: lengthPenalty ?? own.lengthPenalty,
    coveragePenalty: coveragePenalty ?? own.coveragePenalty,
    ...((blockNgram ?? own.noRepeat) !== undefined && { noRepeat: blockNgram ?? own.noRepeat }),
    maxLength: options.maxLength ?? own.maxLength,
  };
}

/** The sequences of every row of a batch, best first. @throws OST_CONFIG for a model that finds none. */
export function searchSequences(
  loaded: LoadedModel,
  batch: Batch,
  decoding: Decoding,
  options: SearchOptions = {},
): FoundSequence[][] {
  const { network, predictor, header } = loaded;
  if (network === null) {
    if (!predictor.decode) throw findsNothing(header.name);
    return predictor.decode(batch).map((one) => [{ ...one, score: one.logProbability }]);
  }
  return inference(() =>
    header.task === "translate"
      ? translate(encoderDecoder(network), batch, decoding, options)
      : transcribe(loaded, batch, decoding, options),
  );
}

function translate(
  network: EncoderDecoder,
  batch: Batch,
  { method, width, lengthPenalty, coveragePenalty: coverage, noRepeat, maxLength }: Decoding,
  { nBest = 1, attention = false, coveragePenalty: asked }: SearchOptions,
): FoundSequence[][] {
  // A configured penalty means nothing without attention; one that is asked for is refused by the search.
  const coveragePenalty = network.attention || asked ? coverage : 0;
  const encoded = encodeBatch(network, batch);
  const starts = Array.from({ length: batch.batchSize }, (_, b) => ({
    state: network.scorer(encoded, b).initial,
    token: network.begin,
    sourceLength: batch.lengths[b],
  }));
  const scorer = network.scorer(encoded, 0);
  const common = { starts, maxLength, end: network.end };
  const found: FoundSequence[][] =
    method === "greedy"
      ? greedy(scorer, common).map((one) => [{ ...one, score: one.logProbability }])
      : beamSearch(scorer, { ...common, width, lengthPenalty, coveragePenalty, blockNgram: noRepeat, nBest });
  return found.map((list, b) =>
    list.map(({ tokens, logProbability, score, finished }) => ({
      tokens,
      logProbability,
      score,
      finished,
      ...(attention &&
        network.attention && {
          attention: attentionTo([...tokens, ...(finished ? [network.end] : [])], {
            advance: (state, token) => scorer.advance([state], [token]),
            state: starts[b].state,
            begin: network.begin,
            length: batch.lengths[b],
          }),
        }),
    })),
  );
}

/** Where the model looked for each token, reading the ones before it again. */
function attentionTo(
  tokens: readonly number[],
  {
    advance,
    state,
    begin,
    length,
  }: {
    advance(state: DecoderState, token: number): { states: DecoderState[]; attention?: Float32Array };
    state: DecoderState;
    begin: number;
    length: number;
  },
): number[][] {
  const rows: number[][] = [];
  let at = state;
  let before = begin;
  for (const token of tokens) {
    const { states, attention = new Float32Array(0) } = advance(at, before);
    rows.push(Array.from(attention.subarray(0, length)));
    [at, before] = [states[0], token];
  }
  return rows;
}

function transcribe(
  { network, header }: LoadedModel,
  batch: Batch,
  { method, width }: Decoding,
  { nBest = 1, fusion }: SearchOptions,
): FoundSequence[][] {
  const { spec } = header;
  const classes = spec.classes.length + 1;
  const values = forwardBatch(sequenceModel(network as NonNullable<typeof network>), spec, batch)
    .prediction.logSoftmax()
    .toArray() as Float32Array;
  return Array.from({ length: batch.batchSize }, (_, b) => {
    const row = values.subarray(b * batch.time * classes, (b * batch.time + batch.lengths[b]) * classes);
    const list =
      method === "greedy"
        ? [{ ...ctcGreedy(row, { classes }), score: 0 }]
        : ctcBeam<unknown>(row, { classes, width, nBest, ...(fusion && { fusion }) });
    return list.map(({ tokens, score }) => {
      // Over all alignments: those of the best path, and those that left the beam, are not all.
      const logProbability = ctcLogProbability(row, { classes, tokens });
      return { tokens, logProbability, score: method === "greedy" ? logProbability : score };
    });
  });
}

function findsNothing(where: string): OstinatoError {
  return new OstinatoError("OST_CONFIG", {
    what: "the model finds no sequences",
    expected: "a model of task: translate or transcribe",
    where,
    repair: "choose another model",
  });
}
