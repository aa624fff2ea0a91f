/** @file A body of lines, read as it comes. */
export class ReadableLines {
  constructor(readonly source: AsyncIterable<Uint8Array>) {}
}
