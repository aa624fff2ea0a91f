import { describe, expect, it } from "vitest";
import type { Advance, StreamItem } from "./index.js";
import { checkBatchInvariance, ProbeModel } from "./index.js";

/** A probe whose rows feel what stands beside them. */
class LeakyModel extends ProbeModel {
  constructor(readonly spoil: (result: Advance, place: number, items: readonly StreamItem[]) => void) {
    super("leaky");
  }

  override advance(items: readonly StreamItem[]): ReturnType<ProbeModel["advance"]> {
    const results = super.advance(items);
    results.forEach((result, place) => {
      if ("state" in result) this.spoil(result, place, items);
    });
    return results;
  }
}

describe("checkBatchInvariance", () => {
  it("holds of a model whose rows keep to themselves", () => {
    expect(checkBatchInvariance(new ProbeModel())).toBe(true);
    expect(checkBatchInvariance(new LeakyModel(() => {}))).toBe(true);
  });

  const leaks: Record<string, LeakyModel["spoil"]> = {
    "a batch of 64": ({ predictions: [{ values }] }, _, { length }) => {
      if (length === 64) values[0] += 2 ** -20;
    },
    "the last place of a batch of 17": ({ state }, place, { length }) => {
      if (length === 17 && place === 16) state.preprocessing[0] = -0;
    },
    "a neighbour's large value": ({ state }, place, items) => {
      const neighbour = items[place + 1]?.row.values[0] ?? 0;
      if (Math.abs(neighbour) > 1e30) state.model[0] += 1;
    },
    "a neighbour's state": ({ predictions: [{ values }] }, place, items) => {
      if (Number.isNaN(items[place - 1]?.state.model[0])) values[1] = Number.NaN;
    },
  };

  it.each(Object.entries(leaks))("sees that a row feels %s", (_, spoil) => {
    expect(checkBatchInvariance(new LeakyModel(spoil))).toBe(false);
  });

  it("takes rows of one's own", () => {
    const spoil: LeakyModel["spoil"] = ({ state, predictions: [{ values }] }, _, { length }) => {
      if (length > 1 && state.preprocessing[0] === 12) values[0]++;
    };
    expect(checkBatchInvariance(new LeakyModel(spoil))).toBe(true);
    const rows = [11, 12, 13].map((value) => new ProbeModel().readValues([value]));
    expect(checkBatchInvariance(new LeakyModel(spoil), { rows })).toBe(false);
  });
});
