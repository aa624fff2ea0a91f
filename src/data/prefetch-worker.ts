/** @file The thread that makes batches ahead: begins an epoch when it is told to, and keeps as many batches under way as it was granted. */
import { parentPort, workerData } from "node:worker_threads";
import { Rng } from "../core/rng.js";
import type { BatchSequence } from "./batch-sequence.js";
import {
  buffersOf,
  carryError,
  type FrozenRecipe,
  makeBatches,
  type PrefetchReply,
  type PrefetchRequest,
  thawRecipe,
} from "./prefetch.js";
import type { Slices } from "./slices.js";

type OpenColumn = (description: unknown) => Slices<Float32Array> & Slices<Int32Array>;

const frozen = workerData as FrozenRecipe;
const modules = new Set(
  frozen.series.flatMap(({ x, values, classes }) =>
    [x, values, classes].flatMap((column) => (column && "module" in column ? [column.module] : [])),
  ),
);
const openers = new Map<string, OpenColumn>();
for (const module of modules) openers.set(module, ((await import(module)) as { openColumn: OpenColumn }).openColumn);
const recipe = thawRecipe(frozen, ({ module, description }) => (openers.get(module) as OpenColumn)(description));

let epoch = -1;
let sequence: BatchSequence | null = null;

function send(reply: PrefetchReply): void {
  parentPort?.postMessage(reply, reply.kind === "batch" ? buffersOf(reply.batch) : []);
}

/** Sends the next batch, or why there is none. */
function make(): void {
  if (!sequence) return;
  try {
    const { value, done } = sequence.next();
    if (done) sequence = null;
    send(done ? { kind: "end", epoch } : { kind: "batch", epoch, batch: value });
  } catch (error) {
    sequence = null;
    send({ kind: "error", epoch, error: carryError(error) });
  }
}

function begin({ epoch: number, rng, skip, ahead }: Extract<PrefetchRequest, { kind: "begin" }>): void {
  epoch = number;
  try {
    sequence = makeBatches(recipe, new Rng(rng));
    sequence.skip(skip);
  } catch (error) {
    sequence = null;
    send({ kind: "error", epoch, error: carryError(error) });
  }
  for (let i = 0; i < ahead; i++) make();
}

parentPort?.on("message", (request: PrefetchRequest) => {
  if (request.kind === "begin") begin(request);
  else if (request.epoch === epoch) make();
});
send({ kind: "ready" });
