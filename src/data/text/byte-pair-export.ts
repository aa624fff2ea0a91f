/**
 * @file Writes learned byte pairs as a Hugging Face `tokenizer.json`, which the libraries of other languages read.
 *
 * Ids are the codes minus one, since code 0 is never encoded: `TokenizerJson`, which adds one, gives the very codes of the original.
 * One difference is the format's: where a text spells out a marker ("<begin>"), a reader of the file takes it for the marker.
 */
import { BYTE_ALPHABET, BYTE_PAIR_WORD, type BytePair } from "./byte-pair.js";

/**
 * The content of the file, ready for JSON.stringify. Bytes are written in the byte-level alphabet: a byte that is a visible Latin-1 character
 * by that character, the others in their order by the characters from U+0100 on.
 */
export function tokenizerJson(codebook: BytePair): Record<string, unknown> {
  const alphabet = byteAlphabet();
  const written = (code: number) => Array.from(codebook.bytesOf(code), (byte) => alphabet[byte]).join("");
  const { begin, end } = codebook.markers;
  const pieces = Array.from({ length: BYTE_ALPHABET + codebook.merges.length - 1 }, (_, id) => written(id + 1));
  const markers = [begin, end].flatMap((code) => (code === null ? [] : [{ id: code - 1, content: codebook.nameOf(code) }]));
  const marker = (code: number | null) => (code === null ? [] : [{ SpecialToken: { id: codebook.nameOf(code), type_id: 0 } }]);
  const template = [...marker(begin), { Sequence: { id: "A", type_id: 0 } }, ...marker(end)];
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: markers.map((token) => ({ ...token, ...plain })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: BYTE_PAIR_WORD.source }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor:
      markers.length === 0
        ? null
        : {
            type: "TemplateProcessing",
            single: template,
            pair: [...template, { Sequence: { id: "B", type_id: 1 } }],
            special_tokens: Object.fromEntries(
              markers.map(({ id, content }) => [content, { id: content, ids: [id], tokens: [content] }]),
            ),
          },
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: codebook.merges.map(([left, right]) => [written(left), written(right)]),
    },
  };
}

/** One visible character for each byte, none of them a space. */
function byteAlphabet(): string[] {
  let hidden = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(visible ? byte : 0x100 + hidden++);
  });
}
