/** @file `ostinato serve`: models behind the session server. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import { parse } from "yaml";
import { OstinatoError } from "../core/errors.js";
import { defaultEngine, describeEngine, type WeightType } from "../kernels/index.js";
import { loadModel } from "../model/load-file.js";
import { createServer, type Durability, type ServedSource, type ServerOptions } from "../serve/index.js";
import { banner } from "./experiment-view.js";
import { aborted, takeInterrupts } from "./interrupt.js";
import { packageVersion } from "./package-root.js";
import { RUN_FILES } from "./run-folder.js";
import { Terminal, type TerminalOptions } from "./terminal.js";

export interface ServeCommandOptions extends TerminalOptions {
  host: string;
  port: number;
  grpcPort?: number;
  /** A port on the loopback address, or the path of a Unix socket. */
  admin?: string;
  data?: string;
  durability?: Durability;
  /** File of API keys. */
  keys?: string;
  /** File with the rest of `auth`: tokens, client certificates. */
  auth?: string;
  tlsCert?: string;
  tlsKey?: string;
  tlsClientCa?: string;
  insecure?: boolean;
  /** File of rates and live sessions by tenant. */
  limits?: string;
  /** Seconds without use after which a session expires. */
  ttl?: number;
  /** Live sessions at most. */
  maxSessions?: number;
  /** For every model. */
  weights?: WeightType;
  /** `--sentinel off`. */
  sentinel?: "on" | "off";
}

/** @param paths `FILE`, `NAME=FILE`, or `probe`. */
export async function serveCommand(paths: readonly string[], options: ServeCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { weights = "float32" } = options;
  const models = await readModels(paths, weights);
  const engine = defaultEngine();
  const interrupt = takeInterrupts({ exit: 0 });
  const server = await createServer({
    models,
    ...serverOptions(options),
    engineName: describeEngine(engine),
    version: packageVersion(),
  });
  try {
    const urls = await server.listen();
    terminal.print(`\n  ${terminal.color.bold(banner(engine))}\n`);
    for (const { name, current } of server.models.list()) {
      const memory =
        current.streaming === "carried" ? "state carried from record to record" : `the last ${current.windowLength} records`;
      terminal.print(`  ${name}   ${current.task}, ${memory}${weights === "float32" ? "" : `, ${weights} weights`}`);
    }
    terminal.print(`\n  ${terminal.color.bold(urls.http)}   Ctrl-C to stop`);
    if (urls.grpc) terminal.print(`  gRPC ${urls.grpc}`);
    if (urls.admin) terminal.print(`  admin ${urls.admin}`);
    terminal.print(
      options.data === undefined
        ? "  sessions live in memory: --data FOLDER keeps them through restarts and crashes"
        : `  an acknowledged step outlives ${OUTLIVES[options.durability ?? "durable"]}`,
    );
    const [first] = server.models.list();
    terminal.print(
      `  curl -X POST ${urls.http}/v1/models/${encodeURIComponent(first.name)}/sessions -H "Authorization: Bearer OWNER_KEY"\n`,
    );
    if (options.json) {
      const served = server.models
        .list()
        .map(({ name, current: { version, task, streaming } }) => ({ name, version, task, streaming }));
      terminal.json({ url: urls.http, ...urls, models: served, weights });
    }
    await aborted(interrupt.signal);
    terminal.print("  finishing what is in flight");
  } finally {
    await server.close();
    interrupt.release();
  }
  return 0;
}

const OUTLIVES: Record<Durability, string> = {
  none: "nothing",
  interval: "a crash, but for the last second or 64 steps",
  process: "the end of the process, not a power cut",
  durable: "the end of the process and a power cut",
};

function serverOptions(options: ServeCommandOptions): Omit<ServerOptions, "models"> {
  const { host, port, grpcPort, admin, data, durability, insecure, limits, ttl, maxSessions, tlsCert, tlsKey, tlsClientCa } =
    options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new OstinatoError("OST_USAGE", {
      what: "TLS needs a certificate and its key",
      expected: "--tls-cert and --tls-key, or neither",
    });
  }
  return {
    host,
    port,
    grpcPort,
    admin: admin === undefined ? null : /^\d+$/.test(admin) ? Number(admin) : admin,
    data: data ?? null,
    durability,
    insecure,
    auth: {
      ...(options.auth === undefined ? {} : (readYaml(options.auth) as object)),
      ...(options.keys === undefined ? {} : { keys: options.keys }),
    },
    tls:
      tlsCert === undefined
        ? null
        : { cert: tlsCert, key: tlsKey as string, ...(tlsClientCa === undefined ? {} : { clientCa: tlsClientCa }) },
    limits: limits === undefined ? undefined : (readYaml(limits) as ServerOptions["limits"]),
    sessions: { ttlMs: ttl === undefined ? null : ttl * 1000, ...(maxSessions === undefined ? {} : { maxSessions }) },
    sentinel: options.sentinel === "off" ? false : {},
  };
}

function readYaml(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    throw new OstinatoError(
      "OST_FILE",
      { what: `it cannot be read (${code})`, where: path, repair: "check the path" },
      { cause },
    );
  }
  try {
    return parse(text, { maxAliasCount: 0, logLevel: "error" });
  } catch (cause) {
    throw new OstinatoError(
      "OST_CONFIG",
      { what: "neither YAML nor JSON", got: (cause as Error).message.split("\n")[0], where: path },
      { cause },
    );
  }
}

/** @throws OST_USAGE if two models have one name. */
async function readModels(paths: readonly string[], weights: WeightType): Promise<Map<string, ServedSource>> {
  const models = new Map<string, ServedSource>();
  for (const given of paths) {
    const named = /^([^=/\\]+)=(.+)$/.exec(given);
    const path = named ? named[2] : given;
    const isProbe = path === "probe";
    const header = isProbe ? { name: "probe" } : (await loadModel(path)).header;
    const name = named ? named[1] : header.name || fileName(path);
    if (models.has(name)) {
      throw new OstinatoError("OST_USAGE", {
        what: "two models have the same name",
        got: `"${name}" twice`,
        where: path,
        repair: `give one another name: ostinato serve ... ${fileName(path)}=${path}`,
      });
    }
    models.set(name, isProbe ? "probe" : { bytes: new Uint8Array(await readFile(path)), weights });
  }
  return models;
}

/** runs/load-1/model.safetensors -> load-1, other.safetensors -> other */
function fileName(path: string): string {
  return basename(path) === RUN_FILES.model ? basename(dirname(path)) : basename(path, extname(path));
}
