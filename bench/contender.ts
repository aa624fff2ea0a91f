/**
 * @file Our contender: one process, one engine. `OSTINATO_ENGINE`, `OSTINATO_ISA` and `OSTINATO_THREADS` choose it; what it says of itself is
 * what really runs. Besides the workloads it takes "peak SECONDS" and "read:BYTES SECONDS", which measure the limits.
 */
import { readFileSync } from "node:fs";
import { defaultEngine } from "ostinato/kernels";
import { type Bandwidth, type Peak, readTurns } from "./limit.js";
import { aboutEngine, type OwnTurn, ownTurns } from "./own-turn.js";
import { takeTurns } from "./turn.js";

const kernels = defaultEngine();
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const work = ownTurns(kernels);
const read = readTurns();

await takeTurns<OwnTurn | Peak | Bandwidth>({ ...aboutEngine(kernels), version }, (name, seconds) =>
  name.startsWith("read:") ? read(name, seconds) : work(name, seconds),
);
