export {
  type AlignedLabels,
  type AlignLabelsOptions,
  alignLabels,
  describeNextTokens,
  type NextTokenOptions,
  type NextTokens,
  NO_LABEL,
  nextToken,
  wordLabels,
} from "./alignment.js";
export {
  convertTags,
  detectScheme,
  repairTags,
  spans,
  TAG_SCHEMES,
  type TagFault,
  type TagScheme,
  type TagSpan,
  validateTags,
} from "./bio.js";
export { BytePair, type BytePairOptions, splitBytePairWords } from "./byte-pair.js";
export { tokenizerJson } from "./byte-pair-export.js";
export { Characters, type CharactersOptions, type CharacterUnit, splitCharacters } from "./characters.js";
export { Symbols, type SymbolsOptions } from "./symbols.js";
export { type MarkerCodes, type Markers, type Piece, type Tokenizer, unknownPiece } from "./tokenizer.js";
export { TokenizerJson, type TokenizerJsonOptions } from "./tokenizer-json.js";
export { LARGEST_VOCABULARY, Vocabulary, type VocabularyOptions } from "./vocabulary.js";
export { splitWords, Words, type WordsOptions } from "./words.js";
