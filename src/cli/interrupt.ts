/** @file Ctrl-C: once asks the command to end cleanly, twice ends it at once. SIGTERM counts as Ctrl-C. */
import type { ExitCode } from "../core/errors.js";

export interface Interrupt {
  /** Aborted at the first signal. */
  readonly signal: AbortSignal;
  /** Gives the signals back. */
  release(): void;
}

/** Not SIGHUP: whoever starts a long run with nohup wants it to outlive the terminal. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Takes the signals over.
 *
 * @param options `exit`: the code of a second signal, 3 unless ending is what the command is for. `onFirst`: what to do at the first one.
 */
export function takeInterrupts({ exit = 3, onFirst }: { exit?: ExitCode | 0; onFirst?: () => void } = {}): Interrupt {
  const controller = new AbortController();
  const handle = () => {
    if (controller.signal.aborted) process.exit(exit);
    controller.abort();
    onFirst?.();
  };
  for (const name of SIGNALS) process.on(name, handle);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of SIGNALS) process.off(name, handle);
    },
  };
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
