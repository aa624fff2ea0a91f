/**
 * @file What names a session: tenant, model and id, as one text that a store can use as its key.
 *
 * An id is a text or an unsigned integer of 64 bits; 42 and "42" are two sessions. Integers travel as decimal text from end to end: a
 * JavaScript number would merge those above 2^53. Texts are compared byte by byte, and are not normalised.
 */
import { OstinatoError } from "../core/errors.js";

export interface SessionName {
  /** From the credential, never from the request: 1..128 of A-Z a-z 0-9 . _ - */
  tenant: string;
  /** The name a model is served under: 1..100 characters, no control characters, no "/". */
  model: string;
  id: SessionId;
}

/** `{ text: "42" }` and `{ number: "42" }` are two sessions. */
export type SessionId = { text: string } | { number: string };

/** Tenants that begin so are the server's own, and are not counted; no credential can name one. */
export const HIDDEN = "~";

const MAX_ID_BYTES = 256;
const MAX_UINT64 = 18446744073709551615n;
const CONTROL_OR_SURROGATE = /[\p{Cc}\p{Surrogate}]/u;

/** No part holds a control character, so the separator keeps any two names apart. */
export function sessionKey({ tenant, model, id }: SessionName): string {
  return `${tenant}\n${model}\n${"text" in id ? `s${id.text}` : `u${id.number}`}`;
}

export function parseSessionKey(key: string): SessionName {
  const [tenant, model, id] = key.split("\n");
  return { tenant, model, id: id[0] === "s" ? { text: id.slice(1) } : { number: id.slice(1) } };
}

/** As it is shown and as REST paths hold it: an integer id as its digits. */
export function idText(id: SessionId): string {
  return "text" in id ? id.text : id.number;
}

/** @throws OST_REQUEST unless it is 1..256 bytes of UTF-8 without control characters, other than "." and "..". */
export function textId(id: string): SessionId {
  const bytes = Buffer.byteLength(id, "utf8");
  if (bytes < 1 || bytes > MAX_ID_BYTES || id === "." || id === ".." || CONTROL_OR_SURROGATE.test(id)) {
    throw new OstinatoError("OST_REQUEST", {
      what: "an id that cannot be one",
      expected: `1 to ${MAX_ID_BYTES} bytes of UTF-8 without control characters, other than "." and ".."`,
      got: `${bytes} bytes`,
      where: "id",
      repair: "choose another id, or leave it out and use the one in the answer",
    });
  }
  return { text: id };
}

/** @param digits decimal digits, or a bigint. @throws OST_REQUEST outside 0 .. 2^64 - 1. */
export function numberId(digits: string | bigint): SessionId {
  const value = typeof digits === "bigint" ? digits : /^\d{1,20}$/.test(digits) ? BigInt(digits) : -1n;
  if (value < 0n || value > MAX_UINT64) {
    throw new OstinatoError("OST_REQUEST", {
      what: "an id that cannot be one",
      expected: `a whole number from 0 to ${MAX_UINT64}`,
      got: String(digits).slice(0, 40),
      where: "id",
    });
  }
  return { number: value.toString() };
}
