/** @file Opens the store that an engine's thread was told of. */
import type { Store } from "../protocol/store.js";
import { MemoryStore } from "./store-memory.js";
import type { StoreChoice } from "./worker-engine.js";

/** @throws OST_STORE if it cannot be opened. */
export async function openStore(choice: StoreChoice): Promise<Store> {
  if (choice.kind === "memory") return new MemoryStore();
  const { LmdbStore } = await import("./store-lmdb.js");
  return LmdbStore.open(choice);
}
