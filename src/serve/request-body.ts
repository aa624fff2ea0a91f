/** @file A body as one piece of bytes. */
import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";

const BLOCK_BYTES = 65_536;

/**
 * Copies what comes into blocks: a list of the chunks themselves would take a hundred times the size of a body that comes a byte at a time,
 * and hold on to all that was read with it.
 *
 * Rejects with `statusCode` 413 for more than `limit` bytes, 400 for another length than the request says.
 */
export function gatherBody({ headers }: FastifyRequest, payload: Readable, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const fault = (statusCode: number, code: string) => Object.assign(new Error(code), { statusCode, code });
    const said = headers["content-length"] === undefined ? null : Number(headers["content-length"]);
    if (said !== null && said > limit) return reject(fault(413, "FST_ERR_CTP_BODY_TOO_LARGE"));
    const blocks: Buffer[] = [];
    let block = Buffer.allocUnsafe(said ?? BLOCK_BYTES);
    let [used, size] = [0, 0];
    const take = (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        payload.off("data", take);
        payload.pause();
        reject(fault(413, "FST_ERR_CTP_BODY_TOO_LARGE"));
        return;
      }
      for (let at = 0; at < chunk.length; ) {
        if (used === block.length) {
          blocks.push(block);
          block = Buffer.allocUnsafe(BLOCK_BYTES);
          used = 0;
        }
        const copied = chunk.copy(block, used, at);
        used += copied;
        at += copied;
      }
    };
    payload.on("data", take);
    payload.once("end", () => {
      const last = block.subarray(0, used);
      if (said !== null && size !== said) reject(fault(400, "FST_ERR_CTP_INVALID_CONTENT_LENGTH"));
      else resolve(blocks.length === 0 ? last : Buffer.concat([...blocks, last], size));
    });
    payload.once("error", () => reject(fault(400, "FST_ERR_CTP_INVALID_CONTENT_LENGTH")));
  });
}
