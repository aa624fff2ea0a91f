/** @file Commands in this process: what they print, and models that they train in a folder of their own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { trainCommand } from "../../src/cli/train.js";
import type { OstinatoError } from "../../src/core/errors.js";

// biome-ignore lint/suspicious/noExplicitAny: what commands print has many shapes.
export type Json = any;

export interface Printed {
  stdout: string;
  stderr: string;
}

/** Runs a command and takes what it writes. */
export async function printedBy(command: () => Promise<unknown>): Promise<Printed> {
  const printed = { stdout: "", stderr: "" };
  const taking = (name: keyof Printed) =>
    vi.spyOn(process[name], "write").mockImplementation((text: string | Uint8Array) => {
      printed[name] += text;
      return true;
    });
  const spies = [taking("stdout"), taking("stderr")];
  try {
    await command();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return printed;
}

/** The JSON that a command prints. */
export async function jsonOf(command: () => Promise<unknown>): Promise<Json> {
  return JSON.parse((await printedBy(command)).stdout);
}

/** The error that a command ends with. */
export async function refusalOf(command: () => Promise<unknown>): Promise<OstinatoError> {
  let refused: unknown;
  await printedBy(() =>
    command().then(
      () => expect.unreachable("the command was accepted"),
      (error) => {
        refused = error;
      },
    ),
  );
  return refused as OstinatoError;
}

/** A folder for files of a test. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), "ostinato-command-"));

  path(name: string): string {
    return join(this.folder, name);
  }

  file(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** Trains by a configuration, and gives the path of the model. */
  async train(name: string, config: object): Promise<string> {
    const own = { evaluation: { rivals: false, resamples: 100 }, ...config };
    await printedBy(() =>
      trainCommand(this.file(`${name}.json`, JSON.stringify(own)), { out: this.path(`run-${name}`), quiet: true }),
    );
    return this.path(join(`run-${name}`, "model.safetensors"));
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The rows of a CSV file without quotes, by column. */
export function csvRows(text: string): Record<string, string>[] {
  const [head, ...rows] = text.trimEnd().split("\n");
  const names = head.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((cell, c) => [names[c], cell])));
}
