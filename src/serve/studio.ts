/**
 * @file The page's built files. Only the three known names are ever read, so no path in a request reaches the file system.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface StudioFile {
  type: string;
  body: Buffer;
}

/** The page loads nothing but its own script and style, talks to this server only, and is shown in no frame. */
export const STUDIO_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
} as const;

export const STUDIO_FILES = {
  "index.html": "text/html; charset=utf-8",
  "style.css": "text/css; charset=utf-8",
  "live.js": "text/javascript; charset=utf-8",
} as const;

/** Beside the compiled server, and where the build puts it when the server runs from source. */
const FOLDERS = ["../studio/", "../../dist/studio/"].map((path) => fileURLToPath(new URL(path, import.meta.url)));

/** A built file of the page, or undefined where it was not built. */
export function readStudioFile(name: keyof typeof STUDIO_FILES, folder?: string): StudioFile | undefined {
  for (const candidate of folder === undefined ? FOLDERS : [folder]) {
    try {
      return { type: STUDIO_FILES[name], body: readFileSync(join(candidate, name)) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
    }
  }
  return undefined;
}
