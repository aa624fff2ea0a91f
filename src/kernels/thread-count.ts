/** @file How many threads one call may use. No bit of any result depends on it, so it is a setting of the machine and not of a model. */
import { coreCount } from "#platform";
import { OstinatoError } from "../core/errors.js";

/** A number, or as many as this machine has cores. */
export type ThreadCount = number | "auto";

const MOST = 64;
/** More threads wait for each other longer than they save on the sizes of recurrent models. */
const MOST_BY_ITSELF = 8;

/** @throws OST_RANGE for anything but "auto" and whole numbers from 1 to 64. */
export function countThreads(threads: ThreadCount, where: string): number {
  if (threads === "auto") return Math.max(1, Math.min(MOST_BY_ITSELF, coreCount()));
  if (Number.isInteger(threads) && threads >= 1 && threads <= MOST) return threads;
  throw new OstinatoError("OST_RANGE", {
    what: "no such number of threads",
    expected: `1 .. ${MOST}, or auto`,
    got: String(threads),
    where,
  });
}
