/** @file An experiment as a person follows it: what the data are, training as it goes, the judgement. `train` and `demo` share it. */
import { basename } from "node:path";
import { describeMemory } from "../diagnose/index.js";
import { type Report, renderReportText } from "../evaluate/index.js";
import type { Kernels } from "../kernels/index.js";
import type { ExperimentConfig, ExperimentEvent } from "../tasks/index.js";
import type { RunLogEntry, TrainProgress, TrainResult } from "../train/index.js";
import { sourcePaths } from "./data-file.js";
import { packageVersion } from "./package-root.js";
import { counted, describeProgress, describeRate, describeSeconds, figure, type Terminal, thousands } from "./terminal.js";

const INDENT = 14;

/** "Ostinato 0.1.0 · engine native (avx512, 2 threads)"; also why it is no faster one, and the repair. */
export function banner({ name, detail }: Pick<Kernels, "name" | "detail">): string {
  return `Ostinato ${packageVersion()} · engine ${name} (${detail})`;
}

export class ExperimentView {
  readonly #terminal: Terminal;
  readonly #config: ExperimentConfig;
  /** Rows of the sources. */
  readonly #rows: number;
  #progress: TrainProgress | undefined;

  constructor(terminal: Terminal, config: ExperimentConfig, rows: number) {
    this.#terminal = terminal;
    this.#config = config;
    this.#rows = rows;
  }

  /** A numbered section: its first line beside its title, the rest below. */
  section(number: number, title: string, lines: readonly string[]): void {
    const { bold } = this.#terminal.color;
    lines.forEach((line, i) => {
      const head = i === 0 ? `  ${number} ${title}`.padEnd(INDENT) : " ".repeat(INDENT);
      this.#terminal.print(i === 0 ? bold(head) + line : head + line);
    });
  }

  /** One more line of the section before. */
  line(text: string): void {
    this.#terminal.print(" ".repeat(INDENT) + text);
  }

  readonly onEvent = (event: ExperimentEvent): void => {
    switch (event.kind) {
      case "data":
        this.section(1, "Data", this.#data(event));
        break;
      case "network":
        if (event.rival) this.#status(`${event.name}, to compare`);
        else this.section(2, "Train", [this.#network(event)]);
        break;
      case "progress": {
        this.#progress = event.progress;
        const name = event.rival ? `${event.name}, to compare: ` : "";
        this.#status(name + describeProgress(event.progress, this.#terminal.liveWidth - INDENT - name.length));
        break;
      }
      case "trained":
        if (event.rival) this.line(`${event.name}, to compare: ${describeTraining(event.training)}`);
        else this.line(describeTraining(event.training));
        break;
      case "baseline":
        this.#status(`baseline ${event.name}`);
        break;
      case "judge":
        this.#status("judging on the test part");
        break;
    }
  };

  /** What an update will take; then a line per epoch where no line can be rewritten. */
  readonly onLog = (entry: RunLogEntry): void => {
    if (entry.kind === "memory") this.line(describeMemory(entry));
    if (entry.kind !== "epoch" || this.#terminal.live) return;
    const { epoch, loss, validation, best, clippedShare, stepsPerSecond } = entry;
    const facts = [
      `loss ${figure(loss)}`,
      validation === null ? null : `val ${figure(validation)}${best ? " (best)" : ""}`,
      `|g| ${figure(this.#progress?.gradNorm ?? 0, 1)} (clipped ${Math.round(clippedShare * 100)} %)`,
      describeRate(stepsPerSecond),
    ];
    this.line(`epoch ${epoch + 1}/${this.#config.train.epochs}  ${facts.filter(Boolean).join(" · ")}`);
  };

  judgement(report: Report, number = 3): void {
    const text = renderReportText(report, { indent: INDENT, width: this.#terminal.width });
    const { bold } = this.#terminal.color;
    const verdict = text.indexOf("Verdict:");
    const marked = verdict < 0 ? text : `${text.slice(0, verdict)}${bold("Verdict:")}${text.slice(verdict + 8)}`;
    this.#terminal.print(bold(`  ${number} Judge`.padEnd(INDENT)) + marked.slice(INDENT));
  }

  #status(text: string): void {
    this.#terminal.status(" ".repeat(INDENT) + text);
  }

  #data({ series, copies, features, classes, split, padding, notes = [] }: Extract<ExperimentEvent, { kind: "data" }>): string[] {
    const { data } = this.#config;
    const named = data.features.length + Object.keys(data.categories).length + data.known.length;
    const facts = [
      [data.source, ...data.sync.map(({ source }) => source)]
        .flatMap(sourcePaths)
        .map((path) => basename(path))
        .join(" + "),
      data.sessions ? counted(series, "session") : data.entity === null ? null : counted(series, data.entity),
      counted(this.#rows, "row"),
      `${counted(named, "feature")}${features === named ? "" : ` (${features} inputs)`}`,
      classes > 0
        ? `${thousands(classes)} classes of ${data.target[0]}`
        : `predicting ${listed(data.target.length > 0 ? data.target : data.features)}`,
    ];
    const { by } = data.split;
    const parts = (["train", "validation", "test"] as const)
      .map((part) => (by === "time" ? `${thousands(split[part])} ${part}` : `${split.series[part]} ${part}`))
      .join(", ");
    const unit =
      by === "time"
        ? split.from
          ? `time (validation from ${split.from.validation}, test from ${split.from.test})`
          : "time"
        : data.entity && (by === "entity" || by.startsWith("column:"))
          ? `${data.entity} (${by})`
          : by;
    const lines = [facts.filter(Boolean).join(" · "), `split by ${unit}: ${parts}`];
    if (split.unused > 0) lines.push(`${counted(split.unused, "row")} of no part: ${split.unusedRanges.join("; ")}`);
    if (copies > 0) lines.push(`and ${copies} training copies in which columns are hidden`);
    if (padding) {
      const { bucketed, shuffled } = padding;
      lines.push(
        `padding: ${share(bucketed.waste)} of the steps of a batch (${share(shuffled.waste)} without sorting by length)`,
      );
    }
    return [...lines, ...notes];
  }

  #network({ name, architecture, parameters }: Extract<ExperimentEvent, { kind: "network" }>): string {
    const { task, window, mode, detect } = this.#config;
    const aim = {
      forecast: `forecast ${counted(window.horizon, "step")} from ${mode === "streaming" ? "each step" : window.length}`,
      classify: "one class per sequence",
      tag: "tag every step",
      language: "what comes next",
      translate: "one sequence into another",
      transcribe: "a sequence of codes from frames",
      detect: `anomalies by ${detect?.by}`,
    }[task];
    const outputs = "outputSize" in architecture ? architecture.outputSize : architecture.targetSize;
    return `${name}, ${architecture.inputSize} in, ${outputs} out, ${aim} · ${counted(parameters, "parameter")}`;
  }
}

/** "20 epochs, 1,234 steps in 14 s; kept epoch 12, val 0.455" */
export function describeTraining({ epochs, steps, seconds, best, stopped }: TrainResult): string {
  const kept = best ? `; kept epoch ${best.epoch + 1}, val ${figure(best.validation)}` : "";
  const early = stopped === "early" ? ", stopped early" : "";
  return `${counted(epochs, "epoch")}, ${counted(steps, "step")} in ${describeSeconds(seconds)}${early}${kept}`;
}

function listed(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

function share(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
