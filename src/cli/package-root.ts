/** @file Where the package lies, and its version; the same from source and from the build. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of package.json, with a separator at its end. */
export const PACKAGE_ROOT = fileURLToPath(new URL("../../", import.meta.url));

export function packageVersion(): string {
  return (JSON.parse(readFileSync(`${PACKAGE_ROOT}package.json`, "utf8")) as { version: string }).version;
}
