import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openColumn } from "../../test/support/computed-column.js";
import type { Batch } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { augment } from "./augment.js";
import type { AsyncBatchSequence } from "./batch-sequence.js";
import { ColumnWriter, closeColumns, StoredColumn } from "./disk/column-file.js";
import { type BatchRecipe, makeBatches, worthPrefetching } from "./prefetch.js";
import { workerPrefetcher } from "./prefetch-node.js";
import { type PreparedData, prepare } from "./prepare.js";
import type { Slices } from "./slices.js";
import { tableFromRecords } from "./table.js";
import { sequences, windows } from "./window.js";

function preparedOf(targetKind: "class" | "tags" | "values"): PreparedData {
  const parts = [...Array<string>(9).fill("train"), "validation", "test"];
  const records = parts.flatMap((part, s) =>
    Array.from({ length: 6 + 3 * s }, (_, i) => ({
      id: `s${s}`,
      v: Math.sin(i + s),
      label: targetKind === "class" ? `k${s % 2}` : `t${(i + s) % 3}`,
      part,
    })),
  );
  return prepare(tableFromRecords(records), {
    targetKind,
    entity: "id",
    features: ["v"],
    target: targetKind === "values" ? "v" : "label",
    split: { by: "column:part" },
  });
}

const classed = () => sequences(preparedOf("class"), { part: "train" });
const RECIPES: Record<string, () => BatchRecipe> = {
  "whole sequences, varied": () => ({
    kind: "batches",
    rows: augment(classed(), { jitter: 0.1, speed: [0.8, 1.2], timeMask: { share: 0.3 } }),
    options: { batchSize: 2, maxTokens: 90, shuffleBuffer: 4 },
  }),
  "normalised windows": () => ({
    kind: "batches",
    rows: windows(preparedOf("values"), { length: 4, horizon: 2, part: "train" }),
    options: { batchSize: 5, normalize: "meanStd" },
  }),
  lanes: () => ({ kind: "lanes", data: preparedOf("tags"), options: { batchSize: 3, chunk: 4, part: "train", maxLength: 8 } }),
  "forecasting lanes": () => ({
    kind: "lanes",
    data: preparedOf("values"),
    options: { batchSize: 2, chunk: 5, part: "train", horizon: 3 },
  }),
};

/** Windows over columns that lie nowhere in memory. */
function computed(brokenFrom?: number): BatchRecipe {
  const examples = windows(preparedOf("values"), { length: 4, horizon: 2, part: "train" });
  const series = examples.prepared.series.map((one, s) => ({
    ...one,
    x: openColumn({ length: one.length, factor: s + 1, brokenFrom }),
    values: openColumn({ length: one.length, factor: -s }),
  }));
  return { kind: "batches", rows: { ...examples, prepared: { ...examples.prepared, series } }, options: { batchSize: 4 } };
}

async function all(sequence: AsyncBatchSequence): Promise<Batch[]> {
  const found: Batch[] = [];
  for await (const batch of sequence) found.push(batch);
  return found;
}

const told: string[] = [];
const onFallback = (reason: string) => told.push(reason);
afterEach(() => expect(told.splice(0)).toEqual([]));

describe("batches made ahead by a worker", () => {
  for (const [name, recipe] of Object.entries(RECIPES)) {
    it(`are those made in this thread, bit for bit: ${name}`, async () => {
      const prefetched = workerPrefetcher(recipe(), { onFallback });
      try {
        for (const epoch of [1, 2]) {
          const made = [...makeBatches(recipe(), seed(epoch))];
          expect(made.length).toBeGreaterThan(4);
          expect(await all(prefetched.batches(seed(epoch)))).toEqual(made);
          const rest = prefetched.batches(seed(epoch));
          rest.skip(2);
          expect(await all(rest)).toEqual(made.slice(2));
        }
      } finally {
        await prefetched.close();
      }
    });
  }

  it("come from columns that the worker opens for itself, of which the worker pays", async () => {
    expect(worthPrefetching(computed())).toBe(true);
    expect(worthPrefetching(RECIPES["normalised windows"]())).toBe(false);
    const prefetched = workerPrefetcher(computed(), { onFallback });
    expect(await all(prefetched.batches(seed(1)))).toEqual([...makeBatches(computed(), seed(1))]);
    await prefetched.close();
  });

  it("come from columns on disk", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-prefetch-"));
    const recipe = RECIPES["normalised windows"]() as Extract<BatchRecipe, { kind: "batches" }>;
    const writer = new ColumnWriter(join(folder, "columns"), "float32");
    const store = (column: Slices<Float32Array>) => {
      const offset = writer.length;
      writer.append(column.subarray(0, column.length));
      return new StoredColumn(writer.place(offset));
    };
    const { prepared } = recipe.rows;
    const series = prepared.series.map((one) => ({ ...one, x: store(one.x), values: one.values && store(one.values) }));
    writer.close();
    const prefetched = workerPrefetcher(
      { ...recipe, rows: { ...recipe.rows, prepared: { ...prepared, series } } },
      { onFallback },
    );
    expect(await all(prefetched.batches(seed(1)))).toEqual([...makeBatches(recipe, seed(1))]);
    await prefetched.close();
    closeColumns(folder);
    rmSync(folder, { recursive: true });
  });

  it("that are left before their end make room for those of another epoch", async () => {
    const recipe = RECIPES.lanes();
    const prefetched = workerPrefetcher(recipe, { ahead: 2, onFallback });
    for await (const batch of prefetched.batches(seed(1))) {
      expect(batch.time).toBe(4);
      break;
    }
    expect(await all(prefetched.batches(seed(2)))).toEqual([...makeBatches(recipe, seed(2))]);
    await prefetched.close();
  });

  it("bring the worker's errors with code, place and repair", async () => {
    const recipe = RECIPES["whole sequences, varied"]() as Extract<BatchRecipe, { kind: "batches" }>;
    const tight = workerPrefetcher({ ...recipe, options: { batchSize: 2, maxTokens: 8 } }, { onFallback });
    await expect(all(tight.batches(seed(1)))).rejects.toMatchObject({
      code: "OST_RANGE",
      detail: { expected: "at most 8 steps", where: expect.stringMatching(/^series "s\d"/) },
    });
    await tight.close();
    const broken = workerPrefetcher(computed(7), { onFallback });
    await expect(all(broken.batches(seed(1)))).rejects.toThrow(/OST_INTERNAL.*element 7 cannot be read/);
    await broken.close();
  });

  it("end with the worker", async () => {
    const prefetched = workerPrefetcher(RECIPES.lanes(), { onFallback });
    const sequence = prefetched.batches(seed(1));
    await sequence.next();
    await prefetched.close();
    await expect(all(sequence)).rejects.toThrow(/OST_INTERNAL.*closed/s);
  });

  it("are made in this thread where none can be started, and the reason is told", async () => {
    const program = new URL("./no-such-program.js", import.meta.url);
    const recipe = RECIPES.lanes();
    const prefetched = workerPrefetcher(recipe, { program, onFallback });
    const rest = prefetched.batches(seed(3));
    rest.skip(1);
    expect(await all(rest)).toEqual([...makeBatches(recipe, seed(3))].slice(1));
    expect(told.splice(0)).toEqual([expect.stringMatching(/^no worker could be started \(.*no-such-program/)]);
    await prefetched.close();
  });

  it("refuse a column that no other thread can read, and no batch ahead", () => {
    const recipe = computed() as Extract<BatchRecipe, { kind: "batches" }>;
    const { prepared } = recipe.rows;
    const series = prepared.series.map((one) => ({
      ...one,
      x: { length: one.x.length, subarray: (from: number, to: number) => one.x.subarray(from, to) },
    }));
    expect(() => workerPrefetcher({ ...recipe, rows: { ...recipe.rows, prepared: { ...prepared, series } } })).toThrow(
      /OST_RANGE.*this thread alone/,
    );
    expect(() => workerPrefetcher(recipe, { ahead: 0 })).toThrow(/OST_RANGE/);
  });
});
