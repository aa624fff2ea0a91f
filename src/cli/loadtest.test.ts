import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServer, type Server } from "../serve/server.js";
import { runLoadtest } from "./loadtest.js";

describe("loadtest", () => {
  let server: Server;
  let urls: { http: string; grpc: string | null };
  const folder = mkdtempSync(join(tmpdir(), "ostinato-loadtest-test-"));

  beforeAll(async () => {
    server = await createServer({
      models: new Map([["probe", "probe"]]),
      port: 0,
      grpcPort: 0,
      logger: false,
      sentinel: false,
    });
    urls = await server.listen();
  }, 60_000);
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  const live = async () => (await server.engine.status()).sessions.total;

  it.each(["websocket", "rest", "grpc"] as const)(
    "steps sessions over %s and ends them",
    { timeout: 60_000 },
    async (protocol) => {
      const url = protocol === "grpc" ? `grpc://${String(urls.grpc).replace(/^.*\/\//, "")}` : urls.http;
      const report = await runLoadtest(url, { model: "probe", sessions: 5, seconds: 0.5, steps: 3, protocol, key: "k" });
      expect(report.errors).toEqual({});
      expect(report.requests).toBeGreaterThan(5);
      expect(report.steps).toBe(3 * report.requests);
      expect(report.latency).toEqual([expect.objectContaining({ steps: [2, 4], requests: report.requests })]);
      expect(report.sharedCores).toBeGreaterThan(0);
      expect(await live()).toBe(0);
    },
  );

  it("keeps to a rate, and to recorded arrivals and lengths", { timeout: 60_000 }, async () => {
    const options = { model: "probe", key: "k" } as const;
    const even = await runLoadtest(urls.http, { ...options, sessions: 3, seconds: 0.5, rate: 100 });
    expect(even.requests).toBe(50);
    const file = join(folder, "arrivals.csv");
    writeFileSync(file, "time,session,steps\n0,a,1\n0.1,b,300\n0.4,a,2\n60,a,1\n");
    const report = await runLoadtest(urls.http, { ...options, replay: file, seconds: 2 });
    expect(report).toMatchObject({ sessions: 2, requests: 4, steps: 303, errors: {}, notSent: 0 });
    expect(report.seconds).toBeGreaterThan(0.4);
    expect(report.latency.map(({ steps }) => steps)).toEqual([
      [1, 1],
      [2, 4],
      [17, 64],
      [65, 256],
    ]);
  });

  it("counts what the server refuses by its code", async () => {
    await expect(runLoadtest(urls.http, { model: "none", key: "k" })).rejects.toThrow(/OST_MODEL/);
    const small = await createServer({
      models: new Map([["probe", "probe"]]),
      port: 0,
      logger: false,
      sentinel: false,
      limits: { all: { stepsPerSecond: 1, burstSeconds: 1 } },
    });
    const { http } = await small.listen();
    const report = await runLoadtest(http, { model: "probe", sessions: 2, seconds: 0.3, protocol: "rest", key: "k" });
    await small.close();
    expect(report.errors["OST_RATE"]).toBeGreaterThan(0);
  });

  it("refuses what is not on this machine, or without bound", async () => {
    const run = (url: string, more: object = {}) => runLoadtest(url, { model: "probe", ...more });
    await expect(run("http://192.0.2.1:8787")).rejects.toThrow(/OST_USAGE.*--allow-remote/s);
    await expect(run("::::")).rejects.toThrow(/OST_USAGE/);
    await expect(run(urls.http, { sessions: 100_001 })).rejects.toThrow(/OST_USAGE.*100000/s);
    await expect(run(urls.http, { seconds: 1e6 })).rejects.toThrow(/OST_USAGE/);
  });
});
