/** @file A copy of the sources and their tests in which one fault at a time is put; the real ones are only read. */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./bank.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const COPIED = ["src", "test", "package.json", "tsconfig.json", "vitest.config.ts"];
/** What is neither written nor changed. */
const LINKED = ["kernels", "native", "data"];

export class Tree {
  constructor(readonly folder: string) {
    mkdirSync(folder, { recursive: true });
    for (const name of COPIED) cpSync(join(root, name), join(folder, name), { recursive: true });
    for (const name of LINKED) symlinkSync(join(root, name), join(folder, name));
    // A folder of its own, so that caches of the test runner stay in the copy.
    mkdirSync(join(folder, "node_modules"));
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (!name.startsWith(".v")) symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
    }
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  /** With the fault in place while `act` runs. @throws if its text does not stand in its file exactly once. */
  async with<T>({ name, file, find, replace }: Mutant, act: () => Promise<T>): Promise<T> {
    const path = this.path(file);
    const source = readFileSync(path, "utf8");
    const found = source.split(find).length - 1;
    if (found !== 1) throw new Error(`the mutant "${name}" has rotted: its text stands ${found} times in ${file}`);
    writeFileSync(
      path,
      source.replace(find, () => replace),
    );
    try {
      return await act();
    } finally {
      writeFileSync(path, source);
    }
  }
}
