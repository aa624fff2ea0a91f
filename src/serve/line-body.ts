/** @file A body of lines, read as it comes. */
import type { Readable } from "node:stream";

export class ReadableLines {
  constructor(readonly source: Readable) {}
}
