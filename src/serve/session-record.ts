/**
 * @file A session as bytes, as a store keeps it.
 *
 *     u8 format, u8 status, u8 durability, u8 reserved, u32 boot, then float64s:
 *     steps, resets, createdAt, born, stateBorn, usedAt, ttlMs, operation, then u32s:
 *     length of preprocessing, of model, of answers (in numbers), of text (in bytes),
 *     then preprocessing float64s, answers float64s, model float32s, text (UTF-8 JSON)
 *
 * All little-endian and aligned. Checksums are the store's; lengths are checked here, so that no bytes, whatever they are, become a state by chance.
 */
import { OstinatoError } from "../core/errors.js";
import type { StreamState } from "../model/stream.js";
import { DURABILITIES, type Durability } from "./operation.js";

const FORMAT = 1;
const FLOATS_AT = 8;
const LENGTHS_AT = FLOATS_AT + 8 * 8;
const BODY_AT = LENGTHS_AT + 4 * 4;
const NO_TTL = -1;

/** What changes rarely, kept as text. */
export interface SessionTraits {
  /** Hash of the model version it is pinned to. */
  version: string;
  creator: string;
  attributes: Readonly<Record<string, string>>;
}

/**
 * The stored answer to one operation: [first seq, records applied, predictions, digest of the input, then the predictions' seqs, times and
 * values, one after another]. Numbers only, so that many lie side by side in one array.
 */
export type Answer = Float64Array;

export const ANSWER_HEADER = 4;
const WIDEST = 1_048_576;

export interface SessionRecord extends SessionTraits {
  quarantined: boolean;
  durability: Durability;
  /** The start of the server in which it was written, counted from 1. */
  boot: number;
  state: StreamState;
  resets: number;
  /** Wall clock, ms since 1970: for people. The others are on the server's own clock, which never jumps. */
  createdAt: number;
  born: number;
  stateBorn: number;
  usedAt: number;
  ttlMs: number | null;
  /** Of the last operation that changed it; 0 unknown. */
  operation: number;
  /** One after another, oldest first: in one array, for they are read and written together at every step. */
  answers: Float64Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The part of a record that changes rarely: encode it once and pass it to `encodeSession`. */
export function encodeTraits({ version, creator, attributes }: SessionTraits, entity: string | null): Uint8Array {
  return encoder.encode(JSON.stringify({ version, creator, attributes, entity }));
}

/** Records are written side by side into blocks: an array and five views of it for each would cost more than what is written. */
const BLOCK_BYTES = 256 * 1024;

class Block {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly singles: Float32Array;
  readonly doubles: Float64Array;
  /** Where the next record begins: a multiple of 8. */
  end = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.words = new Uint32Array(this.bytes.buffer);
    this.singles = new Float32Array(this.bytes.buffer);
    this.doubles = new Float64Array(this.bytes.buffer);
  }
}

let block = new Block(0);

/** Bytes that nobody writes to again; they may lie in a larger array. */
export function encodeSession(record: SessionRecord, traits: Uint8Array): Uint8Array {
  const { state, answers } = record;
  const [preprocessing, model, numbers] = [state.preprocessing.length, state.model.length, answers.length];
  const length = BODY_AT + 8 * (preprocessing + numbers) + 4 * model + traits.length;
  const room = (length + 7) & ~7;
  if (block.end + room > block.bytes.length) block = new Block(Math.max(BLOCK_BYTES, room));
  const { bytes, words, singles, doubles, end: start } = block;
  block.end += room;
  bytes[start] = FORMAT;
  bytes[start + 1] = record.quarantined ? 1 : 0;
  bytes[start + 2] = DURABILITIES.indexOf(record.durability);
  words[start / 4 + 1] = record.boot;
  let at = (start + FLOATS_AT) / 8;
  doubles[at] = state.steps;
  doubles[at + 1] = record.resets;
  doubles[at + 2] = record.createdAt;
  doubles[at + 3] = record.born;
  doubles[at + 4] = record.stateBorn;
  doubles[at + 5] = record.usedAt;
  doubles[at + 6] = record.ttlMs ?? NO_TTL;
  doubles[at + 7] = record.operation;
  const lengths = (start + LENGTHS_AT) / 4;
  words[lengths] = preprocessing;
  words[lengths + 1] = model;
  words[lengths + 2] = numbers;
  words[lengths + 3] = traits.length;
  at = (start + BODY_AT) / 8;
  doubles.set(state.preprocessing, at);
  at += preprocessing;
  doubles.set(answers, at);
  at += numbers;
  singles.set(state.model, at * 2);
  bytes.set(traits, at * 8 + 4 * model);
  return bytes.subarray(start, start + length);
}

/** @throws OST_STATE_LOST for bytes that `encodeSession` did not write. */
export function decodeSession(bytes: Uint8Array): SessionRecord {
  if (bytes.length < BODY_AT || bytes[0] !== FORMAT) throw damaged("an unknown format");
  // A Buffer's own slice would share memory, and not be aligned.
  const { buffer } = new Uint8Array(bytes);
  const words = new Uint32Array(buffer, 0, BODY_AT / 4);
  const floats = new Float64Array(buffer, FLOATS_AT, 8);
  const [preprocessing, model, numbers, text] = words.subarray(LENGTHS_AT / 4);
  const modelAt = BODY_AT + 8 * (preprocessing + numbers);
  const textAt = modelAt + 4 * model;
  if (textAt + text !== buffer.byteLength || bytes[1] > 1 || bytes[2] >= DURABILITIES.length)
    throw damaged("lengths that do not add up");
  let traits: SessionTraits & { entity: string | null };
  try {
    traits = JSON.parse(decoder.decode(new Uint8Array(buffer, textAt, text)));
  } catch {
    throw damaged("a text that is none");
  }
  if (!floats.every(Number.isFinite) || !(floats[0] >= 0) || !areTraits(traits)) throw damaged("values that cannot be");
  const body = new Float64Array(buffer, BODY_AT, preprocessing + numbers);
  const answers = body.slice(preprocessing);
  for (let at = 0; at < answers.length; ) {
    const length = answerLength(answers, at);
    if (!(length > 0 && at + length <= answers.length)) throw damaged("answers that do not add up");
    at += length;
  }
  return {
    version: traits.version,
    creator: traits.creator,
    attributes: traits.attributes,
    quarantined: bytes[1] === 1,
    durability: DURABILITIES[bytes[2]],
    boot: words[1],
    state: {
      preprocessing: body.slice(0, preprocessing),
      model: new Float32Array(buffer.slice(modelAt, textAt)),
      steps: floats[0],
      entity: traits.entity,
    },
    resets: floats[1],
    createdAt: floats[2],
    born: floats[3],
    stateBorn: floats[4],
    usedAt: floats[5],
    ttlMs: floats[6] === NO_TTL ? null : floats[6],
    operation: floats[7],
    answers,
  };
}

function areTraits(traits: unknown): boolean {
  if (typeof traits !== "object" || traits === null) return false;
  const { version, creator, attributes, entity } = traits as Record<string, unknown>;
  if (typeof version !== "string" || typeof creator !== "string" || !(entity === null || typeof entity === "string"))
    return false;
  if (typeof attributes !== "object" || attributes === null) return false;
  for (const name in attributes) if (typeof (attributes as Record<string, unknown>)[name] !== "string") return false;
  return true;
}

/** The header holds how many predictions of how many numbers: [first seq, records, predictions * 2^20 + width, digest]. */
function answerLength(body: Float64Array, at: number): number {
  const shape = body[at + 2];
  const width = shape % WIDEST;
  const count = (shape - width) / WIDEST;
  return ANSWER_HEADER + count * (2 + width);
}

export interface AnswerFacts {
  firstSeq: number;
  records: number;
  digest: number;
  count: number;
  width: number;
}

export function answerFacts(answer: Answer): AnswerFacts {
  const width = answer[2] % WIDEST;
  return { firstSeq: answer[0], records: answer[1], digest: answer[3], width, count: (answer[2] - width) / WIDEST };
}

/** @param width numbers of a prediction, below 2^20. */
export function makeAnswer({ firstSeq, records, digest, count, width }: AnswerFacts): Answer {
  const answer = new Float64Array(ANSWER_HEADER + count * (2 + width));
  answer[0] = firstSeq;
  answer[1] = records;
  answer[2] = count * WIDEST + width;
  answer[3] = digest;
  return answer;
}

/** The answers of a session one by one, as views. */
export function splitAnswers(answers: Float64Array): Answer[] {
  const split: Answer[] = [];
  for (let at = 0; at < answers.length; ) {
    const end = at + answerLength(answers, at);
    split.push(answers.subarray(at, end));
    at = end;
  }
  return split;
}

/** The latest of the answers with one more behind them: as many as the limits allow, the new one among them in any case. */
export function appendAnswer(
  answers: Float64Array,
  answer: Answer,
  { keepAnswers, keepAnswerBytes }: { keepAnswers: number; keepAnswerBytes: number },
): Float64Array {
  let count = 1;
  for (let at = 0; at < answers.length; at += answerLength(answers, at)) count++;
  const room = keepAnswerBytes / 8 - answer.length;
  let from = 0;
  while (from < answers.length && (count > keepAnswers || answers.length - from > room)) {
    from += answerLength(answers, from);
    count--;
  }
  const kept = answers.length - from;
  const all = new Float64Array(kept + answer.length);
  for (let i = 0; i < kept; i++) all[i] = answers[from + i];
  all.set(answer, kept);
  return all;
}

/** Places in an answer: the seqs, the times, the values. */
export function answerParts(answer: Answer): { seq: Float64Array; time: Float64Array; values: Float64Array } {
  const { count } = answerFacts(answer);
  return {
    seq: answer.subarray(ANSWER_HEADER, ANSWER_HEADER + count),
    time: answer.subarray(ANSWER_HEADER + count, ANSWER_HEADER + 2 * count),
    values: answer.subarray(ANSWER_HEADER + 2 * count),
  };
}

function damaged(what: string): OstinatoError {
  return new OstinatoError("OST_STATE_LOST", {
    what: "the session's record is damaged",
    got: what,
    repair: "end the session, and begin again from a snapshot or afresh",
  });
}
