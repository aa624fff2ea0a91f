/**
 * @file Bytes to text: the byte order mark, the encoding, and the place of a byte that does not belong.
 */
import { isUtf8 } from "node:buffer";
import { OstinatoError } from "../../core/errors.js";
import type { Encoding } from "./options.js";

/**
 * The text of blocks of bytes, in blocks. A byte order mark is believed and removed; where the first block has carriage returns and no
 * line feeds, carriage returns end the lines.
 *
 * @throws OST_FORMAT at the first byte that is not of the encoding, with its line and offset.
 */
export async function* decodeText(blocks: AsyncIterable<Buffer>, encoding: Encoding, where: string): AsyncGenerator<string> {
  let decode: ((block: Buffer, last: boolean) => string) | null = null;
  let carriageReturns = false;
  let held: Buffer | null = null;
  for await (const block of blocks) {
    if (decode) {
      const text = decode(block, false);
      if (text !== "") yield carriageReturns ? text.replaceAll("\r", "\n") : text;
      continue;
    }
    held = held === null ? block : Buffer.concat([held, block]);
    if (held.length < 4) continue;
    const first = decoderOf(held, encoding, where);
    decode = first.decode;
    const text = decode(held.subarray(first.skip), false);
    held = null;
    carriageReturns = text.includes("\r") && !text.includes("\n") && text.indexOf("\r") < text.length - 1;
    if (text !== "") yield carriageReturns ? text.replaceAll("\r", "\n") : text;
  }
  let rest = Buffer.alloc(0);
  if (!decode) {
    const first = decoderOf(held ?? rest, encoding, where);
    decode = first.decode;
    rest = (held ?? rest).subarray(first.skip) as Buffer<ArrayBuffer>;
  }
  const text = decode(rest, true);
  if (text !== "") yield carriageReturns ? text.replaceAll("\r", "\n") : text;
}

function decoderOf(
  head: Buffer,
  encoding: Encoding,
  where: string,
): { decode: (block: Buffer, last: boolean) => string; skip: number } {
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return { decode: utf8Decoder(where, 3), skip: 3 };
  if (head[0] === 0xff && head[1] === 0xfe) return { decode: otherDecoder("utf-16le", where), skip: 2 };
  if (head[0] === 0xfe && head[1] === 0xff) return { decode: otherDecoder("utf-16be", where), skip: 2 };
  if (encoding !== "utf-8") return { decode: otherDecoder(encoding, where), skip: 0 };
  if (isGzip(head)) throw compressed(where);
  const zeros = head.subarray(0, 4096);
  const even = zeros.filter((byte, i) => byte === 0 && i % 2 === 0).length;
  const odd = zeros.filter((byte, i) => byte === 0 && i % 2 === 1).length;
  if (Math.max(even, odd) > zeros.length / 5) {
    const guess = odd > even ? "utf-16le" : "utf-16be";
    throw new OstinatoError("OST_FORMAT", {
      what: "the file is not UTF-8 text",
      expected: "text in UTF-8",
      got: `a zero in every other byte, as in ${guess}`,
      where,
      repair: `set data.read.encoding: ${guess}, or save the file as UTF-8`,
    });
  }
  return { decode: utf8Decoder(where, 0), skip: 0 };
}

function utf8Decoder(where: string, offset: number): (block: Buffer, last: boolean) => string {
  let rest: Buffer = Buffer.alloc(0);
  let line = 1;
  let before = offset;
  return (block, last) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, block]) : block;
    const end = last ? bytes.length : wholeCharacters(bytes);
    const whole = bytes.subarray(0, end);
    if (!isUtf8(whole)) throw notUtf8(whole, where, line, before);
    for (let at = whole.indexOf(10); at >= 0; at = whole.indexOf(10, at + 1)) line++;
    before += end;
    rest = Buffer.from(bytes.subarray(end));
    return whole.toString("utf8");
  };
}

/** Up to where the bytes hold whole characters, as far as their last lead byte tells. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? bytes.length - back : bytes.length;
    }
  }
  return bytes.length;
}

function notUtf8(bytes: Buffer, where: string, line: number, before: number): OstinatoError {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    const end = wholeCharacters(bytes.subarray(0, middle));
    if (isUtf8(bytes.subarray(0, end))) good = middle;
    else bad = middle;
  }
  const at = wholeCharacters(bytes.subarray(0, good));
  const breaks = bytes.subarray(0, at).filter((byte) => byte === 10).length;
  const end = bytes.indexOf(10, at);
  const faulty = bytes.subarray(bytes.lastIndexOf(10, at) + 1, end < 0 ? bytes.length : end);
  const guess = faulty.some((byte) => byte >= 0x80 && byte < 0xa0) ? "windows-1252" : "latin1";
  return new OstinatoError("OST_FORMAT", {
    what: "the file is not UTF-8 text",
    expected: "UTF-8",
    got: `the byte 0x${bytes[at].toString(16)} at offset ${before + at}, likely ${guess}`,
    where: `${where} line ${line + breaks}`,
    repair: `set data.read.encoding: ${guess}, or save the file as UTF-8; if one line only is so, correct that line`,
  });
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function compressed(where: string): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: "the file is compressed",
    expected: "text, since its name does not end in .gz",
    got: "gzip data",
    where,
    repair: "give the file a name that ends in .gz",
  });
}

function otherDecoder(encoding: Encoding, where: string): (block: Buffer, last: boolean) => string {
  const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
  let line = 1;
  return (block, last) => {
    let text: string;
    try {
      text = decoder.decode(block, { stream: !last });
    } catch (cause) {
      throw new OstinatoError(
        "OST_FORMAT",
        {
          what: `the file is not ${encoding} text`,
          expected: encoding,
          got: last ? "a character cut off at its end" : "bytes that are no character",
          where: `${where} at or after line ${line}`,
          repair: "correct data.read.encoding, or fetch the file again",
        },
        { cause },
      );
    }
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) line++;
    return text;
  };
}
