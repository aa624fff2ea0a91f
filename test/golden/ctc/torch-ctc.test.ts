/** @file PyTorch's CTC losses and gradients; `torch-ctc.py` made them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ReferenceKernels } from "../../../src/kernels/index.js";
import { ctcLoss } from "../../../src/losses/index.js";
import { parameter, scope, tensor } from "../../../src/tensor/index.js";

interface Case {
  time: number;
  classes: number;
  blank: number;
  lengths: number[];
  targets: number[][];
  logits: number[];
  coefficients: number[];
  losses: number[];
  gradient: number[];
}

const { cases } = JSON.parse(readFileSync(new URL("torch-ctc.json", import.meta.url), "utf8")) as { cases: Case[] };
const engine = new ReferenceKernels("float64");

describe("CTC as PyTorch computes it", () => {
  for (const { time, classes, blank, lengths, targets, ...expected } of cases) {
    it(`${time} steps, ${classes} classes, blank ${blank}`, () => {
      const B = targets.length;
      const width = Math.max(...targets.map(({ length }) => length));
      const x = parameter(expected.logits, [B, time, classes], { engine });
      const losses = scope(() => {
        const result = ctcLoss(
          x,
          {
            lengths,
            tokens: targets.flatMap((tokens) => [...tokens, ...new Array(width - tokens.length).fill(-1)]),
            tokenLengths: targets.map(({ length }) => length),
          },
          { blank, reduction: "none" },
        );
        result
          .multiply(tensor(expected.coefficients, [B], { engine }))
          .sum()
          .backward();
        return result.toArray();
      });
      const farthest = (found: ArrayLike<number>, wanted: readonly number[]) =>
        Math.max(...wanted.map((value, i) => Math.abs(found[i] - value)));
      expect(farthest(losses, expected.losses)).toBeLessThan(1e-11);
      expect(farthest(x.grad!.floats(), expected.gradient)).toBeLessThan(1e-12);
    });
  }
});
