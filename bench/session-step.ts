/**
 * @file What one record costs in a session in this process: preprocessing, one step of the network, decoding, through the public interface.
 *
 *     npx tsx --conditions=ostinato-source bench/session-step.ts MODEL.safetensors
 *
 * Pushes made-up records and prints the median and the 99th percentile in microseconds, and the engine's memory before and after.
 */
import { openSession, type RawRecord } from "ostinato/model";
import { loadModel } from "ostinato/node";

const WARM_UP = 2_000;
const PUSHES = 20_000;

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: bench/session-step.ts MODEL.safetensors");
  process.exit(2);
}
const loaded = await loadModel(path);
const session = openSession(loaded, { owner: "bench" });
const { columns, time } = session.model;
const micros: number[] = [];
let at = Date.UTC(2026, 0, 1);
let bytesBefore = 0;
for (let i = 0; i < WARM_UP + PUSHES; i++) {
  if (i === WARM_UP) bytesBefore = loaded.network?.engine.memory.bytesInUse ?? 0;
  at += 250;
  const record: RawRecord = Object.fromEntries(columns.map((name) => [name, name === time ? at : Math.random()]));
  const start = performance.now();
  session.push(record);
  if (i >= WARM_UP) micros.push((performance.now() - start) * 1000);
}
micros.sort((a, b) => a - b);
const engine = loaded.network?.engine;
console.log(
  JSON.stringify({
    model: session.model.name,
    engine: engine ? `${engine.name} (${engine.detail})` : "none: a baseline",
    pushes: PUSHES,
    p50Microseconds: Number(micros[PUSHES / 2].toFixed(1)),
    p99Microseconds: Number(micros[Math.floor(PUSHES * 0.99)].toFixed(1)),
    engineBytes: { before: bytesBefore, after: engine?.memory.bytesInUse ?? 0 },
  }),
);
