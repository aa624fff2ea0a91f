/** @file The layers of the source tree, held by parsing its imports. The table is that of ARCHITECTURE.md. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findCycle, importsOf, reachedFrom, readSourceGraph, type SourceImport, sourceFiles } from "./support/source-graph.js";

const root = fileURLToPath(new URL("../src", import.meta.url));
const studio = fileURLToPath(new URL("../studio", import.meta.url));

/** Layer of each folder; a folder imports from lower layers only, and of those only what `only` names or `never` leaves. */
const FOLDERS: Record<string, { layer: number; only?: string[]; never?: string[] }> = {
  core: { layer: 0 },
  kernels: { layer: 1 },
  protocol: { layer: 1 },
  tensor: { layer: 2, never: ["protocol"] },
  nn: { layer: 3, never: ["protocol"] },
  losses: { layer: 3, never: ["protocol"] },
  optim: { layer: 3, never: ["protocol"] },
  decode: { layer: 3, never: ["protocol"] },
  baselines: { layer: 3, never: ["protocol"] },
  data: { layer: 3, only: ["core"] },
  model: { layer: 4, never: ["protocol", "losses", "optim"] },
  evaluate: { layer: 5, never: ["protocol"] },
  export: { layer: 5, never: ["protocol"] },
  diagnose: { layer: 5, never: ["protocol"] },
  monitor: { layer: 5, only: ["core", "data", "protocol"] },
  train: { layer: 6, never: ["protocol"] },
  serve: { layer: 6, never: ["losses", "optim", "train", "evaluate", "export", "diagnose"] },
  client: { layer: 6, only: ["core", "protocol"] },
  tasks: { layer: 7, never: ["serve", "client", "protocol"] },
  testing: {
    layer: 7,
    only: ["core", "kernels", "protocol", "tensor", "nn", "losses", "optim", "decode", "baselines", "data", "model"],
  },
  cli: { layer: 8 },
};

/** Files that read the file system, the host or the network; everything else a browser needs is free of them. */
const NODE_ONLY = [
  /^data\/(read|disk)\//,
  /^data\/prefetch-(node|worker)\.ts$/,
  /^data\/telemetry\.ts$/,
  /^model\/load-file\.ts$/,
  /^tasks\/gradient-(node|worker)\.ts$/,
  /^kernels\/(platform-node|addon-file)\.ts$/,
  /^train\/checkpoint-file\.ts$/,
  /^(serve|cli)\//,
  /^node\.ts$/,
];

/** Packages that are pure JavaScript and may be imported by a folder that a browser needs. */
const PURE_PACKAGES: Record<string, string[]> = { tasks: ["zod"], data: ["@huggingface/tokenizers"] };

const folderOf = (path: string) => (path.includes("/") ? path.slice(0, path.indexOf("/")) : "");

/** Breaches of the layer table, as "file -> file: reason". */
function layerFaults(imports: readonly SourceImport[]): string[] {
  return imports.flatMap(({ from, to }) => {
    const [own, other] = [folderOf(from), to === null ? null : folderOf(to)];
    if (other === null || own === "" || own === other) return [];
    const [above, below] = [FOLDERS[own], FOLDERS[other]];
    const refuse = (reason: string) => [`${from} -> ${to}: ${reason}`];
    if (!above) return refuse(`folder ${own} is in no layer`);
    if (!below) return refuse(`${other || "the package's entry"} is in no layer`);
    if (below.layer >= above.layer) return refuse(`layer ${above.layer} imports layer ${below.layer}`);
    if (above.only && !above.only.includes(other)) return refuse(`${own} may import only ${above.only.join(", ")}`);
    return above.never?.includes(other) ? refuse(`${own} never imports ${other}`) : [];
  });
}

/** Imports of `node:*` or of packages where a browser could not follow. */
function browserFaults(imports: readonly SourceImport[]): string[] {
  return imports
    .filter(({ from, to, typeOnly }) => to === null && !typeOnly && !NODE_ONLY.some((pattern) => pattern.test(from)))
    .filter(({ from, specifier }) => !PURE_PACKAGES[folderOf(from)]?.includes(specifier))
    .filter(
      ({ from, specifier }) => !(specifier === "#platform" && /^kernels\/(wasm|native|worker-pool|thread-count)\.ts$/.test(from)),
    )
    .map(({ from, specifier }) => `${from} -> ${specifier}`);
}

const graph = readSourceGraph(root);

describe("the source tree", () => {
  it("is read whole", () => {
    expect(graph.length).toBeGreaterThan(200);
    const files = new Set(sourceFiles(root));
    const broken = graph.filter(({ to }) => to !== null && !files.has(to)).map(({ from, to }) => `${from} -> ${to}`);
    expect(broken).toEqual([]);
  });

  it("has every folder in a layer", () => {
    const folders = new Set(sourceFiles(root).map(folderOf).filter(Boolean));
    expect([...folders].filter((folder) => !(folder in FOLDERS))).toEqual([]);
  });

  it("imports downwards only, and never between folders of one layer", () => {
    expect(layerFaults(graph)).toEqual([]);
  });

  it("has no cycles between files", () => {
    expect(findCycle(graph)).toBeNull();
  });

  it("keeps node:* and packages out of what a browser needs", () => {
    expect(browserFaults(graph)).toEqual([]);
  });

  it("reaches nothing but pure packages and the platform switch from the package's main entry", () => {
    const outside = new Set(reachedFrom("index.ts", graph).map(({ specifier }) => specifier));
    expect([...outside].sort()).toEqual(["#platform", "@huggingface/tokenizers", "zod"]);
  });

  it("gives every folder one public list: a folder's index.ts holds exports only", () => {
    const indexes = sourceFiles(root).filter((path) => /^[a-z]+\/index\.ts$/.test(path));
    expect(indexes.length).toBeGreaterThan(10);
    const withCode = indexes.filter((path) => {
      const text = readFileSync(join(root, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
      return text.replace(/export (?:type )?(?:\{[^}]*\}|\*) from "[^"]+";/g, "").trim() !== "";
    });
    expect(withCode).toEqual([]);
  });

  it.skipIf(!existsSync(studio))("lets the page know the protocol and the client only", () => {
    const foreign = readSourceGraph(studio)
      .filter(({ to }) => to?.startsWith("../"))
      .filter(({ to }) => !/^\.\.\/src\/(protocol|client)\//.test(to as string))
      .map(({ from, to }) => `${from} -> ${to}`);
    expect(foreign).toEqual([]);
  });
});

describe("the checks themselves", () => {
  const of = (files: Record<string, string>) => Object.entries(files).flatMap(([path, text]) => importsOf(path, text));

  it("sees every form of import", () => {
    const text = `
      import { a } from "./a.js"; import type { B } from "./b.js"; import { type C, type D } from "./c.js"; import { e, type F } from "./e.js";
      export * from "./g.js"; export type { H } from "./h.js"; import "./i.js";
      const late = async () => import("./j.js"); type K = import("./k.js").K; export const x: B | C | D | F | K = e(a, late);`;
    const found = importsOf("nn/one.ts", text);
    expect(found.map(({ to, typeOnly }) => `${to}${typeOnly ? " (type)" : ""}`)).toEqual([
      "nn/a.ts",
      "nn/b.ts (type)",
      "nn/c.ts (type)",
      "nn/e.ts",
      "nn/g.ts",
      "nn/h.ts (type)",
      "nn/i.ts",
      "nn/j.ts",
      "nn/k.ts (type)",
    ]);
  });

  it("refuses an import upwards, sideways, of a type too, and what a folder may never see", () => {
    const imports = of({
      "nn/a.ts": 'import { x } from "../model/x.js";',
      "losses/a.ts": 'import type { X } from "../nn/x.js";',
      "data/a.ts": 'import { x } from "../tensor/x.js";',
      "serve/a.ts": 'import { x } from "../optim/x.js";',
      "nn/b.ts": 'import { x } from "../tensor/x.js";',
    });
    expect(layerFaults(imports).map((line) => line.split(":")[0])).toEqual([
      "nn/a.ts -> model/x.ts",
      "losses/a.ts -> nn/x.ts",
      "data/a.ts -> tensor/x.ts",
      "serve/a.ts -> optim/x.ts",
    ]);
  });

  it("finds a cycle of values, and not one of types", () => {
    const types = of({ "a/a.ts": 'import type { B } from "./b.js";', "a/b.ts": 'import { a } from "./a.js";' });
    expect(findCycle(types)).toBeNull();
    const values = of({
      "a/a.ts": 'import { b } from "./b.js";',
      "a/b.ts": 'export { c } from "./c.js";',
      "a/c.ts": 'import { a } from "./a.js";',
    });
    expect(findCycle(values)).toEqual(["a/a.ts", "a/b.ts", "a/c.ts", "a/a.ts"]);
  });

  it("refuses node:* and packages in what a browser needs, also when imported late", () => {
    const imports = of({
      "nn/a.ts": 'import { readFile } from "node:fs/promises";',
      "evaluate/a.ts": 'export const late = () => import("yaml");',
      "data/read/a.ts": 'import { readFile } from "node:fs/promises";',
      "tasks/a.ts": 'import { z } from "zod";',
      "data/a.ts": 'import type { Stats } from "node:fs";',
    });
    expect(browserFaults(imports)).toEqual(["nn/a.ts -> node:fs/promises", "evaluate/a.ts -> yaml"]);
  });
});
