import { describe, expect, it } from "vitest";
import { bank } from "./bank/index.js";
import { judge, textOf } from "./bank/judge.js";

const SEED = 11;

/** An entry takes a second at most; a machine may be busy with other things. */
const PATIENCE = { timeout: 60_000 };

describe("the bank of seeded leaks", PATIENCE, () => {
  it("holds enough pipelines, each under a name of its own", () => {
    const names = bank.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(bank.filter((entry) => entry.expect !== null).length).toBeGreaterThanOrEqual(28);
    expect(bank.filter((entry) => entry.expect === null).length).toBeGreaterThanOrEqual(12);
  });

  for (const entry of bank) {
    it(`${entry.expect ? "convicts" : "acquits"} ${entry.name}`, () => {
      const { right, why, raised } = judge(entry, SEED);
      expect(right, [why, ...raised.map((one) => `${one.check} ${one.status}: ${textOf(one)}`)].join("\n")).toBe(true);
    });
  }

  it("convicts labels behind a mask by the control with shuffled labels too, not by the causality test alone", () => {
    const entry = bank.find(({ name }) => name === "labels-behind-a-mask");
    const { raised } = judge(entry as (typeof bank)[number], SEED);
    expect(raised.filter(({ status }) => status === "leak").map(({ check }) => check)).toContain("shuffled-labels");
  });
});
