/**
 * @file Standard output and error whose reader may go away, as `head` does: what is written for nobody is dropped and the command goes on.
 *
 * Left alone, a closed pipe ends the program at the next write, and with it the work in hand: a checkpoint, a snapshot.
 */
import { OstinatoError } from "../core/errors.js";

/** True once nothing that is written to standard output arrives any more. */
let closed = false;
let failure: NodeJS.ErrnoException | undefined;

/** Takes the errors of both streams over; to be called once, before anything is written. */
export function surviveClosedOutput(): void {
  process.stderr.on("error", () => {});
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") failure ??= error;
    closed = true;
  });
}

/** Writes a result and waits until it is out, or until `signal` is aborted. @returns false where nobody reads it. */
export function writeOut(text: string, { signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
  if (closed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const stop = () => resolve(true);
    signal?.addEventListener("abort", stop, { once: true });
    process.stdout.write(text, (error) => {
      signal?.removeEventListener("abort", stop);
      resolve(!error);
    });
  });
}

/** Resolves when everything written to both streams is out or lost. */
export async function flushOutput(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write("", resolve));
  // The streams tell their errors after the callbacks of the writes.
  await new Promise((resolve) => setImmediate(resolve));
}

/** Why results were lost, or undefined: a reader that goes away loses nothing that it wanted, a full disk does. */
export function outputFault(): OstinatoError | undefined {
  if (!failure) return undefined;
  return new OstinatoError(
    "OST_FILE",
    {
      what: `the output could not be written (${failure.code ?? failure.message})`,
      where: "standard output",
      repair: "free some space, or send it elsewhere",
    },
    { cause: failure },
  );
}
