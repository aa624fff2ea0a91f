/** @file The imports of the source tree, parsed: what the architecture test reasons about. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseAst } from "vite";

export interface SourceImport {
  /** Path from the source root, such as "nn/lstm.ts". */
  from: string;
  /** The specifier as written. */
  specifier: string;
  /** Path from the source root for a relative import, else null: a package, `node:*` or `#platform`. */
  to: string | null;
  /** Erased by the compiler: `import type`, or every name in it marked `type`. */
  typeOnly: boolean;
}

type AstNode = { type: string; [key: string]: unknown };

/** Paths of all TypeScript sources below a folder, tests left out. */
export function sourceFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name) && !/\.test\.ts$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** Static imports, re-exports, dynamic `import()` of a literal, and `import("...")` types. */
export function importsOf(path: string, text: string): SourceImport[] {
  const found: SourceImport[] = [];
  const add = (specifier: string, typeOnly: boolean) => {
    const to = specifier.startsWith(".") ? join(path, "..", specifier).replace(/\.js$/, ".ts") : null;
    found.push({ from: path, specifier, to, typeOnly });
  };
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return;
    const node = value as AstNode;
    const source = node["source"] as { value?: unknown } | null | undefined;
    if (typeof source?.value === "string") {
      const kind = node["importKind"] ?? node["exportKind"];
      const specifiers = (node["specifiers"] ?? []) as { importKind?: string; exportKind?: string }[];
      const erased = specifiers.length > 0 && specifiers.every((one) => (one.importKind ?? one.exportKind) === "type");
      add(source.value, node.type === "TSImportType" || kind === "type" || erased);
    }
    for (const [key, inner] of Object.entries(node)) if (key !== "parent") visit(inner);
  };
  visit(parseAst(text, { lang: "ts" }, path));
  return found;
}

/** All imports of all sources below a folder. */
export function readSourceGraph(root: string): SourceImport[] {
  return sourceFiles(root).flatMap((path) => importsOf(path, readFileSync(join(root, path), "utf8")));
}

/** The first cycle among value imports, as the files in it, or null. */
export function findCycle(imports: readonly SourceImport[]): string[] | null {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports) {
    if (to !== null && !typeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (file: string): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    path.push(file);
    for (const other of next.get(file) ?? []) {
      const cycle = walk(other);
      if (cycle) return cycle;
    }
    path.pop();
    done.add(file);
    return null;
  };
  for (const file of next.keys()) {
    const cycle = walk(file);
    if (cycle) return cycle;
  }
  return null;
}

/** The imports through which an entry reaches something outside the tree, at run time. */
export function reachedFrom(entry: string, imports: readonly SourceImport[]): SourceImport[] {
  const byFile = groupByFile(imports);
  const seen = new Set([entry]);
  const outside: SourceImport[] = [];
  for (const file of seen) {
    for (const one of byFile.get(file) ?? []) {
      if (one.typeOnly) continue;
      if (one.to === null) outside.push(one);
      else seen.add(one.to);
    }
  }
  return outside;
}

function groupByFile(imports: readonly SourceImport[]): Map<string, SourceImport[]> {
  const groups = new Map<string, SourceImport[]>();
  for (const one of imports) groups.set(one.from, [...(groups.get(one.from) ?? []), one]);
  return groups;
}
