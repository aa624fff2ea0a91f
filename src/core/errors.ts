/**
 * @file The one error type of the system and the catalogue of its codes.
 *
 * Every error says what was expected, what was got, where, and the likely repair. `docs/reference/errors.md` lists the same codes;
 * a test compares the two in both directions.
 */

/** How a command that met this error ends: 1 a check said no, 2 wrong usage or bad input, 3 failed while running. */
export type ExitCode = 1 | 2 | 3;

/** One line per code: what it means, and the exit code of the command line. HTTP status codes live in `protocol/codes.ts`. */
export const ERROR_CODES = {
  OST_USAGE: { exit: 2, meaning: "a command, flag or argument that does not exist or does not fit" },
  OST_CONFIG: { exit: 2, meaning: "the configuration file does not match its schema" },
  OST_FILE: { exit: 2, meaning: "a file is missing, unreadable or empty, or cannot be written" },
  OST_FORMAT: { exit: 2, meaning: "a data file is not in the format its name or the configuration promises" },
  OST_COLUMN: { exit: 2, meaning: "a column that the data does not have, or a duplicated column" },
  OST_VALUE: { exit: 2, meaning: "a cell holds something a column of its kind cannot hold" },
  OST_MISSING: { exit: 2, meaning: "a value is missing and the missing policy is to refuse" },
  OST_ORDER: { exit: 2, meaning: "times are duplicated or go backwards within a series" },
  OST_SPLIT: { exit: 2, meaning: "the split leaves a part empty, overlaps, or names rows that do not exist" },
  OST_WINDOW: { exit: 2, meaning: "a series is shorter than its window and horizon" },
  OST_TARGET: { exit: 2, meaning: "the target cannot be learned: one class only, or not constant within its sequence" },
  OST_SHAPE: { exit: 2, meaning: "the axes of a tensor disagree with what an operation wants" },
  OST_LENGTH: { exit: 2, meaning: "a sequence length lies outside 0 .. time" },
  OST_RANGE: { exit: 2, meaning: "an option or an index lies outside its range" },
  OST_DTYPE: { exit: 2, meaning: "an integer tensor where floats are wanted, or the reverse" },
  OST_ENGINE: { exit: 3, meaning: "the wanted compute engine is not available, or two engines were mixed" },
  OST_MEMORY: { exit: 3, meaning: "the engine's memory is exhausted, or a tensor was used after its scope ended" },
  OST_GRADIENT: { exit: 3, meaning: "a gradient was asked of something that was not recorded" },
  OST_NAN: {
    exit: 3,
    meaning: "a NaN or an infinity arose in training or in a prediction; the last good checkpoint and state are intact",
  },
  OST_CHECKPOINT: { exit: 3, meaning: "a checkpoint could not be written or does not belong to this run" },
  OST_MODEL_FILE: { exit: 2, meaning: "a model file is malformed, truncated or of an unknown format version" },
  OST_CAUSAL: { exit: 2, meaning: "something that looks ahead was asked to run causally" },
  OST_SNAPSHOT: { exit: 2, meaning: "a snapshot is corrupt or belongs to another model or owner" },
  OST_OWNER: { exit: 2, meaning: "a session was opened without an owner, or is not yours" },
  OST_SESSION: { exit: 2, meaning: "the session does not exist, has expired or was ended" },
  OST_START: { exit: 2, meaning: "the first request of a sequence does not say that it starts one" },
  OST_STATE_LOST: {
    exit: 2,
    meaning: "the session is known but its state, or its latest steps, did not outlive a crash or are damaged",
  },
  OST_EXISTS: { exit: 2, meaning: "a session of that id exists already" },
  OST_STALE: { exit: 2, meaning: "a step's number, or its incarnation, lies behind the session" },
  OST_GAP: { exit: 2, meaning: "a step's number leaves out numbers before it, and they did not come" },
  OST_CONFLICT: { exit: 2, meaning: "a step's number was used before for other records" },
  OST_QUARANTINE: {
    exit: 2,
    meaning: "the session's state stopped giving finite values; it waits to be reset, restored or ended",
  },
  OST_REQUEST: { exit: 2, meaning: "a request that the server's interface does not know, or whose body does not fit" },
  OST_MODEL: { exit: 2, meaning: "the server holds no model of that name" },
  OST_VERSION: { exit: 2, meaning: "a model version that is not loaded, is in use, or cannot take over another one's states" },
  OST_CREDENTIAL: { exit: 2, meaning: "no credential, or one that is unknown, expired, revoked or badly signed" },
  OST_SCOPE: { exit: 2, meaning: "the credential does not permit this" },
  OST_RATE: { exit: 3, meaning: "the tenant asks faster, or for more, than its limits permit; try again later" },
  OST_STORE: { exit: 3, meaning: "the store cannot be read or written: full, read-only, damaged or gone" },
  OST_DEADLINE: { exit: 3, meaning: "the request was not begun before its deadline, or its sender went away" },
  OST_AUDIT: { exit: 1, meaning: "the audit log was changed, cut or reordered after it was written" },
  OST_CAPACITY: { exit: 3, meaning: "the server is full or shutting down; try again later" },
  OST_RECORD: { exit: 2, meaning: "a pushed record lacks a field, has one of the wrong type, or goes back in time" },
  OST_PORT: { exit: 3, meaning: "the server's port is in use" },
  OST_INTERNAL: { exit: 3, meaning: "a fault of the program itself" },
} as const satisfies Record<string, { exit: ExitCode; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetail {
  /** What went wrong, in a few words. */
  what: string;
  expected?: string;
  got?: string;
  /** File, line, column, operation, layer or step. */
  where?: string;
  /** The likely repair, in the imperative. */
  repair?: string;
}

/** An error with a code of the catalogue and the four facts a user needs. `message` holds them all in up to three lines. */
export class OstinatoError extends Error {
  override readonly name = "OstinatoError";
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, detail: ErrorDetail | string, options?: ErrorOptions) {
    const facts = bounded(typeof detail === "string" ? { what: detail } : detail);
    super(describe(code, facts), options);
    this.code = code;
    this.detail = facts;
  }

  /** The exit code of a command that ends with this error. */
  get exit(): ExitCode {
    return ERROR_CODES[this.code].exit;
  }
}

/** Facts may quote a file; a cell of a megabyte or a list of all columns of a wide table says no more than its beginning. */
const LONGEST_FACT = 400;

function bounded(detail: ErrorDetail): ErrorDetail {
  const cut = (text: string) =>
    text.length > LONGEST_FACT ? `${text.slice(0, LONGEST_FACT)} … (${text.length - LONGEST_FACT} characters more)` : text;
  return Object.fromEntries(Object.entries(detail).map(([name, text]) => [name, text && cut(text)])) as unknown as ErrorDetail;
}

function describe(code: ErrorCode, { what, expected, got, where, repair }: ErrorDetail): string {
  const first = where ? `${code}  ${where}: ${what}` : `${code}  ${what}`;
  const facts = [expected && `expected ${expected}`, got && `got ${got}`].filter(Boolean).join(", ");
  return [first + (facts ? ` (${facts})` : ""), repair && `  repair: ${repair}`].filter(Boolean).join("\n");
}

/** A misspelt name is short; nothing longer is searched for. */
const LONGEST_NAME = 200;

/** The known name nearest to a misspelt one (Levenshtein distance at most half its length), or undefined. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > LONGEST_NAME) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 2)) + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    previous = row;
  }
  return previous[b.length];
}
