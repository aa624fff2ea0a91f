/**
 * @file The whole server with its leak sentinel as it runs by default, and a little traffic of clients beside it: tells when the sentinel saw
 * a mismatch, and whether the metric and the readiness say so too.
 */
import { createServer } from "../../../src/serve/server.js";
import { LOAD_FEATURES, loadModelFile } from "../load-model.js";

export interface LiveJob {
  /** Of the server's data. */
  folder: string;
  /** Ends then, whether anything was seen or not. */
  patienceMs: number;
}

export interface LiveReport {
  /** From the moment the server listens; null: nothing was seen. */
  seconds: number | null;
  detail: string;
  /** What `/readyz` and `/metrics` say at the end. */
  ready: boolean;
  counted: number;
  /** Comparisons of the sentinel that held, and answers of clients. */
  held: number;
  answered: number;
}

const CLIENTS = 6;
const PAUSE_MS = 40;

const { folder, patienceMs } = JSON.parse(process.argv[2]) as LiveJob;
let [held, answered, over] = [0, 0, false];
let see: (detail: string) => void = () => {};
const seen = new Promise<string>((resolve) => {
  see = resolve;
});
const server = await createServer({
  models: new Map<string, Uint8Array | "probe">([
    ["load", loadModelFile(3)],
    ["probe", "probe"],
  ]),
  data: folder,
  durability: "process",
  port: 0,
  logger: false,
  observer: {
    probe(result, detail) {
      if (result === "ok") held++;
      else see(detail ?? "");
    },
  },
});
const { http } = await server.listen();
const start = performance.now();
const clients = Array.from({ length: CLIENTS }, (_, i) => client(i));
const detail = await Promise.race([seen, new Promise<null>((resolve) => setTimeout(resolve, patienceMs, null))]);
const seconds = detail === null ? null : (performance.now() - start) / 1000;
over = true;
await Promise.all(clients);
const ready = (await fetch(`${http}/readyz`)).status === 200;
const metrics = await (await fetch(`${http}/metrics`)).text();
const counted = Number(/^ostinato_isolation_probe_total\{result="mismatch"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
process.send?.({ report: { seconds, detail: detail ?? "", ready, counted, held, answered } satisfies LiveReport });
process.on("SIGTERM", () => process.exit(0));

/** Opens its session under an id of its own and steps it, whatever it is answered: what is wrong with answers is the sentinel's to find. */
async function client(i: number): Promise<void> {
  const model = i % 2 === 0 ? "load" : "probe";
  const headers = { authorization: `Bearer client-${i}-key`, "content-type": "application/json" };
  const send = async (method: string, path: string, body: object) => {
    const response = await fetch(`${http}/v1/models/${model}/sessions${path}`, { method, headers, body: JSON.stringify(body) });
    await response.arrayBuffer();
    return response.ok;
  };
  while (!over) {
    await send("POST", "", { id: `device-${i}` });
    for (let n = 0; n < 40 && !over; n++) {
      const record =
        model === "probe"
          ? { value: Math.sin(n + i) }
          : Object.fromEntries(Array.from({ length: LOAD_FEATURES }, (_, c) => [`x${c}`, Math.sin(n + i + c)]));
      if (await send("POST", `/device-${i}/steps`, { records: [record] })) answered++;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    await send("DELETE", `/device-${i}`, {});
  }
}
