import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { probeReference } from "../model/probe.js";
import { createServer, type Server } from "../serve/server.js";
import { type Client, connect } from "./client.js";
import { RestClient } from "./rest.js";

const KEY = "a key of eight characters or more".replaceAll(" ", "-");
const folder = mkdtempSync(join(tmpdir(), "ostinato-client-"));
let server: Server;
let url: string;
let client: Client;

beforeAll(async () => {
  server = await createServer({ models: new Map([["probe", "probe"]]), data: folder, port: 0, logger: false, sentinel: false });
  url = (await server.listen()).http;
  client = await connect(url, { key: KEY });
});

afterAll(async () => {
  client?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a client and the whole server", () => {
  it("step over both protocols, snapshot, restore and look", async () => {
    const session = await client.session("probe", { id: { number: "9007199254740993" } });
    const [first] = await Promise.all([session.step([1]), session.step([2])]);
    expect(first.predictions).toEqual([{ seq: 1, time: null, forecast: { hash: probeReference([1])[0] } }]);
    const snapshot = await session.snapshot();
    await session.step([3]);
    await session.restore(snapshot);
    const after = await session.step([4]);
    expect(after.seq).toBe(4);
    expect([...after.numbers.values]).toEqual(probeReference([1, 2, 4])[2]);
    expect(await session.get()).toMatchObject({ seq: 4, steps: 3, session: "9007199254740993", durability: "durable" });
    await session.reset();
    expect([...(await session.step([5])).numbers.values]).toEqual(probeReference([5])[0]);
  });

  it("name the numbers alike, whatever the protocol", async () => {
    const rest = new RestClient(url, { key: KEY });
    const [model] = await rest.models();
    expect(model).toMatchObject({ name: "probe", columns: ["value"] });
    const { session: id, seq } = await rest.create("probe");
    expect(seq).toBe(0);
    const overHttp = await rest.step("probe", id, { rows: [[1], [2]], seq: 1 });
    expect(await rest.step("probe", id, { rows: [[1], [2]], seq: 1 })).toMatchObject({
      repeated: true,
      predictions: overHttp.predictions,
    });
    const session = await client.session("probe", { mode: "create" });
    expect((await session.step([[1], [2]])).predictions).toEqual(overHttp.predictions);
    expect((await rest.answers("probe", id, 1)).predictions.at(-1)).toEqual(overHttp.predictions[1]);
    await expect(rest.step("probe", id, { record: { value: "x" }, seq: 3 })).rejects.toMatchObject({
      code: "OST_VALUE",
      applied: "no",
    });
    await rest.end("probe", id);
    await expect(rest.get("probe", id)).rejects.toMatchObject({ code: "OST_SESSION" });
  });

  it("tell of steps and changes as they happen", async () => {
    const session = await client.session("probe", { id: "watched" });
    const kinds: string[] = [];
    const reading = (async () => {
      for await (const event of client.rest.events("probe", "watched")) kinds.push(`${event.kind} ${event.seq}`);
    })();
    await expect.poll(() => kinds.length).toBe(1);
    await session.step([1]);
    await session.reset();
    await session.step([2]);
    await session.end();
    await reading;
    expect(kinds).toEqual(["open 0", "step 1", "reset 1", "step 2", "ended 2"]);
  });
});
