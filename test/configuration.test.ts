/** @file The published schema and its page say what the program validates. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { configJsonSchema, parseConfig } from "../src/tasks/config.js";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  required?: string[];
  anyOf?: Schema[];
  default?: unknown;
  enum?: string[];
  const?: unknown;
}

interface Key {
  /** The default in code marks, "required" or "none"; where branches of a union differ, the first says it. */
  fallback: string;
  /** What it may be, where that is a list; of all branches together. */
  choices: Set<string>;
}

/** Every key: the blocks of a list as `list[].key`, those under names of the user's as `<column>`. */
function keysOf(schema: Schema, path: readonly string[] = [], found = new Map<string, Key>()) {
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const key = [...path, name];
    const fallback =
      "default" in inner ? `\`${JSON.stringify(inner.default)}\`` : schema.required?.includes(name) ? "required" : "none";
    const known = found.get(key.join(".")) ?? { fallback, choices: new Set() };
    found.set(key.join("."), known);
    for (const choice of choicesOf(inner)) known.choices.add(choice);
    keysOf(inner, key, found);
  }
  const { additionalProperties, items, anyOf = [] } = schema;
  if (typeof additionalProperties === "object") keysOf(additionalProperties, [...path, "<column>"], found);
  if (items) keysOf(items, [...path.slice(0, -1), `${path.at(-1)}[]`], found);
  for (const branch of anyOf) keysOf(branch, path, found);
  return found;
}

function choicesOf({ enum: choices = [], const: only, items, anyOf = [] }: Schema): string[] {
  return [
    ...choices.filter((choice) => choice !== null),
    ...(only === undefined ? [] : [String(only)]),
    ...(items ? choicesOf(items) : []),
    ...anyOf.flatMap(choicesOf),
  ];
}

/** Blocks whose keys are those of another block; one row says so. */
const ALIKE: Record<string, string> = { "data.sync[].read": "data.read", "data.split.time": "data.split" };

const all = keysOf(configJsonSchema() as Schema);
const keys = new Map([...all].filter(([key]) => !Object.keys(ALIKE).some((block) => key.startsWith(`${block}.`))));
const rows = new Map(
  [...read("docs/reference/configuration.md").matchAll(/^\| `([^`]+)` \| (.*?) \| (.*?) \| (.*?) ?\|$/gm)].map(
    ([, key, fallback, type, meaning]) => [key, { fallback, type, meaning }],
  ),
);

/** Configurations that together hold every block. */
const shares = { train: 0.7, validation: 0.15, test: 0.15 };
const data = { source: "a.csv", features: ["v"], target: "v", split: { by: "time", ...shares } };
const FORMS = [
  {},
  ...["cosine", "plateau"].map((kind) => ({ train: { schedule: { kind } } })),
  { train: { schedule: { kind: "step", every: 10 } } },
  { train: { augment: { timeMask: { share: 0.1 }, featureMask: { width: 2 }, timeWarp: { std: 0.2 } } } },
  { data: { ...data, missing: { policy: "forwardFill" }, resample: { everyMs: 1000 }, sessions: {}, timeDelta: {} } },
  { data: { ...data, sync: [{ source: "b.csv", time: "t" }], calendar: { parts: ["hourOfDay"] } } },
  { data: { ...data, features: undefined, categories: { event: {} }, split: { by: "entity", ...shares } } },
  {
    data: { ...data, categories: { text: { kind: "words", markers: {} } }, split: { by: "time", folds: 3, fold: 1, test: 0.1 } },
  },
  { data: { ...data, categories: { text: { kind: "characters" } } }, task: "tag" },
  { data: { ...data, categories: { word: "embedding" }, spelling: { word: {} } }, task: "tag" },
  ...["characters", "words"].map((kind) => ({
    ...{ data: { ...data, targetTokens: { kind } }, task: "translate", window: {} },
    train: { averaging: {}, sampling: { steps: 10 } },
  })),
  { task: "detect", detect: { by: "residual" } },
].map((form) => parseConfig({ task: "forecast", data, window: { length: 8 }, ...form }));

function valuesAt(path: string): unknown[] {
  const found = FORMS.map((config) =>
    path.split(".").reduce<unknown>((inner, name) => {
      if (typeof inner !== "object" || inner === null) return undefined;
      if (name === "<column>") return Object.values(inner)[0];
      const value = (inner as Record<string, unknown>)[name.replace("[]", "")];
      return name.endsWith("[]") && Array.isArray(value) ? value[0] : value;
    }, config),
  );
  return found.filter((value) => value !== undefined);
}

describe("schema/config.json", () => {
  it("is what the program validates with (renew it with: npm run schema)", () => {
    expect(JSON.parse(read("schema/config.json"))).toEqual(configJsonSchema());
  });
});

describe("docs/reference/configuration.md", () => {
  it("has a row for each key, and none for another", () => {
    expect(keys.size).toBeGreaterThan(140);
    expect([...rows.keys()].sort()).toEqual([...keys.keys()].sort());
  });

  it.each(Object.entries(ALIKE))("may say of %s that its keys are those of %s", (block, other) => {
    const inner = [...all].filter(([key]) => key.startsWith(`${block}.`));
    expect(inner.length).toBeGreaterThan(10);
    for (const [key, { fallback, choices }] of inner) {
      const original = all.get(key.replace(block, other));
      expect(original?.fallback, key).toBe(fallback);
      expect([...(original?.choices ?? [])], key).toEqual(expect.arrayContaining([...choices]));
    }
  });

  it.each([...keys])("gives the default of %s", (key, { fallback }) => {
    expect(rows.get(key)?.fallback).toBe(fallback);
  });

  it.each([...keys].filter(([, { choices }]) => choices.size > 0))("names every choice of %s", (key, { choices }) => {
    const { type, meaning } = rows.get(key) as { type: string; meaning: string };
    for (const choice of choices) expect(`${type} ${meaning}`).toContain(`\`${choice}\``);
  });

  it.each([...keys].filter(([, { fallback }]) => fallback.startsWith("`") && fallback !== "`{}`"))(
    "writes the default of %s that the program fills in",
    (key, { fallback }) => {
      expect(valuesAt(key).map((value) => `\`${JSON.stringify(value)}\``)).toContain(fallback);
    },
  );
});
