import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { startChaosProxy } from "../../test/support/chaos-proxy.js";
import { type StreamServer, type StreamServerOptions, startStreamServer } from "../../test/support/stream-server.js";
import { seed } from "../core/rng.js";
import { probeReference } from "../model/probe.js";
import { LmdbStore } from "../serve/store-lmdb.js";
import { type Client, connect } from "./client.js";
import { RefusedError } from "./refusal.js";
import type { StepAnswer } from "./step-answer.js";

const cleanup: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const act of cleanup.splice(0).reverse()) await act();
});

async function serve(options?: StreamServerOptions): Promise<StreamServer> {
  const server = await startStreamServer(options);
  cleanup.push(() => server.close());
  return server;
}

async function client(url: string, options: Parameters<typeof connect>[1] = {}): Promise<Client> {
  const made = await connect(url, { key: "secret", backoff: { firstMs: 5, mostMs: 50 }, ...options });
  cleanup.push(() => made.close());
  return made;
}

/** Enough for a reconnection and some answers, and not for all of them. */
const someBytes = () => 8_000 + Math.floor(Math.random() * 22_000);
const hashOf = (answer: StepAnswer) => Array.from(answer.numbers.values.slice(-2));
const refusal = async (work: Promise<unknown>): Promise<RefusedError> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RefusedError);
  return error as RefusedError;
};

describe("a client", () => {
  it("steps many sessions on one socket, each as if alone", async () => {
    const server = await serve();
    const one = await client(server.url);
    const rng = seed(1);
    const lanes = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => ({
        session: await one.session("probe", { id: i % 2 ? `s${i}` : { number: String(i) } }),
        values: Array.from({ length: 20 }, () => rng.normal()),
      })),
    );
    expect(server.side.connections).toBe(1);
    expect(server.side.streams).toBe(200);
    await Promise.all(
      lanes.map(async ({ session, values }) => {
        const answers = await Promise.all(values.map((value, i) => session.step(i % 3 === 0 ? { value } : [value])));
        expect(answers.map(hashOf)).toEqual(probeReference(values));
        expect(answers.map(({ seq }) => seq)).toEqual(values.map((_, i) => i + 1));
      }),
    );
    expect(server.counts.get("disorder") ?? 0).toBe(0);
  });

  it("takes several records at once and names what comes of them", async () => {
    const server = await serve();
    const session = await (await client(server.url)).session("probe");
    expect(session.facts).toMatchObject({ columns: ["value"], targets: ["hash"], horizon: 2 });
    const values = [1, 2, 3, 4];
    const reference = probeReference(values);
    const answer = await session.step(Float64Array.from(values));
    expect(answer.predictions).toEqual(reference.map((hash, i) => ({ seq: i + 1, time: null, forecast: { hash } })));
    const more = await session.step([[5], [6]]);
    expect(more).toMatchObject({ firstSeq: 5, count: 2, seq: 6, repeated: false, boundary: false, error: null });
    await expect(session.step([[1, 2]])).rejects.toThrow(/columns/);
  });

  it("says which record was refused, and goes on behind it with those that were sent meanwhile", async () => {
    const server = await serve({ gapHoldMs: 50 });
    const session = await (await client(server.url)).session("probe");
    const good = session.step([1]);
    const bad = refusal(session.step({ value: "x" }));
    const later = [session.step([2]), session.step([3]), session.step([4])];
    await good;
    expect(await bad).toMatchObject({ code: "OST_VALUE", applied: "no" });
    const hashes = (await Promise.all(later)).map(hashOf);
    expect(hashes).toEqual(probeReference([1, 2, 3, 4]).slice(1));
    const partial = await session.step([{ value: 5 }, { value: 6 }, { value: "x" }, { value: 7 }]);
    expect(partial.count).toBe(2);
    expect(partial.error).toMatchObject({ code: "OST_VALUE", applied: "yes", index: 2 });
    expect(hashOf(await session.step([8]))).toEqual(probeReference([1, 2, 3, 4, 5, 6, 8]).at(-1));
  });

  it("resets, ends, and keeps the order of calls", async () => {
    const server = await serve();
    const one = await client(server.url);
    const session = await one.session("probe", { id: "a" });
    const work = [session.step([1]), session.reset(), session.step([2])] as const;
    const [first, standing, second] = await Promise.all(work);
    expect(hashOf(first)).toEqual(probeReference([1])[0]);
    expect(standing).toMatchObject({ seq: 1, steps: 0, resets: 1 });
    expect(hashOf(second)).toEqual(probeReference([2])[0]);
    expect(second.seq).toBe(2);
    expect(second.incarnation).toBe(standing.incarnation);
    await session.end();
    expect(await refusal(session.step([3]))).toMatchObject({ code: "OST_SESSION" });
    expect(await refusal(one.session("probe", { id: "a", mode: "attach" }))).toMatchObject({ code: "OST_SESSION" });
    const last = await one.session("probe", { id: "a", mode: "create" });
    await last.step([1], { last: true });
    expect(await refusal(one.session("probe", { id: "a", mode: "attach" }))).toMatchObject({ code: "OST_SESSION" });
  });

  it("hears a refusal as the error it was", async () => {
    const server = await serve();
    expect(await refusal(connect(server.url, { key: "wrong" }))).toMatchObject({ code: "OST_CREDENTIAL" });
    expect(await refusal(connect("ws://127.0.0.1:1/v1/stream", { firstMs: 100 }))).toMatchObject({ code: "OST_DEADLINE" });
    const one = await client(server.url);
    expect(await refusal(one.session("nothing"))).toMatchObject({ code: "OST_MODEL" });
    expect(await refusal(one.session("probe", { id: "" }))).toMatchObject({ code: "OST_REQUEST" });
    await one.session("probe", { id: "a" });
    expect(await refusal(one.session("probe", { id: "a", mode: "create" }))).toMatchObject({ code: "OST_EXISTS" });
    const restarted = await one.session("probe", { id: "a", mode: "restart" });
    expect(restarted.seq).toBe(0);
  });

  it("gives the stored answers behind a number to one who comes back", async () => {
    const server = await serve();
    const before = await client(server.url);
    const session = await before.session("probe", { id: "a" });
    for (let i = 1; i <= 3; i++) await session.step([i]);
    await session.step([[4], [5], [6]]);
    before.close();
    const after = await client(server.url);
    const again = await after.session("probe", { id: "a", mode: "attach", resumeAfter: 4 });
    const reference = probeReference([1, 2, 3, 4, 5, 6, 7]);
    expect(again.missed.complete).toBe(true);
    expect(again.missed.predictions.map(({ seq, forecast }) => [seq, forecast?.["hash"]])).toEqual([
      [5, reference[4]],
      [6, reference[5]],
    ]);
    expect(hashOf(await again.step([7]))).toEqual(reference[6]);
  });

  it("streams a source with back-pressure, and stops where it is refused", async () => {
    const server = await serve({ batchMs: 1, limits: { streamCredits: 4 } });
    const session = await (await client(server.url)).session("probe");
    let taken = 0;
    let given = 0;
    let most = 0;
    async function* source() {
      for (; taken < 100; ) yield { value: taken++ };
    }
    const hashes: number[][] = [];
    for await (const answer of session.stream(source())) {
      hashes.push(hashOf(answer));
      given++;
      most = Math.max(most, taken - given);
    }
    expect(hashes).toEqual(probeReference(Array.from({ length: 100 }, (_, i) => i)));
    expect(most).toBeLessThanOrEqual(6);
    const faulty = async () => {
      for await (const _ of session.stream([{ value: 1 }, { value: "x" }])) given++;
    };
    expect(await refusal(faulty())).toMatchObject({ code: "OST_VALUE" });
  });

  it.each([
    { kind: "cut", chaos: { cutAfter: someBytes } },
    { kind: "dribbled, late and cut", chaos: { latencyMs: 1, dribbleBytes: 700, cutAfter: someBytes } },
    { kind: "left half open", chaos: { halfOpen: true, cutAfter: someBytes } },
  ])("applies every step once over connections that are $kind", { timeout: 30_000 }, async ({ kind, chaos }) => {
    const server = await serve({ gapHoldMs: 100 });
    const proxy = await startChaosProxy(server.port, chaos);
    cleanup.push(() => proxy.close());
    const one = await client(`ws://127.0.0.1:${proxy.port}`, { silenceMs: 200, giveUpMs: 30_000 });
    const rng = seed(7);
    const refused: string[] = [];
    await Promise.all(
      Array.from({ length: 8 }, async (_, lane) => {
        const session = await one.session("probe", { id: `lane ${lane}` });
        const values = Array.from({ length: 150 }, () => rng.normal());
        // Every so often a record that is refused stands between them: those sent behind it are numbered anew, and still applied once.
        const answers = await Promise.all(
          values.map((value, i) => {
            if (i % 29 === lane) session.step({ value: "x" }).catch((error: RefusedError) => refused.push(error.code));
            return session.step([value]);
          }),
        );
        expect(answers.map(hashOf)).toEqual(probeReference(values));
        expect(answers.map(({ seq }) => seq)).toEqual(values.map((_, i) => i + 1));
      }),
    );
    expect(refused).toEqual(Array(refused.length).fill("OST_VALUE"));
    expect(refused.length).toBeGreaterThanOrEqual(40);
    expect(proxy.cuts, kind).toBeGreaterThan(2);
    expect(server.faults).toEqual([]);
  });

  it("hears that its credential has ended, and does not come back", async () => {
    let valid = true;
    const server = await serve({ valid: () => valid, limits: { recheckMs: 20 } });
    const one = await client(server.url);
    const session = await one.session("probe");
    valid = false;
    while (one.state !== "closed") await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await refusal(session.step([1]))).toMatchObject({ code: "OST_CREDENTIAL" });
    expect(await refusal(one.session("probe"))).toMatchObject({ code: "OST_CREDENTIAL" });
  });

  it("goes on over restarts of the server, with every step applied once", { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-restart-"));
    cleanup.push(() => rmSync(folder, { recursive: true, force: true }));
    const start = async (port?: number) =>
      startStreamServer({ store: await LmdbStore.open({ folder, durability: "process" }), port });
    let server = await start();
    const { port } = server;
    const one = await client(server.url);
    const rng = seed(9);
    let answered = 0;
    const traffic = Promise.all(
      Array.from({ length: 6 }, async (_, lane) => {
        const session = await one.session("probe", { id: `lane ${lane}` });
        const values = Array.from({ length: 240 }, () => rng.normal());
        const hashes: number[][] = [];
        for (let at = 0; at < values.length; at += 4) {
          hashes.push(...(await Promise.all(values.slice(at, at + 4).map((value) => session.step([value])))).map(hashOf));
          answered += 4;
        }
        expect(hashes).toEqual(probeReference(values));
      }),
    );
    for (let restart = 1; restart <= 3; restart++) {
      while (answered < restart * 240) await new Promise((resolve) => setTimeout(resolve, 2));
      await server.close();
      server = await start(port);
    }
    cleanup.push(() => server.close());
    await traffic;
    expect(answered).toBe(6 * 240);
  });

  it("says that steps are lost, and never goes on from a fresh state", { timeout: 20_000 }, async () => {
    let server = await startStreamServer();
    const { port } = server;
    const one = await client(server.url);
    const session = await one.session("probe", { id: "a" });
    await session.step([1]);
    await server.close();
    const waiting = refusal(session.step([2]));
    server = await startStreamServer({ port });
    cleanup.push(() => server.close());
    // The store of a server without a folder went with it.
    expect((await waiting).code).toBe("OST_SESSION");
    expect((await refusal(session.step([3]))).code).toBe("OST_SESSION");
    const again = await one.session("probe", { id: "a" });
    expect(again.seq).toBe(0);
  });
});
