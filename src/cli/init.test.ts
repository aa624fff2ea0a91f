import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Json, jsonOf, refusalOf, Workshop } from "../../test/support/command-run.js";
import { seed } from "../core/rng.js";
import { initCommand } from "./init.js";
import { trainCommand } from "./train.js";

const shop = new Workshop();
afterAll(() => shop.close());

/** The configuration that is written, and what training with it for an epoch tells. */
async function begun(name: string, file: string, task?: string): Promise<{ config: Json; summary: Json }> {
  const out = shop.path(`${name}.yaml`);
  await jsonOf(() => initCommand(task, { data: file, out, json: true }));
  const written = readFileSync(out, "utf8").replace(/epochs: \d+/, "epochs: 1");
  const summary = await jsonOf(() =>
    trainCommand(shop.file(`${name}-1.yaml`, written), { out: shop.path(`run-${name}`), json: true, quiet: true }),
  );
  return { config: parse(written), summary };
}

function csv(rows: readonly Record<string, string | number>[]): string {
  return [Object.keys(rows[0]), ...rows.map(Object.values)].map((cells) => `${cells.join(",")}\n`).join("");
}

describe("init", () => {
  it("makes a language model of a text, without being told", async () => {
    const text = "the quick brown fox jumps over the lazy dog.\n".repeat(60);
    const { config, summary } = await begun("text", shop.file("text.txt", text));
    expect(config).toMatchObject({ task: "language", mode: "streaming", data: { read: { unit: "document" }, target: "text" } });
    expect(summary.metrics.test.logLoss).toBeLessThan(Math.log(28));
  });

  it("makes a language model of events, series by series or of one log", async () => {
    const rng = seed(1);
    const events = ["open", "read", "write", "close"];
    const rows = Array.from({ length: 800 }, (_, i) => ({ session: `s${Math.floor(i / 20)}`, event: events[rng.integer(4)] }));
    const own = await begun("sessions", shop.file("sessions.csv", csv(rows)), "language");
    expect(own.config).toMatchObject({ mode: "causal", data: { entity: "session", target: "event", split: { by: "entity" } } });
    const log = await begun("log", shop.file("log.csv", csv(rows.map(({ event }) => ({ event })))), "language");
    expect(log.config).toMatchObject({ mode: "streaming", window: { length: 20 }, data: { split: { by: "time" } } });
    for (const { summary } of [own, log]) expect(summary.baselines).toHaveProperty("unigram");
  });

  it("makes a detector of measurements, which the column that is named like anomalies judges and never feeds", async () => {
    const hour = (i: number) => new Date(Date.UTC(2026, 0, 1) + i * 3_600_000).toISOString();
    const rows = Array.from({ length: 700 }, (_, i) => {
      const wrong = i > 600 && i % 30 < 3;
      return { time: hour(i), load: Math.sin(i / 4) + (wrong ? 5 : 0), anomaly: wrong ? 1 : 0 };
    });
    const { config, summary } = await begun("load", shop.file("load.csv", csv(rows)), "detect");
    expect(config).toMatchObject({
      detect: { by: "residual" },
      data: { features: ["load"], target: ["load"], anomaly: { column: "anomaly", normal: [0] } },
    });
    expect(summary.metrics.test).toMatchObject({ labelled: true });
  });

  it("never feeds a column of anomalies, whatever it holds, and streams events that go on and on", async () => {
    const rows = Array.from({ length: 300 }, (_, i) => ({
      load: Math.sin(i / 4),
      fault: 0,
      anomaly: i % 50 === 49 ? "" : i % 3,
    }));
    const odd = await begun("odd", shop.file("odd.csv", csv(rows)), "detect");
    expect(odd.config.data).toMatchObject({ features: ["load"], target: ["load"], anomaly: { normal: [0] } });
    const rng = seed(2);
    const two = Array.from({ length: 900 }, (_, i) => ({ device: `d${i % 2}`, event: ["on", "off", "busy"][rng.integer(3)] }));
    const log = await begun("two", shop.file("two.csv", csv(two)), "language");
    expect(log.config).toMatchObject({ mode: "streaming", window: { length: 11 }, data: { entity: "device" } });
    const table = shop.file("lines.csv", csv(Array.from({ length: 99 }, (_, i) => ({ line: i * i, text: `word${i % 7}` }))));
    const out = shop.path("lines.yaml");
    await jsonOf(() => initCommand("language", { data: table, out, target: "text", json: true }));
    expect(parse(readFileSync(out, "utf8")).data).toMatchObject({ categories: { text: { kind: "vocabulary" } } });
  });

  it("refuses a language of numbers, and names the guide for tasks that it does not write", async () => {
    const numbers = shop.file("numbers.csv", csv(Array.from({ length: 99 }, (_, i) => ({ x: i * i }))));
    const refused = async (task: string) =>
      (await refusalOf(() => initCommand(task, { data: numbers, out: shop.path("no.yaml") }))).message;
    expect(await refused("language")).toMatch(/OST_COLUMN.*texts.*--target/s);
    expect(await refused("translate")).toMatch(/OST_USAGE.*docs\/guide\/tasks\.md/s);
    expect(await refused("guess")).toMatch(/OST_USAGE.*no such task.*language, detect/s);
  });
});
