/** @file `ostinato stream`: raw records as NDJSON on stdin, one JSON object per record on stdout, with the state carried from one to the next. */
import { readFile } from "node:fs/promises";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import type { WeightType } from "../kernels/index.js";
import { openSession, type RawRecord, type StreamSession } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { ownerOf } from "../serve/owner.js";
import { takeInterrupts } from "./interrupt.js";
import { writeOut } from "./output.js";
import { wantWritable, writeWhole } from "./output-file.js";
import { jsonLine } from "./printable.js";
import { counted, Terminal, type TerminalOptions } from "./terminal.js";

export interface StreamCommandOptions extends TerminalOptions {
  /** An owner key, as a server's clients send it. */
  owner: string;
  snapshotIn?: string;
  snapshotOut?: string;
  skipBad?: boolean;
  weights?: WeightType;
}

const MAX_LINE_CHARACTERS = 1 << 20;

export async function streamCommand(path: string, options: StreamCommandOptions): Promise<0> {
  const terminal = new Terminal({ json: true, quiet: options.quiet });
  if (options.snapshotOut !== undefined) wantWritable(options.snapshotOut);
  const loaded = await loadModel(path, { weights: options.weights });
  const snapshot = options.snapshotIn === undefined ? undefined : await readSnapshot(options.snapshotIn);
  const session = openSession(loaded, { owner: ownerOf(options.owner), snapshot });
  let read = 0;
  let bad = 0;
  let unread = false;
  const interrupt = takeInterrupts({ exit: 0, onFirst: () => process.stdin.destroy() });
  try {
    for await (const { text, number } of lines(process.stdin)) {
      let answer: string;
      try {
        const predictions = session.push(parseRecord(text));
        read++;
        answer = jsonLine({ steps: session.steps, predictions });
      } catch (error) {
        const located = locate(error, number);
        if (!options.skipBad || located.code === "OST_NAN") throw located;
        bad++;
        terminal.warn(`skipped: ${located.message}`);
        continue;
      }
      unread = !(await writeOut(answer));
      if (unread) break;
    }
  } finally {
    interrupt.release();
    if (options.snapshotOut !== undefined) await saveSnapshot(options.snapshotOut, session);
  }
  if (unread) terminal.warn("nobody reads the predictions any more: the stream ended here");
  const skipped = bad > 0 ? `, ${counted(bad, "bad line")} skipped` : "";
  terminal.print(`${counted(read, "record")} read${skipped}; the state is ${counted(session.steps, "step")} old.`);
  return 0;
}

function parseRecord(text: string): RawRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OstinatoError(
      "OST_FORMAT",
      { what: "the line is not JSON", expected: 'one object, such as {"value": 1.5}', got: excerpt(text) },
      { cause },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new OstinatoError("OST_FORMAT", {
      what: "the line is no JSON object",
      expected: 'one object, such as {"value": 1.5}',
      got: excerpt(text),
    });
  }
  return value as RawRecord;
}

function excerpt(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The error with the number of its line. */
function locate(error: unknown, number: number): OstinatoError {
  if (!(error instanceof OstinatoError)) throw error;
  const where = `stdin line ${number}${error.detail.where ? `, ${error.detail.where}` : ""}`;
  return new OstinatoError(error.code as ErrorCode, { ...error.detail, where }, { cause: error });
}

/** Lines that are not blank, as they arrive; the last may lack its end. */
async function* lines(input: AsyncIterable<Buffer>): AsyncGenerator<{ text: string; number: number }> {
  const decoder = new TextDecoder();
  let rest = "";
  let number = 0;
  try {
    for await (const chunk of input) {
      rest += decoder.decode(chunk, { stream: true });
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
        const text = rest.slice(0, end);
        rest = rest.slice(end + 1);
        number++;
        if (text.trim() !== "") yield { text, number };
      }
      if (rest.length > MAX_LINE_CHARACTERS) {
        throw new OstinatoError("OST_FORMAT", {
          what: "a line does not end",
          expected: "one JSON object per line",
          got: excerpt(rest),
          where: `stdin line ${number + 1}`,
        });
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
  rest += decoder.decode();
  if (rest.trim() !== "") yield { text: rest, number: number + 1 };
}

async function readSnapshot(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OstinatoError(
      "OST_FILE",
      { what: `the snapshot cannot be read (${code})`, where: path, repair: "check the path" },
      { cause },
    );
  }
}

async function saveSnapshot(path: string, session: StreamSession): Promise<void> {
  await writeWhole(path, session.snapshot());
}
