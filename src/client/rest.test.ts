import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { RestClient } from "./rest.js";
import { readServerEvents } from "./server-event.js";

const cleanup: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const act of cleanup.splice(0)) await act();
});

/** A server that answers in turn what it is told to. */
async function scripted(answers: ((response: ServerResponse) => void)[]): Promise<{ url: string; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    heard.push(`${request.method} ${request.url} ${request.headers.authorization ?? "-"} ${body}`);
    (answers.shift() ?? ((last) => last.writeHead(500).end()))(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard };
}

const ok = (value: object) => (response: ServerResponse) => void response.end(JSON.stringify(value));
const refused =
  (status: number, error: object, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, headers).end(JSON.stringify({ error: { message: "", what: "no", ...error } }));
const breaks = (response: ServerResponse) => void response.socket?.destroy();
const backoff = { firstMs: 1, mostMs: 5 };

describe("the client over HTTP", () => {
  it("asks for the paths of the server, ids and names escaped", async () => {
    const { url, heard } = await scripted(Array(9).fill(ok({ models: [] })));
    const rest = new RestClient(`${url}/`, { key: "k" });
    await rest.create("a b", { id: "x/y" });
    await rest.step("m", "ü?", { record: { a: 1 }, seq: 3 });
    await rest.get("m", "s");
    await rest.reset("m", "s", { incarnation: 2 });
    await rest.snapshot("m", "s");
    await rest.restore("m", "s", "AA==");
    await rest.end("m", { number: "18446744073709551615" });
    await rest.answers("m", { number: "1" }, 7);
    expect(await rest.models()).toEqual([]);
    expect(heard).toEqual([
      'POST /v1/models/a%20b/sessions Bearer k {"id":"x/y"}',
      'POST /v1/models/m/sessions/%C3%BC%3F/steps Bearer k {"record":{"a":1},"seq":3}',
      "GET /v1/models/m/sessions/s Bearer k ",
      'POST /v1/models/m/sessions/s/reset Bearer k {"incarnation":2}',
      "GET /v1/models/m/sessions/s/snapshot Bearer k ",
      'POST /v1/models/m/sessions/s/restore Bearer k {"snapshot":"AA=="}',
      "DELETE /v1/models/m/sessions/18446744073709551615?idType=uint64 Bearer k ",
      "GET /v1/models/m/sessions/1/answers?idType=uint64&after=7 Bearer k ",
      "GET /v1/models Bearer k ",
    ]);
  });

  it("repeats a step that has its number until it is answered, and waits as long as it is asked to", async () => {
    const late = refused(429, { code: "OST_RATE", applied: "no" }, { "Retry-After": "1" });
    const { url, heard } = await scripted([
      breaks,
      (response) => void response.writeHead(502).end("gateway"),
      late,
      ok({ seq: 4 }),
    ]);
    const start = performance.now();
    expect(await new RestClient(url, { backoff }).step("m", "s", { record: { a: 1 }, seq: 4 })).toEqual({ seq: 4 });
    expect(performance.now() - start).toBeGreaterThan(1_000);
    expect(heard.length).toBe(4);
    expect(new Set(heard).size).toBe(1);
  });

  it("never repeats a step without a number of which nobody knows whether it was applied", async () => {
    const { url, heard } = await scripted([breaks, refused(503, { code: "OST_CAPACITY", applied: "no" }), ok({ seq: 1 })]);
    const rest = new RestClient(url, { backoff });
    await expect(rest.step("m", "s", { record: { a: 1 } })).rejects.toMatchObject({ code: "OST_DEADLINE", applied: "unknown" });
    expect(heard.length).toBe(1);
    expect(await rest.step("m", "s", { record: { a: 1 } })).toEqual({ seq: 1 });
    expect(heard.length).toBe(3);
  });

  it("gives refusals as errors, those of other servers too", async () => {
    const stale = refused(409, { code: "OST_STALE", what: "behind", expected: "9", applied: "no", expectedSeq: 9 });
    const { url } = await scripted([
      stale,
      refused(400, { code: "OST_FUTURE" }),
      (response) => void response.writeHead(401).end("<html>"),
    ]);
    const rest = new RestClient(url, { backoff });
    const step = () => rest.step("m", "s", { record: {}, seq: 1 });
    await expect(step()).rejects.toMatchObject({
      name: "OstinatoError",
      code: "OST_STALE",
      applied: "no",
      expectedSeq: 9,
      detail: { expected: "9" },
    });
    await expect(step()).rejects.toMatchObject({ code: "OST_INTERNAL", detail: { what: expect.stringContaining("OST_FUTURE") } });
    await expect(step()).rejects.toMatchObject({ code: "OST_CREDENTIAL" });
  });

  it("reads events until their stream ends", async () => {
    const events = [1, 2, 3].map((seq) => `id: ${seq}\nevent: step\ndata: {"kind":"step","seq":${seq}}\n\n`);
    const { url } = await scripted([(response) => void response.end(`: hello\n\n${events.join("")}`)]);
    const seqs: number[] = [];
    for await (const event of new RestClient(url).events("m", "s")) seqs.push(event.seq);
    expect(seqs).toEqual([1, 2, 3]);
  });
});

describe("server-sent events", () => {
  it("are the same however their bytes are cut", async () => {
    const text = 'data: {"a":1}\r\n\r\n: comment\n\ndata: one\ndata: two ü\n\nevent: x\ndata:three\r\rdata: unfinished';
    const bytes = new TextEncoder().encode(text);
    for (let size = 1; size <= bytes.length; size++) {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
          controller.close();
        },
      });
      const data: string[] = [];
      for await (const one of readServerEvents(body)) data.push(one);
      expect(data, `pieces of ${size}`).toEqual(['{"a":1}', "one\ntwo ü", "three"]);
    }
  });
});
