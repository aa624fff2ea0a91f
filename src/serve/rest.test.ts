/** The native protocol where a request comes twice, or the model has changed since its session began. */
import { afterEach, describe, expect, it } from "vitest";
import { ProbeModel } from "../model/probe.js";
import { createServer, type Server } from "./server.js";

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function serve() {
  const server = await createServer({ models: new Map([["m", new ProbeModel()]]), port: 0, logger: false, sentinel: false });
  open.push(server);
  return { server, http: (await server.listen()).http };
}

const headers = { authorization: "Bearer key", "content-type": "application/json" };
const post = (url: string, body: unknown) => fetch(url, { method: "POST", headers, body: JSON.stringify(body) });

describe("NDJSON sent again with its number", () => {
  it("is answered from store where it was applied, and applied once", async () => {
    const { http } = await serve();
    await post(`${http}/v1/models/m/sessions`, { id: "a" });
    const send = async () => {
      // Groups of lines, each answered before the next is sent.
      const lines = [1, 2, 3].map((value) => `${JSON.stringify({ value })}\n`);
      const body = new ReadableStream({
        async pull(controller) {
          const line = lines.shift();
          if (line === undefined) return controller.close();
          controller.enqueue(new TextEncoder().encode(line));
          await new Promise((resolve) => setTimeout(resolve, 50));
        },
      });
      const init = { method: "POST", headers: { ...headers, "content-type": "application/x-ndjson" }, body, duplex: "half" };
      const response = await fetch(`${http}/v1/models/m/sessions/a/steps?seq=1`, init as RequestInit);
      return (await response.text())
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
    };
    const first = await send();
    const again = await send();
    expect(again.map(({ repeated, seq }) => ({ repeated, seq }))).toEqual(first.map(() => ({ repeated: true, seq: 3 })));
    expect(again.map(({ predictions }) => predictions)).toEqual(first.map(({ predictions }) => predictions));
  });
});

describe("rows of numbers", () => {
  it("are as wide as the version has columns that the session is pinned to", async () => {
    class Wide extends ProbeModel {
      override readonly columns = ["value", "other"];
    }
    const { server, http } = await serve();
    await post(`${http}/v1/models/m/sessions`, { id: "old" });
    await server.models.load("m", { model: new Wide("wide") }, { actor: "t" });
    await post(`${http}/v1/models/m/sessions`, { id: "new" });
    const status = async (id: string, rows: number[][]) =>
      (await post(`${http}/v1/models/m/sessions/${id}/steps`, { rows })).status;
    expect(await status("old", [[1]])).toBe(200);
    expect(await status("new", [[1, 2]])).toBe(200);
    expect(await status("old", [[1, 2]])).toBe(422);
    expect(await status("new", [[1]])).toBe(422);
    expect(await status("old", [[1], [1, 2]])).toBe(422);
    expect(await status("old", [[1, 2, 3]])).toBe(422);
  });
});
