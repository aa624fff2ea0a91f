export { LARGEST_VOCABULARY, UNKNOWN, Vocabulary, type VocabularyOptions } from "./vocabulary.js";
