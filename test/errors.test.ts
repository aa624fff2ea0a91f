/** @file The catalogue of errors: code, page and use agree in both directions. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, type ErrorCode, OstinatoError } from "../src/core/errors.js";
import { HTTP_STATUS, httpStatus } from "../src/protocol/codes.js";
import { ERROR_SAMPLES, sampleMessage } from "./support/error-samples.js";
import { sourceFiles } from "./support/source-graph.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(root, "docs/reference/errors.md"), "utf8");
const codes = Object.keys(ERROR_CODES) as ErrorCode[];

/** Section of the page by code. */
const sections = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section.split(/^## /m)[0]]),
);

const sources = ["src", "studio"].flatMap((folder) =>
  sourceFiles(join(root, folder)).map((path) => ({
    path: `${folder}/${path}`,
    text: readFileSync(join(root, folder, path), "utf8"),
  })),
);

describe("docs/reference/errors.md", () => {
  it("has one section for each code, and none for another", () => {
    expect([...sections.keys()].sort()).toEqual([...codes].sort());
    expect(page.match(/^### /gm)).toHaveLength(codes.length);
  });

  it.each(codes)("says of %s what the code says: meaning, exit code, HTTP status", (code) => {
    const section = sections.get(code) as string;
    const { exit, meaning } = ERROR_CODES[code];
    expect(section.toLowerCase()).toContain(`${meaning.toLowerCase()}.`);
    expect(section).toContain(`Exit code ${exit} · HTTP ${httpStatus(code)}\n`);
    expect(section).toMatch(/^When: \S/m);
    expect(section).toMatch(/^Repair: \S/m);
  });

  it.each(codes)("shows a message of %s as the program gives it (refresh with: npm run docs)", async (code) => {
    const shown = /```text\n([\s\S]*?)\n```/.exec(sections.get(code) as string)?.[1];
    const message = await sampleMessage(code);
    expect(message.startsWith(`${code}  `)).toBe(true);
    expect(shown).toBe(message);
  });

  it("links to pages that exist", () => {
    for (const [, target] of page.matchAll(/\]\(([^)#]+)/g))
      expect(() => readFileSync(join(root, "docs/reference", target))).not.toThrow();
  });
});

describe("the codes in the sources", () => {
  const uses = sources
    .filter(({ path }) => path !== "src/core/errors.ts")
    .flatMap(({ path, text }) => [...text.matchAll(/\bOST_[A-Z_]+/g)].map(([code]) => ({ path, code })));

  it("are all in the catalogue", () => {
    const unknown = uses.filter(({ code }) => !(code in ERROR_CODES) && code !== "OST_");
    expect(unknown).toEqual([]);
  });

  it.each(codes)("hold a place that makes %s, outside the catalogue", (code) => {
    const inCode = new RegExp(`"${code}"`);
    const places = sources.filter(({ path, text }) => path !== "src/core/errors.ts" && inCode.test(withoutComments(text)));
    expect(places.map(({ path }) => path)).not.toEqual([]);
  });

  it("with an HTTP status are codes", () => {
    expect(Object.keys(HTTP_STATUS).filter((code) => !(code in ERROR_CODES))).toEqual([]);
  });
});

describe("an error", () => {
  it("decides the exit code by its code", async () => {
    const error = await Promise.resolve()
      .then(ERROR_SAMPLES.OST_COLUMN)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OstinatoError);
    expect((error as OstinatoError).exit).toBe(2);
    expect((error as OstinatoError).detail).toMatchObject({ got: '"kwh"', where: "load.csv", repair: 'did you mean "kw"?' });
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}
