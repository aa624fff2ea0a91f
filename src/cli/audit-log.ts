/** @file `ostinato audit-log verify`: whether the log of a server's states is as it was written. */
import { OstinatoError } from "../core/errors.js";
import { verifyAuditLog } from "../serve/audit-verify.js";
import { Terminal, type TerminalOptions, thousands } from "./terminal.js";

export interface AuditLogVerifyOptions extends TerminalOptions {
  /** Hash of a line that must be there. */
  head?: string;
  /** Hash of the last line of the files that were given up on purpose. */
  since?: string;
}

/** @param path the log; its full files and its head are found beside it. @throws OST_AUDIT if it is not. @throws OST_FILE, OST_USAGE */
export async function auditLogVerifyCommand(path: string, options: AuditLogVerifyOptions): Promise<0> {
  const { head, since } = options;
  for (const [flag, hash] of Object.entries({ "--head": head, "--since": since })) {
    if (hash === undefined || /^[0-9a-f]{64}$/.test(hash)) continue;
    throw new OstinatoError("OST_USAGE", {
      what: "not a hash of a line",
      expected: "64 hexadecimal digits",
      got: hash,
      where: flag,
    });
  }
  const terminal = new Terminal(options);
  const verdict = await verifyAuditLog(path, { head, since });
  if (!verdict.ok) {
    throw new OstinatoError("OST_AUDIT", {
      what: "the audit log is not as it was written",
      got: verdict.firstBad?.why,
      where: `${path} line ${verdict.firstBad?.line}`,
      repair: "keep the files as evidence and compare them with a copy; the lines before this one are as they were written",
    });
  }
  if (options.json) terminal.json(verdict);
  else {
    terminal.print(`  ${thousands(verdict.lines)} lines, each as it was written`);
    terminal.print(`  head ${verdict.head.hash}   note it elsewhere and give it to --head later`);
  }
  return 0;
}
