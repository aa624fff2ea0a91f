/** @file The published schema and its page say what the program validates. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { configJsonSchema, parseConfig } from "../src/tasks/config.js";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

interface Schema {
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  default?: unknown;
  enum?: string[];
}

/** Every key with its default, "required" or "none"; where branches of a union differ, the first says it. */
function keysOf(
  schema: Schema,
  path: readonly string[] = [],
  found = new Map<string, { fallback: string; choices: string[] }>(),
) {
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const key = [...path, name];
    const fallback =
      "default" in inner ? `\`${JSON.stringify(inner.default)}\`` : schema.required?.includes(name) ? "required" : "none";
    if (!found.has(key.join("."))) found.set(key.join("."), { fallback, choices: inner.enum ?? [] });
    keysOf(inner, key, found);
  }
  for (const branch of schema.anyOf ?? []) keysOf(branch, path, found);
  return found;
}

const keys = keysOf(configJsonSchema() as Schema);
const rows = new Map(
  [...read("docs/reference/configuration.md").matchAll(/^\| `([^`]+)` \| (.*?) \| (.*?) \| (.*?) ?\|$/gm)].map(
    ([, key, fallback, type, meaning]) => [key, { fallback, type, meaning }],
  ),
);

describe("schema/config.json", () => {
  it("is what the program validates with (renew it with: npm run schema)", () => {
    expect(JSON.parse(read("schema/config.json"))).toEqual(configJsonSchema());
  });
});

describe("docs/reference/configuration.md", () => {
  it("has a row for each key, and none for another", () => {
    expect(keys.size).toBeGreaterThan(60);
    expect([...rows.keys()].sort()).toEqual([...keys.keys()].sort());
  });

  it.each([...keys])("gives the default of %s", (key, { fallback }) => {
    expect(rows.get(key)?.fallback).toBe(fallback);
  });

  it.each([...keys].filter(([, { choices }]) => choices.length > 0))("names every choice of %s", (key, { choices }) => {
    const { type, meaning } = rows.get(key) as { type: string; meaning: string };
    for (const choice of choices) expect(`${type} ${meaning}`).toContain(`\`${choice}\``);
  });

  it("writes defaults that the program fills in", () => {
    const data = {
      source: "a.csv",
      features: ["v"],
      target: "v",
      split: { by: "time", train: 0.7, validation: 0.15, test: 0.15 },
    };
    const config = parseConfig({ task: "forecast", data, window: { length: 8 } }) as unknown as Record<string, never>;
    for (const [key, { fallback }] of keys) {
      const path = key.split(".");
      if (
        !fallback.startsWith("`") ||
        ["data.missing", "train.schedule", "data.resample"].some((block) => key.startsWith(`${block}.`))
      )
        continue;
      if (fallback === "`{}`") continue;
      const value = path.reduce<unknown>((inner, name) => (inner as Record<string, unknown>)[name], config);
      expect(`\`${JSON.stringify(value)}\``, key).toBe(fallback);
    }
  });
});
