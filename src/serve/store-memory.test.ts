import { describe, expect, it } from "vitest";
import { checkStore } from "../testing/check-store.js";
import { MemoryStore } from "./store-memory.js";

describe("MemoryStore", () => {
  it.each([1, 2, 3])("holds every law of a store, seed %i", async (seed) => {
    await checkStore(async () => new MemoryStore(), { seed });
  });

  it("says that it cannot make anything last", async () => {
    await expect(new MemoryStore().flush()).rejects.toMatchObject({ code: "OST_STORE", applied: "no" });
  });
});
