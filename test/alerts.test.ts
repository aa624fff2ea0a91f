/**
 * @file What Prometheus makes of the server: the alert rules by their own tests, and the metrics of a live server after traffic of every kind.
 *
 * Needs promtool (Debian: prometheus); without it the tests of promtool are skipped, and say so by their names.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { connect } from "../src/client/index.js";
import { OstinatoError } from "../src/core/errors.js";
import { tableFromRecords } from "../src/data/index.js";
import { createServer, type Principal, type ServedSource, type Server } from "../src/serve/index.js";
import type { Request } from "../src/serve/sessions.js";
import { parseConfig, runExperiment } from "../src/tasks/index.js";
import { call, connect as connectGrpc } from "./oip/grpc-client.js";
import { ProbeModel } from "./support/probe-model.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const rules = "docs/alerts/ostinato.rules.yaml";
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
const promtool = (args: string[], input?: string) => {
  const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: root, encoding: "utf8", input });
  return { status, output: stdout + stderr };
};
const TENANTS = 1000;
const MOST_SERIES = 5000;

describe.skipIf(!hasPromtool)("the alert rules (needs promtool)", () => {
  it("are rules", () => {
    expect(promtool(["check", "rules", rules])).toMatchObject({ status: 0 });
  });

  it("fire when they should and not else", () => {
    expect(promtool(["test", "rules", rules.replace(".yaml", ".test.yaml")])).toMatchObject({ status: 0 });
  });

  it("have a test each, in which they fire", () => {
    const { groups } = parse(readFileSync(join(root, rules), "utf8")) as { groups: { rules: { alert: string }[] }[] };
    const { tests } = parse(readFileSync(join(root, rules.replace(".yaml", ".test.yaml")), "utf8")) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts?: unknown[] }[] }[];
    };
    const fired = new Set(
      tests.flatMap(({ alert_rule_test }) => alert_rule_test.filter((one) => one.exp_alerts).map((one) => one.alertname)),
    );
    expect([...fired].sort()).toEqual(groups.flatMap((group) => group.rules.map(({ alert }) => alert)).sort());
  });
});

/** A probe whose state may fail: 404 gives no finite state, and every tenth record begins it afresh. */
class MovingProbe extends ProbeModel {
  override advance(items: Parameters<ProbeModel["advance"]>[0]): ReturnType<ProbeModel["advance"]> {
    return super.advance(items).map((result, i) => {
      if (items[i].row.values[0] === 404) return new OstinatoError("OST_NAN", { what: "the state is not finite" });
      if (!("state" in result) || items[i].row.values[0] !== 10) return result;
      return { ...result, state: { ...result.state, steps: 1 }, boundary: "marker" as const, gapMs: 1000 };
    });
  }
}

/** A model file of classes, with the reference profile of its training. */
async function tagModel(): Promise<Uint8Array> {
  const records = Array.from({ length: 300 }, (_, i) => ({
    time: 1000 * i,
    x: Math.sin(i),
    state: Math.sin(i) > 0 ? "up" : "down",
  }));
  const split = { by: "time", train: 0.6, validation: 0.2, test: 0.2 };
  const config = parseConfig({
    task: "tag",
    data: { source: "records", time: "time", features: ["x"], target: "state", missing: { policy: "forwardFill" }, split },
    model: { cell: "gru", hiddenSize: 4 },
    train: { epochs: 1 },
  });
  const result = await runExperiment(config, tableFromRecords(records));
  if (!result) throw new Error("the training was stopped");
  return result.file;
}

describe("the metrics of a live server", () => {
  let server: Server;
  let text: string;
  const secrets: string[] = [];

  beforeAll(async () => {
    const tag = await tagModel();
    server = await createServer({
      models: new Map<string, ServedSource>([
        ["probe", new MovingProbe("moving")],
        ["tag", tag],
        ["swapped", tag],
      ]),
      port: 0,
      grpcPort: 0,
      logger: false,
      sentinel: { everyMs: 20 },
      scheduler: { gapHoldMs: 20 },
      limits: { tenants: { limited: { stepsPerSecond: 0.001 } } },
    });
    const urls = await server.listen();
    await manyTenants();
    await everyProtocol(urls.http, urls.grpc as string);
    await everyFate();
    await tagged();
    text = await (await fetch(`${urls.http}/metrics`)).text();
  }, 120_000);

  afterAll(async () => {
    await server?.close();
  });

  const by = (tenant: string): Request => {
    const principal: Principal = {
      tenant,
      subject: `subject-of-${tenant}`,
      scopes: new Set(["step", "session:admin", "state:read", "state:write"] as const),
    };
    return { principal, protocol: "rest" };
  };
  const step = (tenant: string, id: string, values: number[], more: object = {}) =>
    server.sessions.step(
      by(tenant),
      { model: "probe", id: { text: id } },
      { input: { records: values.map((value) => ({ value })) }, ...more },
    );

  /** A thousand tenants, each with a class of device and a type of session of its own, granted and refused. */
  async function manyTenants(): Promise<void> {
    for (let i = 0; i < TENANTS; i++) {
      const [tenant, id] = [`tenant-number-${i}`, `secret-device-${i}`];
      secrets.push(tenant, id);
      const attributes = { device_class: `class-${i % 33}`, session_type: `type-${Math.floor(i / 33)}` };
      await server.sessions.create(by(tenant), "probe", { id: { text: id }, attributes });
      await step(tenant, id, [1, 2], { seq: 1 });
      await step(tenant, id, [1, 2], { seq: 1 });
      for (const bad of [404, Number.NaN, "x" as unknown as number]) await step(tenant, id, [bad]).catch(() => {});
      await step(tenant, id, [3], { seq: 1 }).catch(() => {});
      if (i % 100 === 0) await step(tenant, id, [1], { seq: 9 }).catch(() => {});
    }
  }

  async function everyProtocol(http: string, grpc: string): Promise<void> {
    const key = "a-secret-key-of-a-device";
    secrets.push(key, "rest-session", "socket-session", "sequence-97531");
    const client = await connect(http, { key });
    const session = await client.session("probe", { id: "socket-session" });
    await session.step({ value: 1 });
    await client.rest.create("probe", { id: "rest-session" });
    await client.rest.step("probe", "rest-session", { record: { value: 1 } });
    const abort = new AbortController();
    const events = await fetch(`${http}/v1/models/probe/sessions/rest-session/events`, {
      headers: { authorization: `Bearer ${key}` },
      signal: abort.signal,
    });
    await events.body?.getReader().read();
    abort.abort();
    client.close();
    const inputs = [{ name: "input", datatype: "FP32", shape: [1, 1, 1], data: [1] }];
    await fetch(`${http}/v2/models/probe/infer`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ inputs, parameters: { sequence_id: "sequence-97531", sequence_start: true } }),
    });
    const stub = connectGrpc(grpc);
    const infer = {
      model_name: "probe",
      inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1], contents: { fp32_contents: [1] } }],
      parameters: { sequence_id: { int64_param: "97531" }, sequence_start: { bool_param: true } },
    };
    await call(stub, "ModelInfer", infer, key);
    stub.close();
    // A credential that is none.
    await fetch(`${http}/v1/models`);
  }

  /** Everything that can become of a session, and of a request. */
  async function everyFate(): Promise<void> {
    const at = (id: string) => ({ model: "probe", id: { text: id } });
    const me = by("fates");
    await server.sessions.create(me, "probe", { id: { text: "a" }, ttlSeconds: 3600 });
    await step("fates", "a", [1, 10, 2]);
    await server.sessions.reset(me, at("a"));
    await step("fates", "a", [3]);
    const { snapshot } = await server.sessions.snapshot(me, at("a"));
    await server.sessions.restore(me, at("a"), snapshot);
    await server.sessions.hibernate(me, at("a"));
    await step("fates", "a", [4]);
    await Promise.all([step("fates", "a", [6], { seq: 7 }), step("fates", "a", [5], { seq: 6 })]).catch(() => {});
    await server.sessions.end(me, at("a"));
    await server.sessions.create(me, "probe", { id: { text: "b" }, ttlSeconds: 0.001 });
    await step("fates", "b", [1]).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    await step("fates", "b", [1]).catch(() => {});
    await server.sessions.create(by("limited"), "probe", { id: { text: "c" } });
    for (let i = 0; i < 3; i++) await step("limited", "c", [1]).catch(() => {});
    await server.sessions.create(by("fates"), "probe", { id: { text: "d" } });
    for (let i = 0; i < 3; i++) await step("fates", "d", [404]).catch(() => {});
    const { version } = server.sessions.model("probe").current;
    await server.models.alias("swapped", version, { policy: "pin", actor: "test" });
  }

  /** A model of classes, with values that are missing and beyond what it was trained on. */
  async function tagged(): Promise<void> {
    const me = by("tags");
    await server.sessions.create(me, "tag", { id: { text: "t" } });
    for (let i = 0; i < 200; i++) {
      const x = i === 50 ? 1e6 : i === 60 ? null : Math.sin(i);
      await server.sessions.step(me, { model: "tag", id: { text: "t" } }, { input: { records: [{ time: 1000 * i, x }] } });
    }
  }

  const samples = () => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const declared = () => [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name]) => name);

  it.skipIf(!hasPromtool)("are what promtool takes for good (needs promtool)", () => {
    expect(promtool(["check", "metrics"], text)).toEqual({ status: 0, output: "" });
  });

  it("are all touched by this traffic, but for those of a crash, a slow reader, a fault and a broken store", () => {
    const held = new Set(samples().map((line) => line.replace(/[{ ].*/, "").replace(/_(bucket|sum|count)$/, "")));
    const silent = declared().filter((name) => name.startsWith("ostinato_") && !held.has(name));
    expect(silent.sort()).toEqual([
      "ostinato_sessions_lost_total",
      "ostinato_slow_consumer_total",
      "ostinato_store_errors_total",
    ]);
  });

  it("name nobody: no tenant, session, key or device in a label", () => {
    expect(secrets.length).toBeGreaterThan(2 * TENANTS);
    expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
    expect(text).not.toContain("subject-of-");
  });

  it(`are at most ${MOST_SERIES} series with ${TENANTS} tenants, each with devices and sessions of its own kind`, () => {
    expect(samples().length).toBeLessThanOrEqual(MOST_SERIES);
  });

  it("hold every name that the alert rules ask for", () => {
    const known = new Set(declared().flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]));
    const asked = [...readFileSync(join(root, rules), "utf8").matchAll(/\bostinato_\w+/g)].map(([name]) => name);
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  it("hold every name that the guide tells to watch", () => {
    const guide = readFileSync(join(root, "docs/guide/serving.md"), "utf8");
    const table = guide.slice(guide.indexOf("| To watch |"), guide.indexOf("`docs/alerts/"));
    const named = [...table.matchAll(/`([a-z]+_[a-z_]+|sessions|connections)`/g)].map(([, name]) => name);
    const labels = new Set(["end_reason", "device_class", "session_type"]);
    const known = new Set(declared());
    expect(named.length).toBeGreaterThan(40);
    expect(named.filter((name) => !labels.has(name) && !known.has(`ostinato_${name}`))).toEqual([]);
  });
});
