/** @file What WebAssembly needs in a browser before the kernels are compiled: nothing. The twin of `platform-node.ts`. */
export function prepareWasm(): void {}
