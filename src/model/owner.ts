/** @file Whose a session is. */
import { OstinatoError } from "../core/errors.js";

export interface SessionOptions {
  /** Key of the device or user. */
  owner: string;
  /** Continue from these bytes of `snapshot()`. */
  snapshot?: Uint8Array;
}

/** The owner. @throws OST_OWNER unless there is one. */
export function wantOwner(options: SessionOptions | undefined): string {
  if (typeof options?.owner === "string" && options.owner !== "") return options.owner;
  throw new OstinatoError("OST_OWNER", {
    what: "a session needs an owner",
    where: "openSession",
    repair: "pass { owner }, the key of the device or user",
  });
}
