/** @file Uses something of every entry, so that the packed declarations are checked as a consumer sees them. */
import * as everything from "ostinato";
import { type Baseline, Persistence } from "ostinato/baselines";
import { type Batch, OstinatoError, type Rng, seed } from "ostinato/core";
import { prepare, type Table, tableFromRecords } from "ostinato/data";
import { traceNonFinite } from "ostinato/diagnose";
import { type Report, renderReportText } from "ostinato/evaluate";
import { defaultEngine, type Kernels } from "ostinato/kernels";
import { crossEntropy, mse } from "ostinato/losses";
import { type LoadedModel, openModel, type StreamModel, toStream } from "ostinato/model";
import { GRU, type SequenceModel } from "ostinato/nn";
import { hashFile, readTable } from "ostinato/node";
import { AdamW, type Optimizer } from "ostinato/optim";
import { createServer, type Server } from "ostinato/serve";
import { type ExperimentConfig, parseConfig } from "ostinato/tasks";
import { scope, type Tensor, zeros } from "ostinato/tensor";
import { checkKernels } from "ostinato/testing";
import { train } from "ostinato/train";

const rng: Rng = seed(1);
const engine: Kernels = defaultEngine();
const layer = new GRU(2, 4, { rng, engine });
const last: Tensor = scope(() => layer.forward(zeros([1, 3, 2])).last);
const optimizer: Optimizer = new AdamW(layer.parameters(), { learningRate: 1e-3 });
const table: Table = tableFromRecords([{ v: 1 }]);
const serve = (models: ReadonlyMap<string, StreamModel>): Promise<Server> => createServer({ models });

// @ts-expect-error: a loss needs a target
mse(last);
// @ts-expect-error: an unknown key of a configuration's type
const misspelt: Partial<ExperimentConfig> = { tsk: "forecast" };

export type { Baseline, Batch, LoadedModel, Report, SequenceModel };
export {
  checkKernels,
  crossEntropy,
  everything,
  hashFile,
  misspelt,
  OstinatoError,
  openModel,
  optimizer,
  Persistence,
  parseConfig,
  prepare,
  readTable,
  renderReportText,
  serve,
  table,
  toStream,
  traceNonFinite,
  train,
};
