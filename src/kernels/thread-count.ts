/** @file How many threads one call may use. No bit of any result depends on it, so it is a setting of the machine and not of a model. */
import { coreCount } from "#platform";
import { OstinatoError } from "../core/errors.js";

/** A number, or as many as this machine has cores. */
export type ThreadCount = number | "auto";

const LARGEST = 64;
/** Of a larger machine no call takes all cores unless it is told to. */
const LIMIT_OF_AUTO = 8;

/** @throws OST_RANGE for anything but "auto" and whole numbers from 1 to 64. */
export function countThreads(threads: ThreadCount, where: string): number {
  if (threads === "auto") return Math.max(1, Math.min(LIMIT_OF_AUTO, coreCount()));
  if (Number.isInteger(threads) && threads >= 1 && threads <= LARGEST) return threads;
  throw new OstinatoError("OST_RANGE", {
    what: "no such number of threads",
    expected: `1 .. ${LARGEST}, or auto`,
    got: String(threads),
    where,
  });
}
