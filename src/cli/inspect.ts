/** @file `ostinato inspect`: what a model file holds, without running it. */
import { readFile } from "node:fs/promises";
import { arch, cpus, platform } from "node:os";
import { OstinatoError } from "../core/errors.js";
import type { Report } from "../evaluate/index.js";
import { defaultEngine, type EngineChoice, engineChoices } from "../kernels/index.js";
import { type LoadedModel, readSafetensors } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { parameterCount, predictorName } from "./model-file.js";
import { packageVersion } from "./package-root.js";
import { alignColumns, counted, describeBytes, figure, Terminal, type TerminalOptions, thousands } from "./terminal.js";

export interface InspectCommandOptions extends TerminalOptions {
  engine?: boolean;
}

export async function inspectCommand(path: string | undefined, options: InspectCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  if (options.engine) {
    const facts = {
      ...engineFacts(),
      version: packageVersion(),
      node: process.versions.node,
      platform: `${platform()} ${arch()}`,
    };
    const { engine, instructions, threads, cores, engines } = facts;
    terminal.print(`  engine ${engine} (${instructions}), ${counted(threads, "thread")} a call`);
    terminal.print(`  Ostinato ${facts.version}, Node ${facts.node}, ${facts.platform}, ${counted(cores, "core")}`);
    terminal.print();
    const rows = engines.map((one) => [one.engine, one.isa, one.chosen ? "chosen" : (one.reason ?? "available")]);
    for (const line of alignColumns(rows)) terminal.print(`  ${line}`);
    const [best] = engines;
    if (best.engine === "native" && engines.every(({ engine, reason }) => engine !== "native" || reason !== null))
      terminal.print("\n  repair: ostinato build-native");
    if (path === undefined) {
      if (options.json) terminal.json(facts);
      return 0;
    }
  }
  if (path === undefined) {
    throw new OstinatoError("OST_USAGE", {
      what: "nothing to inspect",
      expected: "a model file, or --engine",
      where: "inspect",
      repair: "ostinato inspect runs/load-1/model.safetensors",
    });
  }
  const loaded = await loadModel(path);
  const { header, hash, bytes } = loaded;
  const { metadata, tensors } = readSafetensors(await readFile(path));
  const report = header.report as Report | null;
  const name = predictorName(loaded);
  const facts = {
    model: path,
    name: header.name,
    formatVersion: Number(metadata["format_version"]),
    hash,
    bytes,
    task: header.task,
    mode: header.mode,
    streaming: header.streaming,
    windowLength: header.windowLength,
    predictor: name,
    architecture: header.architecture,
    parameters: parameterCount(loaded),
    features: header.spec.features,
    targets: header.spec.targets,
    classes: header.spec.classes,
    horizon: header.spec.horizon,
    normalize: header.normalize,
    preprocessing: header.preprocessing,
    metrics: report?.metrics?.[name] ?? null,
    verdict: report?.verdict ?? null,
    provenance: header.provenance,
    tensors: Object.fromEntries([...tensors].map(([tensor, { dtype, shape }]) => [tensor, { dtype, shape }])),
  };
  if (options.json) {
    terminal.json(options.engine ? { ...facts, ...engineFacts() } : facts);
    return 0;
  }
  const streaming = {
    carried: "state carried from record to record",
    windowed: `windows of the last ${header.windowLength} records`,
    none: "cannot be streamed: it looks ahead",
  };
  const { provenance } = header;
  const lines: [string, string][] = [
    ["model", `${header.name} · ${name}${facts.parameters === null ? "" : ` · ${counted(facts.parameters, "parameter")}`}`],
    ["file", `${path} · ${describeBytes(bytes)} · format ${facts.formatVersion} · sha256 ${hash.slice(0, 12)}`],
    ["task", `${header.task} · mode ${header.mode} · ${streaming[header.streaming ?? "none"]}`],
    ["features", facts.features.join(", ")],
    facts.classes.length > 0
      ? ["classes", facts.classes.join(", ")]
      : ["targets", `${facts.targets.join(", ")} · ${counted(facts.horizon, "step")} ahead`],
    ["trained", `${provenance.created} · version ${provenance.version} · engine ${provenance.engine} · seed ${provenance.seed}`],
    ...Object.entries(provenance.data).map(([file, sum]): [string, string] => ["data", `${file} · sha256 ${sum.slice(0, 12)}`]),
    ...(report?.rows ?? []).slice(0, 1).map((row): [string, string] => [
      "test",
      Object.entries(row.values)
        .map(([key, value]) => `${key} ${value === null ? "-" : figure(value)}`)
        .join(" · "),
    ]),
    ...(report?.verdict ? [["verdict", report.verdict.text.replace(/^Verdict: /, "")] as [string, string]] : []),
  ];
  terminal.print();
  for (const [label, text] of lines) terminal.print(`  ${terminal.color.bold(label.padEnd(12))}${text}`);
  terminal.print(`\n  ${terminal.color.bold("preprocessing")}`);
  for (const line of statistics(loaded.preprocessing)) terminal.print(`    ${line}`);
  terminal.print(`\n  ${terminal.color.bold("tensors")}`);
  for (const line of alignColumns([...tensors].map(([tensor, { dtype, shape }]) => [tensor, dtype, `[${shape.join(", ")}]`])))
    terminal.print(`    ${line}`);
  terminal.print();
  return 0;
}

interface EngineFacts {
  engine: string;
  /** The instruction set of the kernels. */
  instructions: string;
  threads: number;
  cores: number;
  /** Every engine of this platform, fastest first. */
  engines: (EngineChoice & { chosen: boolean })[];
}

function engineFacts(): EngineFacts {
  const { name, isa, threads } = defaultEngine();
  const engines = engineChoices().map((one) => ({ ...one, chosen: one.engine === name && one.isa === isa }));
  return { engine: name, instructions: isa, threads, cores: cpus().length, engines };
}

/** The codebooks, then each transform with its numbers, a column per line where it has one number or more for every column. */
function statistics({ categories, transforms, targetScaler }: LoadedModel["preprocessing"]): string[] {
  const lines: string[] = [];
  for (const { column, as, width, codebook } of categories) {
    const use = as === "embedding" ? `embedding of ${width}` : "one-hot";
    lines.push(`category ${column}  ${codebook.kind}, ${counted(codebook.size, "code")}, ${use}`);
    const names = Array.from({ length: Math.min(codebook.size, MOST_LISTED + 1) }, (_, code) => codebook.nameOf(code));
    lines.push(`  ${listed(names, codebook.size)}`);
  }
  const all = [
    ...transforms.map((transform): Record<string, unknown> => transform.toJSON()),
    ...(targetScaler ? [{ transform: "target scale", ...targetScaler.toJSON() }] : []),
  ];
  for (const { transform, ...fields } of all) {
    const settings = Object.entries(fields).filter(([, value]) => !Array.isArray(value));
    lines.push([transform, settings.map(([key, value]) => `${key} ${setting(value)}`).join(", ")].filter(Boolean).join("  "));
    for (const [key, value] of Object.entries(fields)) {
      if (isNumbers(value)) lines.push(`  ${key}  ${value.map((one) => figure(one)).join(", ")}`);
      else if (Array.isArray(value) && value.length > 0) lines.push(`  ${key}  ${listed(value.map(nameOf), value.length)}`);
    }
  }
  return lines;
}

/** Names of a list that are shown. */
const MOST_LISTED = 40;

function listed(names: readonly string[], count: number): string {
  const more = count > MOST_LISTED ? ` and ${thousands(count - MOST_LISTED)} more` : "";
  return names.slice(0, MOST_LISTED).join(", ") + more;
}

function setting(value: unknown): string {
  return typeof value === "object" && value !== null
    ? `for ${counted(Object.keys(value).length, "entity")} each`
    : JSON.stringify(value);
}

/** What stands for an item of a list: its name or column, if it is an object. */
function nameOf(item: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  const { name, column } = item as { name?: unknown; column?: unknown };
  return String(name ?? column ?? JSON.stringify(item));
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "number");
}
