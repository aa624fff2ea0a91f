/** @file Who a state belongs to: the server and `ostinato stream` derive it in the same way, so their snapshots are interchangeable. */
import { createHash } from "node:crypto";
import { OstinatoError } from "../core/errors.js";

/** Who asks: the hex SHA-256 of the owner key, see {@link ownerOf}. */
export type Owner = string;

const MAX_KEY_BYTES = 512;

/**
 * The owner that a key stands for. The key itself is kept nowhere, neither in memory nor in a snapshot.
 *
 * A session of the library takes any text for its owner; one that is `ownerOf(key)` makes snapshots that a server opens for that key.
 *
 * @throws OST_OWNER without a key of 1..512 visible ASCII characters.
 */
export function ownerOf(key: string | undefined): Owner {
  if (!key || key.length > MAX_KEY_BYTES || !/^[\x21-\x7e]+$/.test(key)) {
    throw new OstinatoError("OST_OWNER", {
      what: "a session needs an owner key",
      expected: `1 to ${MAX_KEY_BYTES} visible ASCII characters`,
      got: key ? "something else" : "none",
      repair: "choose a long random key, keep it, and send it with every request: Authorization: Bearer KEY",
    });
  }
  return createHash("sha256").update(key).digest("hex");
}
