import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkModel } from "./model-check.js";
import { openVersion } from "./model-version.js";

const golden = (stem: string) => readFileSync(new URL(`../../test/golden/model-files/${stem}.safetensors`, import.meta.url));
const file = golden("v1-tag-gru-carried");
const bomb = new URL("../../test/support/model-check-bomb.ts", import.meta.url);

describe("checking a model file in a thread", () => {
  it("gives the facts that opening it here gives", async () => {
    const facts = await checkModel({ bytes: file });
    expect(facts).toEqual((await openVersion({ bytes: file }, { tryBatches: true })).facts);
    expect(facts).toMatchObject({ task: "tag", streaming: "carried", batchInvariant: true, bytes: file.length });
    expect(facts.version).toMatch(/^[0-9a-f]{64}$/);
    const rounded = await checkModel({ bytes: file, weights: "bfloat16" });
    expect(rounded.version).not.toBe(facts.version);
    expect(rounded.stateSchema).toBe(facts.stateSchema);
  });

  it("knows the probe", async () => {
    expect(await checkModel({ probe: true })).toMatchObject({ columns: ["value"], batchInvariant: true });
  });

  it("refuses what is no model file, or cannot be streamed, as opening it does", async () => {
    const cut = file.subarray(0, file.length - 5);
    const flipped = Uint8Array.from(file, (byte, i) => (i === 3 ? byte ^ 255 : byte));
    for (const bytes of [new Uint8Array(0), cut, flipped, new TextEncoder().encode("no model")]) {
      await expect(checkModel({ bytes })).rejects.toThrow(/OST_MODEL_FILE/);
    }
  });

  it.each([
    ["hang", 0, /OST_MODEL_FILE.*too much time/],
    ["heap", 1, /OST_MODEL_FILE.*too much memory/],
    ["buffers", 2, /OST_MODEL_FILE.*too much memory/],
    ["exit", 3, /OST_MODEL_FILE.*exit code 0/],
    ["throw", 4, /OST_MODEL_FILE.*odd/],
    ["silence", 5, /OST_MODEL_FILE.*too much time/],
  ] as const)("survives a file that ends in a %s, within its limits", async (_, byte, message) => {
    const start = performance.now();
    const check = checkModel({ bytes: Uint8Array.of(byte) }, { program: bomb, timeMs: 1500, memoryMb: 64 });
    await expect(check).rejects.toThrow(message);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
