import { afterEach, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type StreamServer, startStreamServer } from "../../test/support/stream-server.js";
import { probeReference } from "../model/probe.js";
import { DTYPE, FRAME, FrameReader, FrameWriter, SUBPROTOCOL } from "../protocol/frames.js";

const STREAMS = 12;
const servers: StreamServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

it("every answer names the stream that was asked, and is of its session", async () => {
  const server = await startStreamServer();
  servers.push(server);
  const socket = new WebSocket(server.url, [SUBPROTOCOL], {
    headers: { Authorization: "Bearer secret" },
    perMessageDeflate: false,
  });
  const heard = new Map<number, { type: number; stream: number; values: number[] }>();
  const expected = 3 * STREAMS + 1;
  const all = new Promise<void>((resolve, reject) => {
    const reader = new FrameReader();
    socket.on("message", (data: Buffer) => {
      reader.begin(data);
      while (reader.next()) {
        const { type, stream, request } = reader;
        if (request !== 0) heard.set(request, { type, stream, values: Array.from(reader.output()?.values ?? []) });
      }
      if (heard.size === expected) resolve();
    });
    socket.on("close", () => reject(new Error(`closed after ${heard.size} answers`)));
  });
  await new Promise((resolve) => socket.once("open", resolve));
  const writer = new FrameWriter();
  const step = (stream: number, request: number, seq: number, value: number) =>
    writer.rows({ stream, request, seq }, [value], { columns: 1, timed: false, dtype: DTYPE.F64, count: 1 });
  for (let stream = 1; stream <= STREAMS; stream++) {
    writer.json(FRAME.OPEN, { stream, request: 100 + stream }, { model: "probe", id: `s${stream}`, output: "f64" });
    step(stream, 200 + stream, 1, stream);
    step(stream, 300 + stream, 0, -stream);
  }
  step(STREAMS + 1, 999, 1, 0);
  socket.send(writer.take());
  await all;
  for (let stream = 1; stream <= STREAMS; stream++) {
    const [first, second] = probeReference([stream, -stream]);
    expect(heard.get(100 + stream)).toMatchObject({ type: FRAME.OPENED, stream });
    expect(heard.get(200 + stream)).toEqual({ type: FRAME.OUT, stream, values: first });
    expect(heard.get(300 + stream)).toEqual({ type: FRAME.OUT, stream, values: second });
  }
  expect(heard.get(999)).toMatchObject({ type: FRAME.ERR, stream: STREAMS + 1 });
  socket.removeAllListeners("close");
  socket.terminate();
});
