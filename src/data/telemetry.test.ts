import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  openTelemetry,
  TELEMETRY_COLUMNS,
  type TelemetryRecord,
  telemetry,
  telemetryCsvHeader,
  telemetryCsvRow,
} from "./telemetry.js";

const names = TELEMETRY_COLUMNS.map(({ name }) => name);
const linuxOnly = TELEMETRY_COLUMNS.filter(({ meaning }) => meaning.includes("Linux only")).map(({ name }) => name);
const onLinux = existsSync("/proc/stat");

async function collect(options: Parameters<typeof telemetry>[0]): Promise<TelemetryRecord[]> {
  const records: TelemetryRecord[] = [];
  for await (const record of telemetry(options)) records.push(record);
  return records;
}

/** Every cell is null or a finite number, and every share lies in 0..1. */
function expectSane(records: readonly TelemetryRecord[]): void {
  for (const record of records) {
    expect(Object.keys(record)).toEqual(["time", ...names]);
    expect(new Date(record.time).toISOString()).toBe(record.time);
    for (const { name, unit } of TELEMETRY_COLUMNS) {
      const value = record[name];
      if (value === null) continue;
      expect(value, name).toSatisfy(Number.isFinite);
      if (name !== "memoryUsedChange") expect(value, name).toBeGreaterThanOrEqual(0);
      if (unit === "share") expect(value, name).toBeLessThanOrEqual(1);
    }
  }
}

describe("telemetry of this host", () => {
  it("keeps a steady grid, with the same columns in every record", async () => {
    const records = await collect({ intervalMs: 100, seconds: 1.5 });
    expect(records.length).toBeGreaterThanOrEqual(12);
    expect(records.length).toBeLessThanOrEqual(15);
    expectSane(records);
    const times = records.map(({ time }) => Date.parse(time));
    for (let index = 1; index < times.length; index++) expect(times[index]).toBeGreaterThan(times[index - 1]);
    // Late samples do not push later ones: the whole spans a whole number of intervals, up to a timer's lateness.
    const steps = (times[times.length - 1] - times[0]) / 100;
    expect(Math.abs(steps - Math.round(steps))).toBeLessThan(0.4);
  });

  it("drops the samples that a slow consumer missed, and stays on the grid", async () => {
    const times: number[] = [];
    const start = performance.now();
    for await (const _record of telemetry({ intervalMs: 100, seconds: 1 })) {
      times.push(performance.now() - start);
      if (times.length === 1) await sleep(350);
    }
    expect(times[1] - times[0]).toBeGreaterThan(340);
    expect(times.length).toBeLessThanOrEqual(7);
  });

  it("an abort ends it at once and without an error", async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 150);
    const start = performance.now();
    expect(await collect({ intervalMs: 10_000, signal: controller.signal })).toEqual([]);
    expect(performance.now() - start).toBeLessThan(2000);
    expect(await collect({ signal: AbortSignal.abort() })).toEqual([]);
  });

  it("refuses an interval or a time out of range", async () => {
    await expect(openTelemetry({ intervalMs: 1 })).rejects.toThrow(/OST_RANGE/);
    await expect(collect({ intervalMs: Number.NaN })).rejects.toThrow(/OST_RANGE/);
    await expect(collect({ seconds: 0 })).rejects.toThrow(/OST_RANGE/);
  });

  it("a CSV row has the header's cells, and null is an empty one", () => {
    const record = { time: "2026-01-01T00:00:00.000Z", ...Object.fromEntries(names.map((name, index) => [name, index || null])) };
    expect(telemetryCsvHeader().split(",")).toEqual(["time", ...names]);
    expect(telemetryCsvRow(record)).toBe(`2026-01-01T00:00:00.000Z,,${names.slice(1).map((_, index) => index + 1)}`);
  });
});

describe.runIf(onLinux)("telemetry on Linux", () => {
  it("sees work on a core, started processes and loopback traffic in the interval where they happen", async () => {
    const sampler = await openTelemetry();
    try {
      await sleep(100);
      await sampler.sample();
      const start = performance.now();
      while (performance.now() - start < 300);
      for (let count = 0; count < 5; count++) spawnSync("true");
      const sent = 4_000_000;
      const server = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
      await once(server, "listening");
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      socket.end(Buffer.alloc(sent));
      await once(socket, "close");
      server.close();
      const seconds = (performance.now() - start) / 1000;
      const record = await sampler.sample();
      expectSane([record]);
      for (const name of linuxOnly) expect(record[name], name).not.toBeNull();
      expect(Number(record.cpuBusiestCore)).toBeGreaterThan(0.2);
      expect(Number(record.processStartsPerSecond)).toBeGreaterThan(0);
      expect(Number(record.networkReceiveMBps)).toBeGreaterThan((0.9 * sent) / 1e6 / (seconds + 0.2));
      expect(Number(record.eventLoopLagMaxMs)).toBeGreaterThan(100);
    } finally {
      sampler.close();
      sampler.close();
    }
  });
});

describe("telemetry without /proc", () => {
  afterEach(() => {
    vi.doUnmock("node:fs");
    vi.resetModules();
  });

  it("offers the same columns, with nulls where the host has no counter", async () => {
    vi.resetModules();
    vi.doMock("node:fs", async (original) => ({
      ...(await original<typeof import("node:fs")>()),
      openSync: () => {
        throw new Error("ENOENT");
      },
    }));
    const portable = await import("./telemetry.js");
    const records: TelemetryRecord[] = [];
    for await (const record of portable.telemetry({ intervalMs: 250, seconds: 1 })) records.push(record);
    expect(records.length).toBeGreaterThanOrEqual(3);
    expectSane(records);
    for (const record of records) {
      for (const name of linuxOnly) expect(record[name], name).toBeNull();
      expect(record.memoryUsedShare).toBeGreaterThan(0);
      expect(record.cpuUser).not.toBeNull();
    }
  });
});
