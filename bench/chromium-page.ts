/** @file Our contender inside a page. */
import { defaultEngine } from "ostinato/kernels";
import { aboutEngine, ownTurns } from "./own-turn.js";

/** A hundred ticks of the clock of a page that is isolated from other origins: 5 microseconds, as long as a step of a stream. */
const SAMPLE_MS = 0.5;

let work: ReturnType<typeof ownTurns> | undefined;

export const about = () => aboutEngine(defaultEngine());

export const turn: ReturnType<typeof ownTurns> = (name, seconds) => {
  work ??= ownTurns(defaultEngine(), { sampleMs: SAMPLE_MS });
  return work(name, seconds);
};
