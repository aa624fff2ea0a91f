/** @file What the engines need of a browser: no flags, and there are no addons. The twin of `platform-node.ts`. */
import type { AddonSearch } from "./addon-file.js";

export type { AddonFile, AddonSearch, NativeAddon } from "./addon-file.js";

export function prepareWasm(): void {}

export function findAddons(): AddonSearch {
  return { sets: [], files: [], absent: "not for browsers" };
}
