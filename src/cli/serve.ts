/** @file `ostinato serve`: models behind the session server. */
import { basename, dirname, extname } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { defaultEngine, describeEngine, type WeightType } from "../kernels/index.js";
import { type StreamModel, toStream } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { createServer } from "../serve/index.js";
import { banner } from "./experiment-view.js";
import { aborted, takeInterrupts } from "./interrupt.js";
import { RUN_FILES } from "./run-folder.js";
import { Terminal, type TerminalOptions } from "./terminal.js";

export interface ServeCommandOptions extends TerminalOptions {
  host: string;
  port: number;
  allowPublic?: boolean;
  /** Seconds without use after which a session expires. */
  ttl?: number;
  /** Live sessions at most. */
  maxSessions?: number;
  /** For every model. */
  weights?: WeightType;
}

/** @param paths `FILE` or `NAME=FILE`. */
export async function serveCommand(paths: readonly string[], options: ServeCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { weights = "float32" } = options;
  const models = await openModels(paths, weights);
  const engine = defaultEngine();
  const { host, port, allowPublic, ttl, maxSessions } = options;
  const limits = { maxSessions, ttlMs: ttl === undefined ? undefined : ttl * 1000 };
  const interrupt = takeInterrupts({ exit: 0 });
  const server = createServer({ models, host, port, allowPublic, ...limits, engine: describeEngine(engine) });
  try {
    const url = await server.listen();
    terminal.print(`\n  ${terminal.color.bold(banner(engine))}\n`);
    for (const [name, model] of models) {
      terminal.print(
        `  ${name}   ${model.task}, ${model.streaming === "carried" ? "state carried from record to record" : `the last ${model.windowLength} records`}${weights === "float32" ? "" : `, ${weights} weights`}`,
      );
    }
    terminal.print(`\n  ${terminal.color.bold(url)}   Ctrl-C to stop`);
    terminal.print(
      `  curl -X POST ${url}/v1/models/${encodeURIComponent([...models.keys()][0])}/sessions -H "Authorization: Bearer OWNER_KEY"\n`,
    );
    if (options.json)
      terminal.json({
        url,
        models: [...models].map(([name, { hash, task, streaming }]) => ({ name, hash, task, streaming })),
        weights,
      });
    await aborted(interrupt.signal);
    terminal.print("  finishing what is in flight");
  } finally {
    await server.close();
    interrupt.release();
  }
  return 0;
}

/** @throws OST_USAGE if two models have one name. @throws OST_CAUSAL for a model that cannot be streamed. */
async function openModels(paths: readonly string[], weights: WeightType): Promise<Map<string, StreamModel>> {
  const models = new Map<string, StreamModel>();
  for (const given of paths) {
    const named = /^([^=/\\]+)=(.+)$/.exec(given);
    const path = named ? named[2] : given;
    const model = toStream(await loadModel(path, { weights }));
    const name = named ? named[1] : model.name || fileName(path);
    if (models.has(name)) {
      throw new OstinatoError("OST_USAGE", {
        what: "two models have the same name",
        got: `"${name}" twice`,
        where: path,
        repair: `give one another name: ostinato serve ... ${fileName(path)}=${path}`,
      });
    }
    models.set(name, model);
  }
  return models;
}

/** runs/load-1/model.safetensors -> load-1, other.safetensors -> other */
function fileName(path: string): string {
  return basename(path) === RUN_FILES.model ? basename(dirname(path)) : basename(path, extname(path));
}
