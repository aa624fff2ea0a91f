import { afterEach, describe, expect, it } from "vitest";
import { ProbeModel, probeReference } from "../model/probe.js";
import type { Scope } from "./principal.js";
import { createServer, type Server } from "./server.js";
import type { Request } from "./sessions.js";

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function serve() {
  const models = new Map([
    ["first", new ProbeModel("first")],
    ["second", new ProbeModel("second")],
  ]);
  const server = await createServer({ models, port: 0, logger: false, sentinel: false, sessions: { chunkRecords: 4 } });
  open.push(server);
  return server;
}

function by(tenant: string): Request {
  const scopes = new Set<Scope>(["step", "state:read", "state:write", "session:admin"]);
  return { principal: { subject: tenant, tenant, scopes }, protocol: "internal" };
}

const input = (values: readonly number[]) => ({ rows: Float64Array.from(values), count: values.length });
const hashes = (values: readonly number[]) => probeReference(values).flat();

describe("sessions", () => {
  it("are of the model they were asked of, and of the version served under its name", async () => {
    const { sessions } = await serve();
    const request = by("t");
    const of = (model: string) => sessions.model(model).current.version;
    expect(of("first")).not.toBe(of("second"));
    for (const model of ["second", "first"]) {
      const { id, session } = await sessions.create(request, model, { id: { text: "a" } });
      expect(session.version).toBe(of(model));
      const started = await sessions.step(request, { model, id: { text: "b" } }, { input: input([1]), start: {} });
      expect(started.session.version).toBe(of(model));
      const { snapshot } = await sessions.snapshot(request, { model, id });
      const other = model === "first" ? "second" : "first";
      await sessions.create(request, other, { id: { text: "other" } }).catch(() => {});
      await expect(sessions.restore(request, { model: other, id: { text: "other" } }, snapshot)).rejects.toThrow(/OST_SNAPSHOT/);
    }
  });

  it("of two tenants are two, whatever their ids", async () => {
    const { sessions } = await serve();
    const at = { model: "first", id: { text: "a" } };
    const values = [[1, 2], [5]];
    for (const [i, tenant] of ["t", "u"].entries()) {
      const { predictions } = await sessions.step(by(tenant), at, { input: input(values[i]), start: {} });
      expect([...predictions.values]).toEqual(hashes(values[i]));
    }
    for (const [i, tenant] of ["t", "u"].entries()) {
      const { predictions } = await sessions.step(by(tenant), at, { input: input([9]) });
      expect([...predictions.values]).toEqual(hashes([...values[i], 9]).slice(-2));
    }
    await sessions.end(by("t"), at);
    expect((await sessions.get(by("u"), at)).session.seq).toBe(2);
  });

  it("begin once, end once and keep their state through a request of many chunks", async () => {
    const { sessions } = await serve();
    const request = by("t");
    const at = { model: "first", id: { text: "long" } };
    const values = Array.from({ length: 11 }, (_, i) => i);
    const { predictions, session } = await sessions.step(request, at, { input: input(values), start: {} });
    expect([...predictions.values]).toEqual(hashes(values));
    expect(session).toMatchObject({ seq: 11, steps: 11 });
    // Again with its numbers: answered, not applied.
    const again = await sessions.step(request, at, { input: input(values), seq: 1 });
    expect(again).toMatchObject({ repeated: true, session: { seq: 11, steps: 11 } });
    expect([...again.predictions.values]).toEqual(hashes(values));
    const last = await sessions.step(request, at, { input: input(values), end: true });
    expect([...last.predictions.values]).toEqual(hashes([...values, ...values]).slice(-22));
    await expect(sessions.get(request, at)).rejects.toThrow(/OST_SESSION/);
  });
});
