/** @file What a row of the proof is: a claim of the server, with the run that shows it. */

export interface RowOptions {
  /** The size for every change: minutes for all rows together. */
  quick: boolean;
  seed: number;
  /** A folder of its own, gone afterwards. */
  folder: string;
  /** A line of progress on standard error. */
  log(line: string): void;
}

export interface RowResult {
  row: string;
  goal: string;
  measured: string;
  /** null: it could not be run here, and `measured` says why. */
  pass: boolean | null;
}

export interface Row {
  /** The beginning of the names of its results, as `--only` takes it. */
  name: string;
  run(options: RowOptions): Promise<RowResult[]>;
}
