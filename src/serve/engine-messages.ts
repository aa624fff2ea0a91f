/**
 * @file What an engine and those who ask it say to each other across threads.
 *
 * Cloning an object per step costs more than computing it. Plain steps (rows of numbers, no beginning) and plain outcomes (no error, no change of
 * life) therefore travel as columns in one transferred array of numbers; everything else travels beside them as it is.
 *
 *     operations: per step `STEP_WIDTH` numbers, then the rows of all steps, one after another
 *     outcomes:   per outcome `OUTCOME_WIDTH` numbers, then per outcome its predictions: seqs, times, values
 */
import { type ErrorCode, type ErrorDetail, OstinatoError } from "../core/errors.js";
import { type Applied, DURABILITIES, type Operation, type Outcome, type Predictions, type SessionStatus } from "./operation.js";

export interface PackedOperations {
  count: number;
  /** Of the packed steps. */
  keys: string[];
  numbers: Float64Array;
  creators: string[];
  /** The others and their places; packed steps fill the places between. */
  others: { at: number; operation: Operation }[];
  /** Operation `i` has the id `firstId + i`, whatever it had before. */
  firstId: number;
  /** All of them are sent again: their answers were lost. */
  retried: boolean;
}

export interface PackedOutcomes {
  count: number;
  numbers: Float64Array;
  /** What many sessions of a batch share. */
  versions: string[];
  creators: string[];
  attributes: Readonly<Record<string, string>>[];
  others: { at: number; outcome: Outcome }[];
}

export type CallName = "load" | "unload" | "route" | "list" | "status" | "healthy" | "replay" | "statistics" | "tend" | "close";

export type EngineRequest =
  | { kind: "execute"; id: number; operations: PackedOperations }
  | { kind: "call"; id: number; name: CallName; arguments: readonly unknown[] };

export type EngineReply =
  | { kind: "ready" }
  /** The engine could not be opened, or is gone; the thread ends. */
  | { kind: "failed"; error: CarriedError }
  | { kind: "outcomes"; id: number; outcomes: PackedOutcomes }
  | { kind: "value"; id: number; value: unknown }
  | { kind: "error"; id: number; error: CarriedError }
  | { kind: "fault"; error: CarriedError; where: string };

/** An error between threads; cloning would lose its code. */
export interface CarriedError {
  code: ErrorCode | null;
  detail: ErrorDetail | null;
  message: string;
  stack?: string;
}

export function carryError(error: unknown): CarriedError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return error instanceof OstinatoError
    ? { code: error.code, detail: error.detail, message, stack }
    : { code: null, detail: null, message, stack };
}

/** The error as it was; one that is not ours as OST_INTERNAL, with itself as the cause. */
export function landError({ code, detail, message, stack }: CarriedError, where: string): OstinatoError {
  const cause = new Error(message);
  cause.stack = stack;
  if (code !== null && detail !== null) return new OstinatoError(code, detail, { cause });
  return new OstinatoError("OST_INTERNAL", { what: "a fault of the program", got: message, where }, { cause });
}

/** flags, seq, incarnation, records, numbers of the rows, creator. */
const STEP_WIDTH = 6;
const [HAS_SEQ, HAS_INCARNATION, HAS_CREATOR, WATCHED, UNWATCHED, END, GO_ON] = [1, 2, 4, 8, 16, 32, 64];

type PlainStep = Extract<Operation, { kind: "step" }> & { input: { rows: Float64Array; count: number } };

function isPlain(operation: Operation): operation is PlainStep {
  return operation.kind === "step" && operation.begin === undefined && "rows" in operation.input;
}

/** Never changes what it is given. Send it with `[packed.numbers.buffer]` as what is transferred. */
export function packOperations(
  operations: readonly Operation[],
  { firstId, retried }: Pick<PackedOperations, "firstId" | "retried">,
): PackedOperations {
  const others: PackedOperations["others"] = [];
  const plain: PlainStep[] = [];
  let values = 0;
  for (let at = 0; at < operations.length; at++) {
    const operation = operations[at];
    if (isPlain(operation)) {
      plain.push(operation);
      values += operation.input.rows.length;
    } else {
      others.push({ at, operation });
    }
  }
  const keys = new Array<string>(plain.length);
  const creators = new Places<string>();
  const numbers = new Float64Array(plain.length * STEP_WIDTH + values);
  let at = 0;
  let rowsAt = plain.length * STEP_WIDTH;
  for (let i = 0; i < plain.length; i++) {
    const { key, seq, incarnation, creator, watched, end, input } = plain[i];
    keys[i] = key;
    let flags = 0;
    if (seq !== undefined) {
      flags |= HAS_SEQ;
      numbers[at + 1] = seq;
    }
    if (incarnation !== undefined) {
      flags |= HAS_INCARNATION;
      numbers[at + 2] = incarnation;
    }
    if (creator !== undefined) {
      flags |= HAS_CREATOR;
      numbers[at + 5] = creators.of(creator);
    }
    if (watched !== undefined) flags |= watched ? WATCHED : UNWATCHED;
    if (end !== undefined) flags |= end ? END : GO_ON;
    numbers[at] = flags;
    numbers[at + 3] = input.count;
    numbers[at + 4] = input.rows.length;
    copyNumbers(input.rows, numbers, rowsAt);
    rowsAt += input.rows.length;
    at += STEP_WIDTH;
  }
  return { count: operations.length, keys, numbers, creators: creators.values, others, firstId, retried };
}

/** Rows are views of the array that came, which the one who unpacks owns. */
export function unpackOperations(packed: PackedOperations): Operation[] {
  const { count, keys, numbers, creators, others, firstId, retried } = packed;
  const operations = new Array<Operation>(count);
  let rowsAt = keys.length * STEP_WIDTH;
  let step = 0;
  let other = 0;
  for (let place = 0; place < count; place++) {
    const operationId = firstId + place;
    if (other < others.length && others[other].at === place) {
      operations[place] = { ...others[other++].operation, operationId, retried };
      continue;
    }
    const at = step * STEP_WIDTH;
    const flags = numbers[at];
    const length = numbers[at + 4];
    operations[place] = {
      kind: "step",
      key: keys[step++],
      input: { rows: viewOf(numbers, rowsAt, length), count: numbers[at + 3] },
      seq: flags & HAS_SEQ ? numbers[at + 1] : undefined,
      incarnation: flags & HAS_INCARNATION ? numbers[at + 2] : undefined,
      watched: flags & WATCHED ? true : flags & UNWATCHED ? false : undefined,
      creator: flags & HAS_CREATOR ? creators[numbers[at + 5]] : undefined,
      end: flags & END ? true : flags & GO_ON ? false : undefined,
      operationId,
      retried,
    };
    rowsAt += length;
  }
  return operations;
}

/** flags, records applied, version, creator, attributes, incarnation, seq, steps, resets, four times, predictions, their values, two durations. */
const OUTCOME_WIDTH = 17;
const [REPEATED, HAS_SESSION, QUARANTINED, HAS_PREDICTIONS] = [1, 2, 4, 8];
/** Two bits each: how it was applied, how durable the session is. */
const [APPLIED_AT, DURABILITY_AT] = [4, 6];
const APPLIED: readonly Applied[] = ["yes", "no", "unknown"];

function isUneventful({ error, lifecycle, expectedSeq, snapshot, view }: Outcome): boolean {
  return error === null && lifecycle.length === 0 && expectedSeq === null && snapshot === null && view === null;
}

/** As `packOperations`. */
export function packOutcomes(outcomes: readonly Outcome[]): PackedOutcomes {
  const others: PackedOutcomes["others"] = [];
  const plain: Outcome[] = [];
  let values = 0;
  for (let at = 0; at < outcomes.length; at++) {
    const outcome = outcomes[at];
    if (isUneventful(outcome)) {
      plain.push(outcome);
      if (outcome.predictions) values += 2 * outcome.predictions.count + outcome.predictions.values.length;
    } else {
      others.push({ at, outcome });
    }
  }
  const versions = new Places<string>();
  const creators = new Places<string>();
  const attributes = new Places<string>();
  const numbers = new Float64Array(plain.length * OUTCOME_WIDTH + values);
  let at = 0;
  let valuesAt = plain.length * OUTCOME_WIDTH;
  for (const { applied, count, session, predictions, repeated, computeMs, commitMs } of plain) {
    let flags = APPLIED.indexOf(applied) << APPLIED_AT;
    if (repeated) flags |= REPEATED;
    numbers[at + 1] = count;
    if (session) {
      flags |= HAS_SESSION | (DURABILITIES.indexOf(session.durability) << DURABILITY_AT);
      if (session.status === "quarantined") flags |= QUARANTINED;
      numbers[at + 2] = versions.of(session.version);
      numbers[at + 3] = creators.of(session.creator);
      numbers[at + 4] = attributes.of(JSON.stringify(session.attributes));
      numbers[at + 5] = session.incarnation;
      numbers[at + 6] = session.seq;
      numbers[at + 7] = session.steps;
      numbers[at + 8] = session.resets;
      numbers[at + 9] = session.createdAt;
      numbers[at + 10] = session.ageMs;
      numbers[at + 11] = session.stateAgeMs;
      numbers[at + 12] = session.idleMs;
    }
    if (predictions) {
      flags |= HAS_PREDICTIONS;
      const { count: made, seq, time, values: given } = predictions;
      numbers[at + 13] = made;
      numbers[at + 14] = given.length;
      copyNumbers(seq, numbers, valuesAt);
      copyNumbers(time, numbers, valuesAt + made);
      copyNumbers(given, numbers, valuesAt + 2 * made);
      valuesAt += 2 * made + given.length;
    }
    numbers[at] = flags;
    numbers[at + 15] = computeMs;
    numbers[at + 16] = commitMs;
    at += OUTCOME_WIDTH;
  }
  const shared = {
    versions: versions.values,
    creators: creators.values,
    attributes: attributes.values.map((one) => JSON.parse(one)),
  };
  return { count: outcomes.length, numbers, ...shared, others };
}

/** Predictions are views of the array that came. */
export function unpackOutcomes(packed: PackedOutcomes): Outcome[] {
  const { count, numbers, others } = packed;
  const outcomes = new Array<Outcome>(count);
  let valuesAt = (count - others.length) * OUTCOME_WIDTH;
  let at = 0;
  let other = 0;
  for (let place = 0; place < count; place++) {
    if (other < others.length && others[other].at === place) {
      outcomes[place] = others[other++].outcome;
      continue;
    }
    const flags = numbers[at];
    let predictions: Predictions | null = null;
    if (flags & HAS_PREDICTIONS) {
      const [made, length] = [numbers[at + 13], numbers[at + 14]];
      predictions = {
        count: made,
        seq: viewOf(numbers, valuesAt, made),
        time: viewOf(numbers, valuesAt + made, made),
        values: viewOf(numbers, valuesAt + 2 * made, length),
      };
      valuesAt += 2 * made + length;
    }
    outcomes[place] = {
      applied: APPLIED[(flags >> APPLIED_AT) & 3],
      count: numbers[at + 1],
      session: flags & HAS_SESSION ? sessionAt(packed, at) : null,
      predictions,
      repeated: (flags & REPEATED) !== 0,
      error: null,
      expectedSeq: null,
      lifecycle: [],
      snapshot: null,
      view: null,
      computeMs: numbers[at + 15],
      commitMs: numbers[at + 16],
    };
    at += OUTCOME_WIDTH;
  }
  return outcomes;
}

function sessionAt({ numbers, versions, creators, attributes }: PackedOutcomes, at: number): SessionStatus {
  const flags = numbers[at];
  return {
    status: flags & QUARANTINED ? "quarantined" : "active",
    version: versions[numbers[at + 2]],
    incarnation: numbers[at + 5],
    seq: numbers[at + 6],
    steps: numbers[at + 7],
    resets: numbers[at + 8],
    durability: DURABILITIES[(flags >> DURABILITY_AT) & 3],
    creator: creators[numbers[at + 3]],
    attributes: attributes[numbers[at + 4]],
    createdAt: numbers[at + 9],
    ageMs: numbers[at + 10],
    stateAgeMs: numbers[at + 11],
    idleMs: numbers[at + 12],
  };
}

/** Below so many numbers a loop is faster than a call of the runtime. */
const FEW = 32;

function copyNumbers(from: Float64Array, to: Float64Array, at: number): void {
  if (from.length > FEW) to.set(from, at);
  else for (let i = 0; i < from.length; i++) to[at + i] = from[i];
}

function viewOf(numbers: Float64Array, at: number, length: number): Float64Array {
  return new Float64Array(numbers.buffer, numbers.byteOffset + at * 8, length);
}

/** Numbers the different values of a batch, in the order they are met. Most batches have one or two. */
class Places<T> {
  readonly values: T[] = [];
  readonly #places = new Map<T, number>();
  #last: T | undefined;
  #lastPlace = -1;

  of(value: T): number {
    if (value === this.#last && this.#lastPlace >= 0) return this.#lastPlace;
    let place = this.#places.get(value);
    if (place === undefined) {
      place = this.values.push(value) - 1;
      this.#places.set(value, place);
    }
    this.#last = value;
    this.#lastPlace = place;
    return place;
  }
}
