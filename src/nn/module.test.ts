import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { tensor } from "../tensor/index.js";
import { GRU } from "./gru.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";

class Tied extends Module {
  readonly first = new Linear(2, 2, { rng: seed(1) });
  readonly second = this.first;
  readonly self = this;
}

describe("a module", () => {
  it("lists a shared part once, under its first name, and survives a reference to itself", () => {
    const tied = new Tied();
    expect([...tied.namedParameters().keys()]).toEqual(["first.weight", "first.bias"]);
    expect(tied.parameterCount()).toBe(6);
  });
});

describe("packed weights", () => {
  const x = tensor([0.3, -0.2, 0.5, 0.1], [1, 2, 2]);

  it("follow every assignment to a parameter", () => {
    const gru = new GRU(2, 3, { rng: seed(2) });
    const before = gru.forward(x).output.toArray();
    for (const parameter of gru.parameters()) parameter.assign(new Float32Array(parameter.size));
    const after = gru.forward(x).output.toArray();
    expect(after).not.toEqual(before);
    expect([...after].every((value) => value === 0)).toBe(true);
  });

  it("follow a parameter that is replaced by another of the same version", () => {
    const [gru, other] = [new GRU(2, 3, { rng: seed(2) }), new GRU(2, 3, { rng: seed(3) })];
    gru.forward(x);
    const name = "weight_hh_l0";
    (gru as never as Record<string, unknown>)[name] = (other as never as Record<string, unknown>)[name];
    const replaced = gru.forward(x).output.toArray();
    const rebuilt = new GRU(2, 3, { rng: seed(2) });
    rebuilt.loadStateDict(gru.stateDict());
    expect(replaced).toEqual(rebuilt.forward(x).output.toArray());
  });
});
