/** @file What the engines need of a browser: no flags, and there are no addons. The twin of `platform-node.ts`. */

export interface NativeAddon {
  run(memory: Uint8Array, block: number, context: number): number;
  isa: string;
  supported: number;
}

export function prepareWasm(): void {}

export function loadAddons(): { addons: NativeAddon[]; reason?: string } {
  return { addons: [], reason: "not for browsers" };
}
