/** @file What needs a file system: reading data and model files, checkpoints on disk, the host's telemetry. */

export { type DiskOptions, type DiskProgress, prepareOnDisk } from "./data/disk/prepare-on-disk.js";
export { type WorkerPrefetchOptions, workerPrefetcher } from "./data/prefetch-node.js";
export {
  type DataFiles,
  hashFile,
  querySql,
  type ReadChunksOptions,
  type ReadOptions,
  type ReadProgress,
  type ReadTableOptions,
  readChunks,
  readTable,
} from "./data/read/index.js";
export { openTelemetry, TELEMETRY_COLUMNS, type TelemetryRecord, telemetry } from "./data/telemetry.js";
export { loadModel } from "./model/load-file.js";
export { type GradientThreadsOptions, gradientThreads } from "./tasks/gradient-node.js";
export { checkpointFile, writeAtomically } from "./train/checkpoint-file.js";
