/** @file The examples of the library, run on the sources as a reader would. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

function example(path: string, ...args: string[]): string {
  const tsx = join(root, "node_modules/tsx/dist/cli.mjs");
  return execFileSync(process.execPath, [tsx, "--conditions=ostinato-source", join(root, "examples", path), ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

describe("examples", () => {
  it("forecast/rhythm.ts reports against baselines, and streams a forecast near the rhythm", () => {
    const output = example("forecast/rhythm.ts");
    expect(output).toMatch(/^GRU 16 +0\.\d+/m);
    expect(output).toMatch(/^persistence +/m);
    expect(output).toContain("Verdict: ship");
    const forecast = /six hours: (.*)$/m.exec(output)?.[1].trim().split(/\s+/).map(Number) as number[];
    expect(forecast).toHaveLength(6);
    forecast.forEach((kw, i) => {
      const rhythm = 40 + 12 * Math.sin((2 * Math.PI * (1200 + i)) / 24);
      expect(Math.abs(kw - rhythm)).toBeLessThan(8);
    });
  });

  it("audit/own-features.ts convicts the feature that looks ahead, and acquits the one that does not", () => {
    const output = example("audit/own-features.ts");
    expect(output).toContain("a mean over rows -3 to +3: leak\n");
    expect(output).toContain("it depends on rows up to 3 later");
    expect(output).toMatch(/^a mean over rows -6 to \+0: clean$/m);
  });

  it("language/shakespeare.ts learns a text below the entropy of its single characters", () => {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-example-"));
    try {
      const lines = Array.from(
        { length: 1500 },
        (_, i) => `${i % 7} green bottles hanging on the wall, and ${(i * 3) % 7} more.`,
      );
      const text = lines.join("\n");
      writeFileSync(join(folder, "input.txt"), text);
      const { characters, vocabulary, validationNats } = JSON.parse(
        example("language/shakespeare.ts", join(folder, "input.txt")),
      );
      expect(characters).toBe(text.length);
      expect(vocabulary).toBe(new Set(text).size);
      const counts = new Map<string, number>();
      for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
      const unigram = [...counts.values()].reduce((sum, n) => sum - (n / text.length) * Math.log(n / text.length), 0);
      expect(validationNats).toBeLessThan(unigram / 2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
