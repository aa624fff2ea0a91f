/** @file The texts hold: links lead somewhere, the example in the README is the one in the folder, and every command is a known one. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
/** `ostinato runs compare` and their like. */
const PARTS_OF_COMMANDS = ["compare", "create", "list", "revoke", "verify"];
const pages = [
  "docs/proof.md",
  ...["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"],
  ...["guide", "reference", "decisions"].flatMap((folder) =>
    readdirSync(join(root, "docs", folder)).map((name) => `docs/${folder}/${name}`),
  ),
];

describe.each(pages)("%s", (page) => {
  const text = read(page);

  it("begins with its title and has no other first-level heading", () => {
    expect(text).toMatch(/^# \S/);
    expect(text.replace(/```[\s\S]*?```/g, "").match(/^# /gm)).toHaveLength(1);
  });

  it("links to files that exist", () => {
    const broken = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)]
      .map(([, target]) => target)
      .filter((target) => !existsSync(join(root, dirname(page), target)));
    expect(broken).toEqual([]);
  });

  it("names sources and examples that exist", () => {
    const named = [
      ...text.matchAll(/`((?:src|kernels|examples|test|docs|schema|studio)\/[\w./-]+\.(?:ts|c|md|json|yaml|mjs))`/g),
    ].map(([, path]) => path);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

describe("README.md", () => {
  it("shows the example as it is in the folder", () => {
    const shown = /```ts\n([\s\S]*?)```/.exec(read("README.md"))?.[1];
    expect(shown).toBe(read("examples/forecast/rhythm.ts"));
    expect(read("examples/forecast/rhythm.ts").trim().split("\n").length).toBeLessThanOrEqual(25);
  });

  it("names every entry of the package", () => {
    const { exports } = JSON.parse(read("package.json"));
    const table = read("README.md");
    for (const entry of Object.keys(exports).map((key) => key.slice(1))) {
      if (entry === "/package.json") continue;
      expect(table).toMatch(new RegExp(`\`(ostinato)?${entry.replace("/", "\\/")}\``));
    }
  });

  it("tells commands that exist, in the order of the help", () => {
    const main = read("src/cli/main.ts");
    const commands = [...main.matchAll(/^ {2}(?:const \w+ = )?command\(\s*"([\w-]+)/gm)]
      .map(([, name]) => name)
      .filter((name) => !PARTS_OF_COMMANDS.includes(name));
    expect(commands.length).toBeGreaterThanOrEqual(10);
    const listed = /lists the commands: ([^.]*)\./.exec(read("README.md"))?.[1].match(/[\w-]+/g);
    expect([...(listed ?? [])].sort()).toEqual([...commands].sort());
  });
});

describe("the package's texts", () => {
  it("name one version", () => {
    const { version } = JSON.parse(read("package.json"));
    expect(read("CHANGELOG.md")).toContain(`## ${version}`);
    expect(read("src/tasks/experiment.ts")).toContain(`VERSION = "${version}"`);
  });

  it("say the licence", () => {
    expect(read("LICENSE")).toContain("Apache License");
    expect(statSync(join(root, "LICENSE")).size).toBeGreaterThan(10_000);
    expect(JSON.parse(read("package.json")).license).toBe("Apache-2.0");
  });
});
