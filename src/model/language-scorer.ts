/** @file A language model of codes as a scorer of next tokens: what generates and what tells how probable a text is. */

import { OstinatoError } from "../core/errors.js";
import { logSoftmax } from "../core/log-softmax.js";
import { unknownPiece } from "../data/index.js";
import type { StepScorer } from "../decode/index.js";
import { flattenState, stepperOf } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import { tempered } from "./calibrated.js";
import type { LoadedModel } from "./load.js";
import { sequenceModel } from "./network.js";

export interface LanguageScorer extends StepScorer<Float32Array> {
  /** The codes of a text, without the markers around whole texts. @throws OST_VALUE naming what the vocabulary does not hold. */
  encode(text: string): number[];
  /** The text of some codes; markers are nothing. */
  decode(codes: Iterable<number>): string;
  /** What a code stands for. */
  nameOf(code: number): string;
  /** The code that begins every text, and the one that ends it; null where texts were learned without. */
  readonly begin: number | null;
  readonly end: number | null;
}

/** Names of the markers around whole texts. */
const MARKERS = { begin: "<begin>", end: "<end>" };

/**
 * @throws OST_CONFIG for a model that does not predict its own next code, or one that reads more than its codes: what else would come is not
 *         known.
 */
export function languageScorer({ header, preprocessing, network: any }: LoadedModel): LanguageScorer {
  const { spec, task, name } = header;
  const codebook = preprocessing.targetCodebook;
  const refuse = (what: string, got: string, repair: string) =>
    new OstinatoError("OST_CONFIG", { what, expected: "a network of task: language over codes", got, where: name, repair });
  if (task !== "language" || spec.targetKind !== "next" || any === null || codebook === null) {
    throw refuse("the model predicts no next code", any === null ? "a baseline" : `task: ${task}`, "choose a language model");
  }
  const network = sequenceModel(any);
  const embedded = spec.codes?.length === 1 && spec.features.length === 1;
  const oneHot = !spec.codes && spec.features.length === codebook.size;
  if (!embedded && !oneHot) {
    throw refuse(
      "the model reads more than its codes, and nothing says what else would come",
      spec.features.slice(0, 8).join(", "),
      "train it with the target column as its only input",
    );
  }
  const rowOf = (code: number): Float32Array => {
    if (embedded) return Float32Array.of(code);
    const row = new Float32Array(spec.features.length);
    row[code] = 1;
    return row;
  };
  const stepper = stepperOf(network);
  const vocabSize = spec.classes.length;
  const marker = (wanted: string) => {
    const code = spec.classes.lastIndexOf(wanted);
    return code >= 0 ? code : null;
  };
  const [begin, end] = [marker(MARKERS.begin), marker(MARKERS.end)];
  return {
    vocabSize,
    initial: inference(() => flattenState(network.stateSpec, network.initialState(1))),
    begin,
    end,
    nameOf: (code) => spec.classes[code],
    decode: (codes) => preprocessing.decodeTarget(codes),
    encode(text) {
      // Events stand between white space; a tokenizer knows its own pieces.
      const cells = codebook.several ? [text] : text.split(/\s+/).filter((cell) => cell !== "");
      const codes = cells.flatMap((cell) => [...codebook.encode(cell)]).filter((code) => code !== begin && code !== end);
      const unknown = codes.indexOf(0);
      if (unknown < 0) return [...codes];
      throw new OstinatoError("OST_VALUE", {
        what: "the text holds what the model has never seen",
        expected: "what its vocabulary holds",
        got: JSON.stringify(unknownPiece(codebook, text) ?? cells[unknown] ?? text.slice(0, 40)),
        where: `token ${unknown + 1}`,
        repair: "leave it out, or train on text that holds it",
      });
    },
    advance(states, tokens) {
      const logProbabilities = new Float64Array(states.length * vocabSize);
      const next = new Array<Float32Array>(states.length);
      stepper.stepMany(tokens.map((token, i) => ({ x: rowOf(token), state: states[i] }))).forEach((row, i) => {
        if (row instanceof OstinatoError) throw row;
        if (row === null) {
          throw new OstinatoError("OST_NAN", { what: "the network gave a value that is not finite", where: name });
        }
        next[i] = row.state;
        logSoftmax(
          tempered(row.output, header.calibration?.temperature),
          0,
          logProbabilities.subarray(i * vocabSize, (i + 1) * vocabSize),
        );
      });
      return { logProbabilities, states: next };
    },
  };
}
