/** @file Load over gRPC streams of grpc-js: requests are made once by protobufjs, answers are counted and not read. */
import { Client, type ClientDuplexStream, credentials, Metadata } from "@grpc/grpc-js";
import { inferenceDefinition } from "./inference-definition.js";
import { LoadClock } from "./load-clock.js";
import type { LoadJob, LoadResult } from "./load-job.js";
import { LOAD_FEATURES } from "./load-model.js";

const raw = (bytes: Buffer) => bytes;

export async function loadGrpc(job: LoadJob): Promise<LoadResult> {
  const clock = new LoadClock();
  const { path, requestSerialize } = inferenceDefinition();
  const client = new Client(job.address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", "Bearer load");
  const each = Math.ceil(job.sessions / job.connections);
  const ask = (stream: number, session: number, start: boolean) => {
    const values = Float32Array.from({ length: job.records * LOAD_FEATURES }, (_, i) => Math.sin(session * 7 + i));
    return requestSerialize({
      model_name: "load",
      id: String(session),
      parameters: { sequence_id: { uint64_param: String(1 + stream * each + session) }, sequence_start: { bool_param: start } },
      inputs: [{ name: "input", datatype: "FP32", shape: [1, job.records, LOAD_FEATURES] }],
      raw_input_contents: [Buffer.from(values.buffer)],
    });
  };
  const calls: ClientDuplexStream<Buffer, Buffer>[] = [];
  const starts: (() => void)[] = [];
  for (let stream = 0; stream < job.connections; stream++) {
    const call = client.makeBidiStreamRequest(path, raw, raw, metadata);
    calls.push(call);
    const first = Array.from({ length: each }, (_, session) => ask(stream, session, true));
    const later = Array.from({ length: each }, (_, session) => ask(stream, session, false));
    let sent = 0;
    // Answers of one stream's sessions come nearly in the order of its requests.
    const sentAt: number[] = [];
    let head = 0;
    const send = () => {
      sentAt.push(performance.now());
      call.write((sent < each ? first : later)[sent % each]);
      sent++;
    };
    call.on("data", (bytes: Buffer) => {
      // Field 1 of an answer is the text of an error.
      if (bytes[0] === 0x0a && !job.echo) clock.failed(bytes.toString("latin1", 0, 300));
      clock.answered(performance.now() - sentAt[head++]);
      if (head > 100_000) {
        sentAt.splice(0, head);
        head = 0;
      }
      if (!clock.over) send();
    });
    call.on("error", (error) => {
      if (!clock.over) clock.failed(error.message);
    });
    starts.push(() => {
      for (let i = 0; i < job.inFlight; i++) send();
    });
  }
  const result = clock.run(job);
  for (const start of starts) start();
  const measured = await result;
  for (const call of calls) call.cancel();
  client.close();
  return measured;
}
