/** @file What an engine refuses operations on sessions with, in words. */
import { OstinatoError } from "../core/errors.js";
import { parseSessionKey } from "./session-key.js";

/** As people know it, without the tenant. */
export function shown(key: string): string {
  const { id } = parseSessionKey(key);
  const text = "text" in id ? id.text : id.number;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

export function missing(key: string, reason: "ended" | "expired" | undefined): OstinatoError {
  return new OstinatoError("OST_SESSION", {
    what:
      reason === undefined ? "there is no such session" : reason === "expired" ? "the session expired" : "the session was ended",
    where: `session "${shown(key)}"`,
    repair: "open it, from a snapshot if its state must go on; its old state is gone",
  });
}

export function notLoaded(version: string): OstinatoError {
  return new OstinatoError("OST_VERSION", {
    what: "the model version is not loaded",
    got: version.slice(0, 12),
    repair: "serve the model file it was made from",
  });
}

export function full(what: string, limit: number, code: "OST_CAPACITY" | "OST_RATE"): OstinatoError {
  return new OstinatoError(code, {
    what,
    expected: `at most ${limit} live sessions`,
    repair: "end sessions that are done, or serve with a higher limit or an expiry",
  });
}
