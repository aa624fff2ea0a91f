/**
 * @file The bytes of a file in blocks, decompressed where its name ends in .gz.
 */
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { OstinatoError } from "../../core/errors.js";

export interface BytesOptions {
  /** Size of a block of the file. */
  blockBytes: number;
  /** Called with the number of bytes read from the file, before decompression. */
  onBytes?: (count: number) => void;
  signal?: AbortSignal;
}

/** @throws OST_FILE if the file cannot be read or is empty. @throws OST_FORMAT if a compressed file is damaged or cut off. */
export async function* readBytes(path: string, { blockBytes, onBytes, signal }: BytesOptions): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: blockBytes });
  const counted = async function* () {
    for await (const block of file as AsyncIterable<Buffer>) {
      onBytes?.(block.length);
      yield block;
    }
  };
  const blocks: AsyncIterable<Buffer> = /\.gz$/i.test(path)
    ? pipeline(counted, createGunzip({ chunkSize: blockBytes }), () => {})
    : counted();
  let empty = true;
  try {
    for await (const block of blocks) {
      signal?.throwIfAborted();
      if (block.length === 0) continue;
      empty = false;
      yield block;
    }
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw code.startsWith("Z_") ? damaged(path, code, cause) : code && !signal?.aborted ? unreadable(path, cause) : cause;
  } finally {
    file.destroy();
  }
  if (empty) {
    throw new OstinatoError("OST_FILE", { what: "the file is empty", expected: "data", got: "0 bytes", where: path });
  }
}

export function unreadable(path: string, cause: unknown): OstinatoError {
  const code = (cause as NodeJS.ErrnoException).code;
  return new OstinatoError(
    "OST_FILE",
    {
      what: code === "ENOENT" ? "the file does not exist" : "the file cannot be read",
      expected: "a readable file",
      got: code ?? String(cause),
      where: path,
      repair: "check the path; paths in a configuration are relative to its own folder",
    },
    { cause },
  );
}

function damaged(path: string, code: string, cause: unknown): OstinatoError {
  const cut = code === "Z_BUF_ERROR";
  return new OstinatoError(
    "OST_FORMAT",
    {
      what: cut ? "the compressed file is cut off" : "the file is not well-formed gzip",
      expected: "a whole gzip file, since its name ends in .gz",
      got: cut ? "its end before the end of its data" : (cause as Error).message,
      where: path,
      repair: cut ? "fetch the file again" : "fetch the file again, or rename it if it is not compressed",
    },
    { cause },
  );
}
