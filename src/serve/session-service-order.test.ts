/** What comes later waits for a request of many chunks, whatever it is, and never for ever. */
import { afterEach, describe, expect, it } from "vitest";
import { ProbeModel, probeReference } from "../model/probe.js";
import type { Scope } from "./principal.js";
import { createServer, type Server } from "./server.js";
import { sessionKey } from "./session-key.js";
import type { Request } from "./sessions.js";

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function serve(name = "m") {
  const models = new Map([[name, new ProbeModel()]]);
  const server = await createServer({ models, port: 0, logger: false, sentinel: false, sessions: { chunkRecords: 4 } });
  open.push(server);
  return server;
}

const scopes = new Set<Scope>(["step", "state:read", "state:write", "session:admin"]);
const request: Request = { principal: { subject: "s", tenant: "t", scopes }, protocol: "internal" };
const at = { model: "m", id: { text: "a" } };
const input = (values: readonly number[]) => ({ rows: Float64Array.from(values), count: values.length });
const hashes = (values: readonly number[]) => probeReference(values).flat();
const LONG = Array.from({ length: 40 }, (_, i) => i);

describe("a request of many chunks", () => {
  it("is done before the reset, the step and the end that were sent behind it", async () => {
    const { sessions } = await serve();
    await sessions.create(request, "m", { id: at.id });
    const long = sessions.step(request, at, { input: input(LONG) });
    const reset = sessions.reset(request, at);
    const step = sessions.step(request, at, { input: input([7]) });
    const snapshot = sessions.snapshot(request, at);
    const end = sessions.end(request, at);
    const { predictions, count, error } = await long;
    expect({ count, error }).toEqual({ count: 40, error: null });
    expect([...predictions.values]).toEqual(hashes(LONG));
    expect(await reset).toMatchObject({ seq: 40, steps: 0, resets: 1 });
    expect([...(await step).predictions.values]).toEqual(hashes([7]));
    expect((await snapshot).session).toMatchObject({ seq: 41, steps: 1 });
    expect(await end).toMatchObject({ seq: 41 });
    await expect(sessions.get(request, at)).rejects.toMatchObject({ code: "OST_SESSION" });
  });

  it("does not go on with a state that began afresh in its middle", async () => {
    const { sessions, engine } = await serve();
    await sessions.create(request, "m", { id: at.id });
    const long = sessions.step(request, at, { input: input(LONG) });
    const key = sessionKey({ tenant: "t", ...at });
    // As an operator's hand does that is not behind this door.
    while ((await engine.execute([{ kind: "get", key }]))[0].session?.seq === 0) await new Promise(setImmediate);
    await engine.execute([{ kind: "reset", key, reason: "operator" }]);
    const { count, error } = await long;
    expect(count).toBeLessThan(40);
    expect(error).toMatchObject({ code: "OST_STALE", index: count });
  });

  it("keeps no more waiting than a session may have", async () => {
    const { sessions } = await serve();
    await sessions.create(request, "m", { id: at.id });
    const all = Array.from({ length: 100 }, () => sessions.step(request, at, { input: input(LONG) }));
    const settled = await Promise.allSettled(all);
    const given = settled.filter(({ status }) => status === "fulfilled");
    expect(given.length).toBe(32);
    for (const one of settled) if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "OST_RATE" });
    expect((await sessions.get(request, at)).session.seq).toBe(32 * 40);
  });
});

describe("a name", () => {
  it("that no store takes is refused, and spoils no other request of its moment", async () => {
    const { sessions } = await serve("漢".repeat(90));
    const model = "漢".repeat(90);
    const asked = [{ text: "x".repeat(256) }, { text: "y" }].map((id) => sessions.create(request, model, { id }));
    const [long, short] = await Promise.allSettled(asked);
    expect(long).toMatchObject({ reason: { code: "OST_REQUEST" } });
    expect(short.status).toBe("fulfilled");
  });
});
