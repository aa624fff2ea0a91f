/**
 * @file How far a long reading is, told at most ten times a second.
 */

export interface ReadProgress {
  /** Bytes of the files read so far, before decompression. */
  bytes: number;
  totalBytes: number;
  rows: number;
  /** The file being read. */
  file: string;
}

const APART_MS = 100;

export class ProgressMeter {
  readonly #tell: ((progress: ReadProgress) => void) | undefined;
  readonly #state: ReadProgress;
  #last = 0;

  constructor(tell: ((progress: ReadProgress) => void) | undefined, totalBytes: number) {
    this.#tell = tell;
    this.#state = { bytes: 0, totalBytes, rows: 0, file: "" };
  }

  begin(file: string): void {
    this.#state.file = file;
  }

  addBytes(count: number): void {
    this.#state.bytes = Math.min(this.#state.bytes + count, this.#state.totalBytes);
  }

  /** Counts rows, and tells if the last time was long enough ago. */
  addRows(count: number): void {
    this.#state.rows += count;
    if (!this.#tell) return;
    const now = performance.now();
    if (now - this.#last < APART_MS) return;
    this.#last = now;
    this.#tell({ ...this.#state });
  }

  /** Tells the end; after this every byte is read. */
  end(): void {
    this.#state.bytes = this.#state.totalBytes;
    this.#tell?.({ ...this.#state });
  }
}
