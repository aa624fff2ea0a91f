/** @file Steps that come twice, before their turn, or late, over every protocol: the states are those of a run in which nothing of it happens. */
import { join } from "node:path";
import { seed } from "../../../src/core/rng.js";
import { createServer } from "../../../src/serve/server.js";
import { CARRIERS, HttpCaller, openCarrier } from "../carrier.js";
import { disorder } from "../disorder.js";
import { probeAlone } from "../reference.js";
import type { Row, RowResult } from "../row.js";

const KEY = "order";
/** One more record, over REST, whose answer tells all bits of the state behind it. */
const LAST = 0.5;

const row: Row = {
  name: "order",
  async run({ quick, seed: seedOf, folder, log }) {
    const server = await createServer({
      models: new Map([["probe", "probe"]]),
      data: join(folder, "data"),
      durability: "process",
      port: 0,
      grpcPort: 0,
      logger: false,
      drainMs: 500,
      scheduler: { gapHoldMs: 20 },
    });
    const results: RowResult[] = [];
    try {
      const urls = await server.listen();
      const addresses = { http: new URL(urls.http).host, grpc: (urls.grpc as string).replace(/^.*\/\//, "") };
      const rest = new HttpCaller(addresses.http, KEY);
      const [sessions, records] = quick ? [32, 96] : [64, 3200];
      for (const [i, name] of CARRIERS.entries()) {
        const start = performance.now();
        const carrier = await openCarrier(name, addresses, KEY);
        const rng = seed(seedOf * 100 + i);
        const report = await disorder({ carrier, rng, sessions, records, name: `s${i}` });
        carrier.close();
        const { steps, requests, duplicated, swapped, dropped, refusals, wrongs, sent } = report;
        let states = 0;
        for (const [id, values] of sent) if (await isRight(rest, id, values)) states++;
        log(
          `${name}: ${requests} requests in ${((performance.now() - start) / 1000).toFixed(1)} s; refused: ${[...refusals].map(([code, count]) => `${code} ${count}`).join(", ") || "none"}`,
        );
        results.push({
          row: `order: ${name}`,
          goal: "20 % doubled, 10 % swapped, 5 % dropped and sent again: final bits of a clean run",
          measured: `${steps} steps in ${requests} requests: ${duplicated} doubled, ${swapped} swapped, ${dropped} dropped; ${states} of ${sessions} final states right, ${wrongs.length} wrong answers${wrongs[0] ? `: ${wrongs[0]}` : ""}`,
          pass: wrongs.length === 0 && states === sessions && steps === sessions * records,
        });
      }
      rest.close();
    } finally {
      await server.close();
    }
    return results;
  },
};

async function isRight(rest: HttpCaller, id: string, values: readonly number[]): Promise<boolean> {
  const body = JSON.stringify({ record: { value: LAST }, seq: values.length + 1 });
  const { text } = await rest.call("POST", `/v1/models/probe/sessions/${id}/steps`, body);
  const { predictions } = JSON.parse(text);
  const right = probeAlone([...values, LAST].map((value) => Float64Array.of(value)));
  return String(predictions?.[0]?.forecast.hash) === String([...right[values.length]]);
}

export default row;
