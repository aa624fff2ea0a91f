/** @file `ostinato record`: telemetry of this machine as CSV, appended row by row; with `--json` and no file, as NDJSON ready for `ostinato stream`. */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { type TelemetryRecord, telemetry, telemetryCsvHeader, telemetryCsvRow } from "../data/telemetry.js";
import { takeInterrupts } from "./interrupt.js";
import { writeOut } from "./output.js";
import { unwritable } from "./output-file.js";
import { counted, describeSeconds, Terminal, type TerminalOptions } from "./terminal.js";

export interface RecordCommandOptions extends TerminalOptions {
  out?: string;
  seconds?: number;
  rate: number;
  label?: string;
}

export async function recordCommand({ out, seconds, rate, label, ...options }: RecordCommandOptions): Promise<0> {
  const terminal = new Terminal({ json: true, quiet: options.quiet });
  const header = label === undefined ? telemetryCsvHeader() : telemetryCsvHeader().replace(/^time,/, "time,label,");
  const cell = label === undefined ? "" : csvCell(label);
  const rowOf = (record: TelemetryRecord) =>
    label === undefined ? telemetryCsvRow(record) : telemetryCsvRow(record).replace(",", `,${cell.replaceAll("$", "$$$$")},`);
  const interrupt = takeInterrupts({ exit: 0 });
  const file = out === undefined ? null : openForAppending(out, header, terminal);
  const startedAt = performance.now();
  let rows = 0;
  try {
    const lines = !file && options.json === true;
    if (!file && !lines) await writeOut(`${header}\n`, interrupt);
    for await (const record of telemetry({ intervalMs: 1000 / rate, seconds, signal: interrupt.signal })) {
      const line = `${lines ? JSON.stringify(label === undefined ? record : { ...record, label }) : rowOf(record)}\n`;
      if (file) file.append(line);
      else if (!(await writeOut(line, interrupt))) break;
      rows++;
      terminal.status(
        `  ${counted(rows, "row")} · cpu ${share(record["cpuUser"])} user, ${share(record["cpuSystem"])} system · memory ${share(record["memoryUsedShare"])}   Ctrl-C to stop`,
      );
    }
  } finally {
    file?.close();
    interrupt.release();
  }
  const elapsed = (performance.now() - startedAt) / 1000;
  terminal.print(`  ${counted(rows, "row")} in ${describeSeconds(elapsed)}${out === undefined ? "" : `, appended to ${out}`}.`);
  if (options.json && out !== undefined) terminal.json({ out, rows, seconds: elapsed, rateHz: rate, label: label ?? null });
  return 0;
}

function share(value: number | string | null): string {
  return typeof value === "number" ? `${Math.round(value * 100)} %` : "unknown";
}

function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Opens a file for whole rows: a new one gets the header, an old one must have it, and a last row that was cut off is removed.
 *
 * @throws OST_FORMAT if the file has other columns. @throws OST_FILE if it cannot be written.
 */
function openForAppending(path: string, header: string, terminal: Terminal): { append(line: string): void; close(): void } {
  let descriptor: number;
  try {
    mkdirSync(dirname(path), { recursive: true });
    const old = existsSync(path) && statSync(path).size > 0 ? readFileSync(path, "utf8") : "";
    if (old) checkHeader(path, old, header);
    descriptor = openSync(path, "a");
    if (!old) writeSync(descriptor, `${header}\n`);
    else repairEnd(path, descriptor, old, header, terminal);
  } catch (cause) {
    throw cause instanceof OstinatoError ? cause : unwritable(path, cause);
  }
  return {
    append(line) {
      try {
        writeSync(descriptor, line);
      } catch (cause) {
        throw unwritable(path, cause);
      }
    },
    close: () => closeSync(descriptor),
  };
}

function checkHeader(path: string, text: string, header: string): void {
  const first = text.slice(0, (text.indexOf("\n") + 1 || text.length + 1) - 1).replace(/\r$/, "");
  if (first === header) return;
  const own = first.split(",");
  const odd = header.split(",").find((name) => !own.includes(name)) ?? own.find((name) => !header.split(",").includes(name));
  throw new OstinatoError("OST_FORMAT", {
    what: "the file has other columns than this recording",
    expected: header.length > 60 ? `${header.slice(0, 57)}...` : header,
    got: odd === undefined ? "the same in another order" : `a difference in "${odd}"`,
    where: `${path} line 1`,
    repair:
      odd === "label" ? "give or leave out --label as for the rows before, or choose another --out" : "choose another --out",
  });
}

function repairEnd(path: string, descriptor: number, text: string, header: string, terminal: Terminal): void {
  if (text.endsWith("\n")) return;
  const last = text.slice(text.lastIndexOf("\n") + 1);
  if (last.split(",").length >= header.split(",").length) {
    writeSync(descriptor, "\n");
    return;
  }
  ftruncateSync(descriptor, Buffer.byteLength(text) - Buffer.byteLength(last));
  terminal.warn(`  The last row of ${path} was cut off; it was removed: ${last.slice(0, 60)}`);
}
