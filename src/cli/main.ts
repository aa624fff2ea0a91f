#!/usr/bin/env node
/** @file The command line: one file per command, loaded when it is asked for; every error becomes a message and an exit code. */
import { Command, CommanderError, Option } from "commander";
import picocolors from "picocolors";
import { type ExitCode, nearest, OstinatoError } from "../core/errors.js";
import type { WeightType } from "../kernels/index.js";
import { flushOutput, outputFault, surviveClosedOutput } from "./output.js";
import { packageVersion } from "./package-root.js";
import { jsonLine, printable } from "./printable.js";

/** What an action returns. */
type Outcome = ExitCode | 0;

/** Runs a command line, given without the program's name. @returns the exit code: 0 done, 1 a check said no, 2 wrong usage or input, 3 failed. */
async function run(argv: readonly string[]): Promise<Outcome> {
  let outcome: Outcome = 0;
  const program = makeProgram((code) => {
    outcome = code;
  });
  if (argv.includes("--version") && argv.includes("--json") && argv.every((word) => word.startsWith("-"))) {
    process.stdout.write(`${JSON.stringify({ version: packageVersion() })}\n`);
    return 0;
  }
  if (argv.every((word) => word === "--json" || word === "--debug")) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync(argv, { from: "user" });
    return outcome;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error, argv);
    return error.exitCode === 0 ? 0 : reportError(usageError(error, program, argv), argv);
  }
}

function makeProgram(done: (outcome: Outcome) => void): Command {
  const program = new Command("ostinato")
    .description("Recurrent sequence models: train on a file of measurements, judge honestly, stream statefully.")
    .version(packageVersion(), "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({ writeErr: () => {} })
    .addHelpText("after", "\nExample:\n  $ ostinato init forecast --data load.csv && ostinato train\n");

  const command = (usage: string, description: string, example: string, parent: Command = program) =>
    parent
      .command(usage)
      .description(description)
      .addHelpText("after", `\nExample:\n  $ ${example}\n`)
      .option("--json", "print JSON on stdout and everything else on stderr")
      .option("--debug", "show the stack of an error");
  program.hook("preAction", (_program, command) => {
    const { threads } = command.opts();
    // Read when the engine is made, which is before anything computes.
    if (threads !== undefined) process.env["OSTINATO_THREADS"] = String(threads);
  });
  // biome-ignore lint/suspicious/noExplicitAny: the arguments are those of the usage line.
  const lazily = (load: () => Promise<(...args: any[]) => Promise<Outcome>>) => {
    return async (...args: unknown[]) => done(await (await load())(...args));
  };

  command(
    "init [task]",
    "read a data file and write a configuration to begin with; task: forecast, classify, tag, language or detect",
    "ostinato init forecast --data load.csv",
  )
    .requiredOption("--data <file>", "the data: .csv, .tsv, .ndjson, .jsonl, .ts or .txt")
    .option("--out <file>", "the configuration", "ostinato.yaml")
    .option("--target <column>", "what to predict; default the last numeric or label column")
    .option("--force", "overwrite the configuration")
    .action(lazily(async () => (await import("./init.js")).initCommand));

  command(
    "audit [config]",
    "look for leaks and faults in data, split, windows and inputs, with evidence; exit 1 where there are some",
    "ostinato audit load.yaml --html audit.html",
  )
    .option(
      "--set <path=value>",
      "override a setting; may be repeated",
      (value: string, before: string[]) => [...before, value],
      [],
    )
    .option("--html <file>", "write the report as a page")
    .option(
      "--show-windows <n>",
      "print which rows become which input and target",
      number("--show-windows", { least: 1, whole: true }),
    )
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./audit.js")).auditCommand));

  command("record", "record this machine's telemetry as CSV", "ostinato record --out mine.csv --seconds 60 --label idle")
    .option("--out <file>", "append to this file; default stdout")
    .option("--seconds <n>", "stop after so long; default until Ctrl-C", number("--seconds", { above: 0 }))
    .option("--rate <hz>", "records per second", number("--rate", { above: 0, most: 50 }), 4)
    .option("--label <name>", "adds a column label that holds this name")
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./record.js")).recordCommand));

  command(
    "train [config]",
    "train a model, judge it against baselines, and write a run folder",
    "ostinato train load.yaml --set train.epochs=20 --out runs/load",
  )
    .option(
      "--set <path=value>",
      "override a setting; may be repeated",
      (value: string, before: string[]) => [...before, value],
      [],
    )
    .option("--out <folder>", "the run folder, new or empty; default runs/<name>-<n>")
    .option("--resume", "go on from the checkpoint of the run folder")
    .option("--from <model>", "go on from the weights, scaling and vocabularies of a model file (fine-tuning)")
    .option("--other-engine", "with --resume: go on although another engine began the run and rounds differently")
    .option("--quiet", "say nothing but errors")
    .option(...THREADS_OPTION)
    .action(lazily(async () => (await import("./train.js")).trainCommand));

  command(
    "backtest [config]",
    "train and judge on several folds, everything fitted anew in each",
    "ostinato backtest load.yaml --folds 5 --test 0.1",
  )
    .option(
      "--set <path=value>",
      "override a setting; may be repeated",
      (value: string, before: string[]) => [...before, value],
      [],
    )
    .option("--folds <n>", "folds; default those of the configuration, else 5", number("--folds", { least: 2, whole: true }))
    .option(
      "--test <size>",
      "along time: a test block, as a share or a count of rows; default 0.1",
      number("--test", { above: 0 }),
    )
    .option("--window <kind>", "along time: expanding (all rows before; the default) or sliding (as many as the first fold has)")
    .option("--quiet", "say nothing but errors")
    .option(...THREADS_OPTION)
    .action(lazily(async () => (await import("./backtest.js")).backtestCommand));

  command("evaluate <model>", "score a model file again beside its baselines", "ostinato evaluate runs/load-1/model.safetensors")
    .option("--data <file>", "score all of this file; default the test part of the model's own data")
    .option("--weights <type>", "score it with small weights, beside float32: bfloat16 or int8", weightType)
    .option("--quiet", "say nothing but errors")
    .option(...THREADS_OPTION)
    .action(lazily(async () => (await import("./evaluate.js")).evaluateCommand));

  command(
    "predict <model>",
    "write the predictions for a file",
    "ostinato predict runs/load-1/model.safetensors --data new.csv --out predictions.csv",
  )
    .requiredOption("--data <file>", "the data; the target columns may be absent")
    .requiredOption("--out <file>", "the predictions: .csv or .ndjson")
    .option("--force", "overwrite the predictions")
    .option(...WEIGHTS_OPTION)
    .option("--quiet", "say nothing but errors")
    .option(...THREADS_OPTION)
    .action(lazily(async () => (await import("./predict.js")).predictCommand));

  command(
    "generate <model>",
    "let a language model go on from a prompt",
    'ostinato generate runs/plays-1/model.safetensors --prompt "ROMEO:" --length 400 --temperature 0.8',
  )
    .option("--prompt <text>", "what it goes on from; default the beginning of a text, where the model knows one")
    .option("--length <n>", "tokens at most", number("--length", { least: 0, most: 1_000_000, whole: true }), 200)
    .option("--count <n>", "texts", number("--count", { least: 1, most: 10_000, whole: true }), 1)
    .option("--seed <n>", "of the draws", number("--seed", { least: 0, most: 0xffffffff, whole: true }), 0)
    .option(
      "--temperature <t>",
      "below 1 surer, above 1 freer; 0 takes the likeliest token; default 1",
      number("--temperature", { least: 0 }),
    )
    .option("--top-k <k>", "draw from the k likeliest tokens", number("--top-k", { least: 1, whole: true }))
    .option("--top-p <p>", "draw from the likeliest tokens that reach p together", number("--top-p", { above: 0, most: 1 }))
    .option(
      "--beam <width>",
      "search for the likeliest text instead of drawing one",
      number("--beam", { least: 1, most: 1024, whole: true }),
    )
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./generate.js")).generateCommand));

  command(
    "score <model>",
    "tell how probable a model finds given sequences, step by step and in total",
    'ostinato score runs/plays-1/model.safetensors --text "To be, or not to be"',
  )
    .option("--text <texts...>", "language: texts, each a sequence of its own")
    .option("--lines <file>", "language: the lines of a text file, each a sequence of its own")
    .option("--data <file>", "a data file, read as that of training: the true label, token or value of every step")
    .option("--out <file>", "every sequence with its steps: .ndjson")
    .option("--force", "overwrite the file")
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./score.js")).scoreCommand));

  command(
    "calibrate <model>",
    "fit temperature, threshold or intervals on held-back data, and write a new model file",
    "ostinato calibrate runs/load-1/model.safetensors --conformal 0.9 --out runs/load-1/calibrated.safetensors",
  )
    .requiredOption("--out <file>", "the new model file; nothing is overwritten")
    .option("--data <file>", "fit on all of this file; default the validation part of the model's own data")
    .option("--temperature", "classes: divide the logits, so that confidences are as often right as they say")
    .option("--threshold <class>", "two classes: decide this one above a probability that is chosen")
    .option(
      "--by <rule>",
      "how a threshold is chosen: f1 (default), precision=0.9 or per1000=5 (alerts); of a detector f1, quantile=0.999 or per1000=5",
    )
    .option(
      "--conformal <coverage>",
      "forecasts: intervals that hold this share of the values",
      number("--conformal", { above: 0, most: 1 }),
    )
    .option("--quiet", "say nothing but errors")
    .option(...THREADS_OPTION)
    .action(lazily(async () => (await import("./calibrate.js")).calibrateCommand));

  command(
    "translate <model> [text...]",
    "write what a model makes of texts: of the arguments, of the lines on stdin, or of a data file",
    'ostinato translate runs/scan-1/model.safetensors "jump twice" --beam 4',
  )
    .option("--data <file>", "the sources, read as those of training")
    .option("--out <file>", "write here instead of stdout: .txt or .ndjson")
    .option("--force", "overwrite the file")
    .option(...BEAM_OPTION)
    .option(
      "--length-penalty <a>",
      "prefers longer ones as it grows; default the model's",
      number("--length-penalty", { least: 0 }),
    )
    .option(
      "--coverage-penalty <b>",
      "prefers those that look at all of the source; default the model's",
      number("--coverage-penalty", { least: 0 }),
    )
    .option(
      "--block-ngram <n>",
      "no sequence of n tokens is written twice; default the model's",
      number("--block-ngram", { least: 1, whole: true }),
    )
    .option(
      "--max-length <n>",
      "tokens at most; default the model's",
      number("--max-length", { least: 0, most: 1_000_000, whole: true }),
    )
    .option(
      "--n-best <k>",
      "the k best of each, with their log-probabilities",
      number("--n-best", { least: 1, most: 1024, whole: true }),
    )
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./translate.js")).translateCommand));

  command(
    "transcribe <model> <files...>",
    "write what is heard in sound files, through the model's own audio features",
    "ostinato transcribe runs/digits-1/model.safetensors 7_jackson_0.wav --beam 16",
  )
    .option(...BEAM_OPTION)
    .option("--language <model>", "a model or n-gram of task: language over the same tokens that has a say")
    .option("--weight <w>", "how much it has to say; default 0.5", number("--weight", { least: 0 }))
    .option(
      "--insertion-bonus <b>",
      "nats added per token, since a language model dislikes long texts",
      number("--insertion-bonus", { least: -1000, most: 1000 }),
    )
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./transcribe.js")).transcribeCommand));

  command(
    "stream <model>",
    "read NDJSON records on stdin and write predictions on stdout",
    "tail -f readings.ndjson | ostinato stream runs/load-1/model.safetensors > predictions.ndjson",
  )
    .option("--owner <key>", "whom the state belongs to; a snapshot opens for its owner only, here and on a server", "local")
    .option("--snapshot-in <file>", "begin with this state")
    .option("--snapshot-out <file>", "write the state here at the end; an older one is replaced")
    .option("--skip-bad", "report bad lines and go on")
    .option(...WEIGHTS_OPTION)
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./stream.js")).streamCommand));

  command(
    "serve <models...>",
    "serve model files, given as FILE or NAME=FILE, as stateful sessions over HTTP, WebSocket and gRPC",
    "ostinato serve runs/load-1/model.safetensors --port 8787",
  )
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .option("--port <n>", "the port; 0 takes a free one", number("--port", { least: 0, most: 65535, whole: true }), 8787)
    .option("--grpc-port <n>", "serve gRPC on this port too", number("--grpc-port", { least: 0, most: 65535, whole: true }))
    .option("--admin <where>", "the admin interface: a port on 127.0.0.1, or the path of a Unix socket")
    .option("--data <folder>", "keep sessions here, through restarts and crashes; default in memory")
    .addOption(
      new Option("--durability <level>", "what an acknowledged step outlives; default durable with --data").choices([
        "none",
        "interval",
        "process",
        "durable",
      ]),
    )
    .option("--keys <file>", "let in only these API keys: see ostinato key")
    .option("--auth <file>", "tokens and client certificates to let in, as YAML or JSON")
    .option("--tls-cert <file>", "speak TLS with this certificate")
    .option("--tls-key <file>", "and this key")
    .option("--tls-client-ca <file>", "want client certificates of these authorities")
    .option("--insecure", "permit an address that others reach without TLS or without known callers")
    .option("--limits <file>", "rates and live sessions by tenant, as YAML or JSON")
    .option("--ttl <seconds>", "end sessions not used for so long; default never", number("--ttl", { above: 0 }))
    .option(...WEIGHTS_OPTION)
    .option("--max-sessions <n>", "live sessions at most; default 10000000", number("--max-sessions", { least: 1, whole: true }))
    .addOption(
      new Option("--sentinel <state>", "hidden sessions that watch for leaks between sessions")
        .choices(["on", "off"])
        .default("on"),
    )
    .option(...THREADS_OPTION)
    .action(lazily(async () => (await import("./serve.js")).serveCommand));

  command(
    "loadtest <url>",
    "load a running server, within bounds, and report latencies",
    "ostinato loadtest http://127.0.0.1:8787 --model load-1 --sessions 500",
  )
    .requiredOption("--model <name>", "the served model")
    .option("--sessions <n>", "sessions; default 100", number("--sessions", { least: 1, most: 100_000, whole: true }))
    .option("--rate <n>", "requests a second; default as many as are answered", number("--rate", { above: 0 }))
    .option("--seconds <s>", "how long; default 10", number("--seconds", { above: 0, most: 3600 }))
    .option("--steps <n>", "records of a request; default 1", number("--steps", { least: 1, most: 256, whole: true }))
    .addOption(new Option("--protocol <name>", "how to ask").choices(["websocket", "rest", "grpc"]).default("websocket"))
    .option("--replay <file>", "repeat recorded arrivals: NDJSON or CSV of time, session, steps")
    .option("--speed <x>", "replay so many times faster", number("--speed", { above: 0 }))
    .option("--key <key>", "API key or token")
    .option("--allow-remote", "permit a server on another machine")
    .action(lazily(async () => (await import("./loadtest.js")).loadtestCommand));

  command("inspect [model]", "show what a model file holds", "ostinato inspect runs/load-1/model.safetensors")
    .option("--engine", "show the compute engine, its instruction set and threads, and why no other is used")
    .action(lazily(async () => (await import("./inspect.js")).inspectCommand));

  command("build-native", "build the native engine with this machine's C compiler", "ostinato build-native")
    .option("--out <folder>", "the addons; default where the package finds them by itself")
    .option("--quiet", "say nothing but errors")
    .action(lazily(async () => (await import("./build-native.js")).buildNativeCommand));

  const key = command(
    "key",
    "API keys of a server: create, list, revoke",
    "ostinato key create --tenant plant-7 --scopes step --file keys.yaml",
  );
  const keyFile = ["--file <file>", "the file of keys, as ostinato serve --keys takes it"] as const;
  command("create", "make a key, and print it once", "ostinato key create --tenant plant-7 --scopes step --file keys.yaml", key)
    .requiredOption("--tenant <name>", "whose sessions it reaches")
    .requiredOption("--scopes <list>", "what it may do: step, session:admin, state:read, state:write, model:admin, metrics")
    .requiredOption(...keyFile)
    .option("--expires <span>", "when it ends, such as 90d; default never")
    .option("--creator-only", "it reaches only sessions that it created itself")
    .option("--quiet", "print nothing but the key")
    .action(lazily(async () => (await import("./key.js")).keyCreateCommand));
  command("list", "list the keys of a file, without their secrets", "ostinato key list --file keys.yaml", key)
    .requiredOption(...keyFile)
    .action(lazily(async () => (await import("./key.js")).keyListCommand));
  command("revoke <id>", "take a key out of a file", "ostinato key revoke 3f9a --file keys.yaml", key)
    .requiredOption(...keyFile)
    .action(lazily(async () => (await import("./key.js")).keyRevokeCommand));

  const auditLog = command("audit-log", "the log of sessions' lives", "ostinato audit-log verify data/audit.jsonl");
  command(
    "verify <file>",
    "check that no line was changed, dropped or moved",
    "ostinato audit-log verify data/audit.jsonl",
    auditLog,
  )
    .option("--head <hash>", "the hash of the last line, noted elsewhere")
    .option("--since <hash>", "begin behind the line of this hash")
    .action(lazily(async () => (await import("./audit-log.js")).auditLogVerifyCommand));

  const runs = command("runs [folder]", "list the runs of a folder, default runs", "ostinato runs").action(
    lazily(async () => {
      const { runsCommand } = await import("./runs.js");
      return (folder: string | undefined, options: object) => runsCommand(folder ?? "runs", options);
    }),
  );
  command("compare <a> <b>", "show two runs side by side", "ostinato runs compare load-1 load-2", runs).action(
    lazily(async () => {
      const { compareCommand } = await import("./runs.js");
      return (a: string, b: string, options: object) => compareCommand(a, b, { ...runs.opts(), ...options });
    }),
  );

  command("demo", "train on the telemetry that ships with the package, then stream this machine's own", "ostinato demo")
    .option("--once", "end after the report and ten live steps")
    .option(
      "--port <n>",
      "the port; the next free one if it is taken",
      number("--port", { least: 0, most: 65535, whole: true }),
      8787,
    )
    .action(lazily(async () => (await import("./demo.js")).demoCommand));
  return program;
}

/** Reads a type of weights. @throws OST_USAGE */
function weightType(text: string): WeightType {
  const known: readonly WeightType[] = ["float32", "bfloat16", "int8"];
  const type = known.find((one) => one === text);
  if (type) return type;
  const close = nearest(text, known);
  throw new OstinatoError("OST_USAGE", {
    what: "no such type of weights",
    expected: known.join(", "),
    got: text,
    where: "--weights",
    repair: close ? `did you mean ${close}?` : undefined,
  });
}

const WEIGHTS_OPTION = [
  "--weights <type>",
  "weights of recurrent layers: float32, bfloat16 or int8; default float32",
  weightType,
] as const;

const BEAM_OPTION = [
  "--beam <width>",
  "search with so many hypotheses side by side; default the model's own way",
  number("--beam", { least: 1, most: 1024, whole: true }),
] as const;

const THREADS_OPTION = [
  "--threads <n>",
  "threads that may work on one calculation, or auto: one per core, at most 8; no result depends on it; default 1",
  (text: string): number | "auto" => (text === "auto" ? text : number("--threads", { least: 1, most: 64, whole: true })(text)),
] as const;

interface NumberRange {
  least?: number;
  above?: number;
  most?: number;
  whole?: boolean;
}

/** Reads the number of an option. @throws OST_USAGE */
function number(
  flag: string,
  {
    least = Number.NEGATIVE_INFINITY,
    above = Number.NEGATIVE_INFINITY,
    most = Number.POSITIVE_INFINITY,
    whole = false,
  }: NumberRange,
) {
  return (text: string): number => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (value >= least && value > above && value <= most && Number.isFinite(value) && (!whole || Number.isInteger(value)))
      return value;
    const low = above > Number.NEGATIVE_INFINITY ? `above ${above}` : `from ${least}`;
    const high = most < Number.POSITIVE_INFINITY ? ` to ${most}` : "";
    throw new OstinatoError("OST_USAGE", {
      what: "the option takes another value",
      expected: `a ${whole ? "whole " : ""}number ${low}${high}`,
      got: text,
      where: flag,
    });
  };
}

/** What the parser refused, with the nearest known name. */
function usageError({ code, message }: CommanderError, program: Command, argv: readonly string[]): OstinatoError {
  const words = argv.filter((word) => !word.startsWith("-"));
  const parent = program.commands.find((one) => one.name() === words[0]);
  const current = parent?.commands.find((one) => one.name() === words[1]) ?? parent ?? program;
  const got = /'([^']*)'/.exec(message)?.[1] ?? "";
  const help = `ostinato ${current === program ? "help" : `help ${words[0]}`}`;
  if (code === "commander.unknownCommand") {
    const known = program.commands.map((one) => one.name());
    const near = nearest(got, known);
    return new OstinatoError("OST_USAGE", {
      what: "no such command",
      expected: known.join(", "),
      got: `"${got}"`,
      repair: near ? `did you mean "ostinato ${near}"?` : "ostinato help",
    });
  }
  if (code === "commander.unknownOption") {
    const known = [...current.options.map(({ long }) => long ?? ""), "--help"];
    const near = nearest(
      got.replace(/^-+/, ""),
      known.map((flag) => flag.replace(/^-+/, "")),
    );
    return new OstinatoError("OST_USAGE", {
      what: "no such flag",
      expected: known.join(", "),
      got,
      where: current.name(),
      repair: near ? `did you mean --${near}?` : help,
    });
  }
  return new OstinatoError("OST_USAGE", {
    what: message.replace(/^error: /, "").replace(/\.$/, ""),
    where: current.name(),
    repair: help,
  });
}

/** The message on stderr, as JSON on stdout too where that was asked for. @returns the exit code. */
function reportError(error: unknown, argv: readonly string[]): ExitCode {
  const known = error instanceof OstinatoError ? error : internalError(error);
  const color = picocolors.createColors(
    process.stderr.isTTY === true && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb",
  );
  process.stderr.write(`${printable(known.message).replace(known.code, color.red(color.bold(known.code)))}\n`);
  if (argv.includes("--debug"))
    for (let at: unknown = error; at instanceof Error; at = at.cause)
      process.stderr.write(`${color.dim(printable(at.stack ?? at.message))}\n`);
  if (argv.includes("--json"))
    process.stdout.write(jsonLine({ error: { code: known.code, message: known.message, ...known.detail } }));
  return known.exit;
}

function internalError(error: unknown): OstinatoError {
  const got = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new OstinatoError(
    "OST_INTERNAL",
    { what: "a fault of the program itself", got, repair: "run it again with --debug and report what it shows" },
    { cause: error },
  );
}

surviveClosedOutput();
const argv = process.argv.slice(2);
process.on("uncaughtException", (error) => process.exit(reportError(error, argv)));
let outcome = await run(argv);
await flushOutput();
const fault = outputFault();
if (fault && outcome === 0) {
  outcome = reportError(fault, argv);
  await flushOutput();
}
// What a command left open, such as a socket kept alive, must not hold the program.
process.exit(outcome);
