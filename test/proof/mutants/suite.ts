/** @file The tests that have to catch every mutant: the fast ones of the stateful core, the slower ones only where those see nothing. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import type { Tree } from "./tree.js";

export interface Verdict {
  /** The first test that failed; null: none did. */
  caughtBy: string | null;
  seconds: number;
}

interface Stage {
  files: readonly string[];
  /** Of their tests those whose names match. */
  only?: string;
  /** Faults in these files are looked for here first. */
  near: RegExp;
}

const STAGES: readonly Stage[] = [
  {
    files: [
      "src/serve/session-engine-laws.test.ts",
      "src/serve/session-key.test.ts",
      "src/serve/session-service.test.ts",
      "src/serve/engine-messages.test.ts",
      "test/oip/http.test.ts",
    ],
    near: /serve\/(session|ledger|engine-messages|oip)|model\/snapshot/,
  },
  {
    files: ["src/serve/scheduler-laws.test.ts", "src/serve/scheduler.test.ts", "src/serve/scheduler-gaps.test.ts"],
    only: "^(?!.*remembers nothing)",
    near: /serve\/(scheduler|mailbox)/,
  },
  {
    files: ["src/nn/stepper.test.ts", "test/laws/stream.test.ts", "test/laws/session-rule.test.ts"],
    only: "whatever their number|feel neighbours|whatever the others hold|leaves the given state|is cut as its file is",
    near: /src\/(nn|model)\//,
  },
  {
    files: ["test/faults/store-acknowledgement.test.ts", "src/serve/store-lmdb.test.ts"],
    only: "acknowledged commit|folds|journalBytes: 20000",
    near: /serve\/store/,
  },
  { files: ["src/serve/worker-engine.test.ts"], only: "by exit", near: /serve\/worker/ },
  {
    files: ["src/serve/websocket-streams.test.ts", "src/serve/websocket.test.ts"],
    only: "every answer|many sessions in one message",
    near: /serve\/websocket/,
  },
];

const PATIENCE_MS = 180_000;

interface Report {
  testResults: { name: string; message: string; assertionResults: { fullName: string; status: string }[] }[];
}

/** Runs stage after stage until one fails, the nearest to a fault's file first. @throws if tests cannot be run at all, which is no catch. */
export async function runSuite(tree: Tree, file = ""): Promise<Verdict> {
  const start = performance.now();
  const far = ({ near }: Stage) => (near.test(file) ? 0 : 1);
  for (const stage of [...STAGES].sort((a, b) => far(a) - far(b))) {
    const caughtBy = await runStage(tree, stage);
    if (caughtBy !== null) return { caughtBy, seconds: (performance.now() - start) / 1000 };
  }
  return { caughtBy: null, seconds: (performance.now() - start) / 1000 };
}

/** Runs the tests again that caught something, now without a fault. @returns the first that fails all the same; null: none does. */
export function runAgain(tree: Tree, catches: readonly string[]): Promise<string | null> {
  const parts = catches.map((caughtBy) => [
    caughtBy.slice(0, caughtBy.indexOf(": ")),
    caughtBy.slice(caughtBy.indexOf(": ") + 2),
  ]);
  const files = [...new Set(parts.map(([file]) => file))];
  const only = parts.map(([, name]) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return runStage(tree, { files, only, near: /^/ });
}

async function runStage(tree: Tree, { files, only }: Stage): Promise<string | null> {
  const report = tree.path("report.json");
  rmSync(report, { force: true });
  const narrowed = only === undefined ? [] : ["-t", only];
  const reporters = ["--reporter=json", `--outputFile=${report}`];
  const args = [
    tree.path("node_modules/vitest/vitest.mjs"),
    "run",
    ...files,
    "--bail=1",
    "--testTimeout=40000",
    ...reporters,
    ...narrowed,
  ];
  const { ended, output } = await run(args, tree.folder);
  if (!ended) return `${files[0]}: no end within ${PATIENCE_MS / 1000} s`;
  if (!existsSync(report)) throw new Error(`the tests did not run: ${output.slice(-600)}`);
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as Report;
  for (const { name, assertionResults } of testResults) {
    const failed = assertionResults.find(({ status }) => status === "failed");
    if (failed) return `${name.slice(tree.folder.length + 1)}: ${failed.fullName}`;
  }
  const broken = testResults.find(({ assertionResults, message }) => assertionResults.length === 0 && message !== "");
  if (broken) throw new Error(`${broken.name} cannot be loaded: ${broken.message.slice(0, 600)}`);
  // An error between tests fails the run without failing any of them.
  return /Unhandled (Error|Rejection)/.test(output) ? `${files[0]}: an unhandled error` : null;
}

/** In a group of its own, which ends as a whole when it takes too long. */
function run(args: readonly string[], cwd: string): Promise<{ ended: boolean; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text: Buffer) => {
        output = (output + text.toString()).slice(-20_000);
      });
    }
    let ended = true;
    const late = setTimeout(() => {
      ended = false;
      process.kill(-(child.pid as number), "SIGKILL");
    }, PATIENCE_MS);
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(late);
      resolve({ ended, output });
    });
  });
}
