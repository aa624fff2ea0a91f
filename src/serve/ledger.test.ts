import { describe, expect, it } from "vitest";
import type { DamagedRecord, StoreEntry } from "../protocol/store.js";
import { LEDGER_PREFIX, Ledger } from "./ledger.js";
import type { Operation } from "./operation.js";
import { SessionEngine } from "./session-engine.js";
import { HIDDEN, sessionKey } from "./session-key.js";
import { MemoryStore } from "./store-memory.js";

const DAMAGE: DamagedRecord = { damage: "by the test" };

/** A store that outlives its engines, and gives some of its records out as damaged until they are written anew. */
class SpoiltStore extends MemoryStore {
  readonly spoilt = new Set<string>();

  #as(key: string, entry: StoreEntry | null): StoreEntry | null {
    return entry !== null && this.spoilt.has(key) ? DAMAGE : entry;
  }

  override async load(keys: readonly string[]) {
    return (await super.load(keys)).map((entry, i) => this.#as(keys[i], entry));
  }

  override async scan(options: Parameters<MemoryStore["scan"]>[0]) {
    return (await super.scan(options)).map(({ key, record }) => ({ key, record: this.#as(key, record) as StoreEntry }));
  }

  override async commit(writes: Parameters<MemoryStore["commit"]>[0]) {
    const plain = [];
    for (const write of writes) {
      if (write.expected !== "damaged") plain.push(write);
      else {
        const [held] = await super.load([write.key]);
        if (!held || "damage" in held || !this.spoilt.delete(write.key)) throw new Error("not damaged");
        plain.push({ ...write, expected: { incarnation: held.incarnation, seq: held.seq } });
      }
    }
    return super.commit(plain);
  }

  override async close(): Promise<void> {}
}

const now = () => 0;
const key = (id: string, tenant = "t") => sessionKey({ tenant, model: "m", id: { text: id } });

async function openEngine(store: SpoiltStore) {
  const engine = await SessionEngine.open({ store });
  const { version } = await engine.load({ probe: true });
  const create = (id: string, tenant?: string): Operation => {
    const limits = { tenant: 1e6, total: 1e6 };
    const begin = {
      version,
      durability: "durable",
      ttlMs: null,
      attributes: {},
      creator: "c",
      onLive: "refuse",
      limits,
    } as const;
    return { kind: "create", key: key(id, tenant), begin };
  };
  return { engine, create };
}

describe("the ledger", () => {
  it("forgets tenants and versions that have no session, in the store too", async () => {
    const store = new SpoiltStore();
    const { engine, create } = await openEngine(store);
    await engine.execute(Array.from({ length: 50 }, (_, i) => create("a", `tenant-${i}`)));
    await engine.execute(Array.from({ length: 50 }, (_, i) => ({ kind: "end", key: key("a", `tenant-${i}`) })));
    await engine.close();
    const names = (await store.scan({ prefix: LEDGER_PREFIX, limit: 1000 })).map((entry) => entry.key);
    expect(names.filter((name) => /tenant|version|sessions/.test(name))).toEqual([]);
    expect(names).toContain("!incarnation");
  });

  it("finds damage again at the next start as long as nothing was written in its place", async () => {
    const store = new SpoiltStore();
    const { engine, create } = await openEngine(store);
    const [{ session }] = await engine.execute([create("a")]);
    await engine.close();
    for (const name of ["!boot", "!incarnation", "!sessions"]) store.spoilt.add(name);
    // A start that dies before its first commit.
    await Ledger.open(store, now);
    const ledger = await Ledger.open(store, now);
    expect(ledger.boot).toBe(2);
    expect(ledger.value("sessions")).toBe(1);
    expect(ledger.nextIncarnation()).toBeGreaterThan(session?.incarnation as number);
    const writes = ledger.writes();
    expect(await store.commit(writes)).toEqual(writes.map(() => "applied"));
    expect(store.spoilt.size).toBe(0);
  });

  it("counts no hidden session when it counts anew", async () => {
    const store = new SpoiltStore();
    const { engine, create } = await openEngine(store);
    await engine.execute([create("a"), create("b", `${HIDDEN}sentinel`)]);
    const before = (await engine.status()).sessions;
    expect(before.total).toBe(1);
    store.spoilt.add("!sessions");
    expect((await (await openEngine(store)).engine.status()).sessions).toEqual(before);
  });
});
