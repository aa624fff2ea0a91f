/** @file The process that makes load. */
import { loadGrpc } from "./load-grpc.js";
import { loadHttp } from "./load-http.js";
import type { LoadJob } from "./load-job.js";
import { loadWebSocket } from "./load-websocket.js";

const job = JSON.parse(process.argv[2]) as LoadJob;
const load = { websocket: loadWebSocket, grpc: loadGrpc, http: loadHttp }[job.protocol];
process.send?.({ result: await load(job) }, undefined, undefined, () => process.exit(0));
